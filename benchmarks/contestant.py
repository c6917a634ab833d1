"""Train one contestant: all get the same posts, splits and tokens, and give a score for every post and tag.

`python benchmarks/contestant.py NAME [--settings JSON] [--folds K ...] [--output NAME]` trains one in the working
directory, where the study's ingest and featurize stages have run, once on each fold or on some of them, and writes
results/OUTPUT.npz and results/OUTPUT.json. Each runs in a process of its own, so that its peak memory can be measured.
"""

import argparse
import importlib
import json
import resource
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dense_scores import read_labels
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.files import write_json
from tagstudy.core.paths import POSTS, SPLITS
from tagstudy.data.text import token_sequences

CONTESTANTS = {  # a name, and the module whose function of this name it is
    "sparse": "ours",
    "dense": "ours",
    "logistic_regression": "baselines",
    "fasttext": "baselines",
    "libmultilabel": "baselines",
    "original_dense": "original",
    "original_sparse": "original",
}


class TokenizedCorpus(NamedTuple):
    """What a contestant reads, by split."""

    tokens: dict[str, list[list[str]]]  # of each post
    labels: dict[str, np.ndarray]  # [posts, tags] booleans


class Result(NamedTuple):
    """The scores of one trained model, and what it costs.

    Scores are between 0 and 1. Only their order counts: the threshold is tuned on valid afterwards.
    """

    valid: np.ndarray  # [posts, tags]
    test: np.ndarray  # [posts, tags]
    seconds: float  # of training, without reading, importing and tokenizing
    parameters: int
    posts_per_second: float  # of predicting test
    curve: list[tuple[float, dict[str, float]]] = []  # noqa: RUF012  # seconds of training, scores on valid


def read_corpus(fold: int) -> TokenizedCorpus:
    corpus = Corpus(POSTS)
    tokens = {
        split: [tokens_of(text) for texts in corpus.texts(corpus.is_in(split, fold)) for text in texts]
        for split in SPLITS
    }
    return TokenizedCorpus(tokens, {split: read_labels(corpus, split, fold) for split in SPLITS})


def tokens_of(text: Text) -> list[str]:
    """As both arms count them: those of a title twice where there is a body."""
    return list(chain.from_iterable(token_sequences(text)))


def timed(predict: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The scores that ``predict`` returns, and the posts that it scores in a second."""
    start = time.perf_counter()
    scores = predict()
    return scores, len(scores) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--settings", type=json.loads, default={}, help="arguments of its function")
    parser.add_argument("--folds", type=int, nargs="*", default=range(Corpus(POSTS).folds))
    parser.add_argument("--output")
    options = parser.parse_args()
    name, settings = options.name, options.settings
    train = getattr(importlib.import_module(CONTESTANTS[name]), name)
    runs = [train(fold, **settings) for fold in options.folds]
    output = Path("results", options.output or name)
    output.parent.mkdir(parents=True, exist_ok=True)
    scores = {f"{split}{number}": getattr(run, split) for number, run in enumerate(runs) for split in ("valid", "test")}
    np.savez(output.with_suffix(".npz"), **scores)
    measured = ("seconds", "parameters", "posts_per_second", "curve")
    summary = {
        "settings": settings,
        "runs": [{name: getattr(run, name) for name in measured} for run in runs],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    write_json(output.with_suffix(".json"), summary)


if __name__ == "__main__":
    main()
