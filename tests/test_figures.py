"""figures.py: every picture, with names that would break a careless one, and with one tag and with many."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import figures
import scoring
from evaluate import co_occurrence, mean_confusion

ODD = ["c#", r"$\frac{$", "a tag with spaces", "x" * 200, "<b>&amp;</b>", "naïve_été", "%s{}"]


@pytest.mark.parametrize("tags", [["one"], ODD, [f"tag-{number}" for number in range(70)]], ids=["one", "odd", "many"])
def test_every_picture_is_drawn_the_same_each_time(tags: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels, guesses = rng.random((2, 30, len(tags))) < 0.3
    counts = scoring.count(labels, guesses)
    of_tags = pd.DataFrame({"tag": tags, "support": labels.sum(axis=0), **scoring.by_tag(counts)})
    history = pd.DataFrame({"epoch": [0, 1, 2], "train_loss": [0.7, 0.5, 0.4], "valid_loss": [0.7, 0.6, 0.6]})
    pictures = []
    for attempt in ("first", "second"):
        folder = tmp_path / attempt
        folder.mkdir()
        arms = ("dense", "sparse")
        splits = {"train_loss": "train", "valid_loss": "valid"}
        figures.curves(folder / "loss.png", dict.fromkeys(arms, history), splits, "loss")
        figures.f1_by_tag(folder / "f1_by_tag.png", dict.fromkeys(arms, of_tags))
        figures.confusion(folder / "confusion.png", dict.fromkeys(arms, mean_confusion([counts], tags)))
        shares = pd.DataFrame({"tag": tags, **dict.fromkeys(("train", "valid", "test"), labels.sum(axis=0))})
        figures.tag_frequency(folder / "tag_frequency.png", shares)
        figures.co_occurrence(folder / "co_occurrence.png", co_occurrence(labels[:, :30], tags[:30]))
        pictures.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(pictures[0]) == 5
    assert all(picture.startswith(b"\x89PNG") for picture in pictures[0].values())
    assert pictures[0] == pictures[1]
