"""Stage featurize_dense: turn each post into the input of the chosen dense embedding.

in:  data/posts; the section featurize_dense of params.yaml, and train.device; encoded.sqlite, a cache of encoded texts,
     in $TAGSTUDY_CACHE or the user's cache folder
out: data/features/dense: features.json: the shape of the network's input; vectorizer.json: how features of other texts
     are made; matrix, a row for each post, by featurize_dense.embedding
       learned, word2vec, glove, static, in a folder for each fold: CSR [posts, words] of L2-normalised word
         frequencies, the weights of the embedding matrix's rows in a post's sum; vocabulary.json: the words of train,
         in the order of the columns; except for learned, embedding.npy [words, dims]: what the embedding matrix is
         initialised from; with featurize_dense.subwords, subwords, CSR [words, n-grams]
       encoder: dense [posts, dims], the encoder's vectors; a title counts as much as its post
       finetuned: CSR, the input_ids of a post in their order, with those of its title before them
     data/timings/encode_dense.json: what encoding a post costs, where the network does not do it itself
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import atomic_folder, write_json
from tagstudy.core.paths import FEATURES, POSTS, TIMINGS, embedding_cache
from tagstudy.core.stage import run
from tagstudy.features.dense import write_dense


def main() -> str:
    params = read_params()
    with atomic_folder(FEATURES / "dense", made_from=[POSTS]) as folder:
        settings, cache = params.featurize_dense, embedding_cache()
        summary, cost = write_dense(folder, Corpus(POSTS), settings, params.train.device, cache)
    TIMINGS.mkdir(exist_ok=True)
    write_json(TIMINGS / "encode_dense.json", cost)
    return summary


if __name__ == "__main__":
    run(main)
