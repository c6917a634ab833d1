"""decisions.py: what is written is read again, to the last digit."""

from pathlib import Path

import numpy as np
import pytest

from tagstudy.predictions.decisions import Calibration, Decision, RunDecisions, read_decisions, write_decisions

CALIBRATION = Calibration(np.array([0, 1 / 3, 1]), np.array([-7.1, -0.3, 4]), np.array([1, 0.7]), np.array([0.1, -2]))


@pytest.mark.parametrize(
    "decision",
    [
        Decision(None, 1 / 3),
        Decision(CALIBRATION, None, 3),
        Decision(CALIBRATION, np.array([0.1, 2 / 3])),
    ],
    ids=["one threshold", "the best tags", "a threshold for each tag"],
)
def test_decisions_are_read_as_they_were(decision: Decision, tmp_path: Path) -> None:
    write_decisions(tmp_path / "run-0.json", RunDecisions({"dense": decision}, 0.3))
    found, weight = read_decisions(tmp_path / "run-0.json")
    assert weight == 0.3 and list(found) == ["dense"]
    one, other = found["dense"], decision
    np.testing.assert_equal(one.threshold, other.threshold)
    assert one.describe() == other.describe()
    scores, tags = np.random.default_rng(0).random((5, 2)), np.arange(2)
    np.testing.assert_array_equal(one.probabilities(scores, tags), other.probabilities(scores, tags))


def test_probabilities_follow_from_a_tag_s_slope_and_intercept() -> None:
    probabilities = Decision(CALIBRATION, 0.5).probabilities(np.array([0, 1 / 3]), np.array([0, 1]))
    assert probabilities == pytest.approx(1 / (1 + np.exp([7.1 - 0.1, 0.7 * 0.3 + 2])))
