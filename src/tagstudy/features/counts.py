"""Document-term counts as scikit-learn's CountVectorizer makes them, but in a stream: a corpus need not fit in memory.

All posts are tokenized once. Terms are numbered as they turn up, and the counts go to disk under these numbers, which
no split changes. A vocabulary is chosen by the frequencies in train alone; then the counts are read back, a block of
posts at a time, under the columns of the vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.corpus import Text
from tagstudy.core.store import CsrMatrix, CsrWriter
from tagstudy.data.text import token_sequences

Weigh = Callable[[csr_array], csr_array]  # counts [posts, terms] to weights


class GrowingVocabulary(dict[str, int]):
    """Terms and their numbers; a new term gets the next number."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class Vocabulary(dict[str, int]):
    """Terms and their columns; all other terms share the column behind the last."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__(zip(terms, range(len(terms)), strict=True))

    def __missing__(self, term: str) -> int:
        return len(self)


class DocumentTermCounts:
    """How often every term occurs in every post: a CSR matrix [posts, terms] on disk.

    ``terms`` [terms] stand in the order in which they turned up.
    """

    def __init__(self, folder: Path, texts: Iterable[list[Text]], max_ngram: int = 1) -> None:
        """Count the terms of all posts, which come in blocks, into a new folder."""
        numbers = GrowingVocabulary()
        with CsrWriter(folder, columns=0) as writer:
            for block in texts:
                writer.append_rows(count(block, numbers, max_ngram))
            writer.columns = len(numbers)
        self.terms = np.array(list(numbers), dtype=object)
        self.matrix = CsrMatrix(folder)

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

    def alphabetical(self, chosen: np.ndarray) -> np.ndarray:
        """The numbers of the chosen terms in alphabetical order: the columns of a vocabulary."""
        return chosen[np.argsort(self.terms[chosen], kind="stable")]

    def select(self, chosen: np.ndarray) -> Iterator[csr_array]:
        """Counts [posts, chosen terms] of all posts in blocks; the columns stand in the order of ``chosen``."""
        columns = np.full(len(self.terms), len(chosen), dtype=np.int32)  # as in Vocabulary: others behind the last
        columns[chosen] = np.arange(len(chosen))
        for block in self.matrix.blocks():
            shape = block.shape[0], len(chosen) + 1
            rows = csr_array((block.data, columns[block.indices], block.indptr), shape=shape)[:, :-1]
            rows.sort_indices()
            yield rows


def number_range(numbers: Sequence[int]) -> str:
    """The numbers of folds in words: one, or from the least to the greatest."""
    least, greatest = min(numbers), max(numbers)
    return f"{least:,}" if least == greatest else f"{least:,} to {greatest:,}"


def count_known(texts: list[Text], vocabulary: Vocabulary, max_ngram: int) -> csr_array:
    """Counts [posts, terms] of the terms of a vocabulary."""
    return count(texts, vocabulary, max_ngram)[:, :-1]


def count(texts: list[Text], numbers: dict[str, int], max_ngram: int) -> csr_array:
    """Counts [posts, terms + 1] under the numbers of the terms, in ascending order within a post."""
    occurrences: list[str] = []
    indptr = np.zeros(len(texts) + 1, dtype=np.int32)
    for row, text in enumerate(texts, start=1):
        for tokens in token_sequences(text):
            occurrences += terms(tokens, max_ngram)
        indptr[row] = len(occurrences)
    indices = np.fromiter(map(numbers.__getitem__, occurrences), np.int32, len(occurrences))
    ones = np.ones(len(indices), dtype=np.float32)
    rows = csr_array((ones, indices, indptr), shape=(len(texts), len(numbers) + 1))
    rows.sum_duplicates()
    return rows


def terms(tokens: list[str], max_ngram: int) -> list[str]:
    """Tokens, and n-grams of up to ``max_ngram`` of them joined by spaces."""
    if max_ngram == 1:
        return tokens
    ngrams = [
        map(" ".join, zip(*(tokens[start:] for start in range(length)), strict=False))
        for length in range(2, max_ngram + 1)
    ]
    return tokens + [ngram for of_length in ngrams for ngram in of_length]
