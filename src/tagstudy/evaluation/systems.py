"""The systems of a study: both arms, their fusion, and its control: two runs of the arm that is better on valid."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain
from operator import add
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, vstack

from tagstudy.core.corpus import Corpus
from tagstudy.core.paths import FUSION
from tagstudy.evaluation import scoring
from tagstudy.evaluation.blocks import Block, calibrated, compared, decide, read_blocks, search_thresholds
from tagstudy.evaluation.calibration import count_scores, fit_per_tag, fit_pooled, thresholds_per_tag
from tagstudy.evaluation.fusion import fuse, tune_weight
from tagstudy.evaluation.meters import LOSSES, Losses, PrecisionRecall, Ranking, Reliability
from tagstudy.evaluation.outcomes import NEAR, Outcomes, at_thresholds, best_thresholds, candidate_thresholds
from tagstudy.predictions.decisions import Decision, RunDecisions
from tagstudy.predictions.predictions import Predictions

Read = Callable[[str], Iterator[Block]]  # the scores of a split, in blocks


class Run(NamedTuple):
    """What evaluation keeps of a run."""

    fold: int
    scores: dict[str, Any]  # on test, each at the threshold tuned for it
    decision: Decision
    counts: list[scoring.Counts]  # on test, at the threshold tuned for each of scoring.COMPARED
    valid: Outcomes
    test: Outcomes
    valid_micro_f1: float
    decisions: csr_array  # at the first threshold: [posts, tags] booleans, an entry for each predicted tag
    losses: np.ndarray  # [test posts, LOSSES]
    reliability: Reliability
    precision: np.ndarray  # [RECALLS]


class System(NamedTuple):
    """The runs of an arm or of a fusion: one run per fold and repeat."""

    runs: list[Run]
    folds: int

    def repeats(self) -> list[list[Run]]:
        """Lists of runs, one for each fold: together they test every test post once."""
        return [self.runs[start : start + self.folds] for start in range(0, len(self.runs), self.folds)]

    def counts(self) -> list[list[scoring.Counts]]:
        """For each repeat the counts at each of a run's thresholds, summed over folds.

        Scores follow from sums, not from means of the folds' scores, which would depend on how rare tags are divided
        (Forman and Scholz, Apples-to-apples in cross-validation studies, 2010).
        """
        return [[reduce(add, at) for at in zip(*(run.counts for run in runs), strict=True)] for runs in self.repeats()]

    def valid_micro_f1(self) -> float:
        return float(np.mean([run.valid_micro_f1 for run in self.runs]))

    def decisions(self) -> list[csr_array]:
        """For each repeat those on all test posts, one fold after the other."""
        return [vstack([run.decisions for run in runs], format="csr") for runs in self.repeats()]

    def scores(self) -> dict[str, float]:
        """Scores from counts: pooled over folds, mean over repeats. Ranking and calibration scores: mean over runs."""
        pooled = pd.DataFrame([scoring.scores(counts) for counts in self.counts()])
        return pd.DataFrame([run.scores for run in self.runs]).mean().to_dict() | pooled.mean().to_dict()


class Assessor:
    """Turns predictions into systems: all on the same posts, each with decisions of its own."""

    def __init__(self, corpus: Corpus, threshold: str | float, calibrate: str) -> None:
        """``threshold`` and ``calibrate`` are as in params.yaml."""
        self.folds, self.threshold, self.calibrate = corpus.folds, threshold, calibrate
        self.labels = [
            {split: corpus.labels.take(corpus.rows(split, fold)) for split in ("valid", "test")}
            for fold in range(corpus.folds)
        ]

    def arm(self, arm: Predictions) -> System:
        return self.system(self.reader(arm, number) for number in range(len(arm.runs)))

    def fusion(self, dense: Predictions, sparse: Predictions) -> tuple[System, list[float]]:
        """The fusion of two arms, run by run, and the dense arm's weight in each."""
        readers, weights = [], []
        for number in range(min(len(dense.runs), len(sparse.runs))):
            one, other = self.reader(dense, number), self.reader(sparse, number)
            weights.append(tune_weight(one("valid"), other("valid"))[0])
            readers.append(fused_reader(one, other, weights[-1]))
        return self.system(readers), weights

    def control(self, arm: Predictions) -> System | None:
        """What fusing gains by itself: two runs of an arm on the same fold, fused.

        No run is in two pairs, which would vary less than independent ones. None where a fold has one run, and on a
        single split with less than two pairs, whose difference no interval could hold.
        """
        pairs = range(0, len(arm.runs) - self.folds, 2 * self.folds)  # of repeats
        runs = [start + fold for start in pairs for fold in range(self.folds)]
        readers = [(self.reader(arm, number), self.reader(arm, number + self.folds)) for number in runs]
        return self.system(fused_reader(one, other, 0.5) for one, other in readers) if len(readers) > 1 else None

    def pooled_decisions(self, arms: dict[str, Predictions], runs: Sequence[int]) -> RunDecisions:
        """What the valid posts of several runs together say: of each arm, and of the fusion of two."""
        readers = {name: pooled([self.reader(arm, number) for number in runs]) for name, arm in arms.items()}
        weight = 1.0
        if len(arms) > 1:
            dense, sparse = readers.values()
            weight, _ = tune_weight(dense("valid"), sparse("valid"))
            readers[FUSION] = fused_reader(dense, sparse, weight)
        tags = self.labels[0]["valid"].shape[1]
        return RunDecisions({name: self.decision(read, tags) for name, read in readers.items()}, weight)

    def decision(self, read: Read, tags: int) -> Decision:
        """With its threshold, for micro-F1 where it is tuned."""
        decision = choose(read, tags, self.threshold, self.calibrate)
        if not decision.to_tune:
            return decision
        return decision._replace(threshold=search_thresholds(calibrated(read("valid"), decision)).best().value)

    def reader(self, arm: Predictions, number: int) -> Read:
        run = arm.runs[number]
        return lambda split: read_blocks(self.labels[run.fold][split], run.logits[split], arm.probability)

    def system(self, readers: Iterable[Read]) -> System:
        """A system of runs, whose folds follow one another."""
        runs = []
        for number, read in enumerate(readers):
            fold = number % self.folds
            decision = choose(read, self.labels[fold]["valid"].shape[1], self.threshold, self.calibrate)
            runs.append(assess(fold, self.labels[fold], read, decision))
        return System(runs, self.folds)


def assess_systems(
    corpus: Corpus, dense: Predictions, sparse: Predictions, threshold: str | float, calibrate: str
) -> tuple[dict[str, System], list[float]]:
    """The dense and the sparse arm, their fusion, and its control if the better arm has several runs of a fold.

    Also returns the dense arm's weight in each run of the fusion. ``threshold``, ``calibrate``: as in params.yaml.
    """
    assessor = Assessor(corpus, threshold, calibrate)
    systems = {"dense": assessor.arm(dense), "sparse": assessor.arm(sparse)}
    systems[FUSION], weights = assessor.fusion(dense, sparse)
    better = dense if systems["dense"].valid_micro_f1() > systems["sparse"].valid_micro_f1() else sparse
    if control := assessor.control(better):
        systems["control"] = control
    return systems, weights


def fused_reader(dense: Read, sparse: Read, weight: float) -> Read:
    return lambda split: fuse(dense(split), sparse(split), weight)


def pooled(readers: list[Read]) -> Read:
    """The posts of several runs, one run after the other."""
    return lambda split: chain.from_iterable(read(split) for read in readers)


def choose(read: Read, tags: int, threshold: str | float, calibrate: str) -> Decision:
    """What valid says of a run's probabilities and thresholds; a tuned threshold is still to be found."""
    calibration = None if calibrate == "none" else fit_pooled(read("valid"), tags)
    if calibration and calibrate == "per_tag":
        scores = count_scores(calibration, read("valid"), tags)
        calibration = fit_per_tag(calibration, scores)
        if threshold == "per_tag":
            return Decision(calibration, thresholds_per_tag(calibration, scores))
    if isinstance(threshold, float):
        return Decision(calibration, threshold)
    return Decision(calibration, None, int(threshold.removeprefix("top_")) if threshold.startswith("top_") else None)


def candidates_of(decision: Decision, valid: Iterable[Block]) -> np.ndarray:
    """The thresholds that are tried on what is compared: one, unless it is to be tuned."""
    if decision.top is not None:
        return np.array([-float(decision.top)])
    if decision.to_tune:
        return candidate_thresholds(valid)
    return np.zeros(1) if isinstance(decision.threshold, np.ndarray) else np.array([decision.threshold])


def assess(fold: int, labels: dict[str, csr_array], read: Read, decision: Decision) -> Run:
    """Tune a run's thresholds on valid, unless they are chosen, and score it on test; ``labels`` by split.

    Thresholds of tags stay the same when posts are resampled: the interval then covers their choice only by way of the
    folds, each of which has thresholds of its own.
    """

    def on_valid() -> Iterator[Block]:
        return compared(calibrated(read("valid"), decision), decision)

    candidates = candidates_of(decision, on_valid())
    valid = Outcomes(labels["valid"], on_valid(), candidates)
    valid_counts = valid.totals()
    chosen = best_thresholds(valid_counts)
    thresholds = candidates[chosen[:, 0]].tolist()
    near = candidates[: chosen.max() + 1 + NEAR]
    valid.keep(len(near))
    meters = Meters(labels["test"].shape[1])
    decisions = []

    def on_test() -> Iterator[Block]:
        for block in compared(meters.read(calibrated(read("test"), decision)), decision):
            decisions.append(decide(block, thresholds[0]))
            yield block

    test = Outcomes(labels["test"], on_test(), near)
    counts = [scoring.Counts(*(np.squeeze(part, 0) for part in at)) for at in at_thresholds(test.totals(), chosen)]
    return Run(
        fold,
        named_thresholds(decision, thresholds) | scoring.scores(counts) | meters.scores(),
        decision._replace(threshold=thresholds[0]) if decision.to_tune else decision,
        counts,
        valid,
        test,
        float(scoring.f1(scoring.total(at_thresholds(valid_counts, chosen)[0]))[0]),
        vstack(decisions, format="csr"),
        meters.losses.compute(),
        meters.reliability,
        meters.precision_recall.compute(),
    )


def named_thresholds(decision: Decision, thresholds: list[float]) -> dict[str, float]:
    """The thresholds by metric; empty with a threshold per tag or with top_k."""
    names = ["threshold", *(f"threshold_{metric}" for metric in scoring.COMPARED[1:])]
    return dict(zip(names, thresholds, strict=True)) if decision.to_tune or decision.one_threshold else {}


class Meters:
    """The metrics of a run's probabilities and rankings, which no threshold affects."""

    def __init__(self, tags: int) -> None:
        self.ranking, self.losses = Ranking(tags), Losses()
        self.reliability, self.precision_recall = Reliability(), PrecisionRecall()

    def read(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks, each of them added to every meter."""
        for block in blocks:
            self.ranking.update(block.labels, block.logits, block.relevant)
            self.losses.update(block.labels, block.logits, block.probabilities, block.relevant)
            self.reliability.update(block.labels, block.probabilities, block.relevant)
            self.precision_recall.update(block.logits.data, block.relevant, block.labels.nnz)
            yield block

    def scores(self) -> dict[str, Any]:
        return {
            **self.ranking.compute(),
            **dict(zip(LOSSES, self.losses.compute().mean(axis=0).tolist(), strict=True)),
            "calibration_error_above_05": self.reliability.calibration_error(),
        }
