"""Tags are read from every spelling, which is found out for a file, not for a cell; anything else is an error."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from test_bad_input import ingest
from test_posts import TAG

from tagstudy.core.errors import UserError
from tagstudy.data.fields import Post
from tagstudy.data.files import File, ReadOptions
from tagstudy.data.labels import choose_tags
from tagstudy.data.readers import read_posts
from tagstudy.data.tags import find_spelling, parse_tags

SPELLINGS: dict[str, Callable[[list[str]], Any]] = {
    "a list": list,
    "<a><b>": lambda tags: "".join(f"<{tag}>" for tag in tags),
    "|a|b|": lambda tags: f"|{'|'.join(tags)}|",
    "a|b": "|".join,
    "&lt;a&gt;&lt;b&gt;": lambda tags: "".join(f"&lt;{tag}&gt;" for tag in tags),
    "objects": lambda tags: [{"id": 1, "name": tag} for tag in tags],
    "objects as text": lambda tags: str([{"id": 1, "name": tag} for tag in tags]),
    "a tuple": lambda tags: str(tuple(tags)),
    "a set": lambda tags: f"{{{', '.join(map(repr, tags))}}}" if tags else "set()",
    "a numpy array": lambda tags: f"array({tags!r}, dtype=object)",
    "R": lambda tags: f"c({', '.join(map(json.dumps, tags))})" if tags else "character(0)",
    "Postgres": lambda tags: f"{{{','.join(tags)}}}",
    "quoted": lambda tags: ", ".join(map(repr, tags)),
    "a Python list": str,
    "a JSON list": json.dumps,
    "a numpy array in a CSV": lambda tags: f"[{' '.join(map(repr, tags))}]",
    "a, b": ", ".join,
    "a,b": ",".join,
    "a; b": "; ".join,
    "a b": " ".join,
}


SEVERAL = [["x", "y"], ["y", "z", "x"]]  # of other rows of the file


def parse(cell: Any, *others: Any, separator: str | None = None) -> list[str]:
    """The tags of a cell in a file that has others."""
    file = File(Path("a.csv"), ReadOptions(tag_separator=separator))
    return parse_tags(cell, find_spelling(file, [cell, *others]))


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(tags=st.lists(TAG, unique=True, max_size=6))
@example(tags=["c#", "c++", ".net", "asp.net-mvc-3"])
@example(tags=["one"])
@example(tags=[])
def test_tags_survive_every_spelling(spelling: str, tags: list[str]) -> None:
    spell = SPELLINGS[spelling]
    assert parse(spell(tags), *map(spell, SEVERAL)) == tags


@pytest.mark.parametrize("separator", [", ", ",", ";", "; ", "|"])
def test_a_tag_may_be_of_several_words_where_other_rows_have_separators(separator: str) -> None:
    others = ["a" + separator + "b", "machine learning" + separator + "c"]
    assert parse("machine learning", *others) == ["machine learning"]
    assert parse(others[1], *others) == ["machine learning", "c"]
    assert parse("machine learning", "a b") == ["machine", "learning"]


def test_a_few_cells_do_not_change_a_file_s_spelling() -> None:
    with pytest.raises(ValueError, match="',' in tags that are written as a b in other rows: 'a, b'"):
        parse("a, b", *["a b"] * 50)
    with pytest.raises(ValueError, match="tags are not written as <a><b>, as in other rows"):
        parse("a b", *["<a><b>"] * 50)
    assert parse("Smith, J.; Doe, K.", "Doe, K.; Smith, J.") == ["Smith, J.", "Doe, K."]


def test_all_printed_lists_are_one_spelling() -> None:
    cells = ["{'a', 'b'}", "{a,b}", 'c("a", "b")', "'a', 'b'", "array(['a', 'b'], dtype=object)", '["a", "b"]']
    assert [parse(cell, *cells) for cell in cells] == [["a", "b"]] * len(cells)
    assert parse('{"a b",c}', *cells) == ["a b", "c"]
    assert parse("[{'id': 1, 'name': 'bug'}]", *cells) == ["bug"]


def test_the_separator_may_be_told() -> None:
    assert parse("a / b, c", separator="/") == ["a", "b, c"]
    assert parse("machine learning, ai", separator="") == ["machine learning, ai"]
    assert parse(["a/b"], separator="/") == ["a/b"]  # a list needs none


@pytest.mark.parametrize("tag", ["{a", "a}", "(a)", "[a", "a]", '"a', "'a", "a'", "&a", "a&", "a)", "a("])
def test_a_part_of_a_list_is_no_tag(tag: str) -> None:
    for cell in ([tag, "b"], f"b|{tag}", f"<b><{tag}>"):
        with pytest.raises(ValueError, match="looks like part of a list, not a tag"):
            parse(cell)


@pytest.mark.parametrize("tag", ["learning (machine)", "it's", "r&d", 'a "quote"', "c#", "x[0]"])
def test_brackets_within_a_tag_are_its_own(tag: str) -> None:
    assert parse([tag, "b"]) == [tag, "b"]


@pytest.mark.parametrize("value", ["[a, b", "['a'", "['a]", "[" * 9_000, "[" + "-" * 9_000 + "1]", "[" * 20_000])
def test_a_list_that_does_not_parse_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="list"), warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(value)


def test_a_tag_named_twice_counts_once() -> None:
    assert parse("b a  b") == ["b", "a"]


@pytest.mark.parametrize("tags", ['[null, "a"]', "[None, 'a']", [None, "a"]])
def test_a_missing_value_is_no_tag(tags: Any) -> None:
    assert parse(tags) == ["a"]


@pytest.mark.parametrize("cell", ["nan", "NaN", "None", "", " ", None, float("nan"), [], "[]"])
def test_a_missing_cell_has_no_tags(cell: Any) -> None:
    assert parse(cell) == []
    assert parse(cell, *["[]"] * 5 if cell == "[]" else ["a, b"]) == []


@pytest.mark.parametrize("tags", [[{"id": 1}], [["a"]], {"a": 1}])
def test_what_is_no_list_of_names_is_an_error(tags: Any) -> None:
    with pytest.raises(ValueError, match=r"object without a name|part of a list|not a list"):
        parse(tags)


VECTORS = [([1, 1, 0], [0, 0, 1]), ("[1, 0]", "[0, 1]"), ("1 0 0", "0 0 1"), ("1", "0"), ("TRUE FALSE",)]


@pytest.mark.parametrize("cells", VECTORS)
def test_vectors_of_0_and_1_are_refused(cells: Any) -> None:
    with pytest.raises(UserError, match=r"a\.csv: the tags column holds only 0 and 1.* a 0/1 column for each tag"):
        parse(*cells)


def test_a_file_that_is_escaped_once_more(tmp_path: Path) -> None:
    rows = "4,Set opacity,&lt;p&gt;I use &lt;code&gt;double&lt;/code&gt;.&lt;/p&gt;,&lt;c#&gt;&lt;winforms&gt;\n"
    (tmp_path / "a.csv").write_text("Id,Title,Body,Tags\n" + rows)
    [post] = read_posts(tmp_path / "a.csv")
    assert post == Post("4", "Set opacity", "I use double.", ["c#", "winforms"])
    options = ReadOptions(columns={"body": ["Title", "Body"]})
    [post] = read_posts(tmp_path / "a.csv", options=options)
    assert (post.title, post.body) == ("", "Set opacity\nI use double.")  # type: ignore[union-attr]


LABEL = {"names": ["bug", "help wanted"], "_type": "ClassLabel"}


@pytest.mark.parametrize("feature", [{"feature": LABEL, "_type": "Sequence"}, [LABEL]])
def test_numbers_of_classes_in_parquet_have_names(tmp_path: Path, feature: Any) -> None:
    features = {"text": {"dtype": "string", "_type": "Value"}, "labels": feature}
    table = pa.table({"text": ["x", "y", "z"], "labels": [[0, 1], [1], None]})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert [post.tags for post in read_posts(tmp_path / "a.parquet")] == [["bug", "help wanted"], ["help wanted"], []]


def test_a_number_of_a_class_in_parquet_has_a_name(tmp_path: Path) -> None:
    table = pa.table({"text": ["x", "y"], "labels": [1, 5]})
    metadata = {b"huggingface": json.dumps({"info": {"features": {"labels": LABEL}}}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    post, skipped = read_posts(tmp_path / "a.parquet")
    assert post.tags == ["help wanted"] and "no class has the number 5" in skipped.place


def test_ingest_tells_the_spelling(tmp_path: Path) -> None:
    rows = "".join(f"Post {number},a|b\n" for number in range(30))
    (tmp_path / "a.csv").write_text(f"title,tags\n{rows}")
    assert "tags written as a|b\n" in ingest(tmp_path, source="a.csv").stdout
    assert (
        "tags written as one tag per cell\n"
        in ingest(tmp_path, source="a.csv", tags=1, min_tags=1, tag_separator="").stdout
    )


def test_a_name_in_ingest_tags_is_cleaned_as_tags_of_posts_are() -> None:
    names = parse("caf\u00e9|two words|c", "a|b")
    labels = csr_array(np.ones((1, 3), np.int8))
    assert choose_tags(labels, names, ["two\u00a0words\u200b", "cafe\u0301"]) == [1, 0]
    with pytest.raises(UserError, match=r"ingest\.tags names the tag 'c' twice"):
        choose_tags(labels, names, ["c", "c\ufeff"])


def test_each_of_several_columns_has_names_of_its_own(tmp_path: Path) -> None:
    features = {"info": {"features": {"label_1": LABEL, "label_2": {"names": ["ui", "api"], "_type": "ClassLabel"}}}}
    table = pa.table({"title": ["x", "y"], "label_1": [1, 7], "label_2": [0, 1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, tmp_path / "a.parquet")
    post, skipped = read_posts(tmp_path / "a.parquet")
    assert post.tags == ["help wanted", "ui"] and "no class has the number 7" in skipped.place
