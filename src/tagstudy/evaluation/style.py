"""What all figures share: colours, sizes, how a tag is written. Readable in grey, as wide as a README."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"dense": "#1f5fa8", "sparse": "#e08a1e", "fusion": "#222222"}  # three shades in grey, too
MARKERS = {"dense": "o", "sparse": "s", "fusion": "D"}
DASHES = {"train": "--", "valid": "-"}
SHOWN = 30  # tags in a figure: the most frequent ones
WIDTH = 7.1  # inches: with a margin 800 pixels

mpl.rcParams.update({
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "figure.dpi": 110, "legend.frameon": False,
    "text.parse_math": False,  # a tag may hold dollars
})  # fmt: skip


def sheet(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def rows(names: Sequence[str], height: float) -> tuple[Figure, Axes]:
    """Axes with a row for each name, the first one at the top."""
    figure, axes = sheet(1.2 + height * max(len(names), 3))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write the figure, with a legend above it where its parts have labels."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in the picture
        FigureCanvasAgg(figure).print_png(path)  # figure.savefig would draw everything twice, to lay it out


def short(tag: str, characters: int = 30) -> str:
    """A tag on one line, as figures show it; tables have all of it."""
    tag = " ".join(tag.split())
    return tag if len(tag) <= characters else tag[: characters - 1] + "…"


def with_counts(tags: pd.Series, posts: pd.Series) -> list[str]:
    return [f"{short(tag)} ({number:,})" for tag, number in zip(tags, posts, strict=True)]


def shown_of(shown: int, total: int) -> str:
    return "" if shown == total else f" (the {shown} most frequent of {total} tags)"
