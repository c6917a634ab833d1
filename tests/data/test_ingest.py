"""ingest.py: what it writes adds up, leaks nothing from split to split, and is there whole or not.

Most tests are of a single split; of folds, test_splits.py says more.

The last tests read real posts, which lie beside the repository and are no part of it.
"""

import csv
import itertools
import json
from collections import Counter
from contextlib import chdir
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import REAL, write_params

import ingest as ingest_stage
from tagstudy.core.corpus import Corpus, Text
from tagstudy.core.store import BLOCK
from tagstudy.data.readers import Post, read_posts
from tagstudy.data.text import duplicate_key

SPLITS = ("train", "valid", "test")
TAGS = {"java": 0.5, "c#": 0.4, ".net": 0.25, "c++": 0.1, "node.js": 0.05, "r": 0.01}
Row = dict[str, Any]


def ingest(folder: Path, rows: list[Row], name: str = "posts.jsonl", **changes: Any) -> tuple[dict, dict[str, list]]:
    """The summary and the posts of each split of the first fold."""
    write_rows(folder / name, rows)
    return ingest_source(folder, **changes)


def ingest_source(folder: Path, **changes: Any) -> tuple[dict, dict[str, list]]:
    defaults = {"source": "posts.jsonl", "tags": 4, "min_tags": 1, "max_malformed": 0.0, "folds": 1}
    write_params(folder, ingest=defaults | changes)
    with chdir(folder):
        ingest_stage.main()
    corpus = Corpus(folder / "data/posts")
    summary = json.loads((folder / "data/posts/summary.json").read_text())
    folds = [{split: posts_of(corpus, split, fold) for split in SPLITS} for fold in range(corpus.folds)]
    check(summary, folds, corpus)
    return summary, folds[0]


def posts_of(corpus: Corpus, split: str, fold: int) -> list[dict]:
    """What ingest wrote of the posts of a split, read back."""
    rows = corpus.rows(split, fold)
    ids = [name for _, [names] in corpus.read(["id"]) for name in names]
    texts = [text for texts in corpus.texts(corpus.is_in(split, fold)) for text in texts]
    labels = corpus.labels.take(rows)
    tags = [[corpus.tags[column] for column in columns] for columns in np.split(labels.indices, labels.indptr[1:-1])]
    return [{"id": ids[row], "text": str(text), "tags": own} for row, text, own in zip(rows, texts, tags, strict=True)]


def write_rows(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def check(summary: dict, folds: list[dict[str, list]], corpus: Corpus) -> None:
    """What holds whatever was read: the counts add up, and no text is in two splits of a fold or twice in one."""
    left_out = ("merged", "taken_out_of_train_or_valid", "too_few_tags", "beyond_max_train")
    assert summary["read"] == (
        sum(summary["skipped"].values()) + sum(summary[reason] for reason in left_out) + summary["kept"]
    )
    assert summary["folds"] == [{split: len(posts[split]) for split in SPLITS} for posts in folds]
    assert summary["kept"] == len(corpus)
    assert summary["fingerprint"] == corpus.fingerprint
    seen: dict[str, list[str]] = {}
    for posts in folds:
        texts = [duplicate_key(post["text"]) for split in SPLITS for post in posts[split]]
        assert len(texts) == len(set(texts))
        assert len(folds) > 1 or len(texts) == summary["kept"]
        seen |= {post["id"]: post["tags"] for split in SPLITS for post in posts[split]}
    assert len(seen) == summary["kept"]  # each is of use in some fold
    counts = Counter(itertools.chain(*seen.values()))
    assert summary["tags"] == {tag: counts[tag] for tag in corpus.tags}
    totals = list(summary["tags"].values())
    assert totals == sorted(totals, reverse=True) or summary["beyond_max_train"]  # their order is that of all posts


def tag_counts(posts: list[dict]) -> Counter[str]:
    """How many of the posts have each tag."""
    return Counter(tag for post in posts for tag in post["tags"])


def make(count: int, seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    drawn = rng.random((count, len(TAGS))) < list(TAGS.values())
    names = np.array(list(TAGS))
    return [
        {"id": str(number), "title": f"Post {number}", "tags": names[row].tolist()} for number, row in enumerate(drawn)
    ]


def every(posts: dict[str, list]) -> dict[str, set[str]]:
    return {post["text"]: set(post["tags"]) for split in SPLITS for post in posts[split]}


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()}


# --------------------------------------------------------------------------- tags and merging


def test_the_most_frequent_tags_are_chosen_and_rows_that_are_no_posts_counted(tmp_path: Path) -> None:
    rows = [*make(500), {"title": " ", "tags": ["java"]}]
    summary, posts = ingest(tmp_path, rows, tags=3)
    assert list(summary["tags"]) == ["java", "c#", ".net"]
    assert summary["read"] == 501
    assert summary["skipped"] == {"no text": 1}
    assert set(itertools.chain(*every(posts).values())) == {"java", "c#", ".net"}


def test_few_posts_out_of_many_are_written_together(tmp_path: Path) -> None:
    rows = [{"title": f"Post {number}", "tags": ["a"] if number % 100 else ["a", "b"]} for number in range(5000)]
    ingest(tmp_path, rows, tags=["a", "b"], min_tags=2)
    assert pq.ParquetFile(tmp_path / "data/posts/posts.parquet").num_row_groups == 1


@pytest.mark.parametrize("min_tags", [0, 2])
def test_posts_with_too_few_of_the_named_tags_are_left_out(tmp_path: Path, min_tags: int) -> None:
    named = ["c++", "java", "c#"]
    rows = make(500)
    summary, posts = ingest(tmp_path, rows, tags=named, min_tags=min_tags)
    expected = {row["title"]: set(row["tags"]) & set(named) for row in rows}
    assert every(posts) == {text: tags for text, tags in expected.items() if len(tags) >= min_tags}
    assert set(summary["tags"]) == set(named)
    assert summary["too_few_tags"] == 500 - len(every(posts))


def test_less_of_train_leaves_valid_and_test_as_they_are(tmp_path: Path) -> None:
    whole, posts = ingest(tmp_path, make(2000), tags=3)
    some, fewer = ingest(tmp_path, make(2000), tags=3, max_train=400)
    assert fewer["valid"] == posts["valid"] and fewer["test"] == posts["test"]
    assert len(fewer["train"]) == 400
    assert {post["text"] for post in fewer["train"]} < {post["text"] for post in posts["train"]}
    assert some["beyond_max_train"] == len(posts["train"]) - 400
    before, after = tag_counts(posts["train"]), tag_counts(fewer["train"])
    for tag in whole["tags"]:  # drawn in their shares
        assert after[tag] == pytest.approx(400 * before[tag] / len(posts["train"]), abs=4)
    assert ingest(tmp_path, make(2000), tags=3, max_train=9999) == (whole, posts)


def test_repeated_texts_are_merged_and_their_tags_united(tmp_path: Path) -> None:
    repeats = [
        {"id": "first", "title": "Sort  a List", "tags": ["java"]},
        {"id": "again", "title": "sort a\tlist ", "tags": ["c#", "java"]},
        {"id": "last", "title": "SORT A\u00a0LIST", "tags": [".net"]},
    ]
    summary, posts = ingest(tmp_path, [*repeats, *make(200)], tags=["java", "c#", ".net"], min_tags=3)
    merged = [post for split in SPLITS for post in posts[split] if duplicate_key(post["text"]) == "sort a list"]
    assert [(post["id"], post["text"], set(post["tags"])) for post in merged] == [
        ("first", "Sort  a List", {"java", "c#", ".net"})
    ]
    assert summary["merged"] == 2


# --------------------------------------------------------------------------- splits


@pytest.mark.parametrize("max_train", [None, 100])
def test_folds_test_every_post_once_and_their_summary_adds_up(tmp_path: Path, max_train: int | None) -> None:
    rows = make(500)
    summary, _ = ingest(tmp_path, rows, folds=4, max_train=max_train)
    assert len(summary["folds"]) == 4
    corpus = Corpus(tmp_path / "data/posts")
    assert corpus.folds == 4
    assert sorted(corpus.tested()) == list(range(len(corpus)))
    assert summary["beyond_max_train"] == 0  # a post that one fold leaves out of train is tested in another
    assert sum(sizes["test"] for sizes in summary["folds"]) == summary["kept"]
    for sizes in summary["folds"]:
        assert abs(sizes["train"] - (max_train or summary["kept"] / 2)) <= (0 if max_train else 1)


def test_many_posts_in_folds_are_told_that_a_single_split_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_stage, "MANY", 100)
    advice = "posts are enough for a single split; ingest.folds=1 saves most of the time"
    ingest(tmp_path, make(500), folds=3)
    assert advice in capsys.readouterr().out
    ingest(tmp_path, make(500), folds=1)
    assert advice not in capsys.readouterr().out


def test_the_fingerprint_tells_other_texts_tags_and_splits_apart(tmp_path: Path) -> None:
    rows = make(200)
    changed = {
        "the same": {},
        "the same again": {},
        "another seed": {"seed": 1},
        "other folds": {"folds": 3},
        "fewer tags": {"tags": 3},
    }
    found = {name: ingest(tmp_path, rows, **changes)[0]["fingerprint"] for name, changes in changed.items()}
    rows[7]["title"] += " more"
    found["another text"] = ingest(tmp_path, rows)[0]["fingerprint"]
    assert found.pop("the same") == found["the same again"]
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(("valid", "test"), [(0.2, 0.2), (0.05, 0.5)])
def test_every_split_has_its_share_of_the_posts_and_of_every_tag(tmp_path: Path, valid: float, test: float) -> None:
    summary, posts = ingest(tmp_path, make(4000), tags=6, valid=valid, test=test)
    shares = {"train": 1 - valid - test, "valid": valid, "test": test}
    for split, share in shares.items():
        assert len(posts[split]) == pytest.approx(share * summary["kept"], abs=2)
        counts = tag_counts(posts[split])
        for tag, total in summary["tags"].items():
            assert counts[tag] == pytest.approx(share * total, abs=2 + 0.02 * total)


def test_the_seed_alone_draws_the_split(tmp_path: Path) -> None:
    rows = make(300)
    runs = []
    for seed in (1, 1, 2):
        _, posts = ingest(tmp_path, rows, seed=seed)
        runs.append((written(tmp_path), posts))
    assert runs[0][0] == runs[1][0]
    assert runs[0][1]["test"] != runs[2][1]["test"]
    assert every(runs[0][1]) == every(runs[2][1])


def by_column(folder: Path, splits: dict[str, list[Row]]) -> str:
    write_rows(folder / "posts.jsonl", [row | {"split": split} for split, rows in splits.items() for row in rows])
    return "posts.jsonl"


def by_file_name(folder: Path, splits: dict[str, list[Row]]) -> str:
    for split, rows in splits.items():
        write_rows(folder / "posts" / f"{split}.jsonl", rows)
    return "posts"


@pytest.mark.parametrize("give", [by_column, by_file_name])
def test_given_splits_are_kept(tmp_path: Path, give: Any) -> None:
    rows = make(300)
    given = {"train": rows[:200], "Validation": rows[200:250], "test": rows[250:]}
    _, posts = ingest_source(tmp_path, source=give(tmp_path, given), split="given", min_tags=0)
    for split, part in zip(SPLITS, given.values(), strict=True):
        assert [post["id"] for post in posts[split]] == [row["id"] for row in part]


@pytest.mark.parametrize("give", [by_column, by_file_name])
@pytest.mark.parametrize(
    ("held_out", "line"),
    [
        ("test", "the source has no valid posts: they are cut from train"),
        (
            "valid",
            "the source has no test posts: its valid posts become test, and new valid posts are split off from train",
        ),
    ],
)
def test_of_two_parts_one_is_test_and_valid_is_cut_from_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], give: Any, held_out: str, line: str
) -> None:
    rows = make(300)
    source = give(tmp_path, {"train": rows[:200], held_out: rows[200:]})
    summary, posts = ingest_source(tmp_path, source=source, split="given", min_tags=0, valid=0.25)
    assert [post["id"] for post in posts["test"]] == [row["id"] for row in rows[200:]]
    assert {post["id"] for post in posts["train"] + posts["valid"]} == {row["id"] for row in rows[:200]}
    assert len(posts["valid"]) == pytest.approx(50, abs=1)
    assert summary["valid_cut_from_train"] and line in capsys.readouterr().out.splitlines()


def test_a_text_of_test_is_taken_out_of_train_and_valid(tmp_path: Path) -> None:
    rows = make(300)
    leaked = {"id": "leak", "title": rows[299]["title"].upper(), "tags": ["r"]}
    held = rows[200] | {"id": "held"}
    splits = {"train": [*rows[:200], leaked, held], "valid": [*rows[200:250], leaked], "test": [*rows[250:], leaked]}
    source = by_file_name(tmp_path, splits)
    summary, posts = ingest_source(tmp_path, source=source, split="given", tags=6, min_tags=0)
    assert summary["taken_out_of_train_or_valid"] == 3
    assert summary["merged"] == 1
    assert summary["folds"] == [{"train": 200, "valid": 50, "test": 50}]
    assert set(posts["test"][-1]["tags"]) == {*rows[299]["tags"], "r"}
    assert "held" not in {post["id"] for post in posts["train"]}


# --------------------------------------------------------------------------- what lies on disk


def test_all_splits_lie_in_one_file_in_reading_order(tmp_path: Path) -> None:
    """More posts than are in memory at a time, some of them left out."""
    rows = make(2 * BLOCK + 500)
    rows[3] = rows[3] | {"title": "A &lt;title&gt;", "body": "<p>and a <b>body</b></p>", "tags": ["c#", "java"]}
    rows[4] = {"id": "4", "body": "a body alone", "tags": ["java"]}
    ingest(tmp_path, rows, tags=["java", "c#"])
    corpus = Corpus(tmp_path / "data/posts")
    kept = [row for row in rows if {"java", "c#"} & set(row["tags"])]
    assert len(corpus) == len(kept) == len(corpus.labels)
    assert [name for _, [names] in corpus.read(["id"]) for name in names] == [row["id"] for row in kept]
    texts = dict(zip((row["id"] for row in kept), (text for block in corpus.texts() for text in block), strict=True))
    assert texts["3"] == Text("A <title>", "and a body") and texts["4"] == Text("", "a body alone")
    assert corpus.splits.dtype == np.int8 and corpus.splits.shape == (1, len(kept))
    assert corpus.labels.shape == (len(kept), 2) and corpus.labels.data.dtype == np.uint8
    expected = [[name in row["tags"] for name in corpus.tags] for row in kept]
    assert np.array_equal(corpus.labels.take(np.arange(len(kept))).toarray(), expected)
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        "SHA256SUMS", "counts", "labels", "posts.parquet", "splits.npy", "summary.json", "tags.json"
    ]  # fmt: skip


# --------------------------------------------------------------------------- real posts


@pytest.mark.real_posts
def test_real_titles_in_two_files_that_leak(tmp_path: Path) -> None:
    titles = REAL / "so_titles"
    ten = ["c#", "java", "php", "javascript", "android", "jquery", "c++", "python", "iphone", "asp.net"]
    summary, posts = ingest_source(tmp_path, source=str(titles), tags=ten, min_tags=2)
    assert summary["read"] == 82_851
    assert summary["skipped"] == {"repeated header": 1}
    assert summary["read"] - 1 - summary["merged"] == 50_491
    assert summary["kept"] == 7_744
    united: dict[str, set[str]] = {}
    for name in ("train.tsv", "validation.tsv"):
        with (titles / name).open(encoding="utf-8", newline="") as lines:
            for title, tags in csv.reader(lines, delimiter="\t"):
                united.setdefault(duplicate_key(unescape(title)), set()).update(tag for tag in ten if repr(tag) in tags)
    assert {duplicate_key(unescape(text)): tags for text, tags in every(posts).items()} == {
        title: tags for title, tags in united.items() if len(tags) >= 2
    }
    counts = tag_counts(posts["test"])
    for tag, total in summary["tags"].items():
        assert counts[tag] == pytest.approx(0.2 * total, abs=2 + 0.02 * total)


@pytest.mark.real_posts
@pytest.mark.parametrize(
    ("source", "rows", "distinct", "tags"),
    [
        ("stack_exchange/robotics.csv.zip", 2_771, 2_770, 231),
        ("stack_exchange/biology.csv.zip", 13_196, 13_196, 678),
        ("stack_exchange/crypto.csv.zip", 10_432, 10_430, 392),
        ("quantumcomputing/Posts.xml", 1_986, 612, 154),
    ],
)
def test_real_posts_are_all_read(tmp_path: Path, source: str, rows: int, distinct: int, tags: int) -> None:
    summary, _ = ingest_source(tmp_path, source=str(REAL / source), tags=20, min_tags=0)
    assert summary["read"] == rows
    assert summary["kept"] == distinct
    posts = [row for row in read_posts(REAL / source) if isinstance(row, Post)]
    assert len({tag for post in posts for tag in post.tags}) == tags
