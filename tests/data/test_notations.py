"""Notations of tags as exports mix them: entities, quotes and separators within another notation."""

import json
from pathlib import Path

import pytest
from test_exports import read
from test_tags import parse


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("Food &amp; Drink, News", ["Food & Drink", "News"]),
        ("Q&amp;A;it&#39;s", ["Q&A", "it's"]),
        ("['Food &amp; Drink', 'it&#39;s']", ["Food & Drink", "it's"]),
        ("[&quot;a b&quot;, &quot;c&quot;]", ["a b", "c"]),
        ("&lt;c#&gt;&lt;winforms&gt;", ["c#", "winforms"]),
        (["R&amp;D"], ["R&D"]),
    ],
)
def test_entities_in_tags(cell: object, tags: list[str]) -> None:
    assert parse(cell) == tags


def test_a_text_among_lists_is_one_tag(tmp_path: Path) -> None:
    rows = [{"title": "x", "tags": ["help wanted", "bug"]}, {"title": "y", "tags": "help wanted"}]
    posts, _, line = read(tmp_path / "a.json", json.dumps(rows))
    assert [post.tags for post in posts] == [["help wanted", "bug"], ["help wanted"]] and "one tag per cell" in line
    rows[1]["tags"] = "['help wanted']"
    assert read(tmp_path / "a.json", json.dumps(rows))[0][1].tags == ["help wanted"]


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        (r'{"say \"hi\"",c}', ['say "hi"', "c"]),
        ('{NULL,"null",a}', ["null", "a"]),
        ("{NULL}", []),
        ("[nan]", []),
        ("['a', nan]", ["a"]),
        ('["banana, nan", nan]', ["banana, nan"]),
        ("[a, null]", ["a"]),
        ("<python>,<pandas>", ["python", "pandas"]),
        ("<python> | <pandas>", ["python", "pandas"]),
        ('last week|"john oliver"|"donald trump"', ["last week", "john oliver", "donald trump"]),
        ('"john oliver"|"donald trump"', ["john oliver", "donald trump"]),
        ('"a|b", "c"', ["a|b", "c"]),
    ],
)
def test_marks_around_tags(cell: str, tags: list[str]) -> None:
    assert parse(cell, cell) == tags


@pytest.mark.parametrize("cell", ['{"python": 3, "java": 1}', '{"a" b}', '{a"b}', "{'a': 1}"])
def test_a_mapping_is_no_list_of_tags(cell: str) -> None:
    with pytest.raises(ValueError, match=r"tags are not a list|part of a list"):
        parse(cell)


@pytest.mark.parametrize("tag", ["<a", "<a>", "a<b>", "&lt;a&gt;", "a>x<b"])
def test_marks_of_angles_are_no_part_of_a_tag_in_text(tag: str) -> None:
    with pytest.raises(ValueError, match=r"contains < or >.* set ingest\.tag_separator"):
        parse(f"b|{tag}", *["b|c"] * 3)
    assert parse(["List<T>", "b"]) == ["List<T>", "b"]
    assert parse("b|List<T>", separator="|") == ["b", "List<T>"]
