"""Stage evaluate: score both arms on test, at thresholds that come from valid, and tell which is better.

in:  data/models, data/features, data/posts, data/timings
out: metrics/metrics.json (headline scores, mean over runs, and the difference of the arms), runs.csv (every score of
     each run, and means), prediction.json (of each run, for predict.py: thresholds, the dense arm's share of the
     fusion), comparison.csv (differences of the arms with their intervals), verdict.txt (the first one in a
     sentence), fusion.csv (the fusion's from each arm), timings.json (seconds, which alone change from run to run, with
     plots/images/cost.png);
     plots/*.csv, which DVC draws or a reader opens, and plots/images/*.png, drawn with matplotlib
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from tagstudy.core.config import read_params
from tagstudy.core.device import choose_device
from tagstudy.core.files import read_json, whole_folder, write_json
from tagstudy.core.paths import ARMS, FEATURES, METRICS, MODELS, PLOTS, POSTS, SPLITS, TIMINGS
from tagstudy.core.stage import run
from tagstudy.core.store import open_features, read_labels, read_texts
from tagstudy.evaluation import figures, scoring, tables
from tagstudy.evaluation.comparison import METRICS as COMPARED
from tagstudy.evaluation.comparison import Scores, compare, score, verdict
from tagstudy.evaluation.fusion import Answer, best_weight, mean
from tagstudy.model.losses import LOSSES
from tagstudy.model.training import build, predict

HEADLINE = ["micro_f1", "macro_f1", "hamming_loss"]


class Run(NamedTuple):
    """A run on test."""

    scores: dict[str, Any]
    counts: scoring.Counts
    guesses: np.ndarray  # [posts, tags] booleans
    answer: Answer


def main() -> str:
    params = read_params()
    torch.set_num_threads(params.train.threads)
    tags = read_json(POSTS / "tags.json")
    labels = {split: read_labels(split, tags) for split in SPLITS}
    answers, costs = {}, {}
    for arm in ARMS:
        answers[arm], costs[arm] = ask(arm, choose_device(params.train.device))
    pairs = list(zip(*answers.values(), strict=False))  # of runs of the dense and of the sparse arm
    shares = [best_weight(labels["valid"], dense["valid"], sparse["valid"]) for dense, sparse in pairs]
    answers["fusion"] = [
        {split: mean(dense[split], sparse[split], share) for split in dense}
        for (dense, sparse), share in zip(pairs, shares, strict=True)
    ]
    runs = {arm: [assess(labels, own, params.evaluate.threshold) for own in answers.pop(arm)] for arm in list(answers)}
    guesses = {arm: [run.guesses for run in own] for arm, own in runs.items()}
    scored = score(labels["test"], guesses, params.evaluate.resamples)
    differences = compare(scored["dense"], scored["sparse"])
    differences.insert(0, "score", [*COMPARED, *tags])
    sentence = verdict(differences.iloc[0], len(runs["dense"]), len(runs["sparse"]))
    with whole_folder(METRICS) as metrics, whole_folder(PLOTS) as plots:
        means = write_metrics(metrics, runs, differences[: len(COMPARED)], sentence)
        write_csv(metrics / "fusion.csv", gains(scored))
        thresholds = {arm: [run.scores["threshold"] for run in own] for arm, own in runs.items()}
        write_json(metrics / "prediction.json", {"thresholds": thresholds, "dense_shares": shares})
        write_timings(metrics, plots, costs, means)
        write_plots(plots, runs, labels, tags, differences[len(COMPARED) :])
        figures.differences(plots / "images/verdict.png", differences[: len(COMPARED)])
    return sentence


def ask(arm: str, device: torch.device) -> tuple[list[dict[str, Answer]], dict[str, float]]:
    """What every run of an arm says of valid and test; what it costs, with an encoder, without cutting into words."""
    about = read_json(MODELS / arm / "model.json")
    network, loss = build(about["network"]).to(device), LOSSES[about["loss"]]
    features = {split: open_features(FEATURES / ARMS[arm] / split) for split in ("valid", "test")}
    answers, seconds = [], []
    for seed in about["seeds"]:
        network.load_state_dict(load_file(MODELS / arm / f"run-{seed}" / "weights.safetensors"))
        logits = {"valid": torch.cat(list(predict(network, features["valid"])))}
        start = time.perf_counter()
        logits["test"] = torch.cat(list(predict(network, features["test"])))
        seconds.append(time.perf_counter() - start)
        answers.append({split: Answer(own.numpy(), loss.probability(own).numpy()) for split, own in logits.items()})
    posts = len(features["test"])
    encode = TIMINGS / f"encode_{arm}.json"
    before = read_json(encode) if encode.exists() else {"parameters": 0, "multiply_adds": 0, "seconds": 0}
    parameters = before["parameters"] + sum(parameter.numel() for parameter in network.parameters())
    return answers, {
        "parameters": parameters,
        "megabytes": parameters * 4 / 1e6,
        "multiply_adds": before["multiply_adds"] + network.multiply_adds(features["test"].entries_per_post()),
        "training_seconds": float(np.mean(read_json(TIMINGS / f"{arm}.json")["seconds"])),
        "posts_per_second": 1 / (before["seconds"] + min(seconds) / posts),
    }


def assess(labels: dict[str, np.ndarray], answer: dict[str, Answer], threshold: str | float) -> Run:
    """Score a run on test, at a threshold tuned on valid or at a fixed one."""
    if threshold == "tuned":
        threshold = scoring.best_threshold(labels["valid"], answer["valid"].probabilities)
    test, (logits, probabilities) = labels["test"], answer["test"]
    guesses = probabilities >= threshold
    counts = scoring.count(test, guesses)
    error = scoring.calibration_error(scoring.reliability(test, probabilities))
    scores = {
        "threshold": threshold,
        **scoring.scores(counts),
        **scoring.ranking(test, logits),
        "calibration_error": error,
    }
    return Run(scores, counts, guesses, answer["test"])


def gains(scored: dict[str, Scores]) -> pd.DataFrame:
    """What the fusion has over each arm, a row for each of COMPARED: arm, score, difference, low, high, p."""
    fusion, rows = scored["fusion"], []
    runs = len(fusion.found)  # as many as both arms have
    for arm in ARMS:
        found, drawn, posts = scored[arm]
        table = compare(fusion, Scores(found[:runs], drawn[:, :runs], posts), paired=True)[: len(COMPARED)]
        rows.append(table.assign(arm=arm, score=COMPARED))
    return pd.concat(rows)[["arm", "score", "difference", "low", "high", "p"]]


def write_metrics(folder: Path, runs: dict[str, list[Run]], differences: pd.DataFrame, sentence: str) -> pd.DataFrame:
    """Write what the runs say and which arm is better; give the means over runs, a row an arm."""
    every = pd.DataFrame(
        [{"arm": arm, "run": n, **run.scores} for arm, own in runs.items() for n, run in enumerate(own)]
    )
    means = every.drop(columns="run").groupby("arm", sort=False).mean()
    write_csv(folder / "runs.csv", pd.concat([every, means.reset_index().assign(run="mean")]))
    write_csv(folder / "comparison.csv", differences)
    (folder / "verdict.txt").write_text(sentence + "\n", encoding="utf-8")
    micro_f1, low, high, p = differences.iloc[0][["difference", "low", "high", "p"]]
    difference = {"micro_f1": micro_f1, "low": low, "high": high, "p": p}
    headline = means[HEADLINE].T.to_dict() | {"difference": difference}
    write_json(
        folder / "metrics.json",
        {part: {name: round(float(value), 4) for name, value in own.items()} for part, own in headline.items()},
    )
    return means


def write_timings(metrics: Path, plots: Path, costs: dict[str, dict[str, float]], means: pd.DataFrame) -> None:
    """Write what an arm costs: what is the same each time as a table, the seconds apart, and both in a picture."""
    cost = pd.DataFrame.from_dict(costs, orient="index").rename_axis("arm")
    cost.loc["fusion"] = cost.sum()  # both arms are asked
    cost.loc["fusion", "posts_per_second"] = 1 / (1 / cost["posts_per_second"][list(ARMS)]).sum()
    cost["micro_f1"] = means["micro_f1"]
    seconds = ["training_seconds", "posts_per_second"]
    write_json(metrics / "timings.json", cost[seconds].round(2).T.to_dict())
    write_csv(plots / "cost.csv", cost.drop(columns=seconds).reset_index())
    (plots / "images").mkdir()
    figures.cost(plots / "images/cost.png", cost)


def write_plots(
    folder: Path, runs: dict[str, list[Run]], labels: dict[str, np.ndarray], tags: list[str], differences: pd.DataFrame
) -> None:
    """Write every table that DVC draws or a reader opens, and every other picture."""
    test = labels["test"]
    guesses = {arm: [run.guesses for run in own] for arm, own in runs.items()}
    of_arms: dict[str, dict[str, pd.DataFrame]] = {
        "history": {arm: tables.history(MODELS / arm) for arm in ARMS},
        "tags": {arm: tables.of_tags([run.counts for run in runs[arm]], tags) for arm in ARMS},
        "confusion": {arm: tables.confusion([run.counts for run in runs[arm]], tags) for arm in ARMS},
        "reliability": {
            arm: tables.reliability(test, [run.answer.probabilities for run in own]) for arm, own in runs.items()
        },
        "recall": {arm: tables.precision_recall(test, [run.answer.logits for run in own]) for arm, own in runs.items()},
    }
    frequency = pd.DataFrame({"tag": tags} | {split: labels[split].sum(axis=0) for split in SPLITS})
    differences = differences.rename(columns={"score": "tag"}).merge(frequency, on="tag")
    groups = tables.groups(read_texts("test"), test, tags)
    others = {
        "tag_frequency": frequency,
        "co_occurrence": tables.co_occurrence(labels["train"][:, : figures.SHOWN], tags[: figures.SHOWN]),
        "difference_by_tag": differences,
        "groups": tables.breakdown(test, guesses, groups),
        "disagreements": tables.disagreements(POSTS / "test.parquet", test, guesses["dense"], guesses["sparse"], tags),
    }
    for name, own in of_arms.items():
        for arm, table in own.items():
            write_csv(folder / f"{name}_{arm}.csv", table)
    for name, table in others.items():
        write_csv(folder / f"{name}.csv", table)

    images = folder / "images"
    losses = {"train_loss": "train", "valid_loss": "valid"}
    figures.curves(images / "loss.png", of_arms["history"], losses, "loss per post and tag")
    hamming = {"valid_hamming": "valid"}
    figures.curves(images / "hamming_distance.png", of_arms["history"], hamming, "Hamming distance")
    figures.f1_by_tag(images / "f1_by_tag.png", of_arms["tags"])
    figures.confusion(images / "confusion.png", of_arms["confusion"])
    figures.tag_frequency(images / "tag_frequency.png", frequency)
    figures.co_occurrence(images / "co_occurrence.png", others["co_occurrence"])
    figures.difference_by_tag(images / "difference_by_tag.png", differences)
    figures.f1_by_frequency(images / "f1_by_frequency.png", of_arms["tags"], frequency)
    figures.reliability(images / "reliability.png", of_arms["reliability"])
    figures.precision_recall(images / "precision_recall.png", of_arms["recall"])
    figures.groups(images / "groups.png", others["groups"])


def write_csv(path: Path, table: pd.DataFrame) -> None:
    tables.escape_cells(table).round(6).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
