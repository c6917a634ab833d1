"""word_vectors.py: GloVe's and word2vec's files in every wrapping, and one line for what is none."""

import gzip
import shlex
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import py7zr
import pytest
from conftest import call, damaged, marked, zipped
from gensim.models import KeyedVectors

from tagstudy.core.errors import UserError
from tagstudy.features.word_vectors import read_vectors

WORDS = [".net", "c#", "cat", "dog"]
TEXT = b"the 9 9 9\ncat 1 2 3\nDog 4 5 6\nc# -1e-2 0 .5\nDOG 7 7 7\n"
EXPECTED = [[0, 0, 0], [-0.01, 0, 0.5], [1, 2, 3], [4, 5, 6]]


def wrapped(folder: Path, name: str, content: bytes) -> Path:
    """A file of that name, packed as its ending says."""
    path = folder / name
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    elif path.suffix == ".7z":
        with py7zr.SevenZipFile(path, "w") as archive:
            archive.writestr(content, path.stem)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
    else:
        path.write_bytes(content)
    return path


def binary(text: bytes) -> bytes:
    """The same vectors as word2vec's binary, written by gensim."""
    words = [line.split() for line in text.splitlines()]
    vectors = KeyedVectors(3)
    vectors.add_vectors([word.decode() for word, *_ in words], [[float(n) for n in numbers] for _, *numbers in words])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.bin"
        vectors.save_word2vec_format(str(path), binary=True)
        return path.read_bytes()


@pytest.mark.parametrize("packed", ["", ".gz", ".zip", ".7z"])
@pytest.mark.parametrize("kind", ["glove.txt", "word2vec.vec", "word2vec.bin"])
def test_every_format_gives_the_words_of_the_vocabulary(tmp_path: Path, kind: str, packed: str) -> None:
    """A word that the file has in other cases alone gets the first of these; one that it lacks gets zeros."""
    content = {"glove.txt": TEXT, "word2vec.vec": b"5 3\n" + TEXT, "word2vec.bin": binary(TEXT)}[kind]
    vectors = read_vectors(wrapped(tmp_path, kind + packed, content), WORDS, 300)
    np.testing.assert_allclose(vectors, EXPECTED, rtol=1e-6)


def test_a_lower_case_word_stands_before_its_other_cases(tmp_path: Path) -> None:
    path = wrapped(tmp_path, "v.txt", b"Cat 1 1\ncat 2 2\nCAT 3 3\n")
    np.testing.assert_array_equal(read_vectors(path, ["cat"], 300), [[2, 2]])


def test_a_word_with_spaces_is_a_word(tmp_path: Path) -> None:
    """GloVe's largest file has some."""
    path = wrapped(tmp_path, "v.txt", b"cat 1 1\n. . . 2 2\ndog 3 3\n")
    np.testing.assert_array_equal(read_vectors(path, ["cat", "dog"], 300), [[1, 1], [3, 3]])


def test_of_several_files_in_an_archive_that_of_the_width_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w") as archive:
        for dims in (2, 3):
            archive.writestr(f"glove.6B.{dims}d.txt", "cat" + " 1" * dims)
    assert read_vectors(tmp_path / "glove.6B.zip", ["cat"], 3).shape == (1, 3)
    with pytest.raises(UserError, match=r"glove\.6B\.2d\.txt, glove\.6B\.3d\.txt; unpack"):
        read_vectors(tmp_path / "glove.6B.zip", ["cat"], 300)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("v.txt", b"", "after 0 words.*the file is empty"),
        ("v.txt", b"cat 1 2\ndog 1\n", "after 1 words.*a line of 1 numbers, not 2"),
        ("v.txt", b"cat 1 two\n", "could not convert"),
        ("v.txt", b"cat 1 nan\n", "the vector of 'cat' is not finite"),
        ("v.txt", b"the 1 2\n", "none of the 4 words"),
        ("v.bin", binary(TEXT)[:-30], "ends in the middle of a"),
        ("v.bin", b"cat 1 2\n", "not readable as word vectors"),
        ("v.bin", b"9 3\n" + b"x" * 20_000, "middle of a word"),
        ("v.txt.gz", b"", "not readable as word vectors"),
        ("v.txt.gz", damaged(gzip.compress(TEXT * 1000), 20), "not readable as word vectors"),
        ("v.txt.zip", marked(zipped(v__txt=TEXT), 0, 1), "encrypted|password"),
        ("v.txt.zip", b"x", "not a zip"),
        ("v.txt.7z", b"x", "7z"),
        ("v.zip", zipped(a__csv=b"x", b__csv=b"x"), r"no file of word vectors of 300 dimensions.*a\.csv, b\.csv"),
    ],
)
def test_what_is_no_file_of_vectors_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        read_vectors(path, WORDS, 300)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("packed", [".gz", ".zip"])
def test_an_archive_that_unpacks_to_far_more_than_it_weighs_is_refused(tmp_path: Path, packed: str) -> None:
    path = wrapped(tmp_path, f"v.txt{packed}", b"cat" + b" 1" * 10_000_000)
    with pytest.raises(UserError, match="more than 100 times its size"):
        read_vectors(path, WORDS, 300)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"featurize_dense\.vectors: .*none\.txt does not exist; name a file"):
        read_vectors(tmp_path / "none.txt", WORDS, 300)


def test_a_disk_that_is_full_is_not_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr("\n".join(f"word{number} {number}.5 1" for number in range(10_000)), "v.txt")
    program = (
        "from pathlib import Path; from tagstudy.core.errors import user_errors\n"
        "from tagstudy.features.word_vectors import read_vectors\n"
        f"with user_errors('test'): read_vectors(Path({str(path)!r}), ['word1'], 2)"
    )
    done = call("sh", "-c", f"ulimit -f 8 && exec {sys.executable} -c {shlex.quote(program)}", cwd=tmp_path)
    assert done.stderr == "test: the disk or its quota is full; make room and run it again\n"
