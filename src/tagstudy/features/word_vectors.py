"""Word vectors from a file: GloVe's and word2vec's text, word2vec's binary; plain or in an archive."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tagstudy.core.errors import UserError, is_disk_full
from tagstudy.data.archives import UNREADABLE, opened

MAX_WORD = 10_000  # bytes


def read_vectors(path: Path, words: list[str], dims: int) -> np.ndarray:
    """The vector of each word [words, dims of the file], float32; zeros for words that the file lacks.

    ``dims`` chooses among several files in an archive, such as glove.6B.zip. A word that the file has only in other
    letter case (JavaScript) gets the vector of the first such entry.
    Raises :class:`UserError` where the file is missing, empty or malformed.
    """
    row_of = {word: row for row, word in enumerate(words)}
    known, same_case = (np.zeros(len(words), dtype=bool) for _ in range(2))
    vectors = np.zeros((len(words), 0), dtype=np.float32)
    number = 0  # of words read

    def of_width(names: list[str]) -> list[str]:
        return names if len(names) == 1 else [name for name in names if f".{dims}d." in name]

    try:
        with opened(path, f"word vectors of {dims} dimensions", of_width) as (name, stream):
            lines: Iterator[tuple[str, Any]] = read_binary(stream) if Path(name).suffix == ".bin" else read_text(stream)
            for number, (word, vector) in enumerate(lines, start=1):  # noqa: B007
                row = row_of.get(word, row_of.get(word.lower()))
                if row is None or same_case[row] or (known[row] and word not in row_of):
                    continue
                if not vectors.shape[1]:
                    vectors = np.zeros((len(words), len(vector)), dtype=np.float32)
                vectors[row] = vector
                if not np.isfinite(vectors[row]).all():
                    raise ValueError(f"the vector of {word!r} is not finite")
                known[row], same_case[row] = True, word in row_of
    except (ValueError, *UNREADABLE) as problem:
        if is_disk_full(problem):  # where a 7z archive is unpacked
            raise
        if isinstance(problem, FileNotFoundError):
            raise UserError(
                f"featurize_dense.vectors: {path} does not exist; name a file, for queued experiments by its full path"
            ) from None
        raise UserError(
            f"{path}, after {number:,} words: not readable as word vectors ({problem}); featurize_dense.vectors "
            "takes GloVe's or word2vec's text, or word2vec's binary as .bin, each also in an archive"
        ) from None
    if not known.any():
        raise UserError(f"{path}: has none of the {len(words):,} words of train; name vectors of the same language")
    return vectors


def read_text(stream: IO[bytes]) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Words and their vectors, as text. The first line of word2vec's format, with the shape, is skipped."""
    dims = 0
    for line in stream:
        parts = line.split()
        if not dims and len(parts) == 2:
            continue
        dims = dims or len(parts) - 1
        word, *numbers = line.rstrip().rsplit(b" ", dims)  # a word may hold spaces
        if dims < 1 or len(numbers) != dims:
            raise ValueError(f"a line of {len(numbers)} numbers, not {dims}" if dims > 0 else "a line without numbers")
        yield word.decode(errors="replace"), numbers
    if not dims:
        raise ValueError("the file is empty")


def read_binary(stream: IO[bytes]) -> Iterator[tuple[str, np.ndarray]]:
    """Words and their vectors. After a line with the shape, each word is followed by a space and float32 numbers."""
    count, dims = map(int, stream.readline(MAX_WORD).split())
    for _ in range(count):
        word = bytearray()
        while (letter := stream.read(1)) != b" ":
            if not letter or len(word) > MAX_WORD:
                raise ValueError("it ends in the middle of a word")
            word += letter
        numbers = stream.read(4 * dims)
        if len(numbers) < 4 * dims:
            raise ValueError("it ends in the middle of a vector")
        yield word.lstrip(b"\n").decode(errors="replace"), np.frombuffer(numbers, "<f4")
