"""How a row's fields become a post."""

import re
from typing import Any, NamedTuple

from tagstudy.core.corpus import Text
from tagstudy.core.printing import visible
from tagstudy.data.files import as_text
from tagstudy.data.tags import WORDS, Spelling, parse_tags
from tagstudy.data.text import clean, clean_markdown, unescape

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
ENDS = re.compile(r"\r\n|[\t-\r\x1c-\x1e\x85\u2028\u2029]")  # of lines, and tabs


class Post(NamedTuple):
    id: str
    title: str  # plain text on one line, or empty
    body: str  # plain text, code kept, or empty
    tags: list[str]
    split: str | None = None  # train, valid or test, where the source names it

    @property
    def text(self) -> Text:
        return Text(self.title, self.body)


def as_post(fields: dict[str, Any], default_id: str, split: str | None, spelling: Spelling = WORDS) -> Post:
    """A post from the fields of a row: `id`, `title` (with entities) or `plain_title`, `tags`, `split`, `body` (HTML),
    `markdown` or `text` (plain).

    Of the last three, the first that is not empty counts. ``default_id`` and ``split`` are for a row without them.
    ``spelling`` is that of the tags. Title and body may both be empty.
    Raises ValueError for tags that do not parse and for lone surrogates, which no file can hold.
    """
    if spelling.escaped:
        fields = fields | {name: unescaped(fields.get(name)) for name in ("title", "body")}
    row_split = as_text(fields.get("split")).strip().lower()
    post = Post(
        id=visible(as_text(fields.get("id"))).strip() or default_id,
        title=ENDS.sub(" ", as_text(fields.get("plain_title")) or unescape(as_text(fields.get("title")))).strip(),
        body=(
            clean_all(fields.get("body"))
            or clean_markdown(as_text(fields.get("markdown")))
            or as_text(fields.get("text")).strip()
        ),
        tags=parse_tags(fields.get("tags"), spelling),
        split=SPLIT_NAMES.get(row_split, row_split or split),
    )
    for text in (post.id, post.title, post.body, *post.tags):
        if not text.isascii():
            text.encode()  # raises for lone surrogates
    return post


def unescaped(value: Any) -> Any:
    """A text with its entities as characters; of several columns, each."""
    return [unescape(as_text(part)) for part in value] if isinstance(value, list) else unescape(as_text(value))


def clean_all(value: Any) -> str:
    """The text of a cell, or of several as one."""
    if isinstance(value, list):
        return "\n".join(filter(None, (clean(as_text(part)) for part in value)))
    return clean(as_text(value))
