"""CSR and dense matrices on disk: features, labels and scores. They are memory-mapped, and written and read in blocks.

A CSR matrix is a folder of `indptr.npy` [rows + 1], `indices.npy` and `data.npy` [entries], and `shape.npy`: row i
holds the values `data[indptr[i]:indptr[i + 1]]` in the columns `indices[...]`. A dense matrix is a folder with
`matrix.npy` [rows, columns].
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from tagstudy.core.checksums import checked

BLOCK = 2_000  # posts that are held in memory at once
ENTRIES = 2**18  # of a block of a CSR matrix


class CsrMatrix:
    """A CSR matrix on disk."""

    def __init__(self, folder: Path) -> None:
        self.shape: tuple[int, int] = tuple(np.load(checked(folder / "shape.npy")).tolist())
        parts = (folder / f"{part}.npy" for part in ("indptr", "indices", "data"))
        self.indptr, self.indices, self.data = map(mapped, parts)

    def __len__(self) -> int:
        return self.shape[0]

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices [entries], offsets [rows + 1] and data [entries] of some rows, the inputs of an EmbeddingBag."""
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self.indices[entries], offsets.astype(np.int32), self.data[entries]

    def take(self, rows: np.ndarray) -> csr_array:
        """Some rows [rows, columns], in memory."""
        indices, offsets, data = self.batch(rows)
        return csr_array((data, indices, offsets), shape=(len(rows), self.shape[1]))

    def blocks(self) -> Iterator[csr_array]:
        """All rows in order, in blocks of at most ENTRIES entries, or of one row."""
        start = 0
        while start < len(self):
            end = int(np.searchsorted(self.indptr, self.indptr[start] + ENTRIES, side="right")) - 1
            end = min(max(end, start + 1), len(self))
            indptr = self.indptr[start : end + 1]
            entries = slice(indptr[0], indptr[-1])
            shape = end - start, self.shape[1]
            yield csr_array((self.data[entries], self.indices[entries], indptr - indptr[0]), shape=shape)
            start = end


def mapped(path: Path) -> np.ndarray:
    """A memory-mapped array as a plain ndarray: slicing a numpy.memmap creates another memmap, which is slow."""
    return np.load(checked(path), mmap_mode="r").view(np.ndarray)


class DenseMatrix:
    """A dense matrix on disk."""

    def __init__(self, folder: Path) -> None:
        self.rows = mapped(folder / "matrix.npy")
        self.shape: tuple[int, int] = self.rows.shape

    def __len__(self) -> int:
        return self.shape[0]

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray]:
        """[rows, columns] Some rows, the input of a Linear layer."""
        return (self.rows[rows],)


def new_dense_matrix(folder: Path, rows: int, columns: int) -> np.ndarray:
    """The rows of a dense matrix in a new folder, zeros on disk that can be overwritten."""
    folder.mkdir(parents=True)
    path = folder / "matrix.npy"
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, columns))
    if hasattr(os, "posix_fallocate"):  # an error now if the disk is too small; later a write would end the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return matrix


def open_matrix(folder: Path) -> CsrMatrix | DenseMatrix:
    """The CSR or dense matrix in a folder."""
    return DenseMatrix(folder) if (folder / "matrix.npy").exists() else CsrMatrix(folder)


class CsrWriter:
    """Writes a CSR matrix into a new folder, block by block."""

    def __init__(self, folder: Path, columns: int, dtype: DTypeLike = np.float32) -> None:
        folder.mkdir(parents=True)
        self.folder, self.columns = folder, columns
        self.indptr, self.indices, self.data = (
            GrowingArray(folder / f"{part}.npy", kind)
            for part, kind in (("indptr", np.int64), ("indices", np.int32), ("data", dtype))
        )
        self.indptr.append(np.zeros(1))

    def append(self, indices: np.ndarray, offsets: np.ndarray, data: np.ndarray) -> None:
        """Add rows as :meth:`CsrMatrix.batch` gives them."""
        self.indptr.append(self.indices.length + offsets[1:].astype(np.int64))
        self.indices.append(indices)
        self.data.append(data)

    def append_rows(self, rows: csr_array) -> None:
        """Add rows [rows, columns], the columns of each in ascending order."""
        rows.sort_indices()
        self.append(rows.indices, rows.indptr, rows.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        np.save(self.folder / "shape.npy", np.array([self.indptr.length - 1, self.columns]))
        for part in (self.indptr, self.indices, self.data):
            part.close()


class GrowingArray:
    """An .npy file of one dimension that grows: numpy pads the header, so that a larger number fits into it."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.file, self.dtype, self.length = path.open("wb"), np.dtype(dtype), 0
        self.write_header()

    def write_header(self) -> None:
        kind = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": kind, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def close(self) -> None:
        self.file.seek(0)
        self.write_header()
        self.file.close()
