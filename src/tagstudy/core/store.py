"""What stages read of posts: their texts and labels, and their features, memory-mapped, a folder per split.

A bag is three arrays, `indptr.npy` [posts + 1], `indices.npy` and `data.npy` [entries]: row i holds the weights
`data[indptr[i]:indptr[i + 1]]` of the columns `indices[...]`. Nothing ever makes it a [posts, columns] matrix. What is
one from the start, an encoder's vectors, is `matrix.npy` [posts, columns]. Neither writing nor reading holds a split in
memory.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow.parquet as pq

from tagstudy.core.paths import POSTS

BATCH = 2_000  # posts in memory at a time


class CsrMatrix:
    """CsrMatrix of weighted columns, memory-mapped: the features of one arm's posts in one split."""

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
        return self.indices[entries], offsets.astype(np.int32), self.data[entries]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """All bags in order, some posts at a time: data, indices and indptr, as scipy's CSR takes them."""
        for start in range(0, len(self), BATCH):
            indptr = self.indptr[start : start + BATCH + 1]
            entries = slice(indptr[0], indptr[-1])
            yield self.data[entries], self.indices[entries], indptr - indptr[0]

    def entries_per_post(self) -> float:
        """How many columns a post holds on average."""
        return len(self.indices) / len(self)


class DenseMatrix:
    """A row for each post, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.rows = np.load(folder / "matrix.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray]:
        """[rows, columns] of some posts, as Linear takes them."""
        return (self.rows[rows],)

    def entries_per_post(self) -> float:
        return self.rows.shape[1]


def open_features(folder: Path) -> CsrMatrix | DenseMatrix:
    """The features of one arm's posts in one split."""
    return DenseMatrix(folder) if (folder / "matrix.npy").exists() else CsrMatrix(folder)


class CsrWriter:
    """Writes bags, some posts at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.indptr, self.indices, self.data = (
            GrowingArray(folder / f"{part}.npy", dtype)
            for part, dtype in (("indptr", np.int64), ("indices", np.int32), ("data", np.float32))
        )
        self.indptr.append(np.zeros(1))

    def append(self, indices: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> None:
        """Add bags as :meth:`CsrMatrix.batch` gives them."""
        self.indptr.append(self.indices.length + offsets[1:].astype(np.int64))
        self.indices.append(indices)
        self.data.append(weights)

    def __enter__(self) -> "CsrWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for part in (self.indptr, self.indices, self.data):
            part.close()


class DenseWriter:
    """Writes a matrix, some rows at a time."""

    def __init__(self, folder: Path, columns: int) -> None:
        folder.mkdir()
        self.rows = GrowingArray(folder / "matrix.npy", np.float32, columns)

    def append(self, rows: np.ndarray) -> None:
        self.rows.append(rows)

    def __enter__(self) -> "DenseWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.rows.close()


class GrowingArray:
    """An .npy file that grows in its first dimension: numpy leaves room in the header for a longer one."""

    def __init__(self, path: Path, dtype: type, *width: int) -> None:
        self.file, self.dtype, self.width, self.length = path.open("wb"), np.dtype(dtype), width, 0
        self.write_header()

    def write_header(self) -> None:
        shape = (self.length, *self.width)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def close(self) -> None:
        self.file.seek(0)
        self.write_header()
        self.file.close()


def open_posts(split: str) -> pq.ParquetFile:
    path = POSTS / f"{split}.parquet"
    path.stat()  # its error names a file that is missing; pyarrow's does not
    return pq.ParquetFile(path, pre_buffer=False)


def count_posts(split: str) -> int:
    """How many posts a split holds."""
    return open_posts(split).metadata.num_rows


def read_texts(split: str) -> Iterator[list[str]]:
    """The texts of a split's posts, some posts at a time."""
    for batch in open_posts(split).iter_batches(BATCH, columns=["text"]):
        yield batch["text"].to_pylist()


def read_labels(split: str, tags: list[str]) -> np.ndarray:
    """[posts, tags] booleans, columns in the order of ``tags``."""
    file = open_posts(split)
    numbers = {tag: number for number, tag in enumerate(tags)}
    labels = np.zeros((file.metadata.num_rows, len(tags)), dtype=bool)
    start = 0
    for batch in file.iter_batches(BATCH, columns=["tags"]):
        column = batch["tags"]
        posts = np.repeat(np.arange(start, start + len(column)), np.diff(column.offsets))
        labels[posts, [numbers[tag] for tag in column.flatten().to_pylist()]] = True
        start += len(column)
    return labels
