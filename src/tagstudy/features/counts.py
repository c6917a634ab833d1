"""Count terms as scikit-learn's CountVectorizer does, but in a stream: a corpus need not fit in memory.

Train is tokenized once. Its terms are numbered as they turn up, its counts go to disk under these numbers; when all are
known, the vocabulary is chosen and the counts are read back under its columns.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix, CsrWriter, read_texts
from tagstudy.data.text import parts, tokenize

Weigh = Callable[[csr_array], csr_array]  # counts [posts, columns] to weights


class GrowingVocabulary(dict[str, int]):
    """Terms and their numbers; a new one gets the next."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class Vocabulary(dict[str, int]):
    """Terms of a vocabulary and their columns; all others share the one behind the last."""

    def __init__(self, vocabulary: list[str]) -> None:
        super().__init__(zip(vocabulary, range(len(vocabulary)), strict=True))

    def __missing__(self, term: str) -> int:
        return len(self)


class DocumentTermCounts:
    """The counts of every term of train, on disk."""

    def __init__(self, folder: Path, max_ngram: int = 1) -> None:
        """Count the terms of train into a new folder."""
        self.max_ngram = max_ngram
        numbers = GrowingVocabulary()
        with CsrWriter(folder) as writer:
            for texts in read_texts("train"):
                rows = count(texts, numbers, max_ngram)
                writer.append(rows.indices, rows.indptr, rows.data)
        self.terms = np.array(list(numbers), dtype=object)
        self.bags = CsrMatrix(folder)
        self.posts_with = np.zeros(len(numbers), dtype=np.int64)  # [terms] posts that hold the term
        self.total = np.zeros(len(numbers), dtype=np.int64)  # [terms] how often it stands in all of them
        for data, indices, _ in self.bags.blocks():
            np.add.at(self.posts_with, indices, 1)
            np.add.at(self.total, indices, data.astype(np.int64))

    def alphabetical(self, chosen: np.ndarray) -> np.ndarray:
        """Numbers of the ``chosen`` terms in the order of the alphabet: the columns of a vocabulary."""
        return chosen[np.argsort(self.terms[chosen], kind="stable")]

    def write(self, folder: Path, chosen: np.ndarray, weigh: Weigh) -> None:
        """Write the bags of every split; their columns are the terms of these numbers.

        ``weigh`` takes counts [posts, columns] and gives weights; it sees some posts at a time.
        """
        columns = np.full(len(self.terms), len(chosen), dtype=np.int32)
        columns[chosen] = np.arange(len(chosen))
        train = (
            csr_array((data, columns[indices], indptr), shape=(len(indptr) - 1, len(chosen) + 1))
            for data, indices, indptr in self.bags.blocks()
        )
        write_csr(folder / "train", (weigh(rows[:, :-1]) for rows in train))
        vocabulary = Vocabulary(self.terms[chosen].tolist())
        for split in ("valid", "test"):
            counts = (count_known(texts, vocabulary, self.max_ngram) for texts in read_texts(split))
            write_csr(folder / split, map(weigh, counts))


def count_known(texts: list[str], vocabulary: Vocabulary, max_ngram: int) -> csr_array:
    """Counts [posts, terms] of the terms of a vocabulary."""
    return count(texts, vocabulary, max_ngram)[:, :-1]


def count(texts: list[str], numbers: dict[str, int], max_ngram: int) -> csr_array:
    """Counts [posts, terms + 1] under the numbers of their terms, no term twice in a post; a title counts twice."""
    found: list[str] = []
    indptr = np.zeros(len(texts) + 1, dtype=np.int32)
    for row, text in enumerate(texts, start=1):
        for part in parts(text):
            found += terms(tokenize(part), max_ngram)
        indptr[row] = len(found)
    indices = np.fromiter(map(numbers.__getitem__, found), np.int32, len(found))
    ones = np.ones(len(indices), dtype=np.float32)
    rows = csr_array((ones, indices, indptr), shape=(len(texts), len(numbers) + 1))
    rows.sum_duplicates()
    return rows


def terms(tokens: list[str], max_ngram: int) -> list[str]:
    """Tokens, and runs of up to ``max_ngram`` of them joined by spaces."""
    if max_ngram == 1:
        return tokens
    runs = [
        map(" ".join, zip(*(tokens[start:] for start in range(length)), strict=False))
        for length in range(2, max_ngram + 1)
    ]
    return tokens + [run for of_length in runs for run in of_length]


def write_csr(folder: Path, batches: Iterable[csr_array]) -> None:
    """Write CSR matrices [posts, columns], one behind the other, as bags; a row's columns in order."""
    with CsrWriter(folder) as writer:
        for rows in batches:
            rows.sort_indices()
            writer.append(rows.indices, rows.indptr, rows.data)


def word_frequencies(counts: csr_array) -> csr_array:
    """Each word's share of its post, so that the sum of their vectors is a mean."""
    from sklearn.preprocessing import normalize  # a second to import, for the stages that weigh alone

    return normalize(counts, norm="l1")


def tfidf_weights(idf: np.ndarray, sublinear_tf: bool) -> Weigh:
    """TF-IDF with rows of length one (L2); ``idf`` [columns]."""
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = TfidfTransformer(sublinear_tf=sublinear_tf)
    weights.idf_ = idf
    return weights.transform
