"""The files of metrics/ and plots/, written from what evaluation has found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json, write_json
from tagstudy.core.paths import ARMS
from tagstudy.core.processes import available_cores, worker_pool
from tagstudy.evaluation import figures, tables
from tagstudy.evaluation.blocks import Run
from tagstudy.evaluation.comparison import METRICS, Scores, compare

HEADLINE = ["micro_f1", "macro_f1", "hamming_loss"]
SECONDS = ["training_seconds", "posts_per_second"]  # the costs that change each time


class Results(NamedTuple):
    """What evaluation has found, by system: the arms and their fusion."""

    runs: dict[str, list[Run]]
    scores: dict[str, Scores]
    weights: list[float]  # of the dense arm in each run of the fusion
    differences: pd.DataFrame  # of the arms, a row for each of METRICS and then for each tag
    verdict: str


def read_costs(models: Path, timings: Path) -> dict[str, dict[str, float]]:
    """What each arm costs, with its encoder, without cutting text into words."""
    costs = {}
    for arm in ARMS:
        network, seconds = read_json(models / arm / "model.json")["cost"], read_json(timings / f"{arm}.json")
        encoding = timings / f"encode_{arm}.json"
        encoder = read_json(encoding) if encoding.exists() else {"parameters": 0, "multiply_adds": 0, "seconds": 0}
        parameters = encoder["parameters"] + network["parameters"]
        costs[arm] = {
            "parameters": parameters,
            "megabytes": parameters * 4 / 1e6,
            "multiply_adds": encoder["multiply_adds"] + network["multiply_adds"],
            "training_seconds": float(np.mean(seconds["seconds"])),
            "posts_per_second": 1 / (encoder["seconds"] + seconds["seconds_per_post"]),
        }
    return costs


def write_metrics(folder: Path, results: Results, costs: pd.DataFrame) -> None:
    """Write the scores of every run, the comparisons, and what `dvc metrics` and predict.py read."""
    means = mean_scores(results.runs)
    runs = [{"arm": arm, "run": n, **run.scores} for arm, runs in results.runs.items() for n, run in enumerate(runs)]
    write_csv(folder / "runs.csv", pd.concat([pd.DataFrame(runs), means.reset_index().assign(run="mean")]))
    differences = results.differences[: len(METRICS)]
    write_csv(folder / "comparison.csv", differences)
    write_csv(folder / "fusion.csv", fusion_gains(results.scores))
    (folder / "verdict.txt").write_text(results.verdict + "\n", encoding="utf-8")
    micro_f1, low, high, p = differences.iloc[0][["difference", "low", "high", "p"]]
    difference = {"micro_f1": micro_f1, "low": low, "high": high, "p": p}
    headline = means[HEADLINE].T.to_dict() | {"difference": difference}
    write_json(
        folder / "metrics.json",
        {part: {name: round(float(value), 4) for name, value in scores.items()} for part, scores in headline.items()},
    )
    thresholds = {arm: [run.scores["threshold"] for run in runs] for arm, runs in results.runs.items()}
    write_json(folder / "prediction.json", {"thresholds": thresholds, "dense_weights": results.weights})
    write_json(folder / "timings.json", costs[SECONDS].round(2).T.to_dict())


def mean_scores(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Means over runs, a row for each arm."""
    means = {arm: pd.DataFrame([run.scores for run in runs[arm]]).mean() for arm in runs}
    return pd.DataFrame.from_dict(means, orient="index").rename_axis("arm")


def fusion_gains(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """The fusion's gain over each arm, a row for each of METRICS: arm, score, difference, low, high, p."""
    fusion, rows = scores["fusion"], []
    runs = len(fusion.observed)  # an arm may have more than the other
    for arm in ARMS:
        observed, replicates, posts = scores[arm]
        table = compare(fusion, Scores(observed[:runs], replicates[:, :runs], posts), paired=True)[: len(METRICS)]
        rows.append(table.assign(arm=arm, score=METRICS))
    return pd.concat(rows)[["arm", "score", "difference", "low", "high", "p"]]


def cost_table(costs: Mapping[str, Mapping[str, float]], runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Costs of the arms and of their fusion, which runs both, beside their micro-F1."""
    cost = pd.DataFrame.from_dict(costs, orient="index").rename_axis("arm")
    cost.loc["fusion"] = cost.sum()
    cost.loc["fusion", "posts_per_second"] = 1 / (1 / cost["posts_per_second"][list(ARMS)]).sum()
    cost["micro_f1"] = mean_scores(runs)["micro_f1"]
    return cost


def write_plots(folder: Path, results: Results, costs: pd.DataFrame, corpus: Corpus, models: Path) -> None:
    """Write every table that DVC draws or a reader opens, and every figure."""
    by_arm = arm_tables(results.runs, corpus.tags, models)
    shared = shared_tables(results, corpus)
    for name, tables_by_arm in by_arm.items():
        for arm, table in tables_by_arm.items():
            write_csv(folder / f"{name}_{arm}.csv", table)
    for name, table in shared.items():
        write_csv(folder / f"{name}.csv", table)
    write_csv(folder / "cost.csv", costs.drop(columns=SECONDS).reset_index())
    (folder / "images").mkdir()
    draw(folder / "images", by_arm, shared, results.differences[: len(METRICS)], costs)


def arm_tables(runs: Mapping[str, list[Run]], tags: list[str], models: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables that each arm, or each arm and the fusion, has one of."""
    return {
        "history": {arm: tables.history(models / arm) for arm in ARMS},
        "tags": {arm: tables.by_tag([run.counts for run in runs[arm]], tags) for arm in ARMS},
        "confusion": {arm: tables.confusion([run.counts for run in runs[arm]], tags) for arm in ARMS},
        "reliability": {arm: tables.reliability([run.reliability for run in runs[arm]]) for arm in runs},
        "recall": {arm: tables.precision_recall([run.precision for run in runs[arm]]) for arm in runs},
    }


def shared_tables(results: Results, corpus: Corpus) -> dict[str, pd.DataFrame]:
    """The tables that there are one of."""
    labels = corpus.labels.take(corpus.rows("test"))
    decisions = {arm: [run.decisions for run in runs] for arm, runs in results.runs.items()}
    frequency = tables.tag_frequency(corpus)
    differences = results.differences[len(METRICS) :].rename(columns={"score": "tag"})
    groups = tables.groups(corpus.texts("test"), labels, corpus.tags)
    return {
        "tag_frequency": frequency,
        "co_occurrence": tables.co_occurrence(tables.label_blocks(corpus, "train"), corpus.tags[: figures.SHOWN]),
        "difference_by_tag": differences.merge(frequency, on="tag"),
        "groups": tables.breakdown(labels, decisions, groups),
        "disagreements": tables.disagreements(corpus, labels, decisions["dense"], decisions["sparse"]),
    }


def draw(
    folder: Path,
    by_arm: dict[str, dict[str, pd.DataFrame]],
    shared: dict[str, pd.DataFrame],
    differences: pd.DataFrame,
    costs: pd.DataFrame,
) -> None:
    """Draw every figure, on all cores: this takes longer than all else in evaluation."""
    history, tags, frequency = by_arm["history"], by_arm["tags"], shared["tag_frequency"]
    losses, hamming = {"train_loss": "train", "valid_loss": "valid"}, {"valid_hamming": "valid"}
    jobs: dict[str, tuple] = {  # the longest first
        "confusion": (figures.confusion, by_arm["confusion"]),
        "co_occurrence": (figures.co_occurrence, shared["co_occurrence"]),
        "tag_frequency": (figures.tag_frequency, frequency),
        "f1_by_tag": (figures.f1_by_tag, tags),
        "difference_by_tag": (figures.difference_by_tag, shared["difference_by_tag"]),
        "cost": (figures.cost, costs),
        "loss": (figures.curves, history, losses, "loss per post and tag"),
        "hamming_distance": (figures.curves, history, hamming, "Hamming distance"),
        "f1_by_frequency": (figures.f1_by_frequency, tags, frequency),
        "reliability": (figures.reliability, by_arm["reliability"]),
        "precision_recall": (figures.precision_recall, by_arm["recall"]),
        "groups": (figures.groups, shared["groups"]),
        "verdict": (figures.differences, differences),
    }
    with worker_pool(min(available_cores(), len(jobs)), fork=True) as pool:
        drawings = [
            pool.submit(function, folder / f"{name}.png", *inputs) for name, (function, *inputs) in jobs.items()
        ]
        for drawing in drawings:
            drawing.result()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    tables.escape_cells(table).round(6).to_csv(path, index=False, lineterminator="\n")
