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
    SHOWN_TAGS,
    WIDTH,
    display_name,
    rows,
    save,
    sheet,
    short,
    shown_of,
    with_counts,
)


def curves(path: Path, title: str, history: dict[str, pd.DataFrame], columns: dict[str, str], label: str) -> None:
    """Columns of the history against the epoch, both arms in one figure."""
    figure, axes = sheet(title, 3.8)
    for arm, table in history.items():
        for column, split in columns.items():
            look = MARKERS[arm] + DASHES[split]
            name = f"{arm}, {split}" if len(columns) > 1 else arm
            axes.plot(table["epoch"], table[column], look, markersize=4, color=COLOURS[arm], label=name)
    axes.set(xlabel="epoch (0: untrained)", ylabel=f"{label}, mean over runs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save(figure, path)


def bars(axes: Axes, lengths: Mapping[str, pd.Series]) -> None:
    """A bar for each arm in every row."""
    height = 0.8 / len(lengths)
    for place, (arm, widths) in enumerate(lengths.items()):
        middle = np.arange(len(widths)) + (place - (len(lengths) - 1) / 2) * height
        axes.barh(middle, widths, height, color=COLOURS[arm], label=arm)
    axes.set_xlim(0, 1)


def f1_by_tag(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    table = tables["dense"][:SHOWN_TAGS]
    figure, axes = rows("F1 of each tag on test", with_counts(table["tag"], table["support"]), 0.34)
    bars(axes, {arm: scores["f1"][:SHOWN_TAGS] for arm, scores in tables.items()})
    total = len(tables["dense"])
    axes.set(xlabel="F1, better →", ylabel="tag (posts in test)" + shown_of(len(table), total))
    save(figure, path)


def confusion(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """A two-by-two matrix for each tag and, one below the other, each arm; shades are fractions of the actual class.

    All of them are cells of one image with empty ones between: axes for each would take many times as long.
    """
    tags = list(dict.fromkeys(tables["dense"]["tag"]))
    shown = tags[:SHOWN_TAGS]
    across = min(len(shown), 5)
    high, down = 3 * len(tables), -(-len(shown) // across)  # rows of a tag, tags below one another
    figure, axes = sheet("", 1.2 + 0.3 * (high + 1) * down, 0.9 + 1.24 * across)
    shades = np.full(((high + 1) * down - 1, 3 * across - 1), np.nan)
    for row, (arm, table) in enumerate(tables.items()):
        cells = table.pivot(index="tag", columns=["actual", "predicted"], values="posts").sort_index(axis="columns")
        for place, tag in enumerate(shown):
            top, left = (high + 1) * (place // across) + 3 * row, 3 * (place % across)
            posts = cells.loc[tag].to_numpy().reshape(2, 2)  # actual no and yes, predicted no and yes
            shades[top : top + 2, left : left + 2] = draw_matrix(axes, posts, top, left)
            if row == 0:
                axes.text(left + 0.5, top - 0.6, short(tag, 18), ha="center", va="bottom", fontsize=8)
            if left == 0:
                axes.text(-1.5, top + 0.5, arm, ha="center", va="center", rotation=90, color=COLOURS[arm])
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(shades.shape[1]), (["no", "yes", ""] * across)[:-1])
    axes.set_yticks(range(shades.shape[0]), ((["no", "yes", ""] * len(tables) + [""]) * down)[:-1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_title("Confusion matrices on test", pad=22)
    axes.set_xlabel(
        f"predicted{shown_of(len(shown), len(tags))}\ntest posts, shaded by their fraction of the row; P: "
        "precision, R: recall"
    )
    axes.set_ylabel("actual", labelpad=18)
    save(figure, path)


def draw_matrix(axes: Axes, posts: np.ndarray, top: int, left: int) -> np.ndarray:
    """Write the numbers of a confusion matrix [2, 2], and below it precision and recall; returns the shades [2, 2]."""
    fraction = posts / np.maximum(posts.sum(axis=1, keepdims=True), 1)
    precision, recall = posts[1, 1] / max(posts[:, 1].sum(), 1), fraction[1, 1]
    texts = [axes.text(left + 0.5, top + 2, f"P {precision:.2f}  R {recall:.2f}", ha="center", va="center", fontsize=7)]
    for (y, x), value in np.ndenumerate(posts):
        colour = "white" if fraction[y, x] > 0.5 else "black"
        number = axes.text(left + x, top + y, f"{value:,.0f}", ha="center", va="center", fontsize=8, color=colour)
        texts.append(number)
    for text in texts:
        text.set_in_layout(False)  # which would take long
    return fraction


def tag_frequency(path: Path, table: pd.DataFrame) -> None:
    shown = table[:SHOWN_TAGS]
    figure, axes = rows("Posts with each tag", [short(tag) for tag in shown["tag"]], 0.26)
    axes.barh(range(len(shown)), shown["posts"], color="#8c8c8c")
    axes.set(xlabel="posts", ylabel="tag" + shown_of(len(shown), len(table)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    save(figure, path)


def co_occurrence(path: Path, table: pd.DataFrame) -> None:
    """Which tags occur together: the fraction of the row's posts that also have the column's tag."""
    tags = list(dict.fromkeys(table["tag"]))
    fraction = table.pivot(index="tag", columns="with", values="fraction").reindex(index=tags, columns=tags).to_numpy()
    side = min(2.6 + 0.45 * len(tags), WIDTH)
    figure, axes = sheet("Tag co-occurrence", 0.9 * side, side)
    axes.set_facecolor("#cfcfcf")  # of the diagonal, which has no fraction
    image = axes.imshow(fraction, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    if len(tags) <= 15:
        for (row, column), value in np.ndenumerate(fraction):
            if row != column:
                colour = "white" if value > 0.5 else "black"
                text = f"{value:.2f}".removeprefix("0")
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    names = [short(tag, 18) for tag in tags]
    axes.set_xticks(range(len(tags)), names, rotation=90)
    axes.set_yticks(range(len(tags)), names)
    axes.tick_params(labelsize=10 if len(tags) <= 15 else 8)
    axes.set(xlabel="… that also have", ylabel="posts with …")
    axes.grid(visible=False)
    figure.colorbar(image, label="fraction of the posts")
    save(figure, path)


def differences(path: Path, table: pd.DataFrame, decided: bool) -> None:
    """Each score's difference between the arms, with its interval: to the right the dense arm is better."""
    table = table.copy()
    turned = table["score"] == "hamming_loss"
    table.loc[turned, ["difference", "low", "high"]] = -table.loc[turned, ["difference", "high", "low"]].to_numpy()
    names = table["score"].str.replace("_f1", "-F1").str.replace("_", " ")
    names = names.str.replace("hamming loss", "Hamming loss,\nsign flipped")
    figure, axes = rows("Dense − sparse on test, each with its 95% interval", list(names), 0.4)
    intervals(axes, table, decided)
    axes.set_xlabel("← sparse is better        difference        dense is better →")
    save(figure, path)


def difference_by_tag(path: Path, table: pd.DataFrame, decided: bool) -> None:
    """Each tag's difference in F1, with simultaneous intervals."""
    shown = table[:SHOWN_TAGS]
    figure, axes = rows("F1 of each tag on test, dense − sparse", with_counts(shown["tag"], shown["support"]), 0.26)
    intervals(axes, shown, decided)
    axes.set(
        xlabel="← sparse is better        difference        dense is better →\n(simultaneous 95% intervals)",
        ylabel="tag (posts in test)" + shown_of(len(shown), len(table)),
    )
    save(figure, path)


def intervals(axes: Axes, table: pd.DataFrame, decided: bool) -> None:
    """Points with their intervals, a row each, and a line at 0; hollow and grey where the interval includes 0.

    Unless ``decided``, no point says which arm is better: the verdict does not, either.
    """
    axes.axvline(0, color="#8c8c8c", linewidth=1)
    untested = table["low"].isna()
    significant = decided & ((table["low"] > 0) | (table["high"] < 0))
    dense = table["difference"] > 0
    styles = {
        "dense is better": (significant & dense, MARKERS["dense"], COLOURS["dense"], COLOURS["dense"]),
        "sparse is better": (significant & ~dense, MARKERS["sparse"], COLOURS["sparse"], COLOURS["sparse"]),
    }
    undecided = "no significant difference" if decided else "no verdict"
    styles[undecided] = (~significant & ~untested, "o", "#8c8c8c", "white")
    if untested.any():
        styles["no interval"] = (untested, "x", "#8c8c8c", "white")
    for label, (here, marker, colour, fill) in styles.items():
        places = np.flatnonzero(here)
        axes.hlines(places, table["low"][here], table["high"][here], colors=colour, linewidth=2)
        axes.plot(table["difference"][here], places, marker, color=colour, markerfacecolor=fill, label=label)


def f1_by_frequency(path: Path, tables: dict[str, pd.DataFrame], frequency: pd.DataFrame) -> None:
    """Each tag's F1 against how often it occurs."""
    figure, axes = sheet("F1 of a tag on test, by how often it occurs", 3.8)
    for arm, table in tables.items():
        axes.plot(
            frequency["posts"], table["f1"], MARKERS[arm], color=COLOURS[arm], alpha=0.7, clip_on=False, label=arm
        )
    axes.set(xscale="log", ylim=(0, 1), xlabel="posts that have the tag", ylabel="F1, better ↑")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()
    save(figure, path)


def reliability(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """How often pairs of a post and a tag are positive at a predicted probability, and how many pairs have it."""
    figure = Figure(figsize=(4.8, 6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.set_title("Calibration on test")
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linewidth=1, label="perfect calibration")
    for arm, table in tables.items():
        look, colour = MARKERS[arm] + "-", COLOURS[arm]
        axes.plot(table["probability"], table["fraction"], look, color=colour, label=arm, clip_on=False, zorder=3)
        counts.plot(table["probability"], table["decisions"], look, color=colour, markersize=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="fraction of positives")
    counts.set(yscale="log", xlabel="predicted probability", ylabel="post-tag pairs")
    counts.yaxis.set_major_formatter(EngFormatter(sep=""))
    counts.minorticks_off()
    save(figure, path)


def precision_recall(path: Path, tables: dict[str, pd.DataFrame], operating: dict[str, tuple[float, float]]) -> None:
    """Precision against recall, with each system's recall and precision at its threshold, about which it is zoomed."""
    figure, axes = sheet("Precision and recall on test", 4.8, 4.8)
    for (arm, table), dashes in zip(tables.items(), ("-", "--", ":"), strict=False):
        axes.plot(table["recall"], table["precision"], dashes, color=COLOURS[arm], label=arm)
        axes.plot(*operating[arm], MARKERS[arm], color=COLOURS[arm], markeredgecolor="white", zorder=3)
    low = max(0, np.floor(10 * min(min(point) for point in operating.values()) - 2) / 10)
    axes.set(xlim=(low, 1), ylim=(low, 1), xlabel="recall (markers: at the thresholds used)", ylabel="precision")
    axes.set_aspect("equal")
    save(figure, path)


def groups(path: Path, table: pd.DataFrame) -> None:
    """Micro-F1 on parts of the test posts."""
    posts = table.drop_duplicates("group")
    figure, axes = rows("Micro-F1 by group of test posts", with_counts(posts["group"], posts["posts"]), 0.5)
    bars(axes, {str(arm): scores["micro_f1"] for arm, scores in table.groupby("arm", sort=False)})
    axes.set(xlabel="micro-F1, better →", ylabel="group (test posts)")
    save(figure, path)


def cost(path: Path, table: pd.DataFrame) -> None:
    """What each arm scores and costs: a bar for each, a panel for each kind of cost; arms are the index."""
    labels = {
        "micro_f1": "micro-F1 on test, better →",
        "parameters": "parameters",
        "multiply_adds": "multiply-adds per post",
        "training_seconds": "training seconds per run",
        "posts_per_second": "posts predicted per second",
    }
    figure = Figure(figsize=(WIDTH, 1 + 0.32 * len(table) * len(labels)), layout="constrained")
    panels = figure.subplots(len(labels), 1)
    panels[0].set_title("Accuracy and cost")
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        drawn = axes.barh(range(len(table)), table[column], color=[COLOURS[str(arm)] for arm in table.index])
        texts = [
            f"{value:.3f}" if column == "micro_f1" else EngFormatter(places=1, sep="")(value) for value in table[column]
        ]
        axes.bar_label(drawn, texts, padding=4)
        axes.set_yticks(range(len(table)), list(table.index))
        axes.set_xlim(0, 1.15 * table[column].max())
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel(label, loc="left")
    save(figure, path)


def systems(path: Path, table: pd.DataFrame, metric: str) -> None:
    """The score of each system with its interval, the best at the top."""
    label = metric.replace("_f1", "-F1").replace("_", " ")
    names = [display_name(system) for system in table["system"]]
    figure, axes = rows(f"{label[0].upper()}{label[1:]} of every system on test, 95% intervals", names, 0.32)
    standings(axes, table, metric)
    axes.set_xlabel(f"← better, {label}" if metric == "hamming_loss" else f"{label}, better →")
    save(figure, path)


def standings(axes: Axes, table: pd.DataFrame, metric: str) -> None:
    """A row for each system: its score with its interval; filled where it is tied for best."""
    unready, tied = table["problem"].notna(), table["tied"].eq(True)
    colour = COLOURS["dense"]
    axes.hlines(range(len(table)), table["low"], table["high"], colors=colour, linewidth=2)
    for label, here, marker, fill in (
        ("tied for best", tied, "o", colour),
        ("significantly worse", ~tied & ~unready & table[metric].notna(), "o", "white"),
        ("not converged", unready, "X", "white"),
    ):
        if here.any():
            places = np.flatnonzero(here)
            axes.plot(table[metric][here], places, marker, color=colour, markerfacecolor=fill, label=label)
