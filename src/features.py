"""What stages read of posts: their texts and labels, and their features as bags, memory-mapped, a folder per split.

A bag is three arrays, `indptr.npy` [posts + 1], `indices.npy` and `data.npy` [entries]: row i holds the weights
`data[indptr[i]:indptr[i + 1]]` of the columns `indices[...]`. Nothing ever makes it a [posts, columns] matrix.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from stage import POSTS


class Bags:
    """Bags of weighted columns, memory-mapped: the features of one arm's posts in one split."""

    def __init__(self, folder: Path) -> None:
        self.indptr, self.indices, self.data = (
            np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("indptr", "indices", "data")
        )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices [entries], offsets [rows + 1] and weights [entries] of some posts, as EmbeddingBag takes them."""
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self.indices[entries].astype(np.int64), offsets, self.data[entries]


def write_bags(folder: Path, rows: csr_array) -> None:
    """Write a CSR matrix [posts, columns] as bags."""
    folder.mkdir()
    np.save(folder / "indptr.npy", rows.indptr.astype(np.int64))
    np.save(folder / "indices.npy", rows.indices.astype(np.int32))
    np.save(folder / "data.npy", rows.data.astype(np.float32))


def read_texts(split: str) -> Iterator[str]:
    """The texts of a split's posts, a row group at a time."""
    for batch in pq.ParquetFile(POSTS / f"{split}.parquet").iter_batches(1000, columns=["text"]):
        yield from batch["text"].to_pylist()


def read_labels(split: str, tags: list[str]) -> np.ndarray:
    """[posts, tags] 0 or 1, columns in the order of ``tags``."""
    column = pq.read_table(POSTS / f"{split}.parquet", columns=["tags"])["tags"].combine_chunks()
    numbers = {tag: number for number, tag in enumerate(tags)}
    labels = np.zeros((len(column), len(tags)), dtype=np.float32)
    posts = np.repeat(np.arange(len(column)), np.diff(column.offsets))
    labels[posts, [numbers[tag] for tag in column.flatten().to_pylist()]] = 1
    return labels
