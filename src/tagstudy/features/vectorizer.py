"""Texts as the network takes them: how the featurize stages make the features of an arm, for any texts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tagstudy.core.config import read_params
from tagstudy.core.device import choose_device
from tagstudy.core.files import read_json
from tagstudy.features.counts import Vocabulary, Weigh, count_known, tfidf_weights, word_frequencies

Vectorize = Callable[[list[str]], tuple[np.ndarray, ...]]  # texts to a batch, as that of CsrMatrix or of DenseMatrix


def open_vectorizer(folder: Path) -> Vectorize:
    """What makes texts into rows like those of the features in a folder, as the texts.json beside them tells."""
    how = read_json(folder / "texts.json")
    kinds: dict[str, Callable[..., Vectorize]] = {f.__name__: f for f in (words, tfidf, encoder, finetuned)}
    return kinds[how.pop("as")](folder, **how)


def words(folder: Path) -> Vectorize:
    return bags(folder, 1, word_frequencies)


def tfidf(folder: Path, max_ngram: int, sublinear_tf: bool) -> Vectorize:
    return bags(folder, max_ngram, tfidf_weights(np.load(folder / "idf.npy"), sublinear_tf))


def bags(folder: Path, max_ngram: int, weigh: Weigh) -> Vectorize:
    vocabulary = Vocabulary(read_json(folder / "vocabulary.json"))

    def vectorize(texts: list[str]) -> tuple[np.ndarray, ...]:
        rows = weigh(count_known(texts, vocabulary, max_ngram))
        rows.sort_indices()
        return rows.indices, rows.indptr, rows.data.astype(np.float32)

    return vectorize


def encoder(folder: Path, encoder: str) -> Vectorize:
    from tagstudy.encoders.encoder import encode_posts, frozen_encoder

    frozen = frozen_encoder(encoder, choose_device(read_params().train.device))
    return lambda texts: (encode_posts(frozen, frozen.encode, texts),)


def finetuned(folder: Path, encoder: str) -> Vectorize:
    from tagstudy.encoders.encoder import Encoder

    tokenize_posts = Encoder(encoder).tokenize_posts

    def vectorize(texts: list[str]) -> tuple[np.ndarray, ...]:
        input_ids, offsets = tokenize_posts(texts)
        return input_ids, offsets.astype(np.int32), np.ones(len(input_ids), np.float32)

    return vectorize
