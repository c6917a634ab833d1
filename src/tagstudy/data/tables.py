"""Tables of posts: CSV and TSV."""

import csv
import re
from collections.abc import Iterator
from typing import IO, Any

from tagstudy.core.errors import UserError
from tagstudy.data.columns import Columns, choose_columns
from tagstudy.data.decoding import text_lines
from tagstudy.data.files import File, Row, peek

DELIMITERS = [",", "\t", ";", "|"]
STATED = re.compile(r'"?sep=([^\r\n"])"?\s*', re.IGNORECASE)  # a first line that tells Excel the delimiter
BACKSLASHED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')  # a quote behind an odd number of backslashes
csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long post


def read_csv(file: File, stream: IO[bytes], delimiter: str = ",") -> Iterator[Row]:
    first, text = peek(text_lines(file, stream))
    filled = [line for line in first if line.strip()]
    stated = STATED.fullmatch(filled[0]) if filled else None
    filled = filled[1:] if stated else filled
    delimiter = stated[1] if stated else find_delimiter("".join(filled[:1]), delimiter)
    file.detected["delimiter"] = delimiter
    if escapes_by_backslashes(filled, delimiter):
        file.detected["quotes_escaped_by_backslashes"] = True
        text = map(double_quotes, text)
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next_filled(lines)
        if stated:
            header = next_filled(lines)
    except csv.Error as problem:
        raise UserError(f"{file.path}, row 1: {problem}; correct the header") from None
    sample, rows = peek(csv_rows(file, lines, header))
    columns = choose_columns(file, header, [row.fields for row in sample if row.fields])
    yield from fields_of(columns, rows)


def next_filled(lines: Iterator[list[str]]) -> list[str]:
    """The next row that is not blank."""
    return next((cells for cells in lines if any(map(str.strip, cells))), [])


def find_delimiter(header: str, usual: str) -> str:
    """The delimiter that splits the header into the most columns."""

    def columns(delimiter: str) -> int:
        return max(map(len, csv.reader([header], delimiter=delimiter)), default=0)

    return max([usual, *DELIMITERS], key=columns)  # of equal ones the first


def escapes_by_backslashes(lines: list[str], delimiter: str) -> bool:
    """Whether quotes are escaped by backslashes, as Spark and MySQL do, and not doubled."""
    if not any('\\"' in line for line in lines):
        return False
    return malformed(map(double_quotes, lines), delimiter) < malformed(iter(lines), delimiter)


def double_quotes(line: str) -> str:
    return BACKSLASHED.sub(r'\1""', line)


def malformed(lines: Iterator[str], delimiter: str) -> int:
    """How many rows do not parse, or not to as many columns as the first."""
    rows, header, problems = csv.reader(lines, delimiter=delimiter, strict=True), 0, 0
    while True:
        try:
            cells = len(next(rows))
        except StopIteration:
            return problems
        except csv.Error:
            problems += 1
            continue
        header = header or cells
        problems += cells not in (0, header)


def csv_rows(file: File, lines: Any, header: list[str]) -> Iterator[Row]:
    """The rows behind the header, by the names of all columns."""
    number = 1
    while True:
        number += 1
        line = lines.line_num + 1
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as problem:
            if str(problem) == "unexpected end of data":  # every row after the quote is inside it
                raise UserError(
                    f"{file.path}, row {number}: a quote in line {line} is never closed; close it, or fetch the file "
                    "again"
                ) from None
            yield Row(number, None, f"malformed row: {problem}, at line {line}")
            continue
        if cells == header:
            yield Row(number, None, "repeated header")
        elif len(cells) == len(header):
            yield Row(number, dict(zip(header, cells, strict=True)))
        elif cells:
            yield Row(number, None, f"malformed row: {len(cells)} columns, not {len(header)}, at line {line}")


def fields_of(columns: Columns, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows by the names of fields, from rows by the names of columns."""
    for row in rows:
        number, cells, _ = row
        if cells is None:
            yield row
            continue
        try:
            yield Row(number, columns.fields(cells))
        except ValueError as problem:
            yield Row(number, None, f"malformed row: {problem}")


def read_tsv(file: File, stream: IO[bytes]) -> Iterator[Row]:
    return read_csv(file, stream, delimiter="\t")
