"""The files of metrics/ and plots/, written from what evaluation has found."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json, undamaged, write_json
from tagstudy.core.paths import ARMS, FUSION, SYSTEMS
from tagstudy.core.processes import available_cores, worker_pool
from tagstudy.evaluation import figures, style, tables
from tagstudy.evaluation.comparison import Scores, compare
from tagstudy.evaluation.probabilities import loss_table
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import System
from tagstudy.evaluation.verdict import UNDECIDED
from tagstudy.predictions.decisions import RunDecisions, write_decisions

HEADLINE = ["micro_f1", "macro_f1", "hamming_loss"]
NO_ENCODER = {"parameters": 0, "multiply_adds": 0, "seconds": 0}
SECONDS = ["training_seconds", "posts_per_second"]  # the costs that change each time


class Results(NamedTuple):
    """What evaluation has found, by system."""

    systems: dict[str, System]
    scores: dict[str, Scores]
    differences: pd.DataFrame  # of the arms, a row for each of COMPARED and then for each tag
    verdict: str


def read_costs(models: Path, timings: Path) -> dict[str, dict[str, float]]:
    """What each arm costs, its encoder and the encoder's tokenizer included; counting words is not."""
    costs = {}
    for arm in ARMS:
        network, seconds = read_json(models / arm / "model.json")["cost"], read_json(timings / f"{arm}.json")
        encoder = read_json(timings / "encode_dense.json") if arm == "dense" else NO_ENCODER
        with undamaged(timings):
            costs[arm] = {
                "parameters": encoder["parameters"] + network["parameters"],
                "multiply_adds": encoder["multiply_adds"] + network["multiply_adds"],
                "training_seconds": float(np.mean(seconds["seconds"])),
                "posts_per_second": 1 / (encoder["seconds"] + seconds["seconds_per_post"]),
            }
    return costs


def write_metrics(folder: Path, results: Results, costs: pd.DataFrame) -> None:
    """Write the scores of every run, the comparisons, and what `dvc metrics` reads."""
    write_csv(folder / "runs.csv", run_table(results.systems))
    differences = results.differences[: len(COMPARED)]
    write_csv(folder / "comparison.csv", differences)
    write_csv(folder / "fusion.csv", fusion_gains(results.scores))
    write_csv(folder / "calibration.csv", loss_table(results.systems))
    (folder / "verdict.txt").write_text(results.verdict + "\n", encoding="utf-8")
    micro_f1, low, high, p = differences.iloc[0][["difference", "low", "high", "p"]]
    difference = {"micro_f1": micro_f1, "low": low, "high": high, "p": p}
    headline: dict[str, dict] = {}
    for arm, system in results.systems.items():
        scores = system.scores()
        headline[arm] = {name: scores[name] for name in HEADLINE}
    headline["difference"] = difference
    write_json(folder / "metrics.json", {part: rounded(scores) for part, scores in headline.items()})
    write_json(folder / "timings.json", costs[SECONDS].round(2).T.to_dict())


def write_run_decisions(folder: Path, systems: Mapping[str, System], weights: list[float]) -> None:
    """Write what each run of both arms and of their fusion decides by; ``weights`` are the dense arm's."""
    for number, weight in enumerate(weights):
        decisions = {name: systems[name].runs[number].decision for name in SYSTEMS}
        write_decisions(folder / f"run-{number}.json", RunDecisions(decisions, weight))


def rounded(scores: Mapping[str, float]) -> dict[str, float | None]:
    """For a JSON file: four digits, and null for NaN."""
    return {name: None if np.isnan(value) else round(float(value), 4) for name, value in scores.items()}


def run_table(systems: Mapping[str, System]) -> pd.DataFrame:
    """The scores of every run, and those of each system over all folds."""
    rows: list[dict] = []
    for arm, system in systems.items():
        rows += [{"arm": arm, "run": n, "fold": run.fold, **run.scores} for n, run in enumerate(system.runs)]
    rows += [{"arm": arm, "run": "all", "fold": "all", **system.scores()} for arm, system in systems.items()]
    return pd.DataFrame(rows)


def fusion_gains(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """The fusion's gain over every other system, a row for each of COMPARED: over, score, difference, low, high, p."""
    rows = [
        compare(scores[FUSION], scores[name])[: len(COMPARED)].assign(over=name, score=COMPARED)
        for name in scores
        if name != FUSION
    ]
    return pd.concat(rows)[["over", "score", "difference", "low", "high", "p"]]


def cost_table(costs: Mapping[str, Mapping[str, float]], systems: Mapping[str, System]) -> pd.DataFrame:
    """Costs of the arms and of their fusion, which runs both, beside their micro-F1."""
    cost = pd.DataFrame.from_dict(costs, orient="index").rename_axis("arm")
    cost.loc[FUSION] = cost.sum()
    cost.loc[FUSION, "posts_per_second"] = 1 / (1 / cost["posts_per_second"][list(ARMS)]).sum()
    cost["micro_f1"] = [systems[arm].scores()["micro_f1"] for arm in cost.index]
    return cost


def write_plots(folder: Path, results: Results, costs: pd.DataFrame, corpus: Corpus, models: Path) -> None:
    """Write every table that DVC draws or a reader opens, and every figure."""
    by_arm = arm_tables(results.systems, corpus.tags, models)
    shared = shared_tables(results, corpus)
    for name, tables_by_arm in by_arm.items():
        for arm, table in tables_by_arm.items():
            write_csv(folder / f"{name}_{arm}.csv", table)
    for name, table in shared.items():
        write_csv(folder / f"{name}.csv", table)
    write_csv(folder / "cost.csv", costs.drop(columns=SECONDS).reset_index())
    (folder / "images").mkdir()
    draw(folder / "images", by_arm, shared, results, costs)


def arm_tables(systems: Mapping[str, System], tags: list[str], models: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables that exist for each arm, or for each arm and the fusion."""
    counts = {arm: [at[0] for at in systems[arm].counts()] for arm in ARMS}  # at the threshold for micro-F1
    runs = {arm: systems[arm].runs for arm in SYSTEMS}
    return {
        "history": {arm: tables.history(models / arm) for arm in ARMS},
        "tags": {arm: tables.by_tag(counts[arm], tags) for arm in ARMS},
        "confusion": {arm: tables.confusion(counts[arm], tags) for arm in ARMS},
        "reliability": {arm: tables.reliability([run.reliability for run in runs[arm]]) for arm in runs},
        "recall": {arm: tables.precision_recall([run.precision for run in runs[arm]]) for arm in runs},
    }


def shared_tables(results: Results, corpus: Corpus) -> dict[str, pd.DataFrame]:
    """The tables that exist once per study."""
    tested = corpus.tested()
    labels = corpus.labels.take(tested)
    decisions = {arm: results.systems[arm].decisions() for arm in SYSTEMS}
    frequency = tables.tag_frequency(corpus)
    differences = results.differences[len(COMPARED) :].rename(columns={"score": "tag"})
    support = np.bincount(labels.indices, minlength=len(corpus.tags))
    groups = tables.groups(corpus, tested, labels)
    return {
        "tag_frequency": frequency,
        "co_occurrence": tables.co_occurrence(corpus.labels.blocks(), corpus.tags[: style.SHOWN_TAGS]),
        "difference_by_tag": differences.assign(support=support).reset_index(drop=True),
        "groups": tables.breakdown(labels, decisions, groups),
        "disagreements": tables.disagreements(corpus, labels, decisions["dense"], decisions["sparse"]),
    }


def draw(
    folder: Path,
    by_arm: dict[str, dict[str, pd.DataFrame]],
    shared: dict[str, pd.DataFrame],
    results: Results,
    costs: pd.DataFrame,
) -> None:
    """Draw every figure, on all cores: this takes longer than all else in evaluation."""
    history, tags, frequency = by_arm["history"], by_arm["tags"], shared["tag_frequency"]
    losses = {"train_loss": "train", "valid_loss": "valid"}
    decided = not results.verdict.startswith(UNDECIDED)
    scores = {arm: results.systems[arm].scores() for arm in by_arm["recall"]}
    operating = {arm: (of_arm["micro_recall"], of_arm["micro_precision"]) for arm, of_arm in scores.items()}
    jobs: dict[str, tuple] = {  # the longest first
        "confusion": (figures.confusion, by_arm["confusion"]),
        "co_occurrence": (figures.co_occurrence, shared["co_occurrence"]),
        "tag_frequency": (figures.tag_frequency, frequency),
        "f1_by_tag": (figures.f1_by_tag, tags),
        "difference_by_tag": (figures.difference_by_tag, shared["difference_by_tag"], decided),
        "cost": (figures.cost, costs),
        "loss": (figures.curves, "Loss by epoch", history, losses, "loss per post and tag"),
        "hamming_loss": (
            figures.curves,
            "Hamming loss on valid by epoch, at a threshold of 0.5",
            history,
            {"valid_hamming": "valid"},
            "Hamming loss",
        ),
        "validation_micro_f1": (
            figures.curves,
            "Micro-F1 on valid by epoch, at each epoch's best threshold",
            history,
            {"valid_micro_f1": "valid"},
            "micro-F1",
        ),
        "f1_by_frequency": (figures.f1_by_frequency, tags, frequency),
        "reliability": (figures.reliability, by_arm["reliability"]),
        "precision_recall": (figures.precision_recall, by_arm["recall"], operating),
        "groups": (figures.groups, shared["groups"]),
        "verdict": (figures.differences, results.differences[: len(COMPARED)], decided),
    }
    with worker_pool(min(available_cores(), len(jobs)), fork=True) as pool:
        drawings = [
            pool.submit(function, folder / f"{name}.png", *inputs) for name, (function, *inputs) in jobs.items()
        ]
        for drawing in drawings:
            drawing.result()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    tables.escape_cells(table).round(6).to_csv(path, index=False, lineterminator="\n")
