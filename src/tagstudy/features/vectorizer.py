"""Features of any texts, made as the featurize stages made those of the posts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tagstudy.core.checksums import checked
from tagstudy.core.config import EncoderSettings
from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json
from tagstudy.core.paths import repro
from tagstudy.data.counts import count_terms
from tagstudy.features.counts import Vocabulary, term_weights

if TYPE_CHECKING:
    from tagstudy.encoders.encoder import Encoder

Vectorizer = Callable[[list[Text]], tuple[np.ndarray, ...]]  # texts to a batch, as CsrMatrix.batch or DenseMatrix.batch


def open_vectorizer(folder: Path, device: str = "cpu", encoder: "Encoder | None" = None) -> Vectorizer:
    """A function that vectorizes texts as in a folder of data/features; its vectorizer.json says how.

    A frozen encoder runs on ``device``, a value of `train.device`. For a fine-tuned one, ``encoder`` may pass the
    encoder as it was before fine-tuning, so that it is not loaded twice. Raises :class:`UserError` for features that
    another version of this project made.
    """
    match read_json(folder / "vectorizer.json"):
        case {"kind": "tf", "sublinear_tf": sublinear_tf}:
            return csr_vectorizer(folder, 1, sublinear_tf)
        case {"kind": "tfidf", "max_ngram": max_ngram, "sublinear_tf": sublinear_tf}:
            return csr_vectorizer(folder, max_ngram, sublinear_tf, np.load(checked(folder / "idf.npy")))
        case {"kind": "encoder", "encoder": dict(settings)}:
            return encoder_vectorizer(folder, EncoderSettings(**settings), device)
        case {"kind": "finetuned", "encoder": dict(settings)}:
            return input_ids_vectorizer(folder, EncoderSettings(**settings), encoder)
        case _:
            raise UserError(f"{folder / 'vectorizer.json'}: of another version of this project; {again(folder)}")


def csr_vectorizer(folder: Path, max_ngram: int, sublinear_tf: bool, idf: np.ndarray | None = None) -> Vectorizer:
    vocabulary = Vocabulary(read_json(folder / "vocabulary.json"))

    def vectorize(texts: list[Text]) -> tuple[np.ndarray, ...]:
        counts = count_terms(texts, vocabulary, max_ngram)[:, :-1]  # the last column: terms outside the vocabulary
        rows = term_weights(counts, sublinear_tf, idf)
        return rows.indices, rows.indptr, rows.data

    return vectorize


def encoder_vectorizer(folder: Path, settings: EncoderSettings, device: str) -> Vectorizer:
    from tagstudy.core.device import choose_device
    from tagstudy.encoders.frozen import frozen_encoder
    from tagstudy.encoders.posts import encode_posts

    encoder = frozen_encoder(settings, choose_device(device))
    check_encoder(folder, encoder)
    return lambda texts: (encode_posts(encoder, encoder.encode, texts),)


def input_ids_vectorizer(folder: Path, settings: EncoderSettings, encoder: "Encoder | None") -> Vectorizer:
    from tagstudy.encoders.encoder import Encoder
    from tagstudy.encoders.posts import tokenize_posts

    encoder = encoder or Encoder(settings)
    check_encoder(folder, encoder)

    def vectorize(texts: list[Text]) -> tuple[np.ndarray, ...]:
        input_ids, offsets = tokenize_posts(encoder, texts)
        return input_ids, offsets.astype(np.int32), np.ones(len(input_ids), np.float32)

    return vectorize


def again(path: Path) -> str:
    """How to regenerate the features, or the shipped folder that holds them."""
    command = repro(path)
    return f"run `{command}` and `dvc repro`" if "--force" in command else "ship it again with src/ship.py"


def check_encoder(folder: Path, encoder: "Encoder") -> None:
    """Raise :class:`UserError` if the encoder's name now refers to another encoder than the one that made the features.

    DVC tracks the encoder's name alone.
    """
    from tagstudy.encoders.identity import identity

    path = folder / "vectorizer.json"
    described = read_json(path)
    if described.get("identity") != identity(encoder):
        raise UserError(
            f"featurize_dense.encoder: {described['encoder']['encoder']!s:.200} is not the encoder that {folder} was "
            f"made with; restore that one, or {again(path)}"
        )
