"""Pretrained initialisations of the embedding matrix: skip-gram on train, a file of vectors, a sentence encoder."""

from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tagstudy.core.config import FeaturizeDense
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError, needs_pretrained
from tagstudy.data.text import token_sequences
from tagstudy.features.word_vectors import read_vectors

STD = 0.2  # of a pretrained embedding matrix: large enough to tell words apart, small enough to move


def pretrained_embedding(
    words: list[str], corpus: Corpus, settings: FeaturizeDense, device: str, cache: Path
) -> np.ndarray | None:
    """[words, dims] What the embedding matrix is initialised from, float32; None where it is learned from scratch.

    A word without a vector has zeros. The others have the standard deviation STD.
    Raises :class:`UserError` where a package, the file of vectors or the encoder is missing or cannot be read.
    """
    match settings.embedding:
        case "word2vec":
            vectors = word2vec(words, corpus, settings)
        case "glove":
            vectors = glove(words, settings)
        case "static":
            vectors = static(words, settings, device, cache)
        case _:
            return None
    known = vectors.any(axis=1)
    std = vectors[known].std() if known.any() else 0  # 0 for a single number
    return (vectors * (STD / std if std else 1)).astype(np.float32)


def word2vec(words: list[str], corpus: Corpus, settings: FeaturizeDense) -> np.ndarray:
    """[words, embedding_dim] Skip-gram (Mikolov et al., 2013) on train; one worker: several are not repeatable."""
    with needs_pretrained():
        from gensim.models import Word2Vec
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "train.txt"
        with path.open("w", encoding="utf-8") as file:
            for texts in corpus.texts("train"):
                file.writelines(" ".join(chain(*token_sequences(text))) + "\n" for text in texts)
        model = Word2Vec(
            corpus_file=str(path),
            vector_size=settings.embedding_dim,
            min_count=settings.min_count,
            epochs=settings.word2vec_epochs,
            sg=1,
            workers=1,
            seed=settings.seed,
        )
    return model.wv[words]


def glove(words: list[str], settings: FeaturizeDense) -> np.ndarray:
    """[words, dims of the file] Vectors from the user's file."""
    if not settings.vectors:
        raise UserError(
            "featurize_dense.vectors: name the file of word vectors that embedding=glove is initialised from"
        )
    return read_vectors(Path(settings.vectors), words, settings.embedding_dim)


def static(words: list[str], settings: FeaturizeDense, device: str, cache: Path) -> np.ndarray:
    """[words, at most embedding_dim] Principal components of the encoder's vectors of single words (model2vec)."""
    from sklearn.decomposition import PCA
    from tqdm import tqdm

    from tagstudy.encoders.cache import open_cache

    with tqdm(total=len(words), desc="encoding", unit=" words", disable=None) as bar:
        vectors = open_cache(settings.encoder, device, cache).vectors(words, bar)
    dims = min(settings.embedding_dim, *vectors.shape)
    return PCA(dims, svd_solver="covariance_eigh").fit_transform(vectors)
