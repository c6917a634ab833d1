"""evaluate.py: what is chosen is chosen on valid; the fusion is compared with each arm; no torch, no dense matrix."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from as_csr import decisions_of, labels_of, stored
from conftest import ROOT
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix, CsrWriter
from tagstudy.evaluation import comparison, report
from tagstudy.evaluation.systems import assess_systems
from tagstudy.predictions.links import squared_hinge

SPLITS = ("valid", "test")


class Arm(NamedTuple):
    """As Predictions."""

    runs: list[dict[str, CsrMatrix]]
    probability = staticmethod(squared_hinge)


def predict(folder: Path, labels: dict[str, np.ndarray], rng: np.random.Generator, lean: float, kept: int = 4) -> Arm:
    """Two runs that know something of the labels, and on test lean to tags or away from them."""
    runs = []
    for run in range(2):
        for split, true in labels.items():
            logits = 2 * true - 1 + rng.normal(size=true.shape) + lean * (split == "test")
            with CsrWriter(folder / f"run-{run}" / split, true.shape[1]) as writer:
                writer.append_rows(stored(logits, kept))
        runs.append({split: CsrMatrix(folder / f"run-{run}" / split) for split in labels})
    return Arm(runs)


@pytest.mark.parametrize("kept", [2, 4])
def test_thresholds_and_weights_follow_from_valid_alone(kept: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {split: rng.random((300, 4)) < 0.3 for split in SPLITS}
    arms = [predict(tmp_path / name, labels, rng, lean, kept) for name, lean in (("dense", 0.5), ("sparse", 0.4))]

    def chosen(**changes: np.ndarray) -> tuple[dict[str, list[float]], list[float]]:
        true: dict[str, csr_array] = {split: labels_of(value) for split, value in (labels | changes).items()}
        runs, weights = assess_systems(true, *arms, "tuned")
        return {arm: [run.scores["threshold"] for run in runs[arm]] for arm in runs}, weights

    assert chosen(test=~labels["test"]) == chosen()
    assert chosen(valid=~labels["valid"]) != chosen()


def test_a_threshold_can_be_fixed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {split: rng.random((30, 4)) < 0.3 for split in SPLITS}
    arms = [predict(tmp_path / name, labels, rng, 0) for name in ("dense", "sparse")]
    runs, _ = assess_systems({split: labels_of(true) for split, true in labels.items()}, *arms, 0.5)
    assert {run.scores["threshold"] for system in runs.values() for run in system} == {0.5}


def test_gains_are_those_of_the_fusion_over_each_arm_run_for_run() -> None:
    """Of an arm's runs only those that a fusion holds count."""
    rng = np.random.default_rng(0)
    labels = rng.random((200, 4)) < 0.3
    runs = {"dense": 2, "sparse": 3, "fusion": 2}
    wrong = {arm: rng.random(labels.shape) < 0.2 for arm in runs}  # in all of an arm's runs
    decisions = {
        arm: [decisions_of(labels, labels ^ wrong[arm] ^ (rng.random(labels.shape) < 0.05)) for _ in range(count)]
        for arm, count in runs.items()
    }
    scores = comparison.score(labels_of(labels), decisions, resamples=100)
    table = report.fusion_gains(scores).set_index(["arm", "score"])
    for place, score in enumerate(comparison.METRICS):
        for arm in ("dense", "sparse"):
            gain = scores["fusion"].observed[:, place] - scores[arm].observed[:2, place]
            assert table.loc[(arm, score), "difference"] == pytest.approx(gain.mean())
            assert table.loc[(arm, score), "low"] < gain.mean() < table.loc[(arm, score), "high"]


def test_evaluation_imports_no_torch() -> None:
    check = "import sys, evaluate; assert not {'torch', 'sklearn', 'sentence_transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT / "src", check=True)
