"""What all figures share: colours, sizes, how a tag is written. Readable in grey, sharp on a page of 700 pixels."""

import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"dense": "#1f5fa8", "sparse": "#e08a1e", "fusion": "#222222"}  # three shades in grey, too
MARKERS = {"dense": "o", "sparse": "s", "fusion": "D"}
DASHES = {"train": "--", "valid": "-"}
NAMES = {  # of embeddings
    "learned": "learned embedding",
    "glove": "GloVe",
    "static": "encoder's word vectors",
    "encoder": "sentence encoder",
    "finetuned": "fine-tuned encoder",
}
SHOWN_TAGS = 30  # tags in a figure: the most frequent ones
WIDTH = 7.1  # inches

mpl.rcParams.update({
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "figure.dpi": 200, "legend.frameon": False,
    "axes.titlelocation": "left", "axes.titlesize": "medium", "axes.titleweight": "bold",
    "text.parse_math": False,  # a tag may hold dollars
})  # fmt: skip


def sheet(title: str, height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def rows(title: str, names: Sequence[str], height: float) -> tuple[Figure, Axes]:
    """Axes with a row for each name, the first one at the top."""
    figure, axes = sheet(title, 1.4 + height * max(len(names), 3))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write the figure, with a legend below it where its parts have labels."""
    pairs = [zip(*reversed(axes.get_legend_handles_labels()), strict=True) for axes in figure.axes]
    handles = dict(chain.from_iterable(pairs))  # by label
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in the picture
        # figure.savefig would draw everything twice, to lay it out. A higher level takes longer for little.
        FigureCanvasAgg(figure).print_png(path, pil_kwargs={"compress_level": 3})


def short(tag: str, characters: int = 30) -> str:
    """A tag on one line, as figures show it; tables have all of it."""
    tag = " ".join(tag.split())
    return tag if len(tag) <= characters else tag[: characters - 1] + "…"


def display_name(system: str) -> str:
    """The name of a system as figures show it: an embedding's, or two of a fusion."""
    return " + ".join(NAMES.get(part, part) for part in system.split(" + "))


def with_counts(tags: pd.Series, posts: pd.Series) -> list[str]:
    return [f"{short(tag)} ({number:,.0f})" for tag, number in zip(tags, posts, strict=True)]


def shown_of(shown: int, total: int) -> str:
    return "" if shown == total else f" (the {shown} most frequent of {total} tags)"
