"""evaluate.py: what is chosen is chosen on valid; the fusion is compared with each system; no torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from as_csr import corpus_of, stored
from conftest import ROOT

from tagstudy.core.corpus import Corpus
from tagstudy.core.files import write_json
from tagstudy.core.store import CsrWriter
from tagstudy.evaluation import comparison, report
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import assess_systems
from tagstudy.predictions.predictions import Predictions

POSTS, TAGS = 150, 4


def write_predictions(
    folder: Path, corpus: Corpus, known: dict[str, np.ndarray], rng: np.random.Generator, *, repeats: int, kept: int
) -> Predictions:
    """Runs that know something of the labels, which ``known`` has for each split, [posts, tags]."""
    runs = []
    for number in range(repeats * corpus.folds):
        fold = number % corpus.folds
        for split, labels in known.items():
            true = labels[corpus.rows(split, fold)]
            logits = 2 * true - 1 + rng.normal(size=true.shape)
            with CsrWriter(folder / f"run-{number}" / split, TAGS) as writer:
                writer.append_rows(stored(logits, kept))
        runs.append({"fold": fold, "seed": number, "problem": None})
    write_json(folder / "predictions.json", {"loss": "squared_hinge", "runs": runs, "posts": "the same", "remedy": ""})
    return Predictions(folder)


@pytest.mark.parametrize(
    ("threshold", "calibrate", "kept", "folds"),
    [("tuned", "none", 2, 3), ("tuned", "pooled", TAGS, 1), ("per_tag", "per_tag", 2, 3)],
)
def test_decisions_follow_from_valid_alone(
    threshold: str, calibrate: str, kept: int, folds: int, tmp_path: Path
) -> None:
    labels = np.random.default_rng(0).random((POSTS, TAGS)) < 0.3
    corpus = corpus_of(tmp_path / "posts", labels, folds)

    def chosen(name: str, **known: np.ndarray) -> list[str]:
        """What predict.py reads."""
        rng = np.random.default_rng(1)
        arms = [
            write_predictions(tmp_path / name / arm, corpus, known, rng, repeats=2, kept=kept)
            for arm in ("dense", "sparse")
        ]
        systems, weights = assess_systems(corpus, *arms, threshold, calibrate)
        report.write_run_decisions(tmp_path / name, systems, weights)
        return [(tmp_path / name / f"run-{number}.json").read_text() for number in range(2 * folds)]

    as_it_is = chosen("a", valid=labels, test=labels)
    assert chosen("b", valid=labels, test=~labels) == as_it_is
    assert chosen("c", valid=~labels, test=labels) != as_it_is


def arms_of(folder: Path, folds: int, repeats: int) -> tuple[Corpus, list[Predictions]]:
    rng = np.random.default_rng(0)
    labels = rng.random((POSTS, TAGS)) < 0.3
    corpus = corpus_of(folder / "posts", labels, folds)
    known = {"valid": labels, "test": labels}
    return corpus, [
        write_predictions(folder / arm, corpus, known, rng, repeats=repeats, kept=TAGS) for arm in ("dense", "sparse")
    ]


def test_a_threshold_can_be_fixed(tmp_path: Path) -> None:
    corpus, arms = arms_of(tmp_path, folds=3, repeats=1)
    systems, _ = assess_systems(corpus, *arms, 0.5, "none")
    assert {run.scores["threshold"] for system in systems.values() for run in system.runs} == {0.5}
    assert {run.decision.threshold for system in systems.values() for run in system.runs} == {0.5}


@pytest.mark.parametrize(("folds", "repeats", "controlled"), [(3, 1, False), (3, 2, True), (1, 3, False), (1, 4, True)])
def test_two_runs_of_a_fold_make_a_control(folds: int, repeats: int, controlled: bool, tmp_path: Path) -> None:
    corpus, arms = arms_of(tmp_path, folds, repeats)
    systems, weights = assess_systems(corpus, *arms, "tuned", "pooled")
    assert ("control" in systems) == controlled
    own = {name: len(system.runs) for name, system in systems.items() if name != "control"}
    assert set(own.values()) == {folds * repeats} and len(weights) == folds * repeats
    if controlled:
        assert len(systems["control"].runs) == folds * (repeats // 2)  # each of its pairs has runs of its own
    if controlled:  # two independent views are better than one
        alone = max(systems[arm].scores()["micro_f1"] for arm in ("dense", "sparse"))
        assert systems["control"].scores()["micro_f1"] > alone + 0.02


def test_gains_are_those_of_the_fusion_over_every_other_system(tmp_path: Path) -> None:
    corpus, arms = arms_of(tmp_path, folds=3, repeats=2)
    systems, _ = assess_systems(corpus, *arms, "tuned", "pooled")
    table = report.fusion_gains(comparison.score(corpus, systems, resamples=100)).set_index(["over", "score"])
    assert set(table.index) == {(arm, score) for arm in ("dense", "sparse", "control") for score in COMPARED}
    for arm in ("dense", "sparse"):
        gain = systems["fusion"].scores()["micro_f1"] - systems[arm].scores()["micro_f1"]
        assert table.loc[(arm, "micro_f1"), "difference"] == pytest.approx(gain)
        assert table.loc[(arm, "micro_f1"), "low"] < gain < table.loc[(arm, "micro_f1"), "high"]


def test_evaluation_imports_no_torch() -> None:
    check = "import sys, evaluate, compare; assert not {'torch', 'sklearn', 'sentence_transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT / "src", check=True)
