"""Stage evaluate: both arms on the test posts, at thresholds that come from the validation posts.

in:  data/models, data/features, data/posts
out: metrics/metrics.json (headline scores, mean over runs), metrics/runs.csv (every score of each run, and means);
     plots/*.csv, which DVC draws, and plots/images/*.png, the same drawn with matplotlib
"""

from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

import figures
import scoring
from features import Bags, read_labels
from losses import LOSSES, Loss
from mlp import MLP
from params import read_params
from stage import FEATURES, METRICS, MODELS, PLOTS, POSTS, SPLITS, read_json, run, whole_folder, write_json
from training import choose_device, predict

ARMS = {"dense": "dense", "sparse": "tfidf"}  # an arm and its features
HEADLINE = ["micro_f1", "macro_f1", "micro_precision", "micro_recall", "hamming_loss", "subset_accuracy", "threshold"]


class Results(NamedTuple):
    """What the test posts say of one arm."""

    runs: pd.DataFrame  # per run: arm, seed, threshold and every score
    tags: pd.DataFrame  # per tag: support (posts in test), precision, recall, f1; mean over runs
    confusion: pd.DataFrame  # per tag and cell: actual, predicted, posts; mean over runs
    history: pd.DataFrame  # per epoch: losses and validation scores; mean over runs, as far as all of them went


def main() -> str:
    params = read_params()
    torch.set_num_threads(params.train.threads)
    tags = read_json(POSTS / "tags.json")
    labels = {split: read_labels(split, tags) for split in SPLITS}
    results = {}
    for arm, features in ARMS.items():
        model = read_json(MODELS / arm / "model.json")
        network = MLP(**model["network"]).to(choose_device(params.train.device))
        bags = {split: Bags(FEATURES / features / split) for split in ("valid", "test")}
        loss = LOSSES[model["loss"]]
        results[arm] = assess_arm(arm, network, loss, model["seeds"], bags, labels, tags, params.evaluate.threshold)
    frequency = pd.DataFrame({"tag": tags} | {split: labels[split].sum(axis=0) for split in SPLITS})
    together = co_occurrence(labels["train"][:, : figures.SHOWN], tags[: figures.SHOWN])
    headline = {arm: result.runs[HEADLINE].mean().round(4).to_dict() for arm, result in results.items()}

    with whole_folder(METRICS) as metrics, whole_folder(PLOTS) as plots:
        write_json(metrics / "metrics.json", headline)
        runs = pd.concat([result.runs for result in results.values()])
        means = runs.groupby("arm", sort=False).mean().reset_index().assign(seed="mean")
        write_csv(metrics / "runs.csv", pd.concat([runs, means]))
        for arm, result in results.items():
            write_csv(plots / f"tags_{arm}.csv", result.tags)
            write_csv(plots / f"confusion_{arm}.csv", result.confusion)
            write_csv(plots / f"history_{arm}.csv", result.history)
        write_csv(plots / "tag_frequency.csv", frequency)
        write_csv(plots / "co_occurrence.csv", together)

        images = plots / "images"
        images.mkdir()
        history = {arm: result.history for arm, result in results.items()}
        losses = {"train_loss": "train", "valid_loss": "valid"}
        figures.curves(images / "loss.png", history, losses, "loss per post and tag")
        figures.curves(images / "hamming_distance.png", history, {"valid_hamming": "valid"}, "Hamming distance")
        figures.f1_by_tag(images / "f1_by_tag.png", {arm: result.tags for arm, result in results.items()})
        figures.confusion(images / "confusion.png", {arm: result.confusion for arm, result in results.items()})
        figures.tag_frequency(images / "tag_frequency.png", frequency)
        figures.co_occurrence(images / "co_occurrence.png", together)
    return "test micro-F1 " + ", ".join(f"{arm} {scores['micro_f1']:.4f}" for arm, scores in headline.items())


def assess_arm(
    arm: str,
    network: MLP,
    loss: Loss,
    seeds: list[int],
    bags: dict[str, Bags],
    labels: dict[str, np.ndarray],
    tags: list[str],
    threshold: str | float,
) -> Results:
    """Score every run of an arm on test, at a threshold tuned on valid or at a fixed one."""
    runs, counts, histories = [], [], []
    for seed in seeds:
        folder = MODELS / arm / f"run-{seed}"
        network.load_state_dict(load_file(folder / "weights.safetensors"))
        valid, test = (
            loss.probability(torch.cat(list(predict(network, bags[split])))).numpy() for split in ("valid", "test")
        )
        cut = scoring.tune_threshold(labels["valid"], valid) if threshold == "tuned" else threshold
        counts.append(scoring.count(labels["test"], test >= cut))
        runs.append({"arm": arm, "seed": seed, "threshold": cut, **scoring.scores(counts[-1])})
        histories.append(read_history(folder))
    by_tag = pd.concat([pd.DataFrame({"tag": tags, **scoring.by_tag(count)}) for count in counts])
    by_tag = by_tag.groupby("tag", sort=False).mean()
    by_tag.insert(0, "support", labels["test"].sum(axis=0))
    return Results(
        runs=pd.DataFrame(runs),
        tags=by_tag.reset_index(),
        confusion=mean_confusion(counts, tags),
        history=mean_history(histories),
    )


def read_history(folder: Path) -> pd.DataFrame:
    """What dvclive logged of a run: a row an epoch."""
    tables = [pd.read_csv(path, sep="\t") for path in sorted((folder / "plots" / "metrics").glob("*.tsv"))]
    return reduce(lambda left, right: left.merge(right, on="step"), tables).rename(columns={"step": "epoch"})


def mean_history(histories: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over runs of every epoch that all of them reached."""
    epochs = min(len(history) for history in histories)
    return pd.concat([history[:epochs] for history in histories]).groupby("epoch").mean().reset_index()


def mean_confusion(counts: list[scoring.Counts], tags: list[str]) -> pd.DataFrame:
    """Four rows per tag, posts averaged over runs; `actual` and `predicted` say yes or no."""
    tp, fp, fn = (np.mean([getattr(count, cell) for count in counts], axis=0) for cell in ("tp", "fp", "fn"))
    cells = {("yes", "yes"): tp, ("yes", "no"): fn, ("no", "yes"): fp, ("no", "no"): counts[0].posts - tp - fn - fp}
    return pd.DataFrame(
        {"tag": tag, "actual": actual, "predicted": predicted, "posts": posts[number]}
        for number, tag in enumerate(tags)
        for (actual, predicted), posts in cells.items()
    )


def co_occurrence(labels: np.ndarray, tags: list[str]) -> pd.DataFrame:
    """For every pair of tags the posts that have both, and the share of the first one's posts that they are.

    A tag with itself has posts but no share, which would tell nothing.
    """
    posts = (labels.T.astype(np.float32) @ labels.astype(np.float32)).astype(np.int64)  # exact to 2**24 posts
    share = posts / posts.diagonal()[:, None]
    np.fill_diagonal(share, np.nan)
    return pd.DataFrame(
        {"tag": tag, "with": other, "posts": posts[row, column], "share": share[row, column]}
        for row, tag in enumerate(tags)
        for column, other in enumerate(tags)
    )


def write_csv(path: Path, table: pd.DataFrame) -> None:
    table.round(6).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
