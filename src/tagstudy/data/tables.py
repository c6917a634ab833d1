"""Tables of posts: CSV and TSV."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import IO, Any

from tagstudy.core.errors import UserError
from tagstudy.data.columns import USUAL, Columns, choose_columns, simplified
from tagstudy.data.decoding import text_lines
from tagstudy.data.files import File, Row, peek

Dialect = dict[str, Any]  # further arguments of csv.reader

DELIMITERS = [",", "\t", ";", "|"]
STATED = re.compile(r'"?sep=([^\r\n"])"?\s*', re.IGNORECASE)  # a first line that tells Excel the delimiter
BACKSLASHED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')  # a quote behind an odd number of backslashes
NULLS = {"NULL", r"\N", "NA", "<NA>"}  # as databases, R and pandas write a missing value
SWALLOWED = 20  # lines of a row, nearly all of which are rows: a quote before them was never closed
UNQUOTED: Dialect = {"quoting": csv.QUOTE_NONE}
csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long post


def read_csv(file: File, stream: IO[bytes], delimiter: str = ",") -> Iterator[Row]:
    first, text = peek(text_lines(file, stream))
    filled = [line for line in first if line.strip()]
    stated = STATED.fullmatch(filled[0]) if filled else None
    filled = filled[1:] if stated else filled
    delimiter = stated[1] if stated else find_delimiter("".join(filled[:1]), delimiter)
    file.detected["delimiter"] = delimiter
    backslashes, dialect = quoting(filled, delimiter)
    if is_unquoted(filled, delimiter, backslashes, dialect):
        file.detected["unquoted"] = True
        backslashes, dialect = False, UNQUOTED
    if backslashes:
        file.detected["quotes_escaped_by_backslashes"] = True
        text = map(double_quotes, text)
    taken: list[str] = []
    lines = csv.reader(noted(text, taken), delimiter=delimiter, strict=True, **dialect)
    try:
        header = next_filled(lines)
        if stated:
            header = next_filled(lines)
    except csv.Error as problem:
        raise UserError(f"{file.path}, row 1: {problem}; correct the header") from None
    names = distinct_tag_columns(file, header)
    sample, rows = peek(csv_rows(file, lines, taken, header, names))
    columns = choose_columns(file, names, [row.fields for row in sample if row.fields])
    yield from fields_of(columns, rows)


def next_filled(lines: Iterator[list[str]]) -> list[str]:
    """The next row that is not blank."""
    return next((cells for cells in lines if any(map(str.strip, cells))), [])


def find_delimiter(header: str, usual: str) -> str:
    """The delimiter that splits the header into the most columns."""

    def columns(delimiter: str) -> int:
        return max(map(len, csv.reader([header], delimiter=delimiter)), default=0)

    return max([usual, *DELIMITERS], key=columns)  # of equal ones the first


def quoting(lines: list[str], delimiter: str) -> tuple[bool, Dialect]:
    """Whether quotes are escaped by backslashes, as Spark and MySQL do, and not doubled; whether spaces precede them.

    The way in which the fewest rows are malformed; of equal ones the usual one, or what most lines look like.
    """
    behind_a_space = sum(f'{delimiter} "' in line for line in lines)
    spaced = [True, False] if 2 * behind_a_space > len(lines) else [False, True] if behind_a_space else [False]
    backslashes = [False, True] if any('\\"' in line for line in lines) else [False]
    ways = [(escaped, {"skipinitialspace": space}) for escaped, space in product(backslashes, spaced)]
    return min(ways, key=lambda way: shape(map(double_quotes, lines) if way[0] else lines, delimiter, way[1])[1])


def is_unquoted(lines: list[str], delimiter: str, backslashes: bool, dialect: Dialect) -> bool:
    """Whether quotes are characters like others, as MySQL, Hive and Postgres write text between tabs or bars.

    A quote at the beginning of a cell would then swallow what follows. With commas between columns, text needs quotes.
    """
    rows = [line.rstrip("\r\n").split(delimiter) for line in lines]
    if delimiter not in ("\t", "|") or not rows or any(map(is_quoted, rows[0])):
        return False
    whole = [row for row in rows if len(row) == len(rows[0]) > 1]
    if not any('"' in cell and not cell.startswith('"') for row in whole for cell in row):
        whole = [row for row in whole if not any(map(is_quoted, row))]
    quoted, problems = shape(map(double_quotes, lines) if backslashes else lines, delimiter, dialect)
    return len(whole) > quoted and len(rows) - len(whole) <= problems


def is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def distinct_tag_columns(file: File, header: list[str]) -> list[str]:
    """The header with numbers behind a repeated column of tags, as Jira exports it; all of them hold tags."""
    named, seen = file.options.columns_of("tags"), Counter[str]()
    names = []
    for name in header:
        is_of_tags = file.options.tagged and (name in named or simplified(name) in USUAL["tags"])
        names.append(f"{name} ({seen[name] + 1})" if is_of_tags and seen[name] else name)
        seen[name] += 1
    return names


def noted(lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """The lines, each of which is added to ``taken``."""
    for line in lines:
        taken.append(line)
        yield line


def swallowed(taken: list[str], delimiter: str, columns: int, parsed: bool) -> int:
    """How many rows are among the lines of one, behind a quote that is not closed in its own."""
    if len(taken) <= SWALLOWED:
        return 0
    lines = taken[1:-1]
    first, last = (taken[end].count(delimiter) for end in (0, -1))
    if columns == 1 or (parsed and min(first, last) < columns - 1):  # as where a body holds a table
        return 0
    rows = sum(line.count(delimiter) == columns - 1 for line in lines)
    return rows if rows > max(SWALLOWED, 0.9 * len(lines)) else 0


def double_quotes(line: str) -> str:
    return BACKSLASHED.sub(r'\1""', line)


def shape(lines: Iterable[str], delimiter: str, dialect: Dialect) -> tuple[int, int]:
    """How many rows have as many columns as the first; how many have not, or do not parse."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True, **dialect)
    header = whole = problems = 0
    while True:
        try:
            cells = len(next(rows))
        except StopIteration:
            return whole, problems
        except csv.Error:
            problems += 1
            continue
        header = header or cells
        whole += cells == header
        problems += cells not in (0, header)


def csv_rows(file: File, lines: Any, taken: list[str], header: list[str], names: list[str]) -> Iterator[Row]:
    """The rows behind the header, by the names of all columns; ``taken`` are the lines of the last one."""
    nulls = set[str]()
    number = 1
    while True:
        number += 1
        line = lines.line_num + 1
        taken.clear()
        wrong = ""
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
            cells, wrong = [], f"malformed row: {problem}, at line {line}"
        if rows := swallowed(taken, file.detected["delimiter"], len(header), not wrong):
            cells, wrong = [], f"malformed row: a quote in line {line} is not closed before the next rows"
            yield from (Row(number, None, wrong) for _ in range(rows))
        if wrong:
            yield Row(number, None, wrong)
            continue
        if not NULLS.isdisjoint(map(str.strip, cells)):
            nulls.update(NULLS.intersection(map(str.strip, cells)))
            file.detected["nulls"] = ", ".join(sorted(nulls))
            cells = ["" if cell.strip() in NULLS else cell for cell in cells]
        if cells == header or (cells and [cells[0].removeprefix("\ufeff"), *cells[1:]] == header):
            yield Row(number, None, "repeated header")
        elif len(cells) == len(header):
            yield Row(number, dict(zip(names, cells, strict=True)))
        elif cells:
            yield Row(number, None, f"malformed row: {len(cells)} columns, not {len(header)}, at line {line}")


def fields_of(columns: Columns, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows by the names of fields, from rows by the names of columns."""
    for row in rows:
        number, cells, _ = row
        if cells is None:
            yield row
            continue
        if reason := columns.no_question(cells):
            yield Row(number, None, reason)
            continue
        try:
            yield Row(number, columns.fields(cells))
        except ValueError as problem:
            yield Row(number, None, f"malformed row: {problem}")


def read_tsv(file: File, stream: IO[bytes]) -> Iterator[Row]:
    return read_csv(file, stream, delimiter="\t")
