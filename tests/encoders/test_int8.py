"""int8.py: an encoder in 8-bit integers is near the one in float32, and is refused where it would not be."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.core.files import write_json
from tagstudy.core.paths import embedding_cache
from tagstudy.encoders import int8
from tagstudy.encoders.encoder import Encoder
from tagstudy.encoders.frozen import frozen_encoder
from tagstudy.encoders.identity import identity
from tagstudy.encoders.int8 import Int8Encoder
from tagstudy.encoders.loading import PACKAGED
from tagstudy.encoders.posts import encode_posts
from tagstudy.features.vectorizer import open_vectorizer

SETTINGS = EncoderSettings(encoder=PACKAGED, dtype="int8")
LONG = "A linked list of nodes, each with a pointer to the next one, is walked from its head. " * 40
TEXTS = ["How do I bind a click handler to rows added later?", "c# and c++ and .net", LONG, "", "Pointer to a pointer"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return frozen_encoder(SETTINGS, torch.device("cpu"))


def test_vectors_are_near_those_in_float32(encoder: Encoder, capsys: pytest.CaptureFixture) -> None:
    near = encoder.encode(TEXTS)
    exact = frozen_encoder(EncoderSettings(encoder=PACKAGED), torch.device("cpu")).encode(TEXTS)
    assert near.dtype == np.float32 and near.shape == exact.shape
    cosines = (near * exact).sum(axis=1)
    assert (cosines > 0.97).all() and (cosines < 0.9999).all()
    np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1, rtol=1e-5)
    encoder.announce()
    assert "int8 (cosine 0.9" in capsys.readouterr().out


def test_a_vector_does_not_depend_on_the_texts_beside_it(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector)


def test_it_is_converted_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "convert", None)
    np.testing.assert_array_equal(Int8Encoder(SETTINGS).encode(TEXTS), encoder.encode(TEXTS))


def test_new_posts_get_the_same_vectors_as_those_of_the_study(encoder: Encoder, tmp_path: Path) -> None:
    described = {"kind": "encoder", "encoder": SETTINGS.model_dump(), "identity": identity(encoder)}
    write_json(tmp_path / "vectorizer.json", described)
    posts = [Text("c# and c++", LONG), Text("", "Pointer to a pointer")]
    [vectors] = open_vectorizer(tmp_path)(posts)
    np.testing.assert_array_equal(vectors, encode_posts(encoder, encoder.encode, posts))


def test_a_file_that_is_damaged_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGSTUDY_CACHE", str(tmp_path))
    monkeypatch.setattr(int8, "convert", lambda encoder, path: path.write_bytes(b"not ONNX"))
    with pytest.raises(UserError, match=r"int8-\w+\.onnx: cannot be read \(.*\); delete it, and it is written anew"):
        Int8Encoder(SETTINGS)


def test_an_encoder_that_would_change_much_is_refused(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "NEAR", 0.9999)
    with pytest.raises(UserError, match=r"int8 changes this encoder's vectors \(cosine 0\.99\); set it to float32"):
        Int8Encoder(SETTINGS)


def test_it_runs_on_the_cpu_whatever_the_device(encoder: Encoder) -> None:
    other = frozen_encoder(SETTINGS, torch.device("cuda"))
    np.testing.assert_array_equal(other.encode(TEXTS), encoder.encode(TEXTS))


def test_a_cache_that_cannot_be_written_is_told(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cache = embedding_cache()
    assert cache
    [converted] = cache.parent.glob("int8-*.onnx")
    monkeypatch.setattr(int8, "convert", lambda _, path: shutil.copy(converted, path))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TAGSTUDY_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(Int8Encoder(SETTINGS).encode(TEXTS), encoder.encode(TEXTS))
    assert "cannot be written (File exists); the encoder is converted each time" in capsys.readouterr().out


def test_an_encoder_that_cannot_be_converted_is_one_line(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAGSTUDY_CACHE", str(tmp_path))
    monkeypatch.setattr(int8, "Windows", lambda encoder: torch.nn.Linear(1, 1))  # which takes other inputs
    with pytest.raises(UserError, match=r"dtype: int8: torch cannot export this model \(.*\); try another"):
        Int8Encoder(SETTINGS)


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"dtype: int8 needs onnxruntime, .* pip install -r requirements-onnx.txt"):
        Int8Encoder(SETTINGS)
