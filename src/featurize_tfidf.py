"""Stage featurize_tfidf: turn each post into a bag of terms weighted by TF-IDF.

in:  data/posts
out: data/features/tfidf/{train,valid,test}: bags of TF-IDF weights, rows of length one (L2);
     features.json: what the network has to take; texts.json: how vectorize.py makes it of a text;
     vocabulary.json: the terms in the order of the columns; idf.npy: [columns] their weights, from train alone
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tagstudy.core.config import read_params
from tagstudy.core.errors import UserError
from tagstudy.core.files import whole_folder, write_json
from tagstudy.core.paths import FEATURES
from tagstudy.core.stage import run
from tagstudy.features.counts import DocumentTermCounts, tfidf_weights


def main() -> str:
    params = read_params().featurize_tfidf
    with TemporaryDirectory() as scratch, whole_folder(FEATURES / "tfidf") as folder:
        counts = DocumentTermCounts(Path(scratch) / "counts", params.max_ngram)
        often = counts.alphabetical(np.flatnonzero(counts.posts_with >= params.min_df))
        most = np.argsort(-counts.total[often], kind="stable")[: params.max_features]
        terms = often[np.sort(most)]
        if not len(terms):
            raise UserError(f"no term stands in {params.min_df} posts of train; lower featurize_tfidf.min_df")
        # As scikit-learn's smooth_idf: as if one more post held every term.
        idf = np.log((1 + len(counts.bags)) / (1 + counts.posts_with[terms])) + 1
        write_json(folder / "vocabulary.json", counts.terms[terms].tolist())
        write_json(folder / "features.json", {"inputs": len(terms), "bag": True, "embedding_dim": None})
        how = {"max_ngram": params.max_ngram, "sublinear_tf": params.sublinear_tf}
        write_json(folder / "texts.json", {"as": "tfidf"} | how)
        np.save(folder / "idf.npy", idf)
        counts.write(folder, terms, weigh=tfidf_weights(idf, params.sublinear_tf))
    return f"{len(terms):,} terms"


if __name__ == "__main__":
    run(main)
