"""A tag that no train post has: left out where ingest.tags is a number, an error where the tag is named."""

from pathlib import Path

import pytest
from test_ingest import SPLITS, Row, ingest, make

from tagstudy.core.errors import UserError


def with_rare_tags() -> list[Row]:
    """Posts of given splits. Only test has the tag `rare`, on one post with another tag and on one without."""
    rows = [row | {"tags": ["a", "b"] if number % 2 else ["a"]} for number, row in enumerate(make(30))]
    rows[24]["tags"], rows[25]["tags"] = ["a", "rare"], ["rare"]
    return [row | {"split": SPLITS[number // 10]} for number, row in enumerate(rows)]


def test_tags_without_train_posts_are_left_out_and_their_posts_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, posts = ingest(tmp_path, with_rare_tags(), tags=3, split="given")
    assert summary["tags_without_train_posts"] == ["rare"]
    assert list(summary["tags"]) == ["a", "b"]
    assert [len(posts[split]) for split in SPLITS] == [10, 10, 10]
    assert [post["tags"] for post in posts["test"][4:6]] == [["a"], []]
    assert "tags without train posts, left out: rare (1 in all" in capsys.readouterr().out


def test_no_more_train_posts_and_a_tag_is_left_out(tmp_path: Path) -> None:
    rows = [{"title": f"Post {number}", "tags": ["a"]} for number in range(300)]
    rows[7]["tags"] = ["a", "rare"]
    summary, _ = ingest(tmp_path, rows, tags=2, max_train=2)
    assert summary["tags_without_train_posts"] == ["rare"]


def test_a_named_tag_without_train_posts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train post has the tag 'rare'; leave it out of ingest\.tags"):
        ingest(tmp_path, with_rare_tags(), tags=["a", "rare"], split="given")


def test_a_tag_without_train_posts_in_one_fold_is_left_out_of_all(tmp_path: Path) -> None:
    """Its one post is in train of one fold of three, and in no other's."""
    rows = [{"title": f"Post {number}", "tags": ["a"]} for number in range(300)]
    rows[7]["tags"] = ["a", "rare"]
    summary, _ = ingest(tmp_path, rows, tags=2, folds=3)
    assert summary["tags_without_train_posts"] == ["rare"]
    assert summary["tags"] == {"a": 300}
