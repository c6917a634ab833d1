"""Kaggle's StackSample: Questions.csv and, in another table, a row for each tag of a question; joined in a stream."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO

from tagstudy.core.errors import UserError
from tagstudy.data.archives import ARCHIVES, UNREADABLE, members, opened
from tagstudy.data.files import File, ReadOptions, Row, numbered, peek
from tagstudy.data.tables import read_csv

QUESTIONS = "questions.csv"
TAGS = "tags.csv"
STACKLITE_TAGS = "question_tags.csv"  # the same layout, but its questions have no texts
LONGEST_ID = 18  # digits
LONGEST_HEADER = 2**12  # bytes


def tables_of(path: Path) -> dict[str, str] | None:
    """The names of the CSV files of a folder or archive, by their names in lower case; None if it is no StackSample.

    That has a row for each tag of a question; other tables of tags, such as a list of them, have other columns.
    In a folder each may be packed by itself.
    """
    files = path.iterdir() if path.is_dir() else []
    names = sorted(member.name for member in files if member.is_file()) or members(path)
    tables = {unpacked(name): name for name in names if unpacked(name).endswith(".csv")}
    of_tags = TAGS if TAGS in tables else STACKLITE_TAGS
    return tables if {QUESTIONS, of_tags} <= tables.keys() and has_tag_rows(path, tables, of_tags) else None


def has_tag_rows(path: Path, tables: dict[str, str], key: str) -> bool:
    """Whether the header of a table names the columns Id and Tag.

    Also true where it cannot be read, which is an error later, and in a 7z archive, which would have to be unpacked.
    """
    if path.suffix.lower() == ".7z":
        return True
    try:
        with opened_table(path, tables, key) as (_, stream):
            header = stream.readline(LONGEST_HEADER).replace(b"\0", b"").lower()  # the zeros of UTF-16
    except (*UNREADABLE, UserError):
        return True
    return {b"id", b"tag"} <= set(re.findall(rb"\w+", header))


def opened_table(path: Path, tables: dict[str, str], key: str) -> AbstractContextManager[tuple[str, IO[bytes]]]:
    """A table of a folder or archive."""
    one = path / tables[key] if path.is_dir() else path
    return opened(one, key, lambda names: [name for name in names if unpacked(name) == key])


def unpacked(name: str) -> str:
    """A file's name in lower case, without its folder and what an archive adds to it."""
    path = PurePosixPath(name.lower())
    return path.stem if path.suffix in ARCHIVES else path.name


def read_stacksample(file: File, tables: dict[str, str]) -> Iterator[Row]:
    """The questions with their tags. Both tables stand in the order of the questions' ids."""
    of_tags = TAGS if TAGS in tables else STACKLITE_TAGS
    if passed_over := sorted(name for key, name in tables.items() if key not in (QUESTIONS, of_tags)):
        file.detected["passed_over"] = ", ".join(passed_over)
    with ExitStack() as stack:

        def table(key: str, options: ReadOptions) -> tuple[File, Iterator[Row]]:
            _, stream = stack.enter_context(opened_table(file.path, tables, key))
            one = File(file.path / tables[key], options)
            return one, numbered(one, read_csv(one, stream))

        columns = {"id": "Id"} | dict(file.options.columns)
        questions, rows = table(QUESTIONS, replace(file.options, tagged=False, columns=columns, tag_separator=None))
        try:
            _, rows = peek(rows, 1)
        except UserError as problem:
            if of_tags == STACKLITE_TAGS:
                raise UserError(f"{problem}; StackLite has no texts of its questions, StackSample has") from None
            raise
        file.detected |= questions.detected
        if not file.options.tagged:
            yield from rows
            return
        file.detected["columns"] = {**file.detected.get("columns", {}), "tags": ["Tag"]}
        tags, labels = table(
            of_tags,
            replace(file.options, tagged=True, columns={"title": "Id", "tags": "Tag"}, tag_separator=""),
        )
        yield from joined(questions, rows, tags, labels)


def joined(questions: File, rows: Iterator[Row], tags: File, labels: Iterator[Row]) -> Iterator[Row]:
    """Rows with the tags of their ids. Raises :class:`UserError` where ids do not ascend."""
    malformed: list[Row] = []  # of the tags
    groups = ascending(tags, labels, malformed)
    last, of_tags, names = -1, -1, list[str]()
    for row in rows:
        if row.fields is None:
            yield row
            continue
        question = number_of(questions, row, "id")
        if question <= last:
            raise UserError(
                f"{questions.path}, row {row.number}: its id is not greater than the one before; sort the file by Id"
            )
        last = question
        while of_tags < question and (group := next(groups, None)):
            of_tags, names = group
        yield Row(row.number, row.fields | {"tags": names if of_tags == question else []})
        yield from malformed
        malformed.clear()
    for _ in groups:  # were they not in order, posts would have lost their tags
        pass
    yield from malformed


def ascending(file: File, labels: Iterator[Row], malformed: list[Row]) -> Iterator[tuple[int, list[str]]]:
    """Each id with its tags. Rows that are none are appended to ``malformed``."""

    def pairs() -> Iterator[tuple[int, str]]:
        for row in labels:
            if row.fields is None:
                malformed.append(Row(row.number, None, f"{row.problem} of {file.path.name}"))
            else:
                yield number_of(file, row, "title"), str(row.fields["tags"])

    last = -1
    for question, group in groupby(pairs(), key=itemgetter(0)):
        if question <= last:
            raise UserError(f"{file.path}: the tags of {question} come after those of {last}; sort the file by Id")
        last = question
        yield question, [tag for _, tag in group]


def number_of(file: File, row: Row, name: str) -> int:
    text = str((row.fields or {}).get(name)).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_ID):
        raise UserError(f"{file.path}, row {row.number}: the id {text!r:.40} is not a number; correct it")
    return int(text)
