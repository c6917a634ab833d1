"""tables.py: what it hands to DVC and to the figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from tagstudy.evaluation import scoring, tables

LABELS = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=bool)


def test_confusion_counts_every_post_once_per_tag() -> None:
    guesses = [LABELS, ~LABELS]
    table = tables.confusion([scoring.count(LABELS, guess) for guess in guesses], ["a", "b", "c"])
    assert table.groupby("tag")["posts"].sum().tolist() == [4, 4, 4]
    cells = {(row.tag, row.actual, row.predicted): row.posts for row in table.itertuples()}
    assert [cells["a", *cell] for cell in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))] == [
        1.5,
        1.5,
        0.5,
        0.5,
    ]
    assert cells["c", "yes", "yes"] == cells["c", "yes", "no"] == 0


def test_co_occurrence_is_a_share_of_the_first_tag_s_posts() -> None:
    table = tables.co_occurrence(LABELS[:, :2], ["a", "b"]).set_index(["tag", "with"])
    assert table["posts"].to_dict() == {("a", "a"): 3, ("a", "b"): 2, ("b", "a"): 2, ("b", "b"): 3}
    assert table.loc[("a", "b"), "share"] == 2 / 3
    assert np.isnan(table.loc[("a", "a"), "share"])


def test_history_is_a_mean_as_far_as_all_runs_went(tmp_path: Path) -> None:
    for run, (length, value) in enumerate(((3, 1.0), (2, 2.0))):
        folder = tmp_path / f"run-{run}/plots/metrics"
        folder.mkdir(parents=True)
        for name in ("valid_loss", "train_loss"):
            log = pd.DataFrame({"step": range(length), name: [value] * length})
            log.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    table = tables.history(tmp_path)
    assert table.to_dict("list") == {"epoch": [0, 1], "train_loss": [1.5, 1.5], "valid_loss": [1.5, 1.5]}


def test_precision_at_a_recall_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((60, 4)) < 0.3
    logits = rng.normal(size=labels.shape) + labels
    table = tables.precision_recall(labels, [logits])
    precision, recall, _ = precision_recall_curve(labels.ravel(), logits.ravel())
    for wanted, found in table.to_numpy():
        first = np.flatnonzero(recall >= wanted - 1e-9).max()  # scikit-learn's begin at the lowest threshold
        assert found == pytest.approx(precision[first])


def test_posts_are_parted_by_named_tags_and_by_length() -> None:
    tags = ["asp.net", "one-way-function", "c"]
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]], dtype=bool)
    texts = ["ASP.NET mvc", "is this a one way function or not", "c# is not it", "a function, one way"]
    groups = tables.groups([texts[:1], texts[1:]], labels, tags)
    assert groups["names a tag of its own"].tolist() == [True, True, False, False]
    assert groups["names none of its tags"].tolist() == [False, False, True, True]
    lengths = [name for name in groups if name.endswith("words")]
    assert lengths == ["2 to 2 words", "4 to 4 words", "8 to 8 words"]
    assert sum(groups[name] for name in lengths).tolist() == [1, 1, 1, 1]


def test_a_breakdown_is_micro_f1_on_the_group() -> None:
    guesses = LABELS.copy()
    guesses[0] = False
    first = np.array([True, True, False, False])
    groups = {"first": first, "nobody": np.zeros(4, dtype=bool), "rest": ~first}
    table = tables.breakdown(LABELS, {"dense": [guesses, LABELS]}, groups)
    assert table[["group", "posts", "arm"]].to_numpy().tolist() == [["first", 2, "dense"], ["rest", 2, "dense"]]
    once = f1_score(LABELS[:2], guesses[:2], average="micro", zero_division=0)
    assert table["micro_f1"].tolist() == [(once + 1) / 2, 1]


def test_disagreements_are_right_in_one_arm_alone_and_no_formulas(tmp_path: Path) -> None:
    texts = ["=1+1", "@tag\nline", "same", "same"]
    pd.DataFrame({"id": list("abcd"), "text": texts}).to_parquet(tmp_path / "test.parquet")
    dense, sparse = LABELS.copy(), LABELS.copy()
    sparse[0] = [False, True, True]  # two wrong
    dense[1] = False  # one wrong
    dense[2, 0] = sparse[2, 0] = False  # both wrong
    runs = [dense, dense, ~dense], [sparse]
    table = tables.escape_cells(tables.disagreements(tmp_path / "test.parquet", LABELS, *runs, ["x", "+y", "z"]))
    assert table.to_numpy().tolist() == [
        ["dense", "a", "x +y", "x +y", "'+y z", "'=1+1"],
        ["sparse", "b", "x", "", "x", "'@tag line"],
    ]


def test_text_stays_text_in_a_spreadsheet_and_a_browser() -> None:
    table = pd.DataFrame({"tag": ["=1", "-x", "\tx", "c++", "</script>"], "f1": [-0.5, 0, 0.25, 0.5, 1]})
    told = tables.escape_cells(table)
    assert told["tag"].tolist() == ["'=1", "'-x", "'\tx", "c++", "‹/script>"]
    assert told["f1"].equals(table["f1"])
