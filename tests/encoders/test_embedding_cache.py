"""The embedding cache with the packaged encoder: what is kept of an interrupted run, and for which encoders."""

import copy
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from tqdm import tqdm

from tagstudy.core.errors import UserError
from tagstudy.encoders import batching, cache, loading, posts
from tagstudy.encoders import encoder as encoder_module
from tagstudy.encoders.cache import EmbeddingCache, fingerprint
from tagstudy.encoders.encoder import Encoder, frozen_encoder
from tagstudy.encoders.loading import PACKAGED

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
    monkeypatch.setattr(cache, "COMMIT", 2)
    seen: list[str] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: list[str]) -> np.ndarray:
        if "" in texts and len(seen) == 4:
            raise KeyboardInterrupt
        seen.extend(text for text in texts if text != cache.PROBE)
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


def change_weights(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder.layers()[0][0][-1] += 0.01


def change_window(encoder: Encoder) -> None:
    encoder.window = 100  # PROBE is shorter


def change_tokenizer(encoder: Encoder) -> None:
    encoder.tokenizer.add_tokens(["asp.net"])  # which PROBE does not have


def change_pooling(encoder: Encoder) -> None:
    encoder.body[1] = Pooling(encoder.dims, "cls")


def change_special_tokens(encoder: Encoder) -> None:
    encoder.suffix = []


def change_normalization(encoder: Encoder) -> None:
    encoder.normalized = False


@pytest.mark.parametrize(
    "change",
    [change_weights, change_window, change_tokenizer, change_pooling, change_special_tokens, change_normalization],
)
def test_another_encoder_encodes_anew(encoder: Encoder, path: Path, change: Callable[[Encoder], None]) -> None:
    other = copy.deepcopy(encoder)
    assert fingerprint(other) == fingerprint(encoder)
    change(other)
    assert fingerprint(other) != fingerprint(encoder)
    with tqdm(disable=True) as bar:
        EmbeddingCache(encoder, path).vectors(["a list"], bar)
        vectors = EmbeddingCache(other, path).vectors(["a list"], bar)
    np.testing.assert_array_equal(vectors, other.encode(["a list"]))


def test_an_edited_comment_keeps_the_cache(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(encoder)
    for module in (batching, cache, encoder_module, loading, posts):
        source = tmp_path / f"{module.__name__}.py"
        source.write_text(Path(str(module.__file__)).read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
        edited = ModuleType(module.__name__)
        edited.__file__ = str(source)
        exec(compile(source.read_text(encoding="utf-8"), source, "exec"), edited.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, edited)
        monkeypatch.setattr(module, "__file__", str(source))
    again = sys.modules[encoder_module.__name__].frozen_encoder(PACKAGED, torch.device("cpu"))
    assert sys.modules[cache.__name__].fingerprint(again) == before


def test_code_that_changes_vectors_encodes_anew(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(encoder)
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert fingerprint(encoder) != before


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
    assert {row[: -cache.DIGEST] for (row,) in rows} == {vector.tobytes() for vector in vectors}


@pytest.mark.parametrize(
    "blob",
    [None, "text", b"", 7, np.ones(383, np.float32).tobytes(), np.ones(384, np.float32).tobytes(), b"\xff" * (4 * 384)],
)
def test_what_is_no_vector_is_encoded_anew(encoder: Encoder, path: Path, blob: object) -> None:
    with tqdm(disable=True) as bar:
        right = EmbeddingCache(encoder, path).vectors(TEXTS, bar)
        database = sqlite3.connect(path)
        with database:
            database.execute("UPDATE vectors SET vector = ?", [blob])
        np.testing.assert_array_equal(EmbeddingCache(encoder, path).vectors(TEXTS, bar), right)
    rows = database.execute("SELECT vector FROM vectors").fetchall()
    assert {row for (row,) in rows} == {cache.pack(vector) for vector in right}  # and put in its place


def test_vectors_that_are_not_finite_are_encoded_anew(encoder: Encoder, path: Path) -> None:
    with tqdm(disable=True) as bar:
        right = EmbeddingCache(encoder, path).vectors(TEXTS, bar)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE vectors SET vector = ?", [cache.pack(np.full(encoder.dims, np.nan, np.float32))])
        np.testing.assert_array_equal(EmbeddingCache(encoder, path).vectors(TEXTS, bar), right)


def test_a_lock_that_another_process_holds_is_told(
    encoder: Encoder, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cache, "WAIT", 1)
    EmbeddingCache(encoder, path)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="another process keeps it locked; end that one"):
        EmbeddingCache(encoder, path)
    assert capsys.readouterr().out == f"{path}: another process is writing to it; waiting for up to 1 s\n"
    other.rollback()
    EmbeddingCache(encoder, path)
    assert capsys.readouterr().out == ""
