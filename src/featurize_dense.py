"""Stage featurize_dense: turn each post into what the chosen dense embedding takes.

in:  data/posts; data/encoded.sqlite, where encoded posts are kept from one run to the next
out: data/features/dense: features.json (what the network has to take), texts.json (how vectorize.py makes it of texts);
     by featurize_dense.embedding,
     learned, word2vec, glove, static: {train,valid,test}: bags with weights count / length, so that the table's rows
       are averaged; vocabulary.json: the words of train, in the order of the columns; but for learned, table.npy
       [words, dims]: where the table starts
     encoder: {train,valid,test}: matrices [posts, dims] of the encoder's vectors, titles counting as much as posts
     finetuned: {train,valid,test}: bags of subword tokens in their order, titles counting as much as posts
     data/timings/encode_dense.json: what encoding a post costs, where the network does not do it itself
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from tqdm import tqdm

from tagstudy.core.config import FeaturizeDense, read_params
from tagstudy.core.errors import UserError, needs_pretrained
from tagstudy.core.files import whole_folder, write_json
from tagstudy.core.paths import FEATURES, SPLITS, TIMINGS
from tagstudy.core.stage import run
from tagstudy.core.store import CsrWriter, DenseWriter, count_posts, read_texts
from tagstudy.data.text import words_of
from tagstudy.features.counts import DocumentTermCounts, word_frequencies
from tagstudy.features.word_vectors import read_vectors

if TYPE_CHECKING:
    from tagstudy.encoders.cache import EmbeddingCache

STARTED = 0.2  # standard deviation of a table that starts from elsewhere: enough to tell words apart, and to move
COSTED = 2_000  # test posts, about, whose cost is told
NO_COST = {"parameters": 0, "multiply_adds": 0, "seconds": 0.0}


def main() -> str:
    params = read_params().featurize_dense
    write = {"encoder": write_encoder_vectors, "finetuned": write_input_ids}.get(params.embedding, write_words)
    with whole_folder(FEATURES / "dense") as folder:
        made, cost = write(folder, params)
    TIMINGS.mkdir(exist_ok=True)
    write_json(TIMINGS / "encode_dense.json", cost)
    return made


def write_words(folder: Path, params: FeaturizeDense) -> tuple[str, dict[str, float]]:
    with TemporaryDirectory() as scratch:
        counts = DocumentTermCounts(Path(scratch) / "counts")
        # A vector from elsewhere makes use of a word that train holds once.
        needed = 1 if params.embedding in ("glove", "static") else params.min_count
        chosen = counts.alphabetical(np.flatnonzero(counts.total >= needed))
        if not len(chosen):
            raise UserError(f"no word occurs {needed} times in train; lower featurize_dense.min_count")
        words, dims, said = counts.terms[chosen].tolist(), params.embedding_dim, ""
        start = {"word2vec": word2vec, "glove": glove, "static": static}.get(params.embedding)
        if start:
            table = start(words, params)
            dims, known = table.shape[1], table.any(axis=1)
            spread = table[known].std() if known.any() else 0  # 0: a single word
            np.save(folder / "table.npy", (table * (STARTED / spread if spread else 1)).astype(np.float32))
            tokens = counts.total[chosen]
            covered = tokens[known].sum() / tokens.sum()
            said = f"; vectors for {known.mean():.1%} of them, {covered:.1%} of their occurrences"
        write_json(folder / "vocabulary.json", words)
        write_json(folder / "features.json", {"inputs": len(words), "bag": True, "embedding_dim": dims})
        write_json(folder / "texts.json", {"as": "words"})
        counts.write(folder, chosen, weigh=word_frequencies)
    return f"{len(words):,} words{said}", NO_COST


def word2vec(words: list[str], params: FeaturizeDense) -> np.ndarray:
    """[words, embedding_dim] Skip-gram (Mikolov et al., 2013) on train; one worker, as two never do the same twice."""
    with needs_pretrained():
        from gensim.models import Word2Vec
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "train.txt"
        with path.open("w", encoding="utf-8") as file:
            for texts in read_texts("train"):
                file.writelines(" ".join(words_of(text)) + "\n" for text in texts)
        model = Word2Vec(
            corpus_file=str(path),
            vector_size=params.embedding_dim,
            min_count=params.min_count,
            epochs=params.word2vec_epochs,
            sg=1,
            workers=1,
            seed=params.seed,
        )
    return model.wv[words]


def glove(words: list[str], params: FeaturizeDense) -> np.ndarray:
    """[words, dims of the file] Vectors that the user has, zeros where there is none."""
    if not params.vectors:
        raise UserError("featurize_dense.vectors: name the file of word vectors that embedding=glove starts from")
    return read_vectors(Path(params.vectors), words, params.embedding_dim)


def static(words: list[str], params: FeaturizeDense) -> np.ndarray:
    """[words, at most embedding_dim] The encoder's vectors of the words by themselves, their principal components."""
    encoded = open_cache(params)
    with tqdm(total=len(words), desc="encoding", unit=" words", disable=None) as bar:
        vectors = encoded.vectors(words, bar)
    kept = min(params.embedding_dim, *vectors.shape)
    return PCA(kept, svd_solver="covariance_eigh").fit_transform(vectors)


def write_encoder_vectors(folder: Path, params: FeaturizeDense) -> tuple[str, dict[str, float]]:
    from tagstudy.encoders.encoder import cost, encode_posts, with_titles

    encoded = open_cache(params)
    encoder = encoded.encoder
    posts = sum(map(count_posts, SPLITS))
    texts = sum(len(with_titles(batch)) for split in SPLITS for batch in read_texts(split))
    with tqdm(total=texts, desc="encoding", unit=" posts and titles", disable=None) as bar:
        for split in SPLITS:
            with DenseWriter(folder / split, encoder.dims) as writer:
                for batch in read_texts(split):
                    writer.append(encode_posts(encoder, lambda of: encoded.vectors(of, bar), batch))
    write_json(folder / "features.json", {"inputs": encoder.dims, "bag": False, "embedding_dim": None})
    write_json(folder / "texts.json", {"as": "encoder", "encoder": params.encoder})
    every = -(-count_posts("test") // COSTED)
    costed = [text for batch in read_texts("test") for text in batch[::every]]
    return f"{posts:,} vectors of {encoder.dims} dimensions", cost(encoder, costed)


def open_cache(params: FeaturizeDense) -> "EmbeddingCache":
    from tagstudy.core.device import choose_device
    from tagstudy.encoders.cache import EmbeddingCache  # and with it torch, which bags of words do not need
    from tagstudy.encoders.encoder import frozen_encoder

    return EmbeddingCache(frozen_encoder(params.encoder, choose_device(read_params().train.device)))


def write_input_ids(folder: Path, params: FeaturizeDense) -> tuple[str, dict[str, float]]:
    from tagstudy.encoders.encoder import Encoder

    encoder = Encoder(params.encoder)
    for split in SPLITS:
        with CsrWriter(folder / split) as writer:
            for texts in read_texts(split):
                input_ids, offsets = encoder.tokenize_posts(texts)
                writer.append(input_ids, offsets, np.ones(len(input_ids)))
    about = {"inputs": encoder.dims, "bag": False, "embedding_dim": None, "encoder": params.encoder}
    write_json(folder / "features.json", about)
    write_json(folder / "texts.json", {"as": "finetuned", "encoder": params.encoder})
    return f"{sum(map(count_posts, SPLITS)):,} posts in subword tokens", NO_COST


if __name__ == "__main__":
    run(main)
