"""One reader for each format of tagged posts. A reader yields a `Row` for every row of a file, post or not."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from tagstudy.core.errors import UserError
from tagstudy.data.fields import columns

csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long post


class Row(NamedTuple):
    number: int  # in the file, from 1
    fields: dict[str, Any] | None  # by the names of fields.COLUMNS; None: not a post, and `problem` says why
    problem: str = ""


def read_dump(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    """The questions of a Stack Exchange data dump's Posts.xml, streamed."""
    from lxml import etree

    if b"<!DOCTYPE" in stream.peek(2**12):  # type: ignore[attr-defined]
        raise UserError(f"{path}: declares a DOCTYPE, which no data dump does; remove it")
    number = 0
    try:
        elements = etree.iterparse(stream, resolve_entities=False, no_network=True, load_dtd=False)
        for place, (_, element) in enumerate(elements):
            if place == 0 and element.getroottree().docinfo.doctype:
                raise UserError(f"{path}: declares a DOCTYPE, which no data dump does; remove it")
            if element.tag == "row":
                number += 1
                kind = element.get("PostTypeId")
                if kind is None:
                    raise UserError(f"{path}, row {number}: no PostTypeId; is this a dump's Posts.xml?")
                if kind == "1":
                    names = {"id": "Id", "title": "Title", "body": "Body"} | ({"tags": "Tags"} if tagged else {})
                    yield Row(number, {field: element.get(name) for field, name in names.items()})
                else:
                    yield Row(number, None, "answer" if kind == "2" else "neither question nor answer")
            element.clear()
            while element.getprevious() is not None and element.getparent() is not None:
                del element.getparent()[0]  # else the root keeps every row in memory
    except etree.XMLSyntaxError as problem:
        raise UserError(
            f"{path}, after row {number}: malformed XML ({problem.msg:.200}); fetch it again or cut it there"
        ) from None
    if number == 0:
        raise UserError(f"{path}: no <row> in it; is this a dump's Posts.xml?")


def text_lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines with their ends, as csv wants them; a byte-order mark is skipped."""
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as lines:
        yield from lines


def read_csv(path: Path, stream: IO[bytes], tagged: bool, delimiter: str = ",") -> Iterator[Row]:
    rows = csv.reader(text_lines(stream), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
    except csv.Error as problem:
        raise UserError(f"{path}, row 1: {problem}; correct the header") from None
    where = {field: header.index(name) for field, name in columns(path, header, tagged).items()}
    number = 1
    while True:
        number += 1
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            if str(problem) == "unexpected end of data":  # every row after the quote is inside it
                raise UserError(
                    f"{path}, row {number}: a quote in line {line} is never closed; close it, or fetch the file again"
                ) from None
            yield Row(number, None, f"malformed row: {problem}, at line {line}")
            continue
        if row == header:
            yield Row(number, None, "repeated header")
        elif len(row) == len(header):
            yield Row(number, {field: row[column] for field, column in where.items()})
        elif row:
            yield Row(number, None, f"malformed row: {len(row)} columns, not {len(header)}, at line {line}")


def read_tsv(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    return read_csv(path, stream, tagged, delimiter="\t")


def read_parquet(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        table = pq.ParquetFile(stream)
        named = columns(path, table.schema_arrow.names, tagged)
        for batch in table.iter_batches(batch_size=100, columns=list(named.values())):
            for row in batch.to_pylist():
                number += 1
                yield Row(number, {field: row[name] for field, name in named.items()})
    except pa.ArrowException as problem:
        raise UserError(
            f"{path}, after row {number}: not Parquet that can be read ({problem!s:.200}); fetch it again"
        ) from None


def read_json_lines(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    named: dict[tuple[str, ...], dict[str, str]] = {}  # rows may differ in their keys
    for number, line in enumerate(text_lines(stream), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as problem:
            yield Row(number, None, f"malformed row: {problem!s:.200}")
            continue
        keys = tuple(row)
        if keys not in named:
            try:
                named[keys] = columns(path, list(keys), tagged)
            except UserError as problem:
                if not named:  # wrong in the first row, so wrong in all of the file
                    raise
                yield Row(number, None, f"malformed row: {problem!s:.200}")
                continue
        yield Row(number, {field: row[name] for field, name in named[keys].items()})


def read_fasttext(path: Path, stream: IO[bytes], tagged: bool) -> Iterator[Row]:
    """Lines of `__label__tag __label__tag words`."""
    for number, line in enumerate(text_lines(stream), start=1):
        words = line.split()
        tags = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
        if tags or (words and not tagged):
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
