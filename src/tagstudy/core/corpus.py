"""The posts that ingest wrote: tags, splits and labels, and the texts in a stream."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from tagstudy.core.files import read_json
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import BLOCK, CsrMatrix


class Text(NamedTuple):
    """The text of a post, plain. Either part may be empty."""

    title: str
    body: str

    def __str__(self) -> str:
        return "\n".join(part for part in self if part)


class Corpus:
    """The posts of a study, in the order in which ingest read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tags: list[str] = read_json(folder / "tags.json")
        self.split = np.load(folder / "split.npy", mmap_mode="r")  # [posts] indices into SPLITS
        self.labels = CsrMatrix(folder / "labels")  # [posts, tags]

    def __len__(self) -> int:
        return len(self.split)

    def rows(self, split: str) -> np.ndarray:
        """[posts of the split] The row of each, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def texts(self, split: str | None = None) -> Iterator[list[Text]]:
        """The texts of all posts, or of a split's, in order, in lists of at most BLOCK."""
        for start, columns in self.read(["title", "body"]):
            texts = list(map(Text, *columns))
            if split is not None:
                chosen = self.split[start : start + len(texts)] == SPLITS.index(split)
                texts = [texts[row] for row in np.flatnonzero(chosen)]
            yield texts

    def read(self, columns: list[str]) -> Iterator[tuple[int, list[list[str]]]]:
        """Columns of posts.parquet in blocks of at most BLOCK posts, each with the row of its first post."""
        path = self.folder / "posts.parquet"
        path.stat()  # if the file is missing, this error names it; pyarrow's does not
        start = 0
        # With pre_buffer, pyarrow would keep in memory everything that it has read.
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(BLOCK, columns=columns):
            yield start, [batch[name].to_pylist() for name in columns]
            start += len(batch)
