"""How a run's scores become probabilities and tags: what `evaluate` chooses on valid, and `predict.py` applies.

data/decisions/run-N.json    for each system its calibration and its threshold; the dense arm's weight in the fusion
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from tagstudy.core.files import read_json, write_json


class Calibration(NamedTuple):
    """A map from scores to probabilities, the same for all tags but for a slope and an intercept of their log-odds."""

    scores: np.ndarray  # [knots] ascending, from 0 to 1
    log_odds: np.ndarray  # [knots] of each, ascending; linear in between
    slopes: np.ndarray  # [tags] above 0
    intercepts: np.ndarray  # [tags]

    def pooled_log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Before a tag's slope and intercept."""
        return np.interp(scores, self.scores, self.log_odds)

    def probabilities(self, scores: np.ndarray, tags: np.ndarray) -> np.ndarray:
        """[...] float64, of scores [...] of ``tags`` [...]."""
        return expit(self.slopes[tags] * self.pooled_log_odds(scores) + self.intercepts[tags])


class Decision(NamedTuple):
    """Which tags a system gives to a post."""

    calibration: Calibration | None  # None: scores are taken for probabilities
    threshold: float | np.ndarray | None  # of probabilities: one for all tags, or [tags] one for each
    top: int | None = None  # in place of a threshold: so many tags for each post, the best ones

    @property
    def to_tune(self) -> bool:
        """Whether its threshold is still to be found."""
        return self.threshold is None and self.top is None

    @property
    def one_threshold(self) -> bool:
        return isinstance(self.threshold, float)

    def describe(self) -> dict[str, Any]:
        """Its threshold, None where there is none for all tags; how many tags in place of one."""
        return {"threshold": self.threshold if self.one_threshold else None, "top": self.top}

    def probabilities(self, scores: np.ndarray, tags: np.ndarray) -> np.ndarray:
        """[...] Of scores [...] of ``tags`` [...]."""
        return scores if self.calibration is None else self.calibration.probabilities(scores, tags)


class RunDecisions(NamedTuple):
    """What a run of both arms and of their fusion decides by."""

    systems: dict[str, Decision]
    dense_weight: float  # in the fusion's mean of scores


def write_decisions(path: Path, decisions: RunDecisions) -> None:
    systems = {name: as_json(decision) for name, decision in decisions.systems.items()}
    write_json(path, {"dense_weight": decisions.dense_weight, "systems": systems})


def as_json(decision: Decision) -> dict[str, Any]:
    calibration = decision.calibration
    return {
        "threshold": np.asarray(decision.threshold).tolist(),
        "top": decision.top,
        "calibration": calibration and {name: part.tolist() for name, part in calibration._asdict().items()},
    }


def read_decisions(path: Path) -> RunDecisions:
    stored = read_json(path)
    return RunDecisions({name: from_json(part) for name, part in stored["systems"].items()}, stored["dense_weight"])


def from_json(stored: dict[str, Any]) -> Decision:
    calibration, threshold = stored["calibration"], stored["threshold"]
    return Decision(
        calibration and Calibration(**{name: np.array(part, dtype=float) for name, part in calibration.items()}),
        np.array(threshold, dtype=float) if isinstance(threshold, list) else threshold,
        stored["top"],
    )
