"""The columns of a file, the spellings of tags, and how a row's fields become a post."""

import ast
import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from tagstudy.core.corpus import Text
from tagstudy.core.errors import UserError
from tagstudy.data.text import clean, unescape

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
COLUMNS = {  # a field and the names that its column may have
    "id": ["id"],
    "title": ["title"],
    "body": ["body", "content", "text"],
    "text": ["cleaned_text"],
    "tags": ["tags"],
    "split": ["split"],
}
# Names that a missing column often has instead, to suggest in the error.
LIKELY = {
    "tags": ["label", "labels", "category", "categories", "topic", "topics", "keyword", "keywords", "class", "classes"],
    "title": ["question", "post", "document", "description", "message", "subject", "headline", "sentence", "summary"],
}


class Post(NamedTuple):
    id: str
    title: str  # plain text on one line, or empty
    body: str  # plain text, code kept, or empty
    tags: list[str]
    split: str | None = None  # train, valid or test, where the source names it

    @property
    def text(self) -> Text:
        return Text(self.title, self.body)


def columns(path: Path, names: list[str], tagged: bool) -> dict[str, str]:
    """The column of each field, recognised by its usual names in any case; that of the tags only if ``tagged``.

    Raises :class:`UserError` for a file without tags, if ``tagged``, or without title, body and text.
    """
    lowered = {str(name).strip().lower(): name for name in reversed(names)}
    column_of = {
        field: next(lowered[usual] for usual in usuals if usual in lowered)
        for field, usuals in COLUMNS.items()
        if not lowered.keys().isdisjoint(usuals) and (tagged or field != "tags")
    }
    for wanted in [("tags",)] * tagged + [("title", "body", "text")]:
        if column_of.keys().isdisjoint(wanted):
            usual = [name for field in wanted for name in COLUMNS[field]]
            free = [name for name in lowered if lowered[name] not in column_of.values()]
            likely = [name for name in free if name in LIKELY[wanted[0]] or get_close_matches(name, usual, cutoff=0.7)]
            remedy = f"rename {lowered[likely[0]]!r:.40} to {wanted[0]!r}, if it is that" if likely else "add one"
            if len(names) == 1 and ";" in names[0]:  # spreadsheets write semicolons where the decimal sign is a comma
                remedy = "save it with commas between columns, not semicolons"
            raise UserError(
                f"{path}: needs a column {' or '.join(map(repr, usual))}; its columns are "
                f"{', '.join(f'{name!r:.40}' for name in names[:20]) or 'none'}; {remedy}"
            )
    return column_of


def as_post(fields: dict[str, Any], default_id: str, split: str | None) -> Post:
    """A post from the fields of a row: `id`, `title`, `body` (HTML) or else `text` (plain), `tags`, `split`.

    ``default_id`` and ``split`` are for a row that names neither. Title and body may both be empty.
    Raises ValueError for tags that do not parse and for lone surrogates, which no file can hold.
    """
    row_split = as_text(fields.get("split")).strip().lower()
    post = Post(
        id=as_text(fields.get("id")).strip() or default_id,
        title=unescape(as_text(fields.get("title"))).replace("\n", " ").strip(),
        body=clean(as_text(fields.get("body"))) or as_text(fields.get("text")).strip(),
        tags=parse_tags(fields.get("tags")),
        split=SPLIT_NAMES.get(row_split, row_split or split),
    )
    "".join([post.id, post.title, post.body, *post.tags]).encode()  # raises for lone surrogates
    return post


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
