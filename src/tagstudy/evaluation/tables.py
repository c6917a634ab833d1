"""The tables that evaluate writes: what DVC draws and the figures show."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tagstudy.data.text import tokenize
from tagstudy.evaluation import scoring
from tagstudy.features.counts import terms

UNLIKE = 20  # posts told of where one arm is right and the other wrong
SHOWN = 300  # characters of their texts


def history(folder: Path) -> pd.DataFrame:
    """What dvclive logged of an arm's runs: a row for each epoch that all of them reached, means over runs."""
    runs = [read_history(run) for run in sorted(folder.glob("run-*"))]
    epochs = min(len(run) for run in runs)
    return pd.concat([run[:epochs] for run in runs]).groupby("epoch").mean().reset_index()


def read_history(folder: Path) -> pd.DataFrame:
    """What dvclive logged of a run: a row an epoch."""
    logs = [pd.read_csv(path, sep="\t") for path in sorted((folder / "plots" / "metrics").glob("*.tsv"))]
    return reduce(lambda left, right: left.merge(right, on="step"), logs).rename(columns={"step": "epoch"})


def of_tags(counts: Sequence[scoring.Counts], tags: list[str]) -> pd.DataFrame:
    """Per tag: support (posts in test), precision, recall, f1; mean over runs."""
    runs = [scoring.by_tag(count) for count in counts]
    means = {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
    return pd.DataFrame({"tag": tags, "support": counts[0].tp + counts[0].fn, **means})


def confusion(counts: Sequence[scoring.Counts], tags: list[str]) -> pd.DataFrame:
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


def reliability(labels: np.ndarray, runs: Sequence[np.ndarray]) -> pd.DataFrame:
    """scoring.reliability over the probabilities of all runs together; bins with decisions alone."""
    table = scoring.reliability(np.concatenate([labels] * len(runs)), np.concatenate(runs))
    return table[table["decisions"] > 0]


def precision_recall(labels: np.ndarray, runs: Sequence[np.ndarray]) -> pd.DataFrame:
    """Precision where recall first reaches 0.01, 0.02, …, over all decisions by their logits; mean over runs."""
    recall = np.arange(1, 101) / 100
    precision = []
    for logits in runs:
        curve = scoring.precision_recall(labels, logits)
        reached = np.searchsorted(curve["tp"], np.ceil(recall * labels.sum() - 1e-9))
        precision.append((curve["tp"] / curve["given"]).to_numpy()[reached])
    return pd.DataFrame({"recall": recall, "precision": np.mean(precision, axis=0)})


def groups(texts: Iterable[list[str]], labels: np.ndarray, tags: list[str]) -> dict[str, np.ndarray]:
    """Posts, boolean [posts], by whether their text names a tag of theirs, and by length: quarters, in words."""
    names = [" ".join(tokenize(tag)) for tag in tags]
    longest = max(len(tokenize(tag)) for tag in tags)
    named, lengths = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=np.int64)
    for post, tokens in enumerate(tokenize(text) for batch in texts for text in batch):
        held = set(terms(tokens, longest))
        named[post] = any(names[tag] in held for tag in np.flatnonzero(labels[post]))
        lengths[post] = len(tokens)
    edges = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75], method="lower"))
    quarter = np.searchsorted(edges, lengths)
    parts = [quarter == number for number in np.unique(quarter)]
    return {"names a tag of its own": named, "names none of its tags": ~named} | {
        f"{lengths[part].min()} to {lengths[part].max()} words": part for part in parts
    }


def breakdown(
    labels: np.ndarray, guesses: Mapping[str, Sequence[np.ndarray]], groups: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Micro-F1 of each arm on each group of posts that there are; mean over runs."""
    return pd.DataFrame(
        {
            "group": group,
            "posts": int(here.sum()),
            "arm": arm,
            "micro_f1": np.mean([scoring.scores(scoring.count(labels[here], run[here]))["micro_f1"] for run in runs]),
        }
        for group, here in groups.items()
        for arm, runs in guesses.items()
        if here.any()
    )


def disagreements(
    posts: Path, labels: np.ndarray, dense: Sequence[np.ndarray], sparse: Sequence[np.ndarray], tags: list[str]
) -> pd.DataFrame:
    """Posts that one arm gets right and the other wrong, first those with most wrong tags.

    ``posts`` is their Parquet file. An arm's guess is what more than half of its runs say.
    """
    guess = {arm: np.sum(runs, axis=0) > len(runs) / 2 for arm, runs in (("dense", dense), ("sparse", sparse))}
    wrong = {arm: (own != labels).sum(axis=1) for arm, own in guess.items()}
    chosen = []
    for right, other in (("dense", "sparse"), ("sparse", "dense")):
        gap = np.where(wrong[right] == 0, wrong[other], 0)
        chosen += [(right, row) for row in np.argsort(-gap, kind="stable")[:UNLIKE] if gap[row]]
    batches = pq.ParquetFile(posts, pre_buffer=False).iter_batches(1_000, columns=["id", "text"])
    rows = {row for _, row in chosen}
    read = {row: post for row, post in enumerate(chain(*map(pa.RecordBatch.to_pylist, batches))) if row in rows}
    given = {"tags": labels, **guess}

    def describe(right: str, row: int) -> dict[str, str]:
        named = {name: " ".join(tags[tag] for tag in np.flatnonzero(of[row])) for name, of in given.items()}
        text = " ".join(read[row]["text"].split())[:SHOWN]
        return {"right": right, "id": read[row]["id"], **named, "text": text}

    return pd.DataFrame([describe(*at) for at in chosen], columns=["right", "id", *given, "text"])


def escape_cells(table: pd.DataFrame) -> pd.DataFrame:
    """With text that is none but text wherever the table is opened.

    A cell that begins like a formula would be one to a spreadsheet, and DVC puts cells into its HTML as they are.
    """
    return table.replace({r"^([=+\-@\t\r])": r"'\1", "<": "‹"}, regex=True)
