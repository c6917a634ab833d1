"""Kaggle's StackSample: Questions.csv and, in another table, a row for each tag of a question; joined in a stream."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZipFile

from tagstudy.core.errors import UserError
from tagstudy.data.archives import UNREADABLE, opened
from tagstudy.data.files import File, Row, Told
from tagstudy.data.tables import read_csv

QUESTIONS, TAGS = "questions.csv", "tags.csv"


def tables_of(path: Path) -> dict[str, str] | None:
    """The names of the CSV files of a folder or zip, by these in lower case; None if it is no StackSample."""
    if path.is_dir():
        names = [member.name for member in path.iterdir() if member.is_file()]
    elif path.suffix.lower() == ".zip":
        try:
            with ZipFile(path) as archive:
                names = archive.namelist()
        except UNREADABLE:  # told where it is opened to be read
            return None
    else:
        return None
    tables = {PurePosixPath(name).name.lower(): name for name in names if name.lower().endswith(".csv")}
    return tables if {QUESTIONS, TAGS} <= tables.keys() else None


def read_stacksample(file: File, tables: dict[str, str]) -> Iterator[Row]:
    """The questions with their tags. Both tables stand in the order of the questions' ids."""

    def table(stack: ExitStack, name: str) -> IO[bytes]:
        path = file.path / tables[name] if file.path.is_dir() else file.path
        return stack.enter_context(
            opened(path, name, lambda names: [tables[name]] if tables[name] in names else names)
        )[1]

    if passed_over := sorted(name for key, name in tables.items() if key not in (QUESTIONS, TAGS)):
        file.found["passed_over"] = ", ".join(passed_over)
    with ExitStack() as stack:
        untagged = Told(False, file.told.columns, None, file.told.encoding)
        questions = File(file.path / tables[QUESTIONS], untagged, found=file.found)
        rows = read_csv(questions, table(stack, QUESTIONS))
        if not file.told.tagged:
            yield from rows
            return
        labels = File(file.path / tables[TAGS], Told(True, {"title": "Id", "tags": "Tag"}, "", file.told.encoding))
        yield from joined(file, rows, read_csv(labels, table(stack, TAGS)))


def joined(file: File, rows: Iterator[Row], labels: Iterator[Row]) -> Iterator[Row]:
    """Rows with the tags of their ids. Raises :class:`UserError` where ids do not ascend."""
    groups = ascending(file, labels)
    last, of_tags, tags = -1, -1, list[str]()
    for row in rows:
        if row.fields is None:
            yield row
            continue
        own = number_of(file, row, "id")
        if own <= last:
            raise UserError(f"{file.path}, row {row.number} of questions: its id is not above that before; sort by Id")
        last = own
        while of_tags < own and (group := next(groups, None)):
            of_tags, tags = group
        yield Row(row.number, row.fields | {"tags": tags if of_tags == own else []})
    for _ in groups:  # were they not in order, posts would have lost their tags
        pass


def ascending(file: File, labels: Iterator[Row]) -> Iterator[tuple[int, list[str]]]:
    """Each id with its tags."""
    pairs = ((number_of(file, row, "title"), str(row.fields["tags"])) for row in labels if row.fields)
    last = -1
    for own, group in groupby(pairs, key=itemgetter(0)):
        if own <= last:
            raise UserError(f"{file.path}: the tags of {own} stand behind those of {last}; sort by Id")
        last = own
        yield own, [tag for _, tag in group]


def number_of(file: File, row: Row, name: str) -> int:
    text = str((row.fields or {}).get(name))
    if not text.isascii() or not text.isdigit():
        raise UserError(f"{file.path}, row {row.number}: the id {text!r:.40} is not a number; correct it")
    return int(text)
