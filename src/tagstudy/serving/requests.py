"""What a request asks for. All of it comes from outside: each part is checked, and refused in one line."""

import json
from typing import Any, NamedTuple, NoReturn

from tagstudy.core.corpus import Text
from tagstudy.data.fields import as_post

MOST_BYTES = 2**20
MOST_POSTS = 256
LONGEST = {"title": 1_000, "body": 100_000}  # characters
LONGEST_EXPLAINED = 10_000  # of a post: it is scored without each of its words in turn


class Refused(Exception):
    """A request that is not answered: the status of HTTP, and a line that says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Asked(NamedTuple):
    texts: list[Text]
    explain: bool
    many: bool  # whether the posts came as a list


def read_asked(data: bytes) -> Asked:
    """Raises :class:`Refused` for anything but what the documentation says."""
    try:
        asked = json.loads(data.decode(), parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "the request is not JSON in UTF-8") from None
    if not isinstance(asked, dict):
        raise Refused(400, 'give an object, such as {"title": "..."} or {"posts": [{"title": "..."}]}')
    explain, many = asked.pop("explain", False), "posts" in asked
    if not isinstance(explain, bool):
        raise Refused(400, "explain is true or false")
    posts = asked.pop("posts") if many else [asked]
    if many and asked:
        raise Refused(400, f"unknown key {quoted(next(iter(asked)))} beside posts and explain")
    if not isinstance(posts, list) or not posts:
        raise Refused(400, "posts is a list of at least one post")
    if len(posts) > MOST_POSTS:
        raise Refused(413, f"at most {MOST_POSTS} posts per request")
    if explain and many and len(posts) > 1:
        raise Refused(400, "explain is for one post")
    texts = [read_text(post, f"post {number}: " if many else "") for number, post in enumerate(posts, start=1)]
    if explain and sum(map(len, texts[0])) > LONGEST_EXPLAINED:
        raise Refused(413, f"explain is for a post of at most {LONGEST_EXPLAINED:,} characters")
    return Asked(texts, explain, many)


def read_text(post: Any, place: str) -> Text:
    """A post as a line of a .jsonl file has it: the title is text with entities, the body is HTML or text."""
    if not isinstance(post, dict):
        raise Refused(400, f"{place}a post is an object with a title, a body, or both")
    for key, value in post.items():
        if key not in LONGEST:
            raise Refused(400, f"{place}unknown key {quoted(key)}: a post has a title and a body")
        if not isinstance(value, str):
            raise Refused(400, f"{place}{key} is a string")
        if len(value) > LONGEST[key]:
            raise Refused(413, f"{place}{key} is longer than {LONGEST[key]:,} characters")
    try:
        text = as_post(post, "", None).text
    except ValueError:
        raise Refused(400, f"{place}the text holds a lone surrogate, which is not valid Unicode") from None
    if not any(text):
        raise Refused(400, f"{place}the text is empty; give a title, a body, or both")
    return text


def quoted(key: str) -> str:
    return json.dumps(key if len(key) <= 40 else f"{key[:40]}...")


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
