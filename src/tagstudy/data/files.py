"""A file of posts while it is read: what the parameters say of it, and what was detected."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

SAMPLE = 1000  # rows of a file from which columns and the spelling of tags are detected
SAMPLE_SIZE = 2**24  # characters of them
DROPPED = "forbidden_characters_dropped"
NOTES = {
    "passed_over": "passed over: {}",
    "quotes_escaped_by_backslashes": "quotes are escaped by backslashes",
    "unquoted": "quotes are part of the text",
    "nulls": "cells of {} are empty",
    "part_of_a_dump": "a part of a dump, without its beginning or its end",
    "empty_page": "an empty list",
    "cut_off": "the last row is cut off and was left out",
    DROPPED: "{:,} characters that XML forbids were dropped",
}
SHOWN_NAMES = 10  # names in a line
T = TypeVar("T")


@dataclass(frozen=True)
class ReadOptions:
    """What the parameters say of a source; what is not set is detected."""

    tagged: bool = True  # whether the posts have tags
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)  # of id, title, body, tags
    tag_separator: str | None = None
    encoding: str | None = None
    binding: bool = True  # False: columns apply only to files that have them, encoding only to non-Unicode files

    def columns_of(self, field: str) -> list[str]:
        """The columns that are named for a field."""
        names = self.columns.get(field, [])
        return [names] if isinstance(names, str) else names


@dataclass
class File:
    """A file, or a part of one that can be read by itself."""

    path: Path
    options: ReadOptions = ReadOptions()
    row: int = 0  # the last one that was read; before a part is read, the last one before it
    detected: dict[str, Any] = field(default_factory=dict)  # columns, left_out, tags, …, as summary.json has them
    start: int = 0  # of a part, the bytes of a dump or the rows of Parquet
    end: int | None = None
    tag_cells: tuple[Any, ...] = ()  # of the file's first rows, for a part

    def add(self, part: "File") -> None:
        """Note what was detected in a further part of the same file."""
        dropped = self.detected.get(DROPPED, 0) + part.detected.get(DROPPED, 0)
        self.detected |= part.detected | ({DROPPED: dropped} if dropped else {})


class Row(NamedTuple):
    number: int  # in the file, from 1
    fields: dict[str, Any] | None  # by the names of columns.USUAL; None: not a post, and `problem` says why
    problem: str = ""


def peek(rows: Iterator[T], count: int = SAMPLE) -> tuple[list[T], Iterator[T]]:
    """The first rows, fewer where they are very long, and all of them."""
    sample, size = list[T](), 0
    for row in islice(rows, count):
        sample.append(row)
        size += len(str(row))
        if size > SAMPLE_SIZE:
            break
    return sample, chain(sample, rows)


def as_text(value: Any) -> str:
    """A cell as text; a missing value, such as None or NaN, is empty. Raises ValueError for a list or an object."""
    if isinstance(value, str):  # most often
        return value
    if isinstance(value, list | dict | tuple):
        raise ValueError(f"an object or a part of a list where text is expected: {value!r:.60}")
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or value != value else str(value)


def numbered(file: File, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; ``file`` knows which was the last."""
    for row in rows:
        file.row = row.number
        yield row


def distinct(files: list[File]) -> list[dict[str, Any]]:
    """What was detected, with files grouped by equal findings."""
    alike: dict[str, dict[str, Any]] = {}
    for file in files:
        alike.setdefault(repr(file.detected), {"names": [], **file.detected})["names"].append(file.path.name)
    return list(alike.values())


def described(detected: dict[str, Any]) -> str:
    """One of :func:`distinct` as a line."""
    first, *others = detected["names"]
    columns = {field: f"{field} from {and_more(names)}" for field, names in detected.get("columns", {}).items()}
    if detected.get("multi_hot"):
        columns["tags"] += " (columns of 0 and 1)"
    parts = list(columns.values())
    if spelling := detected.get("tag_spelling"):
        parts.append(f"tags written as {spelling}")
    line = f"{first}{f' and {len(others):,} more' if others else ''}: {', '.join(parts) or 'read'}"
    if detected.get("encoding", "utf-8") != "utf-8":
        line += f"; encoded in {detected['encoding']}"
    for key, meaning in NOTES.items():
        if detected.get(key):
            line += f"; {meaning.format(detected[key])}"
    if (delimiter := detected.get("delimiter", ",")) != ",":
        line += f"; columns are split at {delimiter!r}"
    if left_out := detected.get("text_columns_left_out"):
        line += f"; text columns left out: {and_more(left_out)}"
    return line


def and_more(names: list[str]) -> str:
    return ", ".join(f"{name!s:.40}" for name in names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
