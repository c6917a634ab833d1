"""Every picture: one colour an arm, tags by frequency, readable in grey."""

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

COLOURS = {"dense": "#1f5fa8", "sparse": "#e08a1e", "fusion": "#5c5c5c"}
MARKERS = {"dense": "o", "sparse": "s", "fusion": "D"}
DASHES = {"train": "--", "valid": "-"}
SHOWN = 30  # tags in a picture: the most frequent ones

mpl.rcParams.update({
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "figure.dpi": 110, "legend.frameon": False,
    "text.parse_math": False,  # a tag may hold dollars
})  # fmt: skip


def save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font"
        )  # boxes in the picture; the tables spell the tag
        figure.savefig(path, bbox_inches="tight")


def of_tags(shown: int, total: int) -> str:
    return "" if shown == total else f" (the {shown} most frequent of {total} tags)"


def curves(path: Path, history: dict[str, pd.DataFrame], columns: dict[str, str], label: str) -> None:
    """Columns of the history against the epoch, both arms in one picture."""
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    for arm, table in history.items():
        for column, split in columns.items():
            axes.plot(
                table["epoch"], table[column], DASHES[split], color=COLOURS[arm], marker=".", label=f"{arm}, {split}"
            )
    axes.set(xlabel="epoch (0: untrained)", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend()
    save(figure, path)


def f1_by_tag(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    total = len(next(iter(tables.values())))
    shown = min(total, SHOWN)
    figure = Figure(figsize=(6.4, 0.8 + 0.34 * shown))
    axes = figure.subplots()
    height = 0.8 / len(tables)
    for place, (arm, table) in enumerate(tables.items()):
        axes.barh(np.arange(shown) + place * height, table["f1"][:shown], height, color=COLOURS[arm], label=arm)
    names = [f"{tag} ({posts:,})" for tag, posts in tables["dense"][["tag", "support"]].to_numpy()[:shown]]
    axes.set_yticks(np.arange(shown) + 0.4 - height / 2, names)
    axes.set(xlim=(0, 1), xlabel="F1 on test, mean over runs", ylabel="tag (posts in test)" + of_tags(shown, total))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(tables))
    save(figure, path)


def confusion(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """A two-by-two matrix for each tag and, one below the other, each arm; shades are shares of the actual class.

    All of them are cells of one image with empty ones between: axes for each would take many times as long.
    """
    tags = list(dict.fromkeys(tables["dense"]["tag"]))
    shown = tags[:SHOWN]
    across = min(len(shown), 5)
    rows, columns = -(-len(shown) // across) * len(tables), across
    figure = Figure(figsize=(1.2 + 1.3 * columns, 0.7 + 0.95 * rows))
    axes = figure.subplots()
    shades = np.full((3 * rows - 1, 3 * columns - 1), np.nan)
    for row, (arm, table) in enumerate(tables.items()):
        cells = table.pivot(index="tag", columns=["actual", "predicted"], values="posts").sort_index(axis="columns")
        for place, tag in enumerate(shown):
            top, left = 3 * (place // across * len(tables) + row), 3 * (place % across)
            posts = cells.loc[tag].to_numpy().reshape(2, 2)  # actual no and yes, predicted no and yes
            share = posts / np.maximum(posts.sum(axis=1, keepdims=True), 1)
            shades[top : top + 2, left : left + 2] = share
            for (y, x), value in np.ndenumerate(posts):
                colour = "white" if share[y, x] > 0.5 else "black"
                axes.text(left + x, top + y, f"{value:,.0f}", ha="center", va="center", fontsize=8, color=colour)
            if row == 0:
                axes.text(left + 0.5, top - 0.6, tag, ha="center", va="bottom", fontsize=9, clip_on=False)
            if left == 0:
                axes.text(-1.5, top + 0.5, arm, ha="center", va="center", rotation=90, color=COLOURS[arm])
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    classes = ["no", "yes", ""]
    axes.set_xticks(range(shades.shape[1]), (classes * columns)[:-1])
    axes.set_yticks(range(shades.shape[0]), (classes * rows)[:-1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlabel("predicted; test posts, mean over runs" + of_tags(len(shown), len(tags)))
    axes.set_ylabel("actual", labelpad=18)
    save(figure, path)


def tag_frequency(path: Path, table: pd.DataFrame) -> None:
    shown = table[:SHOWN]
    figure = Figure(figsize=(6.4, 0.8 + 0.26 * len(shown)))
    axes = figure.subplots()
    left = np.zeros(len(shown))
    for split, colour in {"train": "#444444", "valid": "#8c8c8c", "test": "#c9c9c9"}.items():
        axes.barh(shown["tag"], shown[split], left=left, color=colour, label=split)
        left += shown[split]
    axes.set(xlabel="posts", ylabel="tag" + of_tags(len(shown), len(table)))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.legend()
    save(figure, path)


def co_occurrence(path: Path, table: pd.DataFrame) -> None:
    """Which tags stand together: the share of the row's posts that have the column's tag too."""
    tags = list(dict.fromkeys(table["tag"]))
    share = table.pivot(index="tag", columns="with", values="share").reindex(index=tags, columns=tags)
    size = 2 + 0.36 * len(tags)
    figure = Figure(figsize=(size + 0.8, size))
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(len(tags)), tags, rotation=90)
    axes.set_yticks(range(len(tags)), tags)
    axes.set(xlabel="… that also have", ylabel="posts with")
    axes.grid(visible=False)
    figure.colorbar(image, label="share of train posts", shrink=0.8)
    save(figure, path)


def differences(path: Path, table: pd.DataFrame) -> None:
    """Each score's difference between the arms, with its interval, in the colour of the arm that is better."""
    figure = Figure(figsize=(6.4, 0.8 + 0.3 * len(table)))
    axes = figure.subplots()
    intervals(axes, table, less_is_better=table["score"] == "hamming_loss")
    names = table["score"].str.replace("_", " ").replace("hamming loss", "hamming loss\n(less is better)")
    axes.set_yticks(range(len(table)), names)
    axes.set(xlabel="dense − sparse on test, 95% intervals", ylabel="score")
    save(figure, path)


def difference_by_tag(path: Path, table: pd.DataFrame) -> None:
    """Each tag's difference in F1, with intervals that hold for all tags together."""
    shown = table[:SHOWN]
    figure = Figure(figsize=(6.4, 0.8 + 0.26 * len(shown)))
    axes = figure.subplots()
    intervals(axes, shown)
    names = [f"{tag} ({posts:,})" for tag, posts in zip(shown["tag"], shown["test"], strict=True)]
    axes.set_yticks(range(len(shown)), names)
    axes.set(
        xlabel="F1, dense − sparse on test, intervals that hold together with 95%",
        ylabel="tag (posts in test)" + of_tags(len(shown), len(table)),
    )
    save(figure, path)


def intervals(axes: Axes, table: pd.DataFrame, less_is_better: pd.Series | bool = False) -> None:
    """Points with their intervals, a row each, and a line at 0; grey where the interval holds 0."""
    axes.axvline(0, color="#8c8c8c", linewidth=1)
    winner = np.where((table["difference"] > 0) ^ less_is_better, COLOURS["dense"], COLOURS["sparse"])
    colours = np.where((table["low"] > 0) | (table["high"] < 0), winner, "#b0b0b0")
    places = range(len(table))
    axes.hlines(places, table["low"], table["high"], colors=colours.tolist(), linewidth=2)
    axes.scatter(table["difference"], places, c=colours, zorder=2)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(len(table) - 0.5, -0.5)


def f1_by_frequency(path: Path, tables: dict[str, pd.DataFrame], frequency: pd.DataFrame) -> None:
    """What a tag's F1 owes to how often it occurs."""
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    for arm, table in tables.items():
        axes.plot(frequency["train"], table["f1"], MARKERS[arm], color=COLOURS[arm], alpha=0.7, label=arm)
    axes.set(xscale="log", ylim=(0, 1), xlabel="posts in train that have the tag", ylabel="F1 on test, mean over runs")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend()
    save(figure, path)


def reliability(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """How often what is given a probability is true; on the diagonal it is calibrated."""
    figure = Figure(figsize=(4.8, 4.8))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linewidth=1)
    for arm, table in tables.items():
        axes.plot(table["probability"], table["share"], MARKERS[arm] + "-", color=COLOURS[arm], label=arm)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability given", ylabel="share that is true, on test", aspect="equal")
    axes.legend()
    save(figure, path)


def precision_recall(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    figure = Figure(figsize=(4.8, 4.8))
    axes = figure.subplots()
    for (arm, table), dashes in zip(tables.items(), ("-", "--", ":"), strict=False):
        axes.plot(table["recall"], table["precision"], dashes, color=COLOURS[arm], label=arm)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall on test", ylabel="precision on test", aspect="equal")
    axes.legend(loc="lower left")
    save(figure, path)


def groups(path: Path, table: pd.DataFrame) -> None:
    """Micro-F1 on parts of the test posts."""
    names, arms = list(dict.fromkeys(table["group"])), list(dict.fromkeys(table["arm"]))
    posts = table.set_index("group")["posts"].to_dict()
    height = 0.8 / len(arms)
    figure = Figure(figsize=(6.4, 0.8 + 0.5 * len(names)))
    axes = figure.subplots()
    for place, arm in enumerate(arms):
        own = table[table["arm"] == arm]
        axes.barh(np.arange(len(names)) + place * height, own["micro_f1"], height, color=COLOURS[arm], label=arm)
    axes.set_yticks(np.arange(len(names)) + 0.4 - height / 2, [f"{name} ({posts[name]:,})" for name in names])
    axes.set(xlim=(0, 1), xlabel="micro-F1 on test, mean over runs", ylabel="a post's text (test posts)")
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(arms))
    save(figure, path)


def cost(path: Path, table: pd.DataFrame) -> None:
    """Accuracy against what it costs, a panel for each kind of cost; arms are the index."""
    labels = {
        "parameters": "parameters",
        "multiply_adds": "multiply-adds for a post",
        "training_seconds": "seconds of training, a run",
        "posts_per_second": "posts predicted a second",
    }
    figure = Figure(figsize=(10, 3))
    for axes, (column, label) in zip(figure.subplots(1, len(labels), sharey=True), labels.items(), strict=True):
        for arm, row in table.iterrows():
            axes.plot(row[column], row["micro_f1"], MARKERS[str(arm)], color=COLOURS[str(arm)], label=arm)
        axes.set(xlabel=label, ylabel="micro-F1 on test" if column == "parameters" else "")
        axes.set_xlim(left=0, right=1.15 * table[column].max())
        axes.set_ylim(table["micro_f1"].min() - 0.02, table["micro_f1"].max() + 0.02)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    save(figure, path)
