"""Word vectors from a file: GloVe's and word2vec's text, word2vec's binary; plain or in an archive."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tagstudy.core.errors import UserError
from tagstudy.data.archives import UNREADABLE, opened

LONGEST = 10_000  # bytes of a word


def read_vectors(path: Path, words: list[str], dims: int) -> np.ndarray:
    """A row for each word [words, width of the file], zeros where the file has none.

    ``dims`` chooses among several files in an archive, such as glove.6B.zip. A word that the file has in other cases
    alone (JavaScript) gets the first of these.
    Raises :class:`UserError` where the file is missing, empty, or not of vectors.
    """
    number = {word: row for row, word in enumerate(words)}
    found, exact = (np.zeros(len(words), dtype=bool) for _ in range(2))
    table = np.zeros((len(words), 0), dtype=np.float32)
    read = 0

    def of_width(names: list[str]) -> list[str]:
        return names if len(names) == 1 else [name for name in names if f".{dims}d." in name]

    try:
        with opened(path, f"word vectors of {dims} dimensions", of_width) as (name, stream):
            vectors: Iterator[tuple[str, Any]] = (
                read_binary(stream) if Path(name).suffix == ".bin" else read_text(stream)
            )
            for read, (word, vector) in enumerate(vectors, start=1):  # noqa: B007
                row = number.get(word, number.get(word.lower()))
                if row is None or exact[row] or (found[row] and word not in number):
                    continue
                if not table.shape[1]:
                    table = np.zeros((len(words), len(vector)), dtype=np.float32)
                table[row] = vector
                if not np.isfinite(table[row]).all():
                    raise ValueError(f"the vector of {word!r} holds what is not a number")
                found[row], exact[row] = True, word in number
    except (ValueError, *UNREADABLE) as problem:
        raise UserError(
            f"{path}, after {read:,} words: no word vectors that can be read ({problem}); featurize_dense.vectors "
            "takes GloVe's or word2vec's text, or word2vec's binary as .bin, each also in an archive"
        ) from None
    if not found.any():
        raise UserError(f"{path}: has none of the {len(words):,} words of train; name vectors of the same language")
    return table


def read_text(stream: IO[bytes]) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Words and their numbers, as text. word2vec's first line, how many there are and how wide, is passed over."""
    dims = 0
    for line in stream:
        parts = line.split()
        if not dims and len(parts) == 2:
            continue
        dims = dims or len(parts) - 1
        word, *numbers = line.rstrip().rsplit(b" ", dims)  # a word may hold spaces
        if dims < 1 or len(numbers) != dims:
            raise ValueError(f"a line of {len(numbers)} numbers, not {dims}")
        yield word.decode(errors="replace"), numbers
    if not dims:
        raise ValueError("the file is empty")


def read_binary(stream: IO[bytes]) -> Iterator[tuple[str, np.ndarray]]:
    """Words and their vectors. Behind a first line as above come each word, a space and its float32 numbers."""
    count, dims = map(int, stream.readline(LONGEST).split())
    for _ in range(count):
        word = bytearray()
        while (letter := stream.read(1)) != b" ":
            if not letter or len(word) > LONGEST:
                raise ValueError("it ends in the middle of a word")
            word += letter
        numbers = stream.read(4 * dims)
        if len(numbers) < 4 * dims:
            raise ValueError("it ends in the middle of a vector")
        yield word.lstrip(b"\n").decode(errors="replace"), np.frombuffer(numbers, "<f4")
