"""encoded.py with the real encoder: what is kept of an interrupted run, and of what it is kept."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from tagstudy.core.errors import UserError
from tagstudy.encoders import cache as encoded
from tagstudy.encoders import encoder as encoders
from tagstudy.encoders.cache import EmbeddingCache
from tagstudy.encoders.encoder import PACKAGED, Encoder, frozen_encoder

TEXTS = ["How do I bind a click handler to rows added later?", "c# and c++ and .net", "", "Pointer to a pointer in C"]
LONG = "A linked list of nodes, each with a pointer to the next one, is walked from its head. " * 40


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return frozen_encoder(PACKAGED, torch.device("cpu"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "encoded.sqlite"


def test_what_was_encoded_is_read_and_only_the_rest_encoded(
    encoder: Encoder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a run was interrupted, or other tags or another split bring other posts."""
    monkeypatch.setattr(encoded, "POSTS", 2)
    seen: list[str] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: list[str]) -> np.ndarray:
        if "" in texts and len(seen) == 4:
            raise KeyboardInterrupt
        seen.extend(text for text in texts if text != encoded.PROBE)
        return encode(self, texts)

    monkeypatch.setattr(Encoder, "encode", watched)
    texts = [*TEXTS, LONG]
    with tqdm(disable=True) as bar:
        with pytest.raises(KeyboardInterrupt):  # the shortest come last
            EmbeddingCache(encoder, path).vectors(texts, bar)
        assert sorted(seen) == sorted(text for text in texts if text)
        seen.clear()
        first = EmbeddingCache(encoder, path).vectors(texts, bar)
        again = EmbeddingCache(encoder, path).vectors([*texts[::-1], "another one", texts[0]], bar)
    assert seen == ["", "another one"]
    np.testing.assert_array_equal(again[:5][::-1], first)
    np.testing.assert_array_equal(again[-1], first[0])


def test_another_encoder_or_other_code_encodes_anew(
    encoder: Encoder, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = EmbeddingCache(encoder, path).about
    assert EmbeddingCache(frozen_encoder(PACKAGED, torch.device("cpu")), path).about == first
    other = frozen_encoder(PACKAGED, torch.device("cpu"))
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert EmbeddingCache(other, path).about != first
    other = frozen_encoder(PACKAGED, torch.device("cpu"))
    other.window = 100
    assert EmbeddingCache(other, path).about != first
    (tmp_path / "code.py").write_text("# other")
    monkeypatch.setattr(encoders, "__file__", str(tmp_path / "code.py"))
    assert EmbeddingCache(encoder, path).about != first


def test_a_file_of_vectors_that_is_none_is_one_line(encoder: Encoder, path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"encoded\.sqlite: cannot be read .*; delete it"):
        EmbeddingCache(encoder, path)


def test_a_file_of_vectors_that_is_damaged_is_one_line(encoder: Encoder, path: Path) -> None:
    with tqdm(disable=True) as bar:
        EmbeddingCache(encoder, path).vectors(TEXTS, bar)
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + bytes(byte ^ 0x5A for byte in whole[4096:]))
        with pytest.raises(UserError, match=r"encoded\.sqlite: cannot be read .*; delete it"):
            EmbeddingCache(encoder, path).vectors(TEXTS, bar)


def test_the_file_is_a_plain_database(encoder: Encoder, path: Path) -> None:
    with tqdm(disable=True) as bar:
        vectors = EmbeddingCache(encoder, path).vectors(TEXTS, bar)
    rows = sqlite3.connect(path).execute("SELECT vector FROM vectors").fetchall()
    assert {row for (row,) in rows} == {vector.tobytes() for vector in vectors}
