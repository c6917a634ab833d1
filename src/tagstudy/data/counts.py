"""Document-term counts of all posts, as scikit-learn's CountVectorizer makes them: made once, for both arms.

Processes count shards of the posts side by side, each shard under a vocabulary of its own. The vocabularies are then
merged, some shards at a time, and the terms numbered in alphabetical order. No process holds more than a few shards of
the posts; in memory as a whole are the merged vocabulary, as an Arrow array, and the numbers of each shard's terms.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from tagstudy.core.checksums import checked
from tagstudy.core.config import Compute
from tagstudy.core.corpus import Text
from tagstudy.core.shards import map_in_order
from tagstudy.core.store import CsrWriter
from tagstudy.data.text import SEPARATE, token_sequences, tokenize

COUNTS = "counts"  # the folder of all posts' counts of single words, beside the posts
SHARD = 2**21  # bytes of posts; the larger a shard is, the fewer chunks are distinct and have to be tokenized
WAITING = 2**24  # bytes of vocabularies that are merged at once; more where the merged one is large
TERMS = "terms.parquet"  # the terms in alphabetical order
TRAILING = ".)]"  # characters that belong to no token where nothing follows them


class GrowingVocabulary(dict[str, int]):
    """Terms and their numbers; a new term gets the next number."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


def write_counts(folder: Path, posts: Path, compute: Compute, max_ngram: int = 1) -> None:
    """Count the terms of all posts of a Parquet file into a new folder: CSR [posts, terms], and TERMS.

    The result is the same for any number of processes.
    """
    vocabulary = MergedVocabulary()
    with (
        closing(map_in_order(partial(count_shard, posts, max_ngram), shards_of(posts), compute)) as shards,
        CsrWriter(folder / "matrix", columns=0) as writer,
    ):
        for rows, terms in shards:
            writer.append(rows.indices, rows.indptr, rows.data)
            vocabulary.add(terms, rows.nnz)
        vocabulary.merge()
        writer.columns = len(vocabulary.terms)
    terms, ranks = alphabetical(vocabulary.terms)
    renumber(folder / "matrix/indices.npy", ((entries, ranks[numbers]) for entries, numbers in vocabulary.shards))
    pq.write_table(pa.table({"term": terms}), folder / TERMS)


class MergedVocabulary:
    """The terms of shards, in the order in which they first appear, and the numbers that each shard's have in it."""

    def __init__(self) -> None:
        self.terms = pa.array([], pa.large_string())  # of millions of posts, n-grams are more than 2 GB
        self.shards: list[tuple[int, np.ndarray]] = []  # of each its entries, and the numbers of its terms
        self.waiting: list[tuple[int, pa.StringArray]] = []  # the same, not merged yet

    def add(self, terms: pa.StringArray, entries: int) -> None:
        """Add the terms of a shard whose counts have so many entries."""
        self.waiting.append((entries, terms))
        if sum(terms.nbytes for _, terms in self.waiting) >= max(WAITING, self.terms.nbytes // 4):
            self.merge()

    def merge(self) -> None:
        """Merge those that wait."""
        encoded = pa.concat_arrays(
            [self.terms, *(terms.cast(self.terms.type) for _, terms in self.waiting)]
        ).dictionary_encode()
        numbers = encoded.indices.to_numpy()[len(self.terms) :].copy()
        for entries, terms in self.waiting:
            of_shard, numbers = np.split(numbers, [len(terms)])
            self.shards.append((entries, of_shard))
        self.terms = encoded.dictionary
        self.waiting.clear()


@lru_cache(1)  # of millions of posts they are megabytes, and take longer to parse than a shard to count
def metadata_of(posts: Path, modified: int) -> pq.FileMetaData:
    """The metadata of a Parquet file that was ``modified`` at this time."""
    return pq.read_metadata(posts)


def shards_of(posts: Path) -> Iterator[list[int]]:
    """Row groups of about SHARD bytes, in their order."""
    metadata = metadata_of(posts, posts.stat().st_mtime_ns)
    shard: list[int] = []
    size = 0
    for group in range(metadata.num_row_groups):
        shard.append(group)
        size += metadata.row_group(group).total_byte_size
        if size >= SHARD:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def alphabetical(terms: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Terms in alphabetical order, and the place of each in it [terms]."""
    order = pc.sort_indices(terms)
    ranks = np.empty(len(order), np.int32)
    ranks[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    return terms.take(order), ranks


def renumber(path: Path, shards: Iterable[tuple[int, np.ndarray]]) -> None:
    """Give the columns of a CSR matrix other numbers: of each shard so many entries, and its columns' new numbers."""
    start = 0
    for entries, columns in shards:
        # Mapped anew each time: what has been read of a mapping stays in memory as long as the mapping.
        indices = np.load(path, mmap_mode="r+")[start : start + entries]
        indices[:] = columns[indices]
        start += entries


def count_shard(posts: Path, max_ngram: int, groups: list[int]) -> tuple[csr_array, pa.StringArray]:
    """Counts [posts, terms] of the posts in some row groups, and the terms, in alphabetical order.

    So each row's columns ascend, and do so still under the numbers of all posts' terms.
    """
    file = pq.ParquetFile(posts, metadata=metadata_of(posts, posts.stat().st_mtime_ns))
    table = file.read_row_groups(groups, ["title", "body"], use_threads=False)
    if max_ngram == 1:
        rows, terms = count_words(table)
    else:
        numbers = GrowingVocabulary()
        rows = count_terms(list(map(Text, *(column.to_pylist() for column in table.columns))), numbers, max_ngram)
        terms = pa.array(numbers, pa.string())
    terms, ranks = alphabetical(terms)
    rows = csr_array((rows.data, ranks[rows.indices], rows.indptr), shape=(len(table), len(terms)))
    return rows.tocsc().tocsr(), terms  # each row sorted, faster than by sort_indices


def read_terms(folder: Path) -> pa.LargeStringArray:
    """[terms] The terms of the counts in a folder, in alphabetical order."""
    return pq.ParquetFile(checked(folder / TERMS)).read()["term"].combine_chunks()


def count_words(table: pa.Table) -> tuple[csr_array, pa.StringArray]:
    """Counts [posts, terms] of single tokens, and the terms.

    Like :func:`count_terms`, but several times faster: Arrow splits all texts at characters that no token contains, and
    each distinct chunk is tokenized once; one of ASCII letters and digits, before any of TRAILING, is a token.
    """
    title, body = (table[name].combine_chunks() for name in ("title", "body"))
    has_both = pc.and_(pc.greater(pc.binary_length(title), 0), pc.greater(pc.binary_length(body), 0))
    # As token_sequences: a title with a body counts twice.
    texts = pc.binary_join_element_wise(pc.if_else(has_both, title, ""), title, body, " ")
    chunks = pc.ascii_split_whitespace(separated_by_spaces(texts))
    encoded = chunks.flatten().dictionary_encode()
    trimmed = pc.ascii_rtrim(encoded.dictionary, TRAILING)
    is_token = pc.ascii_is_alnum(trimmed)
    # Of the other chunks, in one list: the garbage collector walks through thousands of small ones.
    tokens: list[str] = []
    ends: list[int] = []
    for chunk in encoded.dictionary.filter(pc.invert(is_token)).to_pylist():
        tokens += tokenize(chunk)
        ends.append(len(tokens))
    single = is_token.to_numpy(zero_copy_only=False)
    lengths = np.ones(len(single), np.int32)
    lengths[~single] = np.diff(ends, prepend=0)
    terms = pa.concat_arrays([trimmed.filter(is_token), pa.array(tokens, pa.string())]).dictionary_encode()
    numbers = terms.indices.to_numpy()
    columns = np.empty_like(numbers)
    of_single = np.repeat(single, lengths)
    columns[of_single], columns[~of_single] = np.split(numbers, [single.sum()])
    tokens_of_chunk = csr(columns, lengths, len(terms.dictionary))
    chunks_of_post = csr(encoded.indices.to_numpy(), np.diff(chunks.offsets.to_numpy()), len(single))
    return chunks_of_post @ tokens_of_chunk, terms.dictionary


def separated_by_spaces(texts: pa.StringArray) -> pa.StringArray:
    """Texts with ASCII letters in lower case, and spaces for the ASCII characters that only separate tokens."""
    _, offsets, data = texts.buffers()
    plain = pa.py_buffer(data.to_pybytes().translate(SEPARATE) if data else b"")
    return pa.StringArray.from_buffers(len(texts), offsets, plain, offset=texts.offset)


def csr(columns: np.ndarray, lengths: np.ndarray, width: int) -> csr_array:
    """[rows, width] A one for each of the columns, which stand row by row; ``lengths`` [rows]."""
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return csr_array((np.ones(len(columns), np.float32), columns, indptr), shape=(len(lengths), width))


def count_terms(texts: list[Text], numbers: dict[str, int], max_ngram: int) -> csr_array:
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
