"""One reader for each format of tagged posts. A reader yields a `Row` for every row of a file, post or not."""

import csv
import io
import json
from collections.abc import Iterator
from itertools import count
from typing import IO, Any

from tagstudy.core.errors import UserError
from tagstudy.data.columns import Columns, choose_columns
from tagstudy.data.files import SAMPLE, File, Row, peek

DELIMITERS = [",", "\t", ";", "|"]
csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long post


def read_dump(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """The questions of a Stack Exchange data dump's Posts.xml, streamed."""
    from lxml import etree

    if b"<!DOCTYPE" in stream.peek(2**12):  # type: ignore[attr-defined]
        raise UserError(f"{file.path}: declares a DOCTYPE, which no data dump does; remove it")
    names = {"id": "Id", "title": "Title", "body": "Body"} | ({"tags": "Tags"} if file.told.tagged else {})
    if unknown := [name for name in file.told.columns.values() if name not in names.values()]:
        raise UserError(f"{file.path}: a dump has no column {unknown[0]!r:.40}; set ingest.columns to null for it")
    file.found["columns"] = {field: [name] for field, name in names.items()}
    number = 0
    try:
        elements = etree.iterparse(stream, resolve_entities=False, no_network=True, load_dtd=False)
        for place, (_, element) in enumerate(elements):
            if place == 0 and element.getroottree().docinfo.doctype:
                raise UserError(f"{file.path}: declares a DOCTYPE, which no data dump does; remove it")
            if element.tag == "row":
                number += 1
                kind = element.get("PostTypeId")
                if kind is None:
                    raise UserError(f"{file.path}, row {number}: no PostTypeId; is this a dump's Posts.xml?")
                if kind == "1":
                    yield Row(number, {field: element.get(name) for field, name in names.items()})
                else:
                    yield Row(number, None, "answer" if kind == "2" else "neither question nor answer")
            element.clear()
            while element.getprevious() is not None and element.getparent() is not None:
                del element.getparent()[0]  # else the root keeps every row in memory
    except etree.XMLSyntaxError as problem:
        raise UserError(
            f"{file.path}, after row {number}: malformed XML ({problem.msg:.200}); fetch it again or cut it there"
        ) from None
    if number == 0:
        raise UserError(f"{file.path}: no <row> in it; is this a dump's Posts.xml?")


def text_lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines with their ends, as csv wants them; a byte-order mark is skipped."""
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as lines:
        yield from lines


def read_csv(file: File, stream: IO[bytes], delimiter: str = ",") -> Iterator[Row]:
    first, text = peek(text_lines(stream), 1)
    delimiter = find_delimiter("".join(first), delimiter)
    file.found["delimiter"] = delimiter
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
    except csv.Error as problem:
        raise UserError(f"{file.path}, row 1: {problem}; correct the header") from None
    sample, rows = peek(csv_rows(file, lines, header))
    columns = choose_columns(file, header, [row.fields for row in sample if row.fields])
    yield from fields_of(columns, rows)


def find_delimiter(header: str, usual: str) -> str:
    """What stands between columns: of the delimiters, the one that gives the header most of them."""

    def columns(delimiter: str) -> int:
        return max(map(len, csv.reader([header], delimiter=delimiter)), default=0)

    return max([usual, *DELIMITERS], key=columns)  # of equal ones the first


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
        if row.fields is None:
            yield row
            continue
        try:
            yield Row(row.number, columns.fields(row.fields))
        except ValueError as problem:
            yield Row(row.number, None, f"malformed row: {problem}")


def read_tsv(file: File, stream: IO[bytes]) -> Iterator[Row]:
    return read_csv(file, stream, delimiter="\t")


def read_parquet(file: File, stream: IO[bytes]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        table = pq.ParquetFile(stream)
        sample = next(table.iter_batches(SAMPLE), None)
        columns = choose_columns(file, table.schema_arrow.names, sample.to_pylist() if sample else [])
        classes = class_names(table.schema_arrow, columns.names.get("tags", []))
        for batch in table.iter_batches(batch_size=100, columns=columns.needed()):
            rows = map(Row, count(number + 1), batch.to_pylist())
            for row in name_classes(fields_of(columns, rows), classes):
                number = row.number
                yield row
    except pa.ArrowException as problem:
        raise UserError(
            f"{file.path}, after row {number}: not Parquet that can be read ({problem!s:.200}); fetch it again"
        ) from None


def class_names(schema: Any, tags: list[str]) -> list[str]:
    """The names of the classes that the column of tags has numbers of, as data sets of Hugging Face note them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        feature = features[tags[0]]
    except (ValueError, LookupError, TypeError):
        return []
    if isinstance(feature, list) and feature:
        feature = feature[0]
    feature = feature.get("feature", feature) if isinstance(feature, dict) else {}
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def name_classes(rows: Iterator[Row], names: list[str]) -> Iterator[Row]:
    """Rows whose tags are the names of classes, from rows with their numbers."""
    for row in rows:
        if names and row.fields is not None and row.fields.get("tags") is not None:
            tags = row.fields["tags"]
            numbers = tags if isinstance(tags, list) else [tags]
            if unknown := [number for number in numbers if number not in range(len(names))]:
                yield Row(row.number, None, f"malformed row: no class has the number {unknown[0]!r:.40}")
                continue
            row = Row(row.number, row.fields | {"tags": [names[number] for number in numbers]})
        yield row


def read_json_lines(file: File, stream: IO[bytes]) -> Iterator[Row]:
    yield from json_fields(file, json_rows(stream))


def json_rows(stream: IO[bytes]) -> Iterator[Row]:
    """A row for each line that is not blank."""
    for number, line in enumerate(text_lines(stream), start=1):
        if line.strip():
            try:
                row = json.loads(line)
                yield Row(number, row) if isinstance(row, dict) else Row(number, None, "malformed row: not an object")
            except (ValueError, RecursionError) as problem:
                yield Row(number, None, f"malformed row: {problem!s:.200}")


def json_fields(file: File, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows by the names of fields. Objects may lack keys, but not that of the tags."""
    first, rows = peek(rows)
    sample = [row.fields for row in first if row.fields is not None]
    if not sample and first:
        raise UserError(f"{file.path}, row {first[0].number}: {first[0].problem}; give an object a line")
    columns = choose_columns(file, list(dict.fromkeys(key for row in sample for key in row)), sample)
    tags = [] if columns.multi_hot else columns.names.get("tags", [])
    for row in rows:
        if row.fields is not None and any(name not in row.fields for name in tags):
            yield Row(row.number, None, f"malformed row: no {tags[0]!r:.40}")
        else:
            yield from fields_of(columns, iter([row]))


def read_fasttext(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """Lines of `__label__tag __label__tag words`."""
    if file.told.columns:
        raise UserError(f"{file.path}: fastText's lines have no columns; set ingest.columns to null for them")
    file.found["columns"] = {"body": ["line"]} | ({"tags": ["__label__"]} if file.told.tagged else {})
    for number, line in enumerate(text_lines(stream), start=1):
        words = line.split()
        tags = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
        if tags or (words and not file.told.tagged):
            text = " ".join(word for word in words if not word.startswith("__label__"))
            yield Row(number, {"text": text, "tags": tags})
        elif words:
            yield Row(number, None, "malformed row: no __label__ in it")


READERS = {
    ".xml": read_dump,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".txt": read_fasttext,
}
