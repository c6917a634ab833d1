"""Stage featurize_tfidf: turn each post into TF-IDF weights of its terms.

in:  data/posts; the section featurize_tfidf of params.yaml
out: data/features/tfidf, a folder for each fold: matrix, CSR [posts, terms] of L2-normalised TF-IDF weights;
     features.json: the shape of the network's input; vocabulary.json: the terms in the order of the columns; idf.npy
     [terms]; vectorizer.json: how features of other texts are made. Terms and idf come from train alone.
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import atomic_folder
from tagstudy.core.paths import FEATURES, POSTS
from tagstudy.core.stage import run
from tagstudy.features.tfidf import write_tfidf


def main() -> str:
    params = read_params()
    with atomic_folder(FEATURES / "tfidf", made_from=[POSTS]) as folder:
        return write_tfidf(folder, Corpus(POSTS), params.featurize_tfidf, params.compute)


if __name__ == "__main__":
    run(main)
