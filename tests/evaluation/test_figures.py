"""figures.py: every picture, with names that would break a careless one, and with one tag and with many."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from as_csr import decisions_of, labels_of
from matplotlib.colors import to_rgb

from tagstudy.evaluation import figures, scoring, style, tables
from tagstudy.evaluation.meters import RECALLS, Reliability

ODD = ["c#", r"$\frac{$", "two words", "x" * 200, "<b>&amp;</b>", "naïve_été", "%s{}", "two\nlines", "\"'", "机器学习"]


def draw(tags: list[str], folder: Path) -> dict[str, bytes]:
    """Every picture of a study with these tags, by its name."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels, predicted = rng.random((2, 30, len(tags))) < 0.3
    true, decisions = labels_of(labels), decisions_of(labels, predicted)
    counts = scoring.count_outcomes(true, decisions)
    bins = Reliability()
    bins.update(true, rng.random(labels.size), labels.ravel())
    of_tags = pd.DataFrame({"tag": tags, "support": labels.sum(axis=0), **scoring.by_tag(counts)})
    history = pd.DataFrame({"epoch": [0, 1, 2], "train_loss": [0.7, 0.5, 0.4], "valid_loss": [0.7, 0.6, 0.6]})
    arms = ("dense", "sparse")
    splits = {"train_loss": "train", "valid_loss": "valid"}
    figures.curves(folder / "loss.png", "Loss", dict.fromkeys(arms, history), splits, "loss")
    figures.curves(
        folder / "hamming.png", "Distance", dict.fromkeys(arms, history), {"valid_loss": "valid"}, "distance"
    )
    figures.f1_by_tag(folder / "f1_by_tag.png", dict.fromkeys(arms, of_tags))
    figures.confusion(folder / "confusion.png", dict.fromkeys(arms, tables.confusion([counts], tags)))
    frequency = pd.DataFrame({"tag": tags, "posts": labels.sum(axis=0)})
    figures.tag_frequency(folder / "tag_frequency.png", frequency)
    figures.co_occurrence(folder / "co_occurrence.png", tables.co_occurrence([true], tags[:30]))
    figures.f1_by_frequency(folder / "f1_by_frequency.png", dict.fromkeys(arms, of_tags), frequency)
    values = {"difference": of_tags["f1"] - 0.3, "low": of_tags["f1"] - 0.4, "high": of_tags["f1"] - 0.2}
    by_tag = of_tags[["tag", "support"]].assign(**values)
    figures.difference_by_tag(folder / "difference_by_tag.png", by_tag, decided=True)
    figures.differences(folder / "verdict.png", pd.DataFrame({"score": "hamming_loss", **values}), decided=False)
    reliability = tables.reliability([bins])
    figures.reliability(folder / "reliability.png", dict.fromkeys([*arms, "fusion"], reliability))
    recall = tables.precision_recall([1 - RECALLS])
    operating = dict.fromkeys([*arms, "fusion"], (0.6, 0.5))
    figures.precision_recall(folder / "precision_recall.png", dict.fromkeys(operating, recall), operating)
    parts = tables.breakdown(true, {arm: [decisions] for arm in arms}, {"all": np.ones(30, dtype=bool)})
    figures.groups(folder / "groups.png", parts)
    kinds = ["parameters", "multiply_adds", "training_seconds", "posts_per_second", "micro_f1"]
    figures.cost(folder / "cost.png", pd.DataFrame(1.0, index=[*arms, "fusion"], columns=kinds))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the pixels across, which are drawn in less time."""
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", matplotlib.rcParams["figure.dpi"] / 4)


@pytest.mark.filterwarnings("error")  # matplotlib's, where names leave no room for the rest
@pytest.mark.parametrize("tags", [["one"], ODD, [f"tag-{number}" for number in range(70)]], ids=["one", "odd", "many"])
def test_every_picture_is_drawn_the_same_each_time(tags: list[str], tmp_path: Path, coarse: None) -> None:
    pictures = draw(tags, tmp_path / "pictures")
    assert len(pictures) == 13
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert max(int.from_bytes(picture[16:20]) for picture in pictures.values()) <= 1420 / 4  # pixels
    assert draw(tags, tmp_path / "again") == pictures


@pytest.mark.parametrize(
    ("tag", "spelled"),
    [("c#", "c#"), ("x" * 30, "x" * 30), ("x" * 31, "x" * 29 + "…"), ("机" * 200, "机" * 29 + "…"), ("a\n\tb", "a b")],
)
def test_long_tags_are_cut(tag: str, spelled: str) -> None:
    assert style.short(tag) == spelled


def test_arms_differ_in_grey() -> None:
    greys = sorted(np.dot([0.299, 0.587, 0.114], to_rgb(colour)) for colour in style.COLOURS.values())
    assert min(np.diff(greys)) > 0.15
