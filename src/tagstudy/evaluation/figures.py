"""Every figure of a study: tables in, pictures out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from tagstudy.evaluation.style import (
    COLOURS,
    DASHES,
    MARKERS,
    SHOWN,
    WIDTH,
    rows,
    save,
    sheet,
    short,
    shown_of,
    with_counts,
)


def curves(path: Path, history: dict[str, pd.DataFrame], columns: dict[str, str], label: str) -> None:
    """Columns of the history against the epoch, both arms in one figure."""
    figure, axes = sheet(3.8)
    for arm, table in history.items():
        for column, split in columns.items():
            look = MARKERS[arm] + DASHES[split]
            name = f"{arm}, {split}" if len(columns) > 1 else arm
            axes.plot(table["epoch"], table[column], look, markersize=4, color=COLOURS[arm], label=name)
    on = "" if len(columns) > 1 else f" on {next(iter(columns.values()))}"
    axes.set(xlabel="epoch (0: untrained)", ylabel=f"{label}{on}, mean over runs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    save(figure, path)


def bars(axes: Axes, lengths: Mapping[str, pd.Series]) -> None:
    """A bar for each arm in every row."""
    height = 0.8 / len(lengths)
    for place, (arm, widths) in enumerate(lengths.items()):
        middle = np.arange(len(widths)) + (place - (len(lengths) - 1) / 2) * height
        axes.barh(middle, widths, height, color=COLOURS[arm], label=arm)
    axes.set_xlim(0, 1)


def f1_by_tag(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    table = tables["dense"][:SHOWN]
    figure, axes = rows(with_counts(table["tag"], table["support"]), 0.34)
    bars(axes, {arm: scores["f1"][:SHOWN] for arm, scores in tables.items()})
    total = len(tables["dense"])
    axes.set(xlabel="F1 on test", ylabel="tag (posts in test)" + shown_of(len(table), total))
    save(figure, path)


def confusion(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """A two-by-two matrix for each tag and, one below the other, each arm; shades are shares of the actual class.

    All of them are cells of one image with empty ones between: axes for each would take many times as long.
    """
    tags = list(dict.fromkeys(tables["dense"]["tag"]))
    shown = tags[:SHOWN]
    across = min(len(shown), 5)
    high, down = 2 * len(tables), -(-len(shown) // across)  # rows of a tag, tags below one another
    figure, axes = sheet(1 + 0.33 * (high + 1) * down, 1 + 1.24 * across)
    shades = np.full(((high + 1) * down - 1, 3 * across - 1), np.nan)
    for row, (arm, table) in enumerate(tables.items()):
        cells = table.pivot(index="tag", columns=["actual", "predicted"], values="posts").sort_index(axis="columns")
        for place, tag in enumerate(shown):
            top, left = (high + 1) * (place // across) + 2 * row, 3 * (place % across)
            posts = cells.loc[tag].to_numpy().reshape(2, 2)  # actual no and yes, predicted no and yes
            share = posts / np.maximum(posts.sum(axis=1, keepdims=True), 1)
            shades[top : top + 2, left : left + 2] = share
            for (y, x), value in np.ndenumerate(posts):
                colour = "white" if share[y, x] > 0.5 else "black"
                text = axes.text(left + x, top + y, f"{value:,.0f}", ha="center", va="center", fontsize=8, color=colour)
                text.set_in_layout(False)  # which would take long
            if row == 0:
                axes.text(left + 0.5, top - 0.6, short(tag, 18), ha="center", va="bottom", fontsize=8)
            else:
                axes.axhline(top - 0.5, color="white", linewidth=5)
            if left == 0:
                axes.text(-1.5, top + 0.5, arm, ha="center", va="center", rotation=90, color=COLOURS[arm])
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(shades.shape[1]), (["no", "yes", ""] * across)[:-1])
    axes.set_yticks(range(shades.shape[0]), ((["no", "yes"] * len(tables) + [""]) * down)[:-1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlabel(f"predicted{shown_of(len(shown), len(tags))}\ntest posts, shaded by their share of the row")
    axes.set_ylabel("actual", labelpad=18)
    save(figure, path)


def tag_frequency(path: Path, table: pd.DataFrame) -> None:
    shown = table[:SHOWN]
    figure, axes = rows([short(tag) for tag in shown["tag"]], 0.26)
    axes.barh(range(len(shown)), shown["posts"], color="#8c8c8c")
    axes.set(xlabel="posts", ylabel="tag" + shown_of(len(shown), len(table)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    save(figure, path)


def co_occurrence(path: Path, table: pd.DataFrame) -> None:
    """Which tags occur together: the share of the row's posts that also have the column's tag."""
    tags = list(dict.fromkeys(table["tag"]))
    share = table.pivot(index="tag", columns="with", values="share").reindex(index=tags, columns=tags)
    side = min(2.6 + 0.45 * len(tags), WIDTH)
    figure, axes = sheet(0.9 * side, side)
    image = axes.imshow(share, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    names = [short(tag, 18) for tag in tags]
    axes.set_xticks(range(len(tags)), names, rotation=90)
    axes.set_yticks(range(len(tags)), names)
    axes.tick_params(labelsize=10 if len(tags) <= 15 else 8)
    axes.set(xlabel="… that also have", ylabel="posts with …")
    axes.grid(visible=False)
    figure.colorbar(image, label="fraction of the posts")
    save(figure, path)


def differences(path: Path, table: pd.DataFrame) -> None:
    """Each score's difference between the arms, with its interval, in the colour of the arm that is better."""
    names = table["score"].str.replace("_f1", "-F1").str.replace("_", " ")
    figure, axes = rows(list(names.str.replace("hamming loss", "Hamming loss\n(less is better)")), 0.4)
    intervals(axes, table, less_is_better=table["score"] == "hamming_loss")
    axes.set(xlabel="dense − sparse on test, 95% intervals", ylabel="score")
    save(figure, path)


def difference_by_tag(path: Path, table: pd.DataFrame) -> None:
    """Each tag's difference in F1, with intervals that hold for all tags together."""
    shown = table[:SHOWN]
    figure, axes = rows(with_counts(shown["tag"], shown["support"]), 0.26)
    intervals(axes, shown)
    axes.set(
        xlabel="F1, dense − sparse on test,\nintervals that hold together with 95%",
        ylabel="tag (posts in test)" + shown_of(len(shown), len(table)),
    )
    save(figure, path)


def intervals(axes: Axes, table: pd.DataFrame, less_is_better: pd.Series | bool = False) -> None:
    """Points with their intervals, a row each, and a line at 0; hollow and grey where the interval includes 0."""
    axes.axvline(0, color="#8c8c8c", linewidth=1)
    significant = (table["low"] > 0) | (table["high"] < 0)
    dense = (table["difference"] > 0) ^ less_is_better
    styles = {
        "dense is better": (significant & dense, MARKERS["dense"], COLOURS["dense"], COLOURS["dense"]),
        "sparse is better": (significant & ~dense, MARKERS["sparse"], COLOURS["sparse"], COLOURS["sparse"]),
        "no significant difference": (~significant, "o", "#8c8c8c", "white"),
    }
    for label, (here, marker, colour, fill) in styles.items():
        places = np.flatnonzero(here)
        axes.hlines(places, table["low"][here], table["high"][here], colors=colour, linewidth=2)
        axes.plot(table["difference"][here], places, marker, color=colour, markerfacecolor=fill, label=label)


def f1_by_frequency(path: Path, tables: dict[str, pd.DataFrame], frequency: pd.DataFrame) -> None:
    """Each tag's F1 against how often it occurs."""
    figure, axes = sheet(3.8)
    for arm, table in tables.items():
        axes.plot(
            frequency["posts"], table["f1"], MARKERS[arm], color=COLOURS[arm], alpha=0.7, clip_on=False, label=arm
        )
    axes.set(xscale="log", ylim=(0, 1), xlabel="posts that have the tag", ylabel="F1 on test")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()
    save(figure, path)


def reliability(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """How often decisions with a probability are true; on the diagonal they are calibrated."""
    figure, axes = sheet(4.8, 4.8)
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linewidth=1, label="calibrated")
    for arm, table in tables.items():
        look = MARKERS[arm] + "-"
        axes.plot(table["probability"], table["share"], look, color=COLOURS[arm], label=arm, clip_on=False, zorder=3)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share that is true, on test", aspect="equal"
    )
    save(figure, path)


def precision_recall(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    figure, axes = sheet(4.8, 4.8)
    for (arm, table), dashes in zip(tables.items(), ("-", "--", ":"), strict=False):
        axes.plot(table["recall"], table["precision"], dashes, color=COLOURS[arm], label=arm)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall on test", ylabel="precision on test", aspect="equal")
    save(figure, path)


def groups(path: Path, table: pd.DataFrame) -> None:
    """Micro-F1 on parts of the test posts."""
    posts = table.drop_duplicates("group")
    figure, axes = rows(with_counts(posts["group"], posts["posts"]), 0.5)
    bars(axes, {str(arm): scores["micro_f1"] for arm, scores in table.groupby("arm", sort=False)})
    axes.set(xlabel="micro-F1 on test", ylabel="a post's text (test posts)")
    save(figure, path)


def cost(path: Path, table: pd.DataFrame) -> None:
    """Accuracy against what it costs, a panel for each kind of cost; arms are the index."""
    labels = {
        "parameters": "parameters",
        "multiply_adds": "multiply-adds for a post",
        "training_seconds": "seconds of training the network, a run",
        "posts_per_second": "posts predicted a second",
    }
    figure = Figure(figsize=(WIDTH, 5), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True)
    for axes, (column, label) in zip(panels.flat, labels.items(), strict=True):
        for arm, row in table.iterrows():
            look, colour = MARKERS[str(arm)], COLOURS[str(arm)]
            axes.plot(row[column], row["micro_f1"], look, color=colour, label=arm, clip_on=False, zorder=3)
        axes.set_xlabel(label)
        axes.set_xlim(left=0, right=1.15 * table[column].max())
        axes.set_ylim(table["micro_f1"].min() - 0.02, table["micro_f1"].max() + 0.02)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if table[column].max() >= 1000:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.supylabel("micro-F1 on test", fontsize="medium")
    save(figure, path)


def systems(path: Path, table: pd.DataFrame, metric: str) -> None:
    """The score of each system with its interval, the best at the top; filled where it is tied for best."""
    figure, axes = rows(list(table["system"]), 0.32)
    label = metric.replace("_f1", "-F1").replace("_", " ")
    for tied, fill, name in ((True, "#1f5fa8", "tied for best"), (False, "white", "worse")):
        places = np.flatnonzero(table["tied"] == tied)
        here = table.iloc[places]
        axes.hlines(places, here["low"], here["high"], colors="#1f5fa8", linewidth=2)
        axes.plot(here[metric], places, "o", color="#1f5fa8", markerfacecolor=fill, label=name if len(places) else None)
    axes.set(xlabel=f"{label} on test, 95% intervals", ylabel="system")
    save(figure, path)
