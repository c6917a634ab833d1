"""The posts that ingest wrote: tags, folds and labels, and the texts in a stream."""

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tagstudy.core.checksums import checked
from tagstudy.core.files import read_json
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import BLOCK, CsrMatrix, mapped

BLOCK_BYTES = 2**26  # of the texts of a block, about


class Text(NamedTuple):
    """The text of a post, plain. Either part may be empty."""

    title: str
    body: str

    def __str__(self) -> str:
        return "\n".join(part for part in self if part)


class Corpus:
    """The posts of a study, in the order in which ingest read them.

    Each fold splits them into train, valid and test in its own way; a single split is one fold.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tags: list[str] = read_json(folder / "tags.json")
        # [folds, posts] Indices into SPLITS; -1: in none.
        self.splits = mapped(folder / "splits.npy")
        self.labels = CsrMatrix(folder / "labels")  # [posts, tags]

    def __len__(self) -> int:
        return self.splits.shape[1]

    def training_on(self, chosen: np.ndarray) -> "Corpus":
        """The same posts in one fold, with those ``chosen`` [posts] in train and the others in test."""
        other = copy(self)
        other.splits = np.where(chosen, SPLITS.index("train"), SPLITS.index("test"))[None].astype(np.int8)
        return other

    @property
    def folds(self) -> int:
        return self.splits.shape[0]

    @property
    def fingerprint(self) -> str:
        """A hash of texts, labels and splits: equal for two studies with the same posts in the same folds."""
        return read_json(self.folder / "summary.json")["fingerprint"]

    def is_in(self, split: str, fold: int) -> np.ndarray:
        """[posts] Whether each post is in a split."""
        return self.splits[fold] == SPLITS.index(split)

    def rows(self, split: str, fold: int) -> np.ndarray:
        """[posts of the split] The row of each, ascending."""
        return np.flatnonzero(self.is_in(split, fold))

    def tested(self) -> np.ndarray:
        """[test posts] The rows of all test posts, one fold after the other."""
        return np.concatenate([self.rows("test", fold) for fold in range(self.folds)])

    def texts(self, chosen: np.ndarray | None = None) -> Iterator[list[Text]]:
        """The texts of all posts, or of those ``chosen`` [posts], in order, in lists of at most BLOCK."""
        for start, columns in self.read(["title", "body"]):
            texts = list(map(Text, *columns))
            if chosen is not None:
                texts = [texts[row] for row in np.flatnonzero(chosen[start : start + len(texts)])]
            yield texts

    def read(self, columns: list[str]) -> Iterator[tuple[int, list[list[str]]]]:
        """Columns of posts.parquet in blocks of at most BLOCK posts, each with the row of its first post."""
        start = 0
        for batch in read_batches(checked(self.folder / "posts.parquet"), columns):
            yield start, [batch[name].to_pylist() for name in columns]
            start += len(batch)


def read_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in batches of at most BLOCK, fewer where texts are very long."""
    file = pq.ParquetFile(path, pre_buffer=False)  # which would keep in memory everything that was read
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        rows = max(1, min(BLOCK, BLOCK_BYTES * about.num_rows // max(1, about.total_byte_size)))
        yield from file.iter_batches(rows, row_groups=[group], columns=columns)
