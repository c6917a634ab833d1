"""A cache of an encoder's vectors in an SQLite file, from one run to the next."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError
from tagstudy.encoders.encoder import Encoder, frozen_encoder

FORMAT = 1  # raise it whenever a change of the code changes vectors, so that cached ones are no longer used
DIGEST = 8  # bytes, behind each vector
WAIT = 600  # seconds, for another run that is writing to the file
COMMIT = 256  # texts encoded between two commits
PROBE = "Ünïcode 中文, C# and $.ajax()"  # its vector shows what settings do not: architecture, device, libraries


class EmbeddingCache:
    """The vectors of a frozen encoder: read from the file if they are in it, else encoded and added to it.

    Other tags, another split or a longer corpus encode only what is new, and what an interrupted run has encoded
    is kept.
    """

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self.encoder, self.path = encoder, path
        self.fingerprint = fingerprint(encoder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.readable():
            self.database = sqlite3.connect(path)
            self.wait_for_others()
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
            )

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Around what reads and writes the file. Raises :class:`UserError` where it is damaged."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:  # which quotes what is damaged
            if "locked" in str(problem):
                raise UserError(f"{self.path}: another process keeps it locked; end that one, and run again") from None
            if "full" in str(problem):  # the disk, which core.errors reports
                raise
            reason = f"{problem!s:.200}"
            if "readonly" in reason or "unable to open" in reason:
                raise UserError(f"{self.path}: cannot be written ({reason}); get the permission to write it") from None
            raise UserError(f"{self.path}: cannot be read ({reason}); delete it, and posts are encoded anew") from None

    def wait_for_others(self) -> None:
        """Say so where another run is writing to the file, and wait for it, for WAIT seconds."""
        try:
            self.database.execute("PRAGMA busy_timeout = 1000")
            self.database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem):
                raise
            print(f"{self.path}: another process is writing to it; waiting for up to {WAIT} s")
        self.database.rollback()
        self.database.execute(f"PRAGMA busy_timeout = {WAIT * 1000}")

    def vectors(self, texts: list[str], bar: tqdm) -> np.ndarray:
        """Vectors [texts, dims]; the bar moves by a text at a time."""
        keys = [hashlib.blake2b(text.encode(), key=self.fingerprint, digest_size=16).digest() for text in texts]
        vectors = {}
        with self.readable():
            for key in keys:
                row = self.database.execute("SELECT vector FROM vectors WHERE text = ?", [key]).fetchone()
                if row and (vector := self.unpack(row[0])) is not None:
                    vectors[key] = vector
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        bar.update(len(texts) - len(missing))
        order = sorted(missing, key=lambda key: -len(missing[key]))
        for group in (order[start : start + COMMIT] for start in range(0, len(order), COMMIT)):
            encoded = dict(zip(group, self.encoder.encode([missing[key] for key in group]), strict=True))
            vectors |= encoded
            with self.readable(), self.database:  # which commits
                rows = [(key, pack(vector)) for key, vector in encoded.items()]
                self.database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            bar.update(len(group))
        return np.stack([vectors[key] for key in keys])

    def unpack(self, blob: object) -> np.ndarray | None:
        """The vector [dims] in a blob; None for what :func:`pack` has not written, which is encoded anew."""
        if not isinstance(blob, bytes) or len(blob) != 4 * self.encoder.dims + DIGEST:
            return None
        vector = np.frombuffer(blob[:-DIGEST], np.float32)
        return vector if pack(vector) == blob and np.isfinite(vector).all() else None


def pack(vector: np.ndarray) -> bytes:
    """A vector's numbers, and a digest of them, which tells whether the file is damaged."""
    numbers = np.ascontiguousarray(vector, np.float32).tobytes()
    return numbers + hashlib.blake2b(numbers, digest_size=DIGEST).digest()


def open_cache(name: str, device: str, path: Path) -> EmbeddingCache:
    """The cache of the encoder of that name, frozen, on a device that `train.device` names."""
    return EmbeddingCache(frozen_encoder(name, choose_device(device)), path)


def fingerprint(encoder: Encoder) -> bytes:
    """[64 bytes] What a vector depends on besides its text: FORMAT, the encoder's settings, its weights."""
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)  # which tokenizers in Python lack
    settings = {
        "format": FORMAT,
        "tokenizer": backend.to_str() if backend else sorted(encoder.tokenizer.get_vocab().items()),
        "special tokens": (encoder.prefix, encoder.suffix),
        "window": encoder.window,
        "modules": [repr(module) for module in encoder.body],  # pooling with them
        "normalized": encoder.normalized,
    }
    digest = hashlib.blake2b(repr(settings).encode())
    for name, weights in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy().data)
    digest.update(encoder.encode([PROBE]).data)  # one window: a GPU adds up several in any order
    return digest.digest()
