"""Vectors of texts that a sentence encoder made, kept in a file from one run to the next."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tagstudy.core.errors import UserError
from tagstudy.encoders import encoder as encoders
from tagstudy.encoders.encoder import Encoder

ENCODED = Path("data/encoded.sqlite")
POSTS = 256  # encoded between two writes to it
PROBE = "Ünïcode 中文, C# and $.ajax()"  # its vector shows another tokenizer, pooling, device or library


class EmbeddingCache:
    """What a frozen_encoder encoder makes of texts; what it made of them before is read from the file.

    Other tags, another split or a longer corpus encode what is new alone, and what an interrupted run encoded is kept.
    """

    def __init__(self, encoder: Encoder, path: Path = ENCODED) -> None:
        self.encoder = encoder
        # What a vector follows from besides its text: code, window, weights, and whatever that of PROBE follows from,
        # which is one window: a GPU adds up several in any order.
        about = hashlib.blake2b(Path(encoders.__file__).read_bytes() + str(encoder.window).encode())
        for weights in encoder.state_dict().values():
            about.update(weights.cpu().contiguous().numpy().data)
        about.update(encoder.encode([PROBE]).data)
        self.about = about.digest()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with self.readable():
            self.file = sqlite3.connect(path, timeout=600)  # another run may be writing to it
            self.file.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Around what reads and writes the file. Raises :class:`UserError` where it is damaged."""
        try:
            yield
        except sqlite3.DatabaseError as problem:
            if "full" in str(problem):  # the disk, which stage.py tells
                raise
            raise UserError(f"{self.path}: cannot be read ({problem}); delete it, and posts are encoded anew") from None

    def vectors(self, texts: list[str], bar: tqdm) -> np.ndarray:
        """[texts, dims]"""
        keys = [hashlib.blake2b(text.encode(), key=self.about, digest_size=16).digest() for text in texts]
        found = {}
        with self.readable():
            for key in keys:
                row = self.file.execute("SELECT vector FROM vectors WHERE text = ?", [key]).fetchone()
                if row:
                    found[key] = np.frombuffer(row[0], np.float32)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        bar.update(len(texts) - len(missing))
        order = sorted(missing, key=lambda key: -len(missing[key]))
        for group in (order[start : start + POSTS] for start in range(0, len(order), POSTS)):
            rows = self.encoder.encode([missing[key] for key in group])
            found.update(zip(group, rows, strict=True))
            with self.readable(), self.file:  # which commits
                values = [(key, row.tobytes()) for key, row in zip(group, rows, strict=True)]
                self.file.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", values)
            bar.update(len(group))
        return np.stack([found[key] for key in keys])
