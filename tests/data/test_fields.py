"""Fields: tags are read from every spelling; a value that is not a list of tags is an error."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagstudy.data.fields import parse_tags

SPELLINGS: dict[str, Callable[[list[str]], Any]] = {
    "a list": list,
    "<a><b>": lambda tags: "".join(f"<{tag}>" for tag in tags),
    "|a|b|": lambda tags: f"|{'|'.join(tags)}|",
    "a Python list": str,
    "a JSON list": json.dumps,
    "a numpy array in a CSV": lambda tags: f"[{' '.join(map(repr, tags))}]",
    "a, b": ", ".join,
    "a,b": ",".join,
    "a; b": "; ".join,
    "a b": " ".join,
}
TAG = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters="#+.-"), min_size=1, max_size=12)


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(tags=st.lists(TAG, unique=True, max_size=6))
@example(tags=["c#", "c++", ".net", "asp.net-mvc-3"])
@example(tags=[])
def test_tags_survive_every_spelling(spelling: str, tags: list[str]) -> None:
    assert parse_tags(SPELLINGS[spelling](tags)) == tags


@pytest.mark.parametrize("value", ["machine learning, nlp", "nlp;machine learning"])
def test_tags_of_several_words_between_commas_are_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="'machine learning' between commas"):
        parse_tags(value)


@pytest.mark.parametrize("value", ["[a, b", "['a'", "[a]", "[" * 9_000, "[" + "-" * 9_000 + "1]", "[" * 20_000])
def test_a_list_that_does_not_parse_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="list"), warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_tags(value)


def test_a_tag_named_twice_counts_once() -> None:
    assert parse_tags("b a  b") == ["b", "a"]


@pytest.mark.parametrize("tags", ['[null, "a"]', "[None, 'a']", [None, "a"]])
def test_a_missing_value_is_no_tag(tags: Any) -> None:
    assert "None" not in parse_tags(tags)
