"""Features of all posts for the dense arm: weighted words, an encoder's vectors, or subword tokens."""

from itertools import chain, islice
from pathlib import Path

import numpy as np

from tagstudy.core.config import FeaturizeDense
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.core.files import write_json
from tagstudy.core.store import CsrWriter, new_dense_matrix
from tagstudy.data.counts import COUNTS
from tagstudy.features.counts import DocumentTermCounts, number_range, term_weights
from tagstudy.features.pretrained import pretrained_embeddings
from tagstudy.features.subwords import ngrams_of

COST_POSTS = 2_000  # test posts, about, that the cost of encoding is measured on
NO_COST = {"parameters": 0, "multiply_adds": 0, "seconds": 0.0}


def write_dense(
    folder: Path, corpus: Corpus, settings: FeaturizeDense, device: str, cache: Path | None
) -> tuple[str, dict[str, float]]:
    """Write the features of all posts into an empty folder. Returns a line about them, and what encoding a post costs.

    ``device`` is a value of `train.device`, ``cache`` the file of encoded texts. Raises :class:`UserError` where no
    word of train is frequent enough, and where what a pretrained embedding needs is missing.
    """
    match settings.embedding:
        case "encoder":
            return write_encoder_vectors(folder, corpus, settings, device, cache)
        case "finetuned":
            return write_input_ids(folder, corpus, settings), NO_COST
        case _:
            return write_words(folder, corpus, settings, device, cache), NO_COST


def write_words(folder: Path, corpus: Corpus, settings: FeaturizeDense, device: str, cache: Path | None) -> str:
    # A pretrained vector, or n-grams of other words, make a word useful even if it occurs once in train.
    informed = settings.embedding in ("glove", "static") or settings.subwords
    min_count = 1 if informed else settings.min_count
    needed = settings.min_count if settings.embedding == "word2vec" else min_count  # of one word, at least

    vocabularies, occurrences = [], []  # of each fold
    counts = DocumentTermCounts(corpus.folder / COUNTS)
    for fold in range(corpus.folds):
        _, total = counts.frequencies(corpus.is_in("train", fold))
        chosen = np.flatnonzero(total >= min_count)
        if total.max(initial=0) < needed:
            raise UserError(f"no word occurs {needed} times in train; lower featurize_dense.min_count")
        vocabularies.append(counts.names(chosen))
        occurrences.append(total[chosen])
        with CsrWriter(folder / f"fold-{fold}" / "matrix", len(chosen)) as writer:
            for rows in counts.select(chosen):
                writer.append_rows(term_weights(rows, settings.sublinear_tf))
    summary = f"{number_range(list(map(len, vocabularies)))} words"
    embeddings = pretrained_embeddings(vocabularies, corpus, settings, device, cache)
    for fold, (words, embedding) in enumerate(zip(vocabularies, embeddings, strict=True)):
        fold_folder = folder / f"fold-{fold}"
        write_json(fold_folder / "vocabulary.json", words)
        if settings.subwords:
            ngrams = ngrams_of(words)
            with CsrWriter(fold_folder / "subwords", ngrams.shape[1]) as writer:
                writer.append_rows(ngrams)
        write_json(fold_folder / "vectorizer.json", {"kind": "tf", "sublinear_tf": settings.sublinear_tf})
        dims = settings.embedding_dim
        if embedding is not None:
            np.save(fold_folder / "embedding.npy", embedding)
            dims, known = embedding.shape[1], embedding.any(axis=1)
            covered = occurrences[fold][known].sum() / occurrences[fold].sum()
            if fold == 0:
                summary += f"; vectors for {known.mean():.1%} of them, {covered:.1%} of their occurrences"
        write_json(fold_folder / "features.json", {"inputs": len(words), "csr": True, "embedding_dim": dims})
    return summary


def write_encoder_vectors(
    folder: Path, corpus: Corpus, settings: FeaturizeDense, device: str, path: Path | None
) -> tuple[str, dict[str, float]]:
    from tqdm import tqdm

    from tagstudy.encoders.cache import open_cache  # and with it torch, which words do not need
    from tagstudy.encoders.identity import identity
    from tagstudy.encoders.posts import cost, distinct_texts, encode_posts

    cache = open_cache(settings, device, path)
    encoder = cache.encoder
    total = sum(len(distinct_texts(posts)) for posts in corpus.texts())
    matrix, done = new_dense_matrix(folder / "matrix", len(corpus), encoder.dims), 0
    with tqdm(total=total, desc="encoding", unit=" posts and titles", disable=None) as bar:
        for posts in corpus.texts():
            vectors = encode_posts(encoder, lambda texts: cache.vectors(texts, bar), posts)
            matrix[done : done + len(posts)] = vectors
            done += len(posts)
    write_json(folder / "features.json", {"inputs": encoder.dims, "csr": False, "embedding_dim": None})
    described = {"encoder": settings.encoder_settings(), "identity": identity(encoder)}
    write_json(folder / "vectorizer.json", {"kind": "encoder", **described})
    test = corpus.is_in("test", fold=0)
    sample = list(islice(chain.from_iterable(corpus.texts(test)), None, None, -(-int(test.sum()) // COST_POSTS)))
    return f"{len(corpus):,} vectors of {encoder.dims} dimensions", cost(encoder, sample)


def write_input_ids(folder: Path, corpus: Corpus, settings: FeaturizeDense) -> str:
    from tagstudy.encoders.encoder import Encoder
    from tagstudy.encoders.identity import identity
    from tagstudy.encoders.posts import tokenize_posts

    encoder = Encoder(settings)
    encoder.announce()
    with CsrWriter(folder / "matrix", len(encoder.tokenizer)) as writer:
        for posts in corpus.texts():
            input_ids, offsets = tokenize_posts(encoder, posts)
            writer.append(input_ids, offsets, np.ones(len(input_ids)))
    described = {"encoder": settings.encoder_settings()}
    write_json(folder / "features.json", {"inputs": encoder.dims, "csr": False, "embedding_dim": None, **described})
    write_json(folder / "vectorizer.json", {"kind": "finetuned", **described, "identity": identity(encoder)})
    return f"{len(corpus):,} posts in subword tokens"
