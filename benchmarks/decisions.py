"""What each choice of `evaluate.threshold` and `evaluate.calibrate` gains and costs, on real posts in five folds.

`python benchmarks/decisions.py --data FOLDER` makes a study of each corpus, evaluates it with every choice, and writes
benchmarks/decisions.csv: micro-F1 and macro-F1 of the tags that predict.py would give, their differences from those at
one threshold, tuned for micro-F1, and Brier score, log loss and the calibration error above .05; all with intervals. It
prints a table: differences of micro-F1 / macro-F1, Brier score, log loss, calibration error.
"""

import contextlib
from collections.abc import Iterable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from bench import CORPORA, prepare, run_stages
from common import ROOT, arguments, update
from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import ARMS, FUSION, POSTS, PREDICTIONS, SYSTEMS
from tagstudy.evaluation.blocks import Block
from tagstudy.evaluation.comparison import compare, interval, score
from tagstudy.evaluation.meters import LOSSES
from tagstudy.evaluation.outcomes import Outcomes
from tagstudy.evaluation.probabilities import loss_table
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import System, assess_systems
from tagstudy.predictions.predictions import Predictions

TABLE = ROOT / "benchmarks/decisions.csv"
CHOICES = {  # evaluate.threshold, evaluate.calibrate
    "one threshold, not calibrated": ("tuned", "none"),
    "one threshold, pooled": ("tuned", "pooled"),
    "one threshold, per tag": ("tuned", "per_tag"),
    "a threshold per tag, per tag": ("per_tag", "per_tag"),
    "the best tag": ("top_1", "pooled"),
    "the best two tags": ("top_2", "pooled"),
}
BASELINE = "one threshold, not calibrated"
RESAMPLES = 1000


def main() -> None:
    options = arguments(__doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)})
    order = {"corpus": list(CORPORA), "system": list(SYSTEMS), "choice": list(CHOICES)}
    for corpus in options.corpora:
        folder = prepare(corpus, options.data, ingest={"folds": 5})
        run_stages(folder, "train_dense", "train_sparse")
        update(TABLE, evaluate(folder).assign(corpus=corpus).round(5), order)
    print(in_markdown(pd.read_csv(TABLE)))


def evaluate(folder: Path) -> pd.DataFrame:
    """A row for each system and choice."""
    with contextlib.chdir(folder):
        corpus, (dense, sparse) = Corpus(POSTS), (Predictions(PREDICTIONS / arm) for arm in ARMS)
        found = {choice: assess_systems(corpus, dense, sparse, *CHOICES[choice])[0] for choice in CHOICES}
    predicted = {
        f"{name}, {choice}": as_predicted(corpus, found[choice][name]) for choice in CHOICES for name in SYSTEMS
    }
    scores = score(corpus, predicted, RESAMPLES)
    rows = []
    for choice, systems in found.items():
        losses = loss_table(systems).set_index(["system", "score"])
        for name in SYSTEMS:
            row: dict[str, Any] = {"system": name, "choice": choice}
            differences = compare(scores[f"{name}, {choice}"], scores[f"{name}, {BASELINE}"])
            for place, metric in enumerate(COMPARED[:2]):
                row |= {metric: differences["one"][place]}
                difference = (differences[part][place] for part in ("difference", "low", "high"))
                row |= named(f"{metric}_difference", difference)
            for metric in LOSSES:
                row |= named(metric, losses.loc[(name, metric)])
            rows.append(row | named("calibration_error", calibration_error(systems[name])))
    return pd.DataFrame(rows)


def named(metric: str, values: Iterable[float]) -> dict[str, float]:
    """A value and its interval."""
    return dict(zip((metric, f"{metric}_low", f"{metric}_high"), values, strict=True))


def as_predicted(corpus: Corpus, system: System) -> System:
    """The system scored on the tags that it predicts, without tuning thresholds again on resampled posts."""
    runs = []
    for run in system.runs:
        labels = {split: corpus.labels.take(corpus.rows(split, run.fold)) for split in ("valid", "test")}
        nothing = csr_array(labels["valid"].shape, dtype=bool)
        valid, test = (
            Outcomes(labels[split], [Block(labels[split], tags, np.ones(tags.nnz), tags.data)], [1])
            for split, tags in (("valid", nothing), ("test", run.decisions))
        )
        runs.append(run._replace(valid=valid, test=test, counts=run.counts[:1] * len(COMPARED)))
    return System(runs, system.folds)


def calibration_error(system: System) -> tuple[float, float, float]:
    """Above .05, of all runs together; the interval is by the folds' variance, around it."""
    error = reduce(add, (run.reliability for run in system.runs)).calibration_error()
    folds = np.array([[run.reliability.calibration_error()] for run in system.runs])
    low, high, _ = interval(np.array([error]), np.array([[error]]), folds, posts=len(folds), folds=len(folds))
    return error, max(0.0, float(low[0])), float(high[0])


def in_markdown(table: pd.DataFrame) -> str:
    """Of TF-IDF and of the fusion."""
    shown = table[table["system"].isin(["sparse", FUSION])]
    cells = [
        f"{row.micro_f1_difference:+.3f} / {row.macro_f1_difference:+.3f}, {row.brier:.4f}, {row.log_loss:.3f}, "
        f"{row.calibration_error:.3f}"
        for row in shown.itertuples()
    ]
    return (
        shown.assign(cell=cells)
        .pivot(index=["system", "choice"], columns="corpus", values="cell")
        .reindex(index=pd.MultiIndex.from_product([["sparse", FUSION], CHOICES]), columns=list(CORPORA))
        .reset_index(names=["system", "choice"])
        .to_markdown(index=False)
    )


if __name__ == "__main__":
    main()
