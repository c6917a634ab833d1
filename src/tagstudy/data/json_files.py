"""Posts in JSON: an object, one per line, an array of them, or an object that wraps such an array; in a stream."""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any

from tagstudy.core.errors import UserError
from tagstudy.data.columns import TEXT_FIELDS, USUAL, Columns, choose_columns, is_numbered, simplified
from tagstudy.data.decoding import AsUtf8, encoding_of, text_lines
from tagstudy.data.files import File, Row, peek
from tagstudy.data.tables import fields_of

WRAPPERS = {  # keys of lists of posts, or of what such a list is in
    *("articles", "children", "data", "documents", "entries", "entry", "hits", "issues", "items", "messages", "nodes"),
    *("posts", "questions", "records", "results", "rows", "threads", "tickets"),
}
NO_POSTS = {  # keys of lists within a post
    *USUAL["tags"],
    *("answers", "comments", "edits", "hashtags", "history", "linked", "links", "related", "replies", "revisions"),
}
KEY_OF_TEXT = re.compile(rb'"(\w+)"\s*:\s*"')
HEAD = 2**20  # bytes in which a second line begins, if objects stand in lines


def read_posts_json(file: File, stream: IO[bytes]) -> Iterator[Row]:
    encoding = encoding_of(file, stream)
    head = stream.read(HEAD)
    stream.seek(0)
    one = single_object(head, encoding)
    if one is not None and not wraps_posts(one := inner_post(one)):
        file.detected["encoding"] = encoding.removesuffix("-sig")
        rows = iter([Row(1, one)])
    else:
        in_utf_8 = head.decode(encoding, errors="replace").encode()
        rows = (
            json_array(file, stream, encoding)
            if is_array(in_utf_8, is_whole=len(head) < HEAD)
            else json_lines(file, stream)
        )
    yield from json_fields(file, rows)


def single_object(head: bytes, encoding: str) -> dict[str, Any] | None:
    """The one object that a short file holds, if it does."""
    try:
        value = json.loads(AsUtf8(BytesIO(head), encoding).read()) if len(head) < HEAD else None
    except (ValueError, RecursionError):  # such as a UnicodeError
        return None
    return value if isinstance(value, dict) else None


def inner_post(row: dict[str, Any]) -> dict[str, Any]:
    """The one object within an object, if it is a post, as a question beside its answers; else the object itself."""
    inner = [value for value in row.values() if isinstance(value, dict)]
    lists = {key for key, items in lists_within(row) if any(isinstance(item, dict) for item in items)}
    is_inside = len(inner) == 1 and lists <= NO_POSTS and not is_post(row)
    return inner[0] if is_inside and is_post(inner[0]) and not wraps_posts(inner[0]) else row


def wraps_posts(row: dict[str, Any]) -> bool:
    """Whether an object is not a post but holds a list of them, or an empty one.

    A post may hold lists of objects too: of tags, of answers, of its earlier texts.
    """
    if not is_post(row):
        return any(isinstance(value, list | dict) for key, value in row.items() if simplified(key) not in USUAL["tags"])
    fields = {simplified(key) for key in row}
    is_tagged = not fields.isdisjoint(USUAL["tags"])
    is_whole = is_tagged or (not fields.isdisjoint(USUAL["title"]) and not fields.isdisjoint(USUAL["body"]))
    for key, items in lists_within(row):
        posts = [item for item in items if isinstance(item, dict) and is_post(item)]
        tagged = not is_tagged and any(simplified(name) in USUAL["tags"] for post in posts for name in post)
        if posts and (key in WRAPPERS or (key not in NO_POSTS and (tagged or not is_whole))):
            return True
    return False


def lists_within(value: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """The lists in an object, and in the wrappers within it, with their keys."""
    for key, inner in value.items():
        if isinstance(inner, dict) and simplified(key) in WRAPPERS:
            yield from lists_within(inner)
        elif isinstance(inner, list):
            yield simplified(key), inner


def is_array(head: bytes, is_whole: bool) -> bool:
    """Whether a file that begins so is one JSON value rather than one object per line.

    A first line longer than HEAD is an object if a text of a post comes before any list.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return True
    first, _, rest = text.partition(b"\n")
    if not is_whole and not rest.strip():
        before_a_list, *_ = re.split(rb"[\[{]", first[1:])
        return not is_post(dict.fromkeys(map(bytes.decode, KEY_OF_TEXT.findall(before_a_list)), ""))
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return text.startswith(b"{") and (first.rstrip().endswith(b"[") or not rest.lstrip().startswith(b"{"))
    return isinstance(row, dict) and not rest.strip()


def is_post(row: dict[str, Any]) -> bool:
    """Whether an object is a post, not a wrapper around posts: it has a text."""
    texts = {usual for field in TEXT_FIELDS for usual in USUAL[field]}
    return any(isinstance(value, str) and simplified(key) in texts for key, value in row.items())


def json_lines(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """A row for each line that is not blank."""
    for number, line in enumerate(text_lines(file, stream), start=1):
        if line.strip():
            try:
                row = json.loads(line)
                yield Row(number, row) if isinstance(row, dict) else Row(number, None, "malformed row: not an object")
            except (ValueError, RecursionError) as problem:
                yield Row(number, None, f"malformed row: {problem!s:.200}")


def json_array(file: File, stream: IO[bytes], encoding: str) -> Iterator[Row]:
    """A row for each object of the one list of objects, wherever it stands.

    What stands within a post, such as a list of answers, is none.
    Raises :class:`UserError` for JSON that does not parse, that has no such list, or that has several.
    """
    import ijson

    file.detected["encoding"] = encoding.removesuffix("-sig")
    source = AsUtf8(stream, encoding)
    number, depth, place, before, is_empty = 0, 0, None, "", False
    builder = ijson.ObjectBuilder()
    try:
        for prefix, event, value in ijson.parse(source, use_float=True):
            if (before, event) == ("start_array", "end_array"):
                is_empty |= not prefix or simplified(prefix.split(".")[-1]) in WRAPPERS
            before = event
            if depth or (event == "start_map" and prefix.endswith("item") and may_hold_posts(prefix)):
                if not depth:
                    builder = ijson.ObjectBuilder()
                    place = prefix if place is None else place
                    if prefix != place:
                        raise UserError(
                            f"{file.path}: lists of objects at {place!r:.40} and {prefix!r:.40}; put each "
                            "list into its own file"
                        )
                builder.event(event, value)
                depth += event in ("start_map", "start_array")
                depth -= event in ("end_map", "end_array")
                if not depth:
                    number += 1
                    yield Row(number, builder.value)
            elif prefix == place:
                number += 1
                yield Row(number, None, "malformed row: not an object")
    except (ijson.JSONError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise UserError(
            f"{file.path}, after row {number}: malformed JSON ({' '.join(str(problem).split())!s:.200}); fetch it "
            "again, or write one object per line (.jsonl)"
        ) from None
    if is_empty and not number:  # as the last of several pages is
        file.detected["empty_page"] = True
    elif not number:
        raise UserError(f"{file.path}: no list of objects in it; write one object for each post")


def may_hold_posts(prefix: str) -> bool:
    """Whether a list at this place may be one of posts, by the names of the lists that it is in."""
    return NO_POSTS.isdisjoint(map(simplified, prefix.split(".")))


def json_fields(file: File, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows by the names of fields. Objects may lack keys, but not that of the tags.

    Raises :class:`UserError` for a usual key that is in none of the first rows, from which columns are chosen.
    """
    first, rows = peek(rows)
    if not first and "empty_page" in file.detected:
        return
    sample: list[dict[str, Any]] = [row.fields for row in first if row.fields is not None]
    if not sample and first:
        raise UserError(f"{file.path}, row {first[0].number}: {first[0].problem}; write one object per line")
    names = dict.fromkeys(key for row in sample for key in row)
    columns = choose_columns(file, list(names), sample)
    tags = columns.names.get("tags", [])
    tags = tags if len(tags) == 1 and not columns.multi_hot else []
    for row in rows:
        if row.fields is not None and not row.fields.keys() <= names.keys():
            refuse_late_columns(file, row, {key: row.fields[key] for key in row.fields.keys() - names.keys()}, columns)
        lacks_tags = row.fields is not None and any(name not in row.fields for name in tags)
        if lacks_tags and not columns.no_question(row.fields or {}):
            yield Row(row.number, None, f"malformed row: no {tags[0]!r:.40}")
        else:
            yield from fields_of(columns, iter([row]))


def refuse_late_columns(file: File, row: Row, late: dict[str, Any], columns: Columns) -> None:
    chosen = set(columns.names) | ({"markdown", "text"} if "body" in columns.names else set())
    usual = {name for field in USUAL.keys() - chosen - {"tags"} for name in USUAL[field]}
    numbered = len(columns.names.get("tags", ())) > 1 and "tags" not in file.options.columns
    for key, value in late.items():
        if value is not None and (simplified(key) in usual or (numbered and is_numbered(key))):
            raise UserError(
                f"{file.path}, row {row.number}: {key!r:.40} is in none of the first rows; write it in the first one "
                "too, as null if that has none"
            )
