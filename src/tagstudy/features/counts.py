"""The document-term counts that ingest wrote, read back under the columns of a vocabulary.

No split changes the counts. A vocabulary is chosen by the frequencies in train alone; then the counts are read back, a
block of posts at a time, under its columns.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix
from tagstudy.data.counts import read_terms


class Vocabulary(dict[str, int]):
    """Terms and their columns; all other terms share the column behind the last."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__(zip(terms, range(len(terms)), strict=True))

    def __missing__(self, term: str) -> int:
        return len(self)


class DocumentTermCounts:
    """How often every term occurs in every post: a CSR matrix [posts, terms] on disk.

    ``terms`` [terms] stand in alphabetical order.
    """

    def __init__(self, folder: Path) -> None:
        self.terms = read_terms(folder)
        self.matrix = CsrMatrix(folder / "matrix")

    def names(self, chosen: np.ndarray) -> list[str]:
        """The terms of these numbers, int64."""
        # pa.array would import pandas, which featurizing does not need.
        numbers = pa.Array.from_buffers(pa.int64(), len(chosen), [None, pa.py_buffer(chosen)])
        return self.terms.take(numbers).to_pylist()

    def frequencies(self, posts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many of the posts have each term [terms], and how often it occurs in them [terms].

        ``posts`` [all posts] says of each post whether it counts.
        """
        document_frequency, total = (np.zeros(len(self.terms), dtype=np.int64) for _ in range(2))
        start = 0
        for block in self.matrix.blocks():
            rows = block[posts[start : start + block.shape[0]]]
            start += block.shape[0]
            np.add.at(document_frequency, rows.indices, 1)
            np.add.at(total, rows.indices, rows.data.astype(np.int64))
        return document_frequency, total

    def select(self, chosen: np.ndarray) -> Iterator[csr_array]:
        """Counts [posts, chosen terms] of all posts in blocks; ``chosen`` are numbers of terms, ascending."""
        columns = np.full(len(self.terms), -1, dtype=np.int32)
        columns[chosen] = np.arange(len(chosen))
        for block in self.matrix.blocks():
            places = columns[block.indices]
            kept = np.flatnonzero(places >= 0)
            indptr = np.searchsorted(kept, block.indptr)
            yield csr_array((block.data[kept], places[kept], indptr), shape=(block.shape[0], len(chosen)))


def term_weights(counts: csr_array, sublinear_tf: bool, idf: np.ndarray | None = None) -> csr_array:
    """Weights [posts, terms] of counts as scikit-learn's TfidfTransformer computes them, in float32.

    They are term frequencies, times ``idf`` [terms] where it is given, in L2-normalised rows.
    """
    weights = np.log(counts.data) + 1 if sublinear_tf else counts.data
    if idf is not None:
        weights = (weights * idf[counts.indices]).astype(np.float32)
    squares = csr_array(((weights**2).astype(np.float64), counts.indices, counts.indptr), shape=counts.shape)
    norms = np.sqrt(squares.sum(axis=1))
    normalised = (weights / np.repeat(norms, np.diff(counts.indptr))).astype(np.float32)
    return csr_array((normalised, counts.indices, counts.indptr), shape=counts.shape)


def number_range(numbers: Sequence[int]) -> str:
    """One number if all are equal, else the least and the greatest, for a message."""
    least, greatest = min(numbers), max(numbers)
    return f"{least:,}" if least == greatest else f"{least:,} to {greatest:,}"
