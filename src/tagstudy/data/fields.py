"""How a row's fields become a post, and the spellings of tags."""

import ast
import json
import re
from typing import Any, NamedTuple

from tagstudy.core.corpus import Text
from tagstudy.data.text import clean, clean_markdown, unescape

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


class Post(NamedTuple):
    id: str
    title: str  # plain text on one line, or empty
    body: str  # plain text, code kept, or empty
    tags: list[str]
    split: str | None = None  # train, valid or test, where the source names it

    @property
    def text(self) -> Text:
        return Text(self.title, self.body)


def as_post(fields: dict[str, Any], default_id: str, split: str | None) -> Post:
    """A post from the fields of a row: `id`, `title`, `tags`, `split`, and `body` (HTML), `markdown` or `text` (plain).

    Of these three, the first that is not empty counts. ``default_id`` and ``split`` are for a row that names neither.
    Title and body may both be empty.
    Raises ValueError for tags that do not parse and for lone surrogates, which no file can hold.
    """
    row_split = as_text(fields.get("split")).strip().lower()
    post = Post(
        id=as_text(fields.get("id")).strip() or default_id,
        title=unescape(as_text(fields.get("title"))).replace("\n", " ").strip(),
        body=(
            clean_all(fields.get("body"))
            or clean_markdown(as_text(fields.get("markdown")))
            or as_text(fields.get("text")).strip()
        ),
        tags=parse_tags(fields.get("tags")),
        split=SPLIT_NAMES.get(row_split, row_split or split),
    )
    "".join([post.id, post.title, post.body, *post.tags]).encode()  # raises for lone surrogates
    return post


def clean_all(value: Any) -> str:
    """The text of a cell, or of several as one."""
    if isinstance(value, list):
        return "\n".join(filter(None, (clean(as_text(part)) for part in value)))
    return clean(as_text(value))


def as_text(value: Any) -> str:
    """A cell as text; a missing value, such as None or NaN, is empty."""
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or value != value else str(value)


def parse_tags(value: Any) -> list[str]:
    """Distinct tag names, in order, from any of their spellings.

    A list; `<a><b>` (older data dumps); `|a|b|` (newer ones); a Python or JSON list as text; `a, b`; `a; b`; `a b`.
    Raises ValueError for a list that does not parse, for a value that is neither text nor list, and for tags of several
    words between commas: without a comma, such a cell could be one tag or several.
    """
    if as_text(value) == "":
        return []
    if isinstance(value, str):
        value = value.strip()
        if value.startswith(("[", "(")):
            value = parse_list(value)
        elif value.startswith("<") and value.endswith(">"):
            value = re.split(r">\s*<", value[1:-1])
        elif value.startswith("|"):
            value = value.split("|")
        elif {",", ";"} & set(value):
            value = re.split(r"\s*[,;]\s*", value)
            if words := next((tag for tag in value if len(tag.split()) > 1), None):
                raise ValueError(f"{words!r:.40} between commas: tags of several words are written |one tag|other|")
        else:
            value = value.split()
    if not isinstance(value, list):
        raise ValueError(f"tags are not a list: {value!r:.60}")
    return list(dict.fromkeys(tag for tag in (as_text(tag).strip() for tag in value) if tag))


def parse_list(text: str) -> list[Any]:
    """A Python or JSON list, or a numpy array printed into a CSV (`['a' 'b']`, which Python would read as ['ab'])."""
    if len(text) > 10_000:  # literal_eval needs hundreds of bytes of memory for each character
        raise ValueError("a list of tags of more than 10,000 characters")
    text = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", text)
    for parse in (json.loads, ast.literal_eval):
        try:
            return list(parse(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise ValueError(f"tags are not a list: {text:.60}")
