"""The embedding cache with the packaged encoder: what is kept of an interrupted run, and for which encoders."""

import copy
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from conftest import ENVIRONMENT
from sentence_transformers.sentence_transformer.modules import Pooling
from tqdm import tqdm

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError
from tagstudy.core.paths import embedding_cache
from tagstudy.encoders import batching, cache, frozen, loading, posts, prompts, reference
from tagstudy.encoders import encoder as encoder_module
from tagstudy.encoders.cache import EmbeddingCache, fingerprint
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.frozen import frozen_encoder
from tagstudy.encoders.loading import PACKAGED

TEXTS = ["How do I bind a click handler to rows added later?", "c# and c++ and .net", "", "Pointer to a pointer in C"]
LONG = "A linked list of nodes, each with a pointer to the next one, is walked from its head. " * 40


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return frozen_encoder(EncoderSettings(encoder=PACKAGED), torch.device("cpu"))


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


def change_prompt(encoder: Encoder) -> None:
    encoder.prompt = "a text: "  # which may change the tokens of a text behind it


def change_dims(encoder: Encoder) -> None:
    encoder.dims = 100


def change_special_tokens(encoder: Encoder) -> None:
    encoder.suffix = []


def change_config(encoder: Encoder) -> None:
    """As of a new revision, with the same weights."""
    encoder.body[0].model.config.max_position_embeddings += 1


def change_normalization(encoder: Encoder) -> None:
    encoder.normalized = False


@pytest.mark.parametrize(
    "change",
    [
        *(change_weights, change_window, change_tokenizer, change_pooling, change_prompt, change_dims),
        *(change_special_tokens, change_config, change_normalization),
    ],
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
    for module in (batching, encoder_module, frozen, cache, loading, posts, prompts, reference):
        source = tmp_path / f"{module.__name__}.py"
        source.write_text(Path(str(module.__file__)).read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
        edited = ModuleType(module.__name__)
        edited.__file__ = str(source)
        exec(compile(source.read_text(encoding="utf-8"), source, "exec"), edited.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, edited)
        monkeypatch.setattr(module, "__file__", str(source))
    again = sys.modules[frozen.__name__].frozen_encoder(EncoderSettings(encoder=PACKAGED), torch.device("cpu"))
    assert sys.modules[cache.__name__].fingerprint(again) == before


def test_another_format_encodes_anew(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
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
    rows = dict(database.execute("SELECT text, vector FROM vectors"))
    keys = {key for key, row in rows.items() for vector in right if row == cache.pack(key, vector)}
    assert keys == set(rows) and len(keys) == len(TEXTS)  # and put in its place


def test_a_vector_of_another_text_is_encoded_anew(encoder: Encoder, path: Path) -> None:
    """As where a damaged index leads to another row."""
    with tqdm(disable=True) as bar:
        right = EmbeddingCache(encoder, path).vectors(TEXTS, bar)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE vectors SET vector = (SELECT vector FROM vectors ORDER BY number DESC LIMIT 1)")
        np.testing.assert_array_equal(EmbeddingCache(encoder, path).vectors(TEXTS, bar), right)


def test_vectors_that_are_not_finite_are_encoded_anew(encoder: Encoder, path: Path) -> None:
    with tqdm(disable=True) as bar:
        right = EmbeddingCache(encoder, path).vectors(TEXTS, bar)
        with sqlite3.connect(path) as database:
            nothing = np.full(encoder.dims, np.nan, np.float32)
            rows = [(cache.pack(key, nothing), key) for (key,) in database.execute("SELECT text FROM vectors")]
            database.executemany("UPDATE vectors SET vector = ? WHERE text = ?", rows)
        np.testing.assert_array_equal(EmbeddingCache(encoder, path).vectors(TEXTS, bar), right)


def test_a_lock_that_another_process_holds_is_told(
    encoder: Encoder, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cache, "WAIT", 1)
    EmbeddingCache(encoder, path)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="locked by another process; end that process"):
        EmbeddingCache(encoder, path)
    assert capsys.readouterr().out == f"{path}: another process is writing to it; waiting for up to 1 s\n"
    other.rollback()
    EmbeddingCache(encoder, path)
    assert capsys.readouterr().out == ""


def read(encoder: Encoder, path: Path | None, texts: list[str] = TEXTS) -> np.ndarray:
    with tqdm(disable=True) as bar:
        return EmbeddingCache(encoder, path).vectors(texts, bar)


def test_a_cache_that_cannot_be_written_is_told_in_a_line_and_texts_are_encoded(
    encoder: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "encoded.sqlite").mkdir()
    right = encoder.encode(TEXTS)
    for path in (tmp_path / "file/cache/encoded.sqlite", tmp_path / "encoded.sqlite", None):
        np.testing.assert_array_equal(read(encoder, path), right)
        [line] = capsys.readouterr().out.splitlines()
        assert f"{path}: cannot be written" in line if path else "no home folder" in line


def test_a_disk_that_is_full_is_told_once_and_texts_are_encoded(
    encoder: Encoder, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cache, "COMMIT", 1)
    some = EmbeddingCache(encoder, path)
    assert some.database
    pages = some.database.execute("PRAGMA page_count").fetchone()[0]
    some.database.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite then says that the disk is full
    with tqdm(disable=True) as bar:
        np.testing.assert_array_equal(some.vectors([*TEXTS, LONG, "a", "b", "c"], bar)[:4], encoder.encode(TEXTS))
    [line] = capsys.readouterr().out.splitlines()
    assert "cannot be written (database or disk is full); encoding goes on without this cache" in line


def test_the_oldest_vectors_make_room(encoder: Encoder, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "COMMIT", 50)
    monkeypatch.setattr(cache, "LIMIT", 100 * cache.PAGE)
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: np.ones((len(texts), self.dims), np.float32))
    for start in range(0, 600, 100):
        read(encoder, path, [f"{start + number} texts" for number in range(100)])
    assert path.stat().st_size < 110 * cache.PAGE
    rows = sqlite3.connect(path).execute("SELECT min(number), max(number), count(*) FROM vectors").fetchall()
    assert rows == [(601 - rows[0][2], 600, rows[0][2])] and rows[0][2] > 200  # the newest, without a gap


def test_two_processes_fill_one_file(path: Path) -> None:
    script = """
import sys, numpy as np
from pathlib import Path
from tqdm import tqdm
from tagstudy.encoders import cache
class FakeEncoder:
    dims = 8
    def encode(self, texts):
        return np.array([[len(text), *text.encode()[-7:]] for text in texts], dtype=np.float32)
cache.fingerprint, cache.COMMIT = lambda _: b"fingerprint", 2
texts = [f"text {number:04}" for number in range(300)]
with tqdm(disable=True) as bar:
    vectors = cache.EmbeddingCache(FakeEncoder(), Path(sys.argv[1])).vectors(texts[:: int(sys.argv[2])], bar)
np.testing.assert_array_equal(vectors, FakeEncoder().encode(texts[:: int(sys.argv[2])]))
"""
    command = [sys.executable, "-c", script, str(path)]
    both = [subprocess.Popen([*command, step], env=ENVIRONMENT) for step in ("1", "-1")]
    assert [process.wait() for process in both] == [0, 0]
    [[count]] = sqlite3.connect(path).execute("SELECT count(*) FROM vectors").fetchall()
    assert count == 300


def test_a_command_says_how_large_the_cache_is_and_empties_it(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["cache", *arguments])
        cache.main()
        return capsys.readouterr().out

    monkeypatch.setenv("TAGSTUDY_CACHE", str(tmp_path / "caches"))
    path = embedding_cache()
    assert path == tmp_path / "caches/encoded.sqlite"
    assert said("--clear") == f"{path}: no cache of encoded texts\n"
    read(encoder, path, [f"{number} texts" for number in range(100)])
    before = path.stat().st_size
    assert said() == f"{path}: {before / 2**20:.1f} MB\n" and path.stat().st_size == before
    converted = path.with_name(f"int8-{'0' * 16}.onnx")
    for name in (converted.name, f".{converted.name}-left", "bert-int8-avx2.onnx"):  # the last is the user's
        path.with_name(name).touch()
    assert said("--clear") == f"{path}: 0.0 MB\n"
    assert {file.name for file in path.parent.glob("*.onnx*")} == {"bert-int8-avx2.onnx"}
    np.testing.assert_array_equal(read(encoder, path), encoder.encode(TEXTS))
    path.write_bytes(b"not a database" * 100)
    assert said("--clear") == f"{path}: 0.0 MB\n"
    np.testing.assert_array_equal(read(encoder, path), encoder.encode(TEXTS))


def test_the_cache_lies_where_all_studies_of_a_user_share_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TAGSTUDY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert embedding_cache() == tmp_path / ".cache/tagstudy/encoded.sqlite"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert embedding_cache() == tmp_path / "caches/tagstudy/encoded.sqlite"
