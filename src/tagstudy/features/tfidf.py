"""TF-IDF features of all posts for each fold: as scikit-learn's TfidfVectorizer, fitted on train, makes them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tagstudy.core.checksums import checked
from tagstudy.core.config import EVERY_CORE, Compute, FeaturizeTfidf
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.core.files import write_json
from tagstudy.core.store import CsrWriter
from tagstudy.data.counts import COUNTS, write_counts
from tagstudy.features.counts import DocumentTermCounts, number_range, term_weights


def write_tfidf(folder: Path, corpus: Corpus, settings: FeaturizeTfidf, compute: Compute = EVERY_CORE) -> str:
    """Write the features of all posts into a folder for each fold; terms and idf come from the fold's train posts.

    ``compute`` says who counts n-grams; ingest has counted single words. Returns a line about the features. Raises
    :class:`UserError` where no term occurs in enough train posts.
    """
    with TemporaryDirectory(dir=folder.parent) as scratch:
        counted = corpus.folder / COUNTS
        if settings.max_ngram > 1:
            counted = Path(scratch) / COUNTS
            write_counts(counted, checked(corpus.folder / "posts.parquet"), compute, settings.max_ngram)
        counts = DocumentTermCounts(counted)
        terms = [
            write_fold(folder / f"fold-{fold}", counts, corpus.is_in("train", fold), settings)
            for fold in range(corpus.folds)
        ]
    return f"{number_range(terms)} terms"


def write_fold(folder: Path, counts: DocumentTermCounts, train: np.ndarray, settings: FeaturizeTfidf) -> int:
    """Write the features of one fold into a new folder; ``train`` [posts] says of each post whether it is in train.

    Returns the number of terms.
    """
    document_frequency, total = counts.frequencies(train)
    frequent = np.flatnonzero(document_frequency >= settings.min_df)
    most_frequent = np.argsort(-total[frequent], kind="stable")[: settings.max_features]
    chosen = frequent[np.sort(most_frequent)]
    if not len(chosen):
        raise UserError(f"no term occurs in {settings.min_df} posts of train; lower featurize_tfidf.min_df")
    # As scikit-learn's smooth_idf: as if one more post had every term.
    idf = np.log((1 + train.sum()) / (1 + document_frequency[chosen])) + 1

    with CsrWriter(folder / "matrix", len(chosen)) as writer:
        for rows in counts.select(chosen):
            writer.append_rows(term_weights(rows, settings.sublinear_tf, idf))
    write_json(folder / "vocabulary.json", counts.names(chosen))
    np.save(folder / "idf.npy", idf)
    write_json(folder / "features.json", {"inputs": len(chosen), "csr": True, "embedding_dim": None})
    vectorizer = {"kind": "tfidf", "max_ngram": settings.max_ngram, "sublinear_tf": settings.sublinear_tf}
    write_json(folder / "vectorizer.json", vectorizer)
    return len(chosen)
