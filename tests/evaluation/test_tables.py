"""tables.py: what it hands to DVC and to the figures."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from as_csr import decisions_of, labels_of
from scipy.sparse import csr_array
from sklearn.metrics import f1_score

from tagstudy.core import store
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.store import CsrWriter
from tagstudy.evaluation import report, scoring, tables
from tagstudy.evaluation.meters import RECALLS

LABELS = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=bool)


def decide(predicted: np.ndarray) -> csr_array:
    return decisions_of(LABELS, predicted)


def write_corpus(folder: Path, tags: list[str], splits: list[list[int]], labels: np.ndarray, texts: list) -> Corpus:
    """A corpus with these splits [folds, posts], labels [posts, tags] and texts, or titles alone."""
    (folder / "tags.json").write_text(json.dumps(tags), encoding="utf-8")
    np.save(folder / "splits.npy", np.array(splits, dtype=np.int8))
    with CsrWriter(folder / "labels", len(tags), np.uint8) as writer:
        writer.append_rows(labels_of(labels))
    titles, bodies = zip(*(text if isinstance(text, Text) else (text, "") for text in texts), strict=True)
    posts = {"id": [f"post {number}" for number in range(len(texts))], "title": titles, "body": bodies}
    pd.DataFrame(posts).to_parquet(folder / "posts.parquet")
    return Corpus(folder)


def test_confusion_counts_every_post_once_per_tag() -> None:
    counts = [scoring.count_outcomes(labels_of(LABELS), decide(predicted)) for predicted in (LABELS, ~LABELS)]
    table = tables.confusion(counts, ["a", "b", "c"])
    assert table.groupby("tag")["posts"].sum().tolist() == [4, 4, 4]
    cells = {(row.tag, row.actual, row.predicted): row.posts for row in table.itertuples()}
    assert [cells["a", *cell] for cell in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))] == [
        1.5,
        1.5,
        0.5,
        0.5,
    ]
    assert cells["c", "yes", "yes"] == cells["c", "yes", "no"] == 0


def test_co_occurrence_is_a_fraction_of_the_first_tag_s_posts() -> None:
    blocks = [labels_of(LABELS[:3]), labels_of(LABELS[3:])]
    table = tables.co_occurrence(blocks, ["a", "b"]).set_index(["tag", "with"])
    assert table["posts"].to_dict() == {("a", "a"): 3, ("a", "b"): 2, ("b", "a"): 2, ("b", "b"): 3}
    assert table.loc[("a", "b"), "fraction"] == 2 / 3
    assert np.isnan(table.loc[("a", "a"), "fraction"])


def test_history_is_a_mean_as_far_as_all_runs_went(tmp_path: Path) -> None:
    for run, (length, value) in enumerate(((3, 1.0), (2, 2.0))):
        folder = tmp_path / f"run-{run}/plots/metrics"
        folder.mkdir(parents=True)
        for name in ("valid_loss", "train_loss"):
            log = pd.DataFrame({"step": range(length), name: [value] * length})
            log.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    table = tables.history(tmp_path)
    assert table.to_dict("list") == {"epoch": [0, 1], "train_loss": [1.5, 1.5], "valid_loss": [1.5, 1.5]}


def test_recalls_that_a_run_does_not_reach_are_left_out() -> None:
    runs = [np.where(reached >= RECALLS, value, np.nan) for reached, value in ((0.9, 1.0), (0.5, 0.5))]
    table = tables.precision_recall(runs)
    assert table["recall"].tolist() == RECALLS[:50].tolist() and (table["precision"] == 0.75).all()


def test_tags_are_counted_over_all_posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ENTRIES", 2)
    corpus = write_corpus(tmp_path, ["a", "b", "c"], [[0, 1, 2, 0]], LABELS, ["same"] * 4)
    assert tables.tag_frequency(corpus).to_dict("list") == {"tag": ["a", "b", "c"], "posts": [3, 3, 0]}


# In reading order; the second half is tested first, and what no fold tests belongs to no group.
GROUPED = [Text("c# is not it", ""), Text("a function, one way", ""), Text("of train", "and " * 30)]
GROUPED += [Text("ASP.NET", "mvc"), Text("is this a one way function or not", "")]


def test_posts_are_grouped_by_named_tags_and_by_length(tmp_path: Path) -> None:
    tags = ["asp.net", "one-way-function", "c"]
    labels = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    corpus = write_corpus(tmp_path, tags, [[0, 1, 0, 2, 2], [2, 2, 0, 1, 1]], labels, GROUPED)
    tested = corpus.tested()
    assert tested.tolist() == [3, 4, 0, 1]
    groups = tables.groups(corpus, tested, corpus.labels.take(tested))
    assert groups["mentions one of its tags"].tolist() == [True, True, False, False]
    assert groups["mentions none of its tags"].tolist() == [False, False, True, True]
    lengths = [name for name in groups if name.endswith("words")]
    assert lengths == ["2 to 2 words", "4 to 4 words", "8 to 8 words"]
    assert groups["2 to 2 words"].tolist() == [True, False, False, False]
    assert sum(groups[name] for name in lengths).tolist() == [1, 1, 1, 1]


def test_a_breakdown_is_micro_f1_on_the_group() -> None:
    predicted = LABELS.copy()
    predicted[0] = False
    first = np.array([True, True, False, False])
    groups = {"first": first, "nobody": np.zeros(4, dtype=bool), "rest": ~first}
    table = tables.breakdown(labels_of(LABELS), {"dense": [decide(predicted), decide(LABELS)]}, groups)
    assert table[["group", "posts", "arm"]].to_numpy().tolist() == [["first", 2, "dense"], ["rest", 2, "dense"]]
    once = f1_score(LABELS[:2], predicted[:2], average="micro", zero_division=0)
    assert table["micro_f1"].tolist() == [(once + 1) / 2, 1]


def test_disagreements_are_right_in_one_arm_alone_and_no_formulas(tmp_path: Path) -> None:
    """Posts 3 and 4 are tested by the first fold, and so stand before 0 and 2, which the second one tests."""
    titles = ["same", "of train", "same", "=1+1", "@tag\nline"]
    labels = np.insert(np.roll(LABELS, 2, axis=0), 1, [[False] * 3], axis=0)
    corpus = write_corpus(tmp_path, ["x", "+y", "z"], [[0, 0, 1, 2, 2], [2, 0, 2, 1, 0]], labels, titles)
    dense, sparse = LABELS.copy(), LABELS.copy()
    sparse[0] = [False, True, True]  # two wrong
    dense[1] = False  # one wrong
    dense[2, 0] = sparse[2, 0] = False  # both wrong
    runs = [decide(dense), decide(dense), decide(~dense)], [decide(sparse)]
    table = tables.escape_cells(tables.disagreements(corpus, labels_of(LABELS), *runs))
    assert table.to_numpy().tolist() == [
        ["dense", "post 3", "x +y", "x +y", "'+y z", "'=1+1"],
        ["sparse", "post 4", "x", "", "x", "'@tag line"],
    ]


def test_text_stays_text_in_a_spreadsheet_and_a_browser() -> None:
    table = pd.DataFrame({"tag": ["=1", "-x", "\tx", "c++", "</script>"], "f1": [-0.5, 0, 0.25, 0.5, 1]})
    escaped = tables.escape_cells(table)
    assert escaped["tag"].tolist() == ["'=1", "'-x", " x", "c++", "‹/script>"]
    assert escaped["f1"].equals(table["f1"])


@pytest.mark.parametrize(
    ("cell", "escaped"),
    [
        ("x\r=1+1", "x =1+1"),
        ("=1+1", "'=1+1"),
        (";=1+1", ";'=1+1"),
        ("x\t=1+1", "x =1+1"),
        ("x|  @a", "x|  '@a"),
        ("＝1+1", "'＝1+1"),
        ("＠a", "'＠a"),
        ("\0=1+1", "�=1+1"),
        ("\ufeff=1+1", "'=1+1"),
        ("\u200b=1+1", "'=1+1"),
        ("\u200d=1+1", "\u200d'=1+1"),
        ("\x85-2", " '-2"),
        ('",=1', "\",'=1"),
        ("c++", "c++"),
        ("asp.net", "asp.net"),
        ("a=b-c", "a=b-c"),
    ],
)
def test_a_formula_is_escaped_wherever_a_program_would_see_one(tmp_path: Path, cell: str, escaped: str) -> None:
    report.write_csv(tmp_path / "a.csv", pd.DataFrame({"id": [cell, "next"], "f1": [0.5, 1]}))
    data = (tmp_path / "a.csv").read_bytes()
    assert pd.read_csv(io.BytesIO(data), keep_default_na=False)["id"].tolist() == [escaped, "next"]
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [escaped, "next"]
    for separator in ",;|\t":  # at which a spreadsheet may split, whatever wrote the file
        for part in csv.reader(io.StringIO(data.decode()), delimiter=separator):
            assert not any(re.match("[=+@＝＋－＠]|-[^0-9.]", text.lstrip()) for text in part)
