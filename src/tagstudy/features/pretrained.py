"""Pretrained initialisations of the embedding matrix: skip-gram on train, a file of vectors, a sentence encoder.

Each fold has a vocabulary of its own, and so an embedding matrix of its own.
"""

from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tagstudy.core.config import FeaturizeDense
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError, needs_pretrained
from tagstudy.core.processes import available_cores, by_file, from_file, worker_pool
from tagstudy.data.text import token_sequences
from tagstudy.features.word_vectors import read_vectors

STD = 0.2  # of a pretrained embedding matrix: large enough to tell words apart, small enough to move


def pretrained_embeddings(
    vocabularies: list[list[str]], corpus: Corpus, settings: FeaturizeDense, device: str, cache: Path | None
) -> list[np.ndarray] | list[None]:
    """What the embedding matrix of each fold is initialised from: [words, dims] float32, for the fold's vocabulary.

    None where it is learned from scratch. A word without a vector has zeros. The others have lost their common parts,
    and have the standard deviation STD. Raises :class:`UserError` where a package, the file of vectors or the encoder
    is missing or cannot be read.
    """
    match settings.embedding:
        case "word2vec":
            embeddings = word2vec(vocabularies, corpus, settings)
        case "glove":
            embeddings = glove(vocabularies, settings)
        case "static":
            embeddings = static(vocabularies, settings, device, cache)
        case _:
            return [None] * len(vocabularies)
    return [scaled(without_common_parts(vectors)) for vectors in embeddings]


def without_common_parts(vectors: np.ndarray) -> np.ndarray:
    """Word vectors [words, dims] without their mean and their leading principal components, one per 100 dims.

    Nearly all words share these; in the sum of a post's words they would grow with its length (Mu and Viswanath,
    All-but-the-Top, 2018). Words without a vector keep zeros; with no more words than dims, only the mean goes.
    """
    known, dims = vectors.any(axis=1), vectors.shape[1]
    words = int(known.sum())  # numpy's own integer would make float64 of the rest
    if words < 2:
        return vectors
    centred = vectors - vectors.sum(axis=0) / words
    centred[~known] = 0
    if words > dims:
        _, components = np.linalg.eigh(centred.T @ centred)  # the leading ones are last
        common = components[:, dims - dims // 100 :]
        centred -= centred @ common @ common.T
    return centred


def scaled(vectors: np.ndarray) -> np.ndarray:
    known = vectors.any(axis=1)
    std = vectors[known].std() if known.any() else 0  # 0 for a single number
    return (vectors * (STD / std if std else 1)).astype(np.float32)


def word2vec(vocabularies: list[list[str]], corpus: Corpus, settings: FeaturizeDense) -> list[np.ndarray]:
    """[words, embedding_dim] Skip-gram (Mikolov et al., 2013) on the train posts of each fold, folds side by side."""
    with worker_pool(min(available_cores(), len(vocabularies)), fork=True) as pool:
        folds = [
            pool.submit(by_file, skip_gram, words, corpus.folder, corpus.is_in("train", fold), settings)
            for fold, words in enumerate(vocabularies)
        ]
        return [from_file(fold.result()) for fold in folds]


def skip_gram(words: list[str], posts: Path, train: np.ndarray, settings: FeaturizeDense) -> np.ndarray:
    """[words, embedding_dim] From the posts in ``train`` [posts]; zeros for words that occur less than min_count times.

    One worker: results of several cannot be repeated.
    """
    with needs_pretrained():
        from gensim.models import Word2Vec
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "train.txt"
        with path.open("w", encoding="utf-8") as file:
            for texts in Corpus(posts).texts(train):
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
    vectors = np.zeros((len(words), settings.embedding_dim), dtype=np.float32)
    known = [row for row, word in enumerate(words) if word in model.wv]
    vectors[known] = model.wv[[words[row] for row in known]]
    return vectors


def glove(vocabularies: list[list[str]], settings: FeaturizeDense) -> list[np.ndarray]:
    """[words, dims of the file] Vectors from the user's file."""
    if not settings.vectors:
        raise UserError(
            "featurize_dense.vectors: name the file of word vectors that embedding=glove is initialised from"
        )
    words, rows = united(vocabularies)
    vectors = read_vectors(Path(settings.vectors), words, settings.embedding_dim)
    return [vectors[of_fold] for of_fold in rows]


def static(
    vocabularies: list[list[str]], settings: FeaturizeDense, device: str, cache: Path | None
) -> list[np.ndarray]:
    """[words, at most embedding_dim] Principal components of a model's vectors of single words (model2vec)."""
    from sklearn.decomposition import PCA

    words, rows = united(vocabularies)
    vectors = vectors_of_words(words, settings, device, cache)
    dims = min(settings.embedding_dim, vectors.shape[1], *map(len, vocabularies))
    return [PCA(dims, svd_solver="covariance_eigh").fit_transform(vectors[of_fold]) for of_fold in rows]


def vectors_of_words(words: list[str], settings: FeaturizeDense, device: str, cache: Path | None) -> np.ndarray:
    """[words, dims] By a model of static embeddings, or by an encoder, whose vectors are cached."""
    from tqdm import tqdm

    from tagstudy.encoders.cache import open_cache
    from tagstudy.encoders.loading import encode_words

    if (vectors := encode_words(words, settings)) is not None:
        return vectors
    with tqdm(total=len(words), desc="encoding", unit=" words", disable=None) as bar:
        return open_cache(settings, device, cache).vectors(words, bar)


def united(vocabularies: list[list[str]]) -> tuple[list[str], list[np.ndarray]]:
    """The words of all vocabularies, in alphabetical order, and for each vocabulary the places of its words in them."""
    words = sorted(set().union(*vocabularies))
    place = dict(zip(words, range(len(words)), strict=True))
    return words, [np.array([place[word] for word in vocabulary]) for vocabulary in vocabularies]
