"""Is a model that src/ship.py trains again as good as the study's? On the same test posts, trained on train and valid.

`python benchmarks/refit.py --data FOLDER` makes a study of each corpus in five folds. For each fold it trains both arms
again on train and valid, up to the best epoch of the fold's run, and scores them on the fold's test posts
with the run's calibration, threshold and fusion weight. It writes micro-F1 and macro-F1 of both, and their differences
with intervals, to benchmarks/refit.csv, and prints a table.
"""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench import CORPORA, prepare, run_stages
from common import ROOT, arguments, update
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import (
    ARMS,
    FEATURES,
    FUSION,
    MODELS,
    POSTS,
    PREDICTIONS,
    SYSTEMS,
    embedding_cache,
    features_of_fold,
)
from tagstudy.core.store import CsrMatrix, open_matrix
from tagstudy.evaluation.comparison import compare, score
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import Assessor, System
from tagstudy.inference.ship import write_features
from tagstudy.model.batches import Posts
from tagstudy.model.refit import epochs_of, refit
from tagstudy.model.training import predict
from tagstudy.predictions.predictions import Predictions, PredictionWriter

RESAMPLES = 1000
TABLE = ROOT / "benchmarks/refit.csv"


def main() -> None:
    options = arguments(__doc__, corpora={"nargs": "*", "choices": CORPORA, "default": list(CORPORA)})
    for corpus in options.corpora:
        folder = prepare(corpus, options.data, ingest={"folds": 5})
        run_stages(folder, "train_dense", "train_sparse", "evaluate")
        with contextlib.chdir(folder), TemporaryDirectory(dir=folder) as scratch:
            table = measure(Path(scratch))
        table.insert(0, "corpus", corpus)
        update(TABLE, table.round(4), {"corpus": list(CORPORA), "system": list(SYSTEMS)})
    print(pd.read_csv(TABLE).to_markdown(index=False))


def measure(scratch: Path) -> pd.DataFrame:
    """Of the study in the working directory: a row for each system and metric."""
    corpus, params = Corpus(POSTS), read_params()
    assessor = Assessor(corpus, params.evaluate.threshold, params.evaluate.calibrate)
    arms = {arm: Predictions(PREDICTIONS / arm) for arm in ARMS}
    again = {arm: with_test(predictions, arm, corpus, scratch) for arm, predictions in arms.items()}
    systems = {f"{name}, study": system for name, system in assess(assessor, arms).items()}
    systems |= {f"{name}, again": system for name, system in assess(assessor, again).items()}
    scores = score(corpus, systems, RESAMPLES)
    rows = []
    for name in SYSTEMS:
        differences = compare(scores[f"{name}, again"], scores[f"{name}, study"])
        for place, metric in enumerate(COMPARED[:2]):
            found = {part: differences[part][place] for part in ("one", "other", "difference", "low", "high", "p")}
            rows.append({"system": name, "score": metric, **found})
    return pd.DataFrame(rows).rename(columns={"one": "again", "other": "study"})


def assess(assessor: Assessor, arms: dict[str, Predictions]) -> dict[str, System]:
    """Decisions come from the study's valid posts in both cases: valid's scores are the same."""
    return {name: assessor.arm(arm) for name, arm in arms.items()} | {FUSION: assessor.fusion(**arms)[0]}


def with_test(predictions: Predictions, arm: str, corpus: Corpus, scratch: Path) -> Predictions:
    """The predictions of an arm with those on test of networks that were trained again, a fold at a time."""
    other = Predictions(PREDICTIONS / arm)
    other.runs = [
        run._replace(logits=run.logits | {"test": test_again(arm, run.fold, number, corpus, scratch)})
        for number, run in enumerate(predictions.runs)
    ]
    return other


def test_again(arm: str, fold: int, run: int, corpus: Corpus, scratch: Path) -> CsrMatrix:
    params = read_params()
    settings = getattr(params, f"train_{arm}")
    again = corpus.training_on(corpus.is_in("train", fold) | corpus.is_in("valid", fold))
    features = FEATURES / ARMS[arm]
    if features_of_fold(features, fold) != features:
        features = write_features(scratch / f"{arm}-{run}", arm, again, params, embedding_cache())
    about = read_json(MODELS / arm / "model.json")["runs"][run]
    settings = settings.model_copy(update={"seed": about["seed"]})
    model, _ = refit(again, features, settings, int(corpus.is_in("train", fold).sum()), epochs_of([about], arm, ""))
    posts = Posts(open_matrix(features / "matrix"), corpus.labels, corpus.rows("test", fold))
    folder = scratch / f"{arm}-{run}-test"
    with PredictionWriter(folder, len(corpus.tags), settings.top_tags) as writer:
        for _, logits in predict(model, posts):
            writer.append_logits(logits.numpy())
    return CsrMatrix(folder)


if __name__ == "__main__":
    main()
