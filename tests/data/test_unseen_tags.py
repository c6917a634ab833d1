"""Unseen tags, which no train post has: left out of the labels, or counted as missed; told either way."""

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_params
from test_ingest import SPLITS, Row, ingest, make

import evaluate
import featurize_dense
import featurize_tfidf
import train_dense
import train_sparse
from tagstudy.core.corpus import Corpus


def with_rare_tags() -> list[Row]:
    """Posts of given splits. Only test has the tag `rare`, on one post with another tag and on one without."""
    rows = [row | {"tags": ["a", "b"] if number % 2 else ["a"]} for number, row in enumerate(make(30))]
    rows[24]["tags"], rows[25]["tags"] = ["a", "rare"], ["rare"]
    return [row | {"split": SPLITS[number // 10]} for number, row in enumerate(rows)]


@pytest.mark.parametrize("tags", [3, ["a", "b", "rare"]])
def test_unseen_tags_are_left_out_and_their_posts_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tags: Any
) -> None:
    summary, posts = ingest(tmp_path, with_rare_tags(), tags=tags, split="given")
    assert summary["unseen_tags"] == {"rare": 2}
    assert list(summary["tags"]) == ["a", "b"]
    assert [len(posts[split]) for split in SPLITS] == [10, 10, 10]
    assert [post["tags"] for post in posts["test"][4:6]] == [["a"], []]
    assert "tags without train posts, left out of networks and scores (ingest.unseen_tags): rare (1 in all" in (
        capsys.readouterr().out
    )


def test_unseen_tags_may_be_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, posts = ingest(tmp_path, with_rare_tags(), tags=3, split="given", unseen_tags="count")
    assert summary["unseen_tags"] == {"rare": 2}
    assert list(summary["tags"]) == ["a", "b", "rare"]
    assert [post["tags"] for post in posts["test"][4:6]] == [["a", "rare"], ["rare"]]
    assert "never predicted, and counted as missed (ingest.unseen_tags): rare (1 in all" in capsys.readouterr().out


def test_no_unseen_tag_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, _ = ingest(tmp_path, make(300))
    assert summary["unseen_tags"] == {}
    assert "without train posts" not in capsys.readouterr().out


def test_many_unseen_tags_are_cut_to_a_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = with_rare_tags()
    rows[24]["tags"] = ["a", *(f"rare{number:03}" for number in range(200))]
    summary, _ = ingest(tmp_path, rows, tags=500, split="given")
    assert len(summary["unseen_tags"]) == 201
    [line] = [line for line in capsys.readouterr().out.splitlines() if "(201 in all" in line]
    assert len(line) < 300


def test_a_tag_that_valid_was_cut_with_is_not_unseen(tmp_path: Path) -> None:
    """Fifty tags of one train post each: what is cut leaves these posts to train."""
    rows = [{"title": f"Post {number}", "tags": ["a"], "split": "train"} for number in range(100)]
    for number in range(50):
        rows[2 * number]["tags"] = ["a", f"rare{number}"]
    rows += [{"title": f"Test {number}", "tags": ["a"], "split": "test"} for number in range(20)]
    summary, posts = ingest(tmp_path, rows, tags=51, split="given", valid=0.3)
    assert summary["unseen_tags"] == {} and len(summary["tags"]) == 51
    assert 0 < len(posts["valid"]) <= 30


def test_fewer_train_posts_make_a_tag_unseen(tmp_path: Path) -> None:
    rows = [{"title": f"Post {number}", "tags": ["a"]} for number in range(300)]
    rows[7]["tags"] = ["a", "rare"]
    summary, _ = ingest(tmp_path, rows, tags=2, max_train=2)
    assert list(summary["tags"]) == ["a"]


def test_a_tag_that_is_unseen_in_one_fold_is_left_out_of_all(tmp_path: Path) -> None:
    """Its one post is in train of one fold of three, and in no other's."""
    rows = [{"title": f"Post {number}", "tags": ["a"]} for number in range(300)]
    rows[7]["tags"] = ["a", "rare"]
    summary, _ = ingest(tmp_path, rows, tags=2, folds=3)
    assert summary["unseen_tags"] == {"rare": 1}
    assert summary["tags"] == {"a": 300}


def test_a_study_counts_unseen_tags_as_missed(tmp_path: Path) -> None:
    """Ten of the hundred tags that test posts have are unseen, and the others easy: nine in ten are found."""
    words = {"a": "sort the list", "b": "open the file"}
    rows = [
        {"title": f"{words[tag]} {number}", "tags": [tag], "split": SPLITS[number % 3]}
        for number, tag in enumerate(["a", "b"] * 150)
    ]
    for row in [row for row in rows if row["split"] == "test"][:10]:
        row["tags"] = ["rare"]
    ingest(tmp_path, rows, tags=3, split="given", unseen_tags="count")
    write_params(
        tmp_path,
        ingest={"source": "posts.jsonl", "tags": 3, "min_tags": 1, "split": "given", "unseen_tags": "count"},
        featurize_dense={"embedding_dim": 8},
        train={"epochs": 20, "min_steps": 20, "hidden": [8], "batch_size": 16, "runs": 1},
        train_sparse={"pos_weight": True},
        evaluate={"resamples": 100},
    )
    with chdir(tmp_path):
        for stage in (featurize_dense, featurize_tfidf, train_dense, train_sparse, evaluate):
            stage.main()
    corpus = Corpus(tmp_path / "data/posts")
    assert np.bincount(corpus.labels.take(corpus.rows("test", 0)).indices).tolist() == [45, 45, 10]
    metrics = json.loads((tmp_path / "metrics/metrics.json").read_text())
    for arm in ("dense", "sparse"):
        assert metrics[arm]["micro_f1"] == 0.9
        assert metrics[arm]["macro_f1"] == pytest.approx(2 / 3 * 90 / 95, abs=1e-4)
