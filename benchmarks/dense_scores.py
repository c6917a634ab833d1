"""The study's threshold search and scores, for arrays [posts, tags] in memory: the benchmarks' corpora are small."""

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.corpus import Corpus
from tagstudy.evaluation import scoring
from tagstudy.predictions.thresholds import Threshold, ThresholdSearch


def read_labels(corpus: Corpus, split: str) -> np.ndarray:
    """[posts, tags] booleans of the posts of a split."""
    return corpus.labels.take(corpus.rows(split, fold=0)).toarray() > 0


def tune(labels: np.ndarray, y_score: np.ndarray) -> Threshold:
    """The threshold with the highest micro-F1, one for all tags.

    labels: [posts, tags] booleans
    y_score: [posts, tags] between 0 and 1
    """
    search = ThresholdSearch()
    search.update(y_score.ravel(), labels.ravel(), int(labels.sum()))
    return search.best()


def decisions(labels: np.ndarray, y_pred: np.ndarray) -> csr_array:
    """What :func:`tagstudy.evaluation.scoring.count` takes, of labels and predicted tags [posts, tags], booleans."""
    return csr_array((labels[y_pred], y_pred.nonzero()), shape=labels.shape)


def score(labels: np.ndarray, y_pred: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of predicted tags; arguments as for :func:`decisions`."""
    counts = scoring.count(csr_array(labels), decisions(labels, y_pred))
    return scoring.scores([counts] * len(scoring.METRICS))
