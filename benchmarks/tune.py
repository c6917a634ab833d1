"""Settings of every kind of arm, each with a grid of the same size, chosen on the validation posts of folds.

`python benchmarks/tune.py --data FOLDER` trains each kind of arm with each setting of its grid on three corpora, and
writes micro-F1 on valid to benchmarks/tune.csv. No test post is scored. It prints the means over folds by corpus.
"""

import contextlib
import itertools
from typing import Any

import pandas as pd

from bench import CORPORA, prepare
from dumps import ROOT, arguments, update
from ours import Arm
from skip import NoLog
from tagstudy.model.training import fit

RATES, DROPOUTS = (0.02, 0.07, 0.2), (0.0, 0.2)
MATRIX = [
    {"embedding_lr": rate, "word_dropout": dropout} for rate, dropout in itertools.product(RATES, DROPOUTS)
]  # of an arm with an embedding matrix
GRIDS: dict[str, list[dict[str, Any]]] = {
    "tfidf": MATRIX,
    "learned": MATRIX,
    "word2vec": MATRIX,
    "static": MATRIX,
    "encoder": [
        {"lr": rate, "word_dropout": dropout} for rate, dropout in itertools.product((0.001, 0.003, 0.01), (0.2, 0.4))
    ],
}
FOLDS = 2
TABLE = ROOT / "benchmarks/tune.csv"


def main() -> None:
    corpora = [corpus for corpus in CORPORA if corpus != "so_titles, 100 tags"]
    options = arguments(
        __doc__,
        corpora={"nargs": "*", "choices": CORPORA, "default": corpora},
        kinds={"nargs": "*", "choices": GRIDS, "default": list(GRIDS)},
    )
    for corpus, kind in itertools.product(options.corpora, options.kinds):
        embedding = "learned" if kind == "tfidf" else kind
        with contextlib.chdir(
            prepare(corpus, options.data, ingest={"folds": 5}, featurize_dense={"embedding": embedding})
        ):
            rows = [
                {"corpus": corpus, "kind": kind, "fold": fold, **setting, "valid_micro_f1": train(kind, fold, setting)}
                for setting in GRIDS[kind]
                for fold in range(FOLDS)
            ]
        columns = ["corpus", "kind", "fold", "embedding_lr", "lr", "word_dropout", "valid_micro_f1"]
        update(TABLE, pd.DataFrame(rows, columns=columns), {"corpus": list(CORPORA), "kind": list(GRIDS)})
    table = pd.read_csv(TABLE)
    for kind, rows in table.groupby("kind", sort=False):
        settings = ["lr" if kind == "encoder" else "embedding_lr", "word_dropout"]
        by_corpus = rows.pivot_table(index=settings, columns="corpus", values="valid_micro_f1")
        by_corpus["mean"] = by_corpus.mean(axis=1)
        print(f"\n{kind}\n{by_corpus.round(4).to_string()}")


def train(kind: str, fold: int, setting: dict[str, Any]) -> float:
    """Micro-F1 on the valid posts of a fold."""
    arm = Arm("sparse" if kind == "tfidf" else "dense", fold)
    settings = arm.settings.model_copy(update=setting)
    model = arm.untrained(settings.seed)
    return round(fit(model, arm.posts["train"], arm.posts["valid"], settings, settings.seed, NoLog()).micro_f1, 4)


if __name__ == "__main__":
    main()
