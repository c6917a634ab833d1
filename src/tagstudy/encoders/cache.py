"""A cache of encoders' vectors in an SQLite file that all studies of a user share.

It lies in $TAGSTUDY_CACHE, or in tagstudy/ of the user's cache folder. `python -m tagstudy.encoders.cache` says how
large it is, and with --clear empties it.
"""

import argparse
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tagstudy.core.config import EncoderSettings
from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError, user_errors
from tagstudy.core.paths import embedding_cache
from tagstudy.core.printing import print_visible
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.frozen import frozen_encoder
from tagstudy.encoders.identity import identity
from tagstudy.encoders.reference import PROBE  # its vector shows what settings do not: architecture, device, libraries

FORMAT = 2  # raise it whenever a change of the code changes vectors, so that cached ones are no longer used
DIGEST = 8  # bytes, behind each vector
WAIT = 600  # seconds, for another run that is writing to the file
COMMIT = 256  # texts encoded between two commits
READ = 500  # vectors that a query reads; SQLite may refuse 1,000
LIMIT = 40 * 2**30  # bytes of the file: 24 million vectors of 384 numbers; then the oldest make room
# The order of the rows is that of their age.
TABLE = "CREATE TABLE IF NOT EXISTS vectors (number INTEGER PRIMARY KEY, text BLOB UNIQUE, vector BLOB)"
OLDEST = "SELECT number FROM vectors ORDER BY number LIMIT ?"
CONVERTED = re.compile(r"\.?int8-[0-9a-f]{16}\.onnx")  # what int8.py keeps beside the file; a dot: half written
PAGE = 8192  # bytes, of which five vectors of 384 numbers leave few over
# What SQLite says where nothing can be written, or no lock can be had.
UNUSABLE = ("readonly", "unable to open", "full", "disk I/O error", "locking protocol")


class EmbeddingCache:
    """The vectors of a frozen encoder: read from the file if they are in it, else encoded and added to it.

    Other tags, another split, a longer corpus or another study encode only what is new, and what an interrupted run has
    encoded is kept. Several processes may use the file at once. Where it cannot be written, a message says so, and
    texts are encoded without it. Raises :class:`UserError` where it is damaged, or locked for WAIT seconds.
    """

    def __init__(self, encoder: Encoder, path: Path | None) -> None:
        self.encoder, self.path = encoder, path
        self.fingerprint = fingerprint(encoder)
        self.database: sqlite3.Connection | None = None
        if path is None:
            print_visible("no home folder for the embedding cache; set TAGSTUDY_CACHE to a folder to have one")
            return
        with self.usable():
            self.database = open_database(path)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Around what reads and writes the file; where it cannot be written, the cache is given up."""
        try:
            yield
        except (OSError, sqlite3.DatabaseError, UnicodeDecodeError) as problem:  # which quotes what is damaged
            reason = f"{problem!s:.200}"
            if isinstance(problem, OSError) or any(sign in reason for sign in UNUSABLE):
                print_visible(f"{self.path}: cannot be written ({reason}); encoding goes on without this cache")
                self.database = None
            elif "locked" in reason:
                raise UserError(f"{self.path}: locked by another process; end that process and run again") from None
            else:
                raise UserError(
                    f"{self.path}: cannot be read ({reason}); delete it, and posts are encoded anew"
                ) from None

    def vectors(self, texts: list[str], bar: tqdm) -> np.ndarray:
        """Vectors [texts, dims]; the bar moves by a text at a time."""
        keys = [hashlib.blake2b(text.encode(), key=self.fingerprint, digest_size=16).digest() for text in texts]
        vectors = self.read(set(keys))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        bar.update(len(texts) - len(missing))
        order = sorted(missing, key=lambda key: -len(missing[key]))
        for group in (order[start : start + COMMIT] for start in range(0, len(order), COMMIT)):
            encoded = dict(zip(group, self.encoder.encode([missing[key] for key in group]), strict=True))
            vectors |= encoded
            self.write(encoded)
            bar.update(len(group))
        return np.stack([vectors[key] for key in keys])

    def read(self, keys: set[bytes]) -> dict[bytes, np.ndarray]:
        """Those of the vectors that the file has, whole."""
        cached: dict[bytes, np.ndarray] = {}
        if self.database is None:
            return cached
        order = sorted(keys)
        with self.usable():
            for group in (order[start : start + READ] for start in range(0, len(order), READ)):
                places = ", ".join("?" * len(group))
                rows = self.database.execute(f"SELECT text, vector FROM vectors WHERE text IN ({places})", group)
                vectors = ((key, self.unpack(key, blob)) for key, blob in rows if key in keys)
                cached |= {key: vector for key, vector in vectors if vector is not None}
        return cached

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Add vectors to the file in one commit; where it has passed LIMIT, drop twice as many of the oldest."""
        if self.database is None:
            return
        rows = [(key, pack(key, vector)) for key, vector in vectors.items()]
        with self.usable(), self.database as database:  # which commits
            database.executemany("INSERT OR REPLACE INTO vectors (text, vector) VALUES (?, ?)", rows)
            if size(database) > LIMIT:
                database.execute(f"DELETE FROM vectors WHERE number IN ({OLDEST})", [2 * len(rows)])

    def unpack(self, key: bytes, blob: object) -> np.ndarray | None:
        """The vector [dims] in a blob; None for what :func:`pack` has not written, which is encoded anew."""
        if not isinstance(blob, bytes) or len(blob) != 4 * self.encoder.dims + DIGEST:
            return None
        vector = np.frombuffer(blob[:-DIGEST], np.float32)
        return vector if pack(key, vector) == blob and np.isfinite(vector).all() else None


def open_database(path: Path) -> sqlite3.Connection:
    """The file, made if there is none. Says so where another run is writing to it, and waits for WAIT seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA busy_timeout = 1000")
    database.execute(f"PRAGMA page_size = {PAGE}")  # of a new file
    try:
        database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as problem:
        if "locked" not in str(problem):
            raise
        print_visible(f"{path}: another process is writing to it; waiting for up to {WAIT} s")
    database.rollback()
    database.execute(f"PRAGMA busy_timeout = {WAIT * 1000}")
    database.execute(TABLE)
    return database


def size(database: sqlite3.Connection) -> int:
    """Bytes of the file that are in use."""
    pages, free, page = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page


def pack(key: bytes, vector: np.ndarray) -> bytes:
    """A vector's numbers, and a digest of them and of their text's key, which tells whether the file is damaged."""
    numbers = np.ascontiguousarray(vector, np.float32).tobytes()
    return numbers + hashlib.blake2b(numbers, key=key, digest_size=DIGEST).digest()


def open_cache(settings: EncoderSettings, device: str, path: Path | None) -> EmbeddingCache:
    """The cache of an encoder, frozen, on a device that `train.device` names; prints how the encoder reads texts."""
    encoder = frozen_encoder(settings, choose_device(device))
    encoder.announce()
    return EmbeddingCache(encoder, path)


def fingerprint(encoder: Encoder) -> bytes:
    """[64 bytes] What a vector depends on besides its text: FORMAT, the encoder, how it computes on this machine."""
    modules = [repr(module) for module in encoder.body]
    reading = encoder.prefix, encoder.suffix, encoder.prompt_length, encoder.in_bfloat16
    digest = hashlib.blake2b(repr((FORMAT, identity(encoder), reading, modules)).encode())
    digest.update(encoder.encode([PROBE]).data)  # one window: a GPU adds up several in any order
    return digest.digest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clear", action="store_true", help="delete all vectors, and encoders in int8")
    clear, path = parser.parse_args().clear, embedding_cache()
    with user_errors("cache"):
        if clear and path is not None:
            for converted in filter(lambda file: CONVERTED.match(file.name), path.parent.glob("*.onnx*")):
                converted.unlink(missing_ok=True)  # one that is half written may just have become whole
        if path is None or not path.exists():
            print_visible(f"{path or 'no home folder'}: no cache of encoded texts")
            return
        if clear:
            empty(path)
        print_visible(f"{path}: {path.stat().st_size / 2**20:,.1f} MB")


def empty(path: Path) -> None:
    """Delete all vectors; a file that is damaged is deleted, and one that others use stays in its place."""
    try:
        database = open_database(path)
        with database:
            database.execute("DELETE FROM vectors")
        database.execute("VACUUM")
        database.close()
    except sqlite3.DatabaseError as problem:
        if any(sign in str(problem) for sign in ("locked", *UNUSABLE)):
            raise UserError(f"{path}: cannot be emptied ({problem}); try again later, or delete it") from None
        path.unlink()
        path.touch()


if __name__ == "__main__":
    main()
