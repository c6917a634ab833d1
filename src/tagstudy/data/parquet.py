"""Posts in a Parquet file, and the parts of one."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import IO, Any

import pyarrow as pa

from tagstudy.core.errors import UserError
from tagstudy.data.archives import unpacked
from tagstudy.data.columns import choose_columns
from tagstudy.data.files import SAMPLE, File, Row, peek
from tagstudy.data.parquet_rows import ParquetRows
from tagstudy.data.tables import fields_of


def parts_of_parquet(file: File) -> Iterator[File]:
    """Split a file into the parts that its row groups allow; together they read the same as the whole."""
    bounds: list[int] = []
    try:
        with file.path.open("rb") as stream:
            bounds = ParquetRows(file.path, stream).bounds()
            sample, _ = peek(read_parquet(replace(file, detected={}), stream), SAMPLE if len(bounds) > 2 else 0)
    except (OSError, ValueError, UserError, pa.ArrowException):  # reported when the file is read
        bounds = []
    if len(bounds) <= 2:
        yield file
        return
    tag_cells = tuple(row.fields.get("tags") for row in sample if row.fields)
    for start, end in pairwise(bounds):
        yield replace(file, start=start, end=end, row=start, detected=dict(file.detected), tag_cells=tag_cells)


def read_parquet(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """The rows of a file, or of a part of one, by the names of fields."""
    try:
        with unpacked(stream) as whole:
            table = ParquetRows(file.path, whole)
            names = table.schema.names
            sample, _ = peek(table.rows([name for name in names if names.count(name) == 1]))
            columns = choose_columns(file, names, [row.fields for row in sample if row.fields])
            tags = [] if columns.multi_hot else columns.names.get("tags", [])
            classes = [class_names(table.schema, name) for name in tags]
            rows = table.rows(columns.needed(), file.start, file.end)
            yield from name_classes(fields_of(columns, rows), classes)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise UserError(
            f"{file.path}, after row {file.row}: not Parquet that can be read ({problem!s:.200}); fetch it again"
        ) from None


def class_names(schema: Any, column: str) -> list[str]:
    """The class names behind the integers in a column of tags, as data sets of Hugging Face note them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        feature = features[column]
    except (ValueError, LookupError, TypeError):
        return []
    if isinstance(feature, list) and feature:
        feature = feature[0]
    feature = feature.get("feature", feature) if isinstance(feature, dict) else {}
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def name_classes(rows: Iterator[Row], classes: list[list[str]]) -> Iterator[Row]:
    """Rows whose tags are the names of classes, of each column its own, from rows with their numbers."""
    if not any(classes):
        yield from rows
        return
    for row in rows:
        if row.fields is None:
            yield row
            continue
        tags = row.fields.get("tags")
        try:
            named = tuple(map(names_of, tags if isinstance(tags, tuple) else (tags,), classes))
        except ValueError as problem:
            yield Row(row.number, None, f"malformed row: {problem}")
            continue
        yield Row(row.number, row.fields | {"tags": named if isinstance(tags, tuple) else named[0]})


def names_of(cell: Any, names: list[str]) -> Any:
    """The names of the classes with these numbers. Raises ValueError for a number that none has."""
    if not names or cell is None:
        return cell
    numbers = cell if isinstance(cell, list) else [cell]
    if unknown := [number for number in numbers if number not in range(len(names))]:
        raise ValueError(f"no class has the number {unknown[0]!r:.40}")
    return [names[number] for number in numbers]
