"""Posts.xml of a Stack Exchange data dump, or a part of one."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO

import numpy as np

from tagstudy.core.errors import UserError
from tagstudy.data.columns import no_question
from tagstudy.data.files import DROPPED, SAMPLE, File, Row, peek

# References to characters that XML forbids; whole sites have some.
FORBIDDEN = re.compile(rb"&#(?:x0*(?:[0-8b-cB-CeEfF]|1[0-9a-fA-F])|0*(?:[0-8]|1[1-24-9]|2[0-9]|3[01]));")
LONGEST_CARRY = 2**20  # bytes
LONGEST_REFERENCE = 20
ROW_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?\s*<row\b")
# What stands before the rows of a dump that is read in parts: any other encoding and any other element are left whole.
HEAD = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*(?:<\?xml\s+version=["']1\.0["'](?:\s+encoding=["'](?i:utf-8)["'])?\s*\?>)?\s*(?:<posts>)?\s*"""
)
ROW = b"<row "
PART = 2**23  # bytes of a part
LONGEST = 2**28  # bytes of a part with a longer row; with more, what remains is one part
PIECE = 2**16  # bytes that are parsed at a time
AMPERSAND = "&#38;"  # as the parser gives every & of a value, because it resolves no entities
POSITION = re.compile(r", line \d+, column \d+$")  # within the part; the row says more


class Repaired:
    """The bytes of a dump without references to forbidden characters, and completed if `head` or `grep` cut it off.

    Notes in ``file.detected`` what was done. A part of a file becomes whole without a note.
    """

    def __init__(self, file: File, stream: IO[bytes]) -> None:
        self.detected, self.stream = file.detected, stream
        self.has_start, self.has_end = file.start == 0, file.end is None
        self.left = sys.maxsize if file.end is None else file.end - file.start  # bytes
        self.carry = b""  # what follows the last whole element
        self.root: bool | None = None  # whether there is one; None: nothing has been read
        self.after_row = False  # whether what was given ends where a row may begin

    def read(self, size: int) -> bytes:
        while data := self.stream.read(min(size, self.left)):
            self.left -= len(data)
            if self.root is None:
                self.root = b"<posts" in data
                if ROW_FIRST.match(data):
                    self.root = True
                    if self.has_start:
                        self.detected["part_of_a_dump"] = True
                    data = b"<posts>" + data.removeprefix(b"\xef\xbb\xbf")
            data = self.carry + data
            end = data.rfind(b">") + 1
            if len(data) - end > LONGEST_CARRY:  # a long text is given in pieces, but a reference whole
                end = len(data) - LONGEST_REFERENCE
                end = data.find(b"&", end) if b"&" in data[end:] else len(data)
            data, self.carry = data[:end], data[end:]
            data, dropped = FORBIDDEN.subn(b"", data)
            if dropped:
                self.detected[DROPPED] = self.detected.get(DROPPED, 0) + dropped
            if data:
                self.after_row = data.endswith((b"/>", b"<posts>"))
                return data
        return self.end()

    def end(self) -> bytes:
        """What is missing after the last complete row."""
        data, self.carry = self.carry, b""
        if not (self.root and self.after_row):
            return data
        self.after_row = False
        if not self.has_end:
            return data + b"</posts>"
        self.detected["part_of_a_dump"] = True
        if data.strip():
            self.detected["cut_off"] = True
        return b"</posts>"


class Rows:
    """The target of lxml's parser. It keeps the attributes of rows and no tree, which is slower to build and clear."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.rows: list[Mapping[str, str]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "row":
            self.rows.append(attributes)

    def doctype(self, *names: str | None) -> None:
        raise UserError(f"{self.file.path}: declares a DOCTYPE, which no data dump does; remove it")

    def close(self) -> None:
        """Part of lxml's interface."""

    def taken(self) -> list[Mapping[str, str]]:
        """The rows since the last call."""
        rows, self.rows = self.rows, []
        return rows


def parsed(file: File, stream: IO[bytes]) -> Iterator[Mapping[str, str]]:
    """The attributes of each row."""
    from lxml import etree

    whole, rows = Repaired(file, stream), Rows(file)
    # huge_tree: texts of more than 10 MB.
    parser = etree.XMLParser(target=rows, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        while piece := whole.read(PIECE):
            parser.feed(piece)
            yield from rows.taken()
        parser.close()
    except etree.XMLSyntaxError as problem:
        yield from rows.taken()  # what stands before it
        message = POSITION.sub("", problem.msg or "")
        raise UserError(
            f"{file.path}, after row {file.row}: malformed XML ({message:.200}); fetch it again or cut it there"
        ) from None


def read_dump(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """The questions of a Stack Exchange data dump's Posts.xml, streamed."""
    if b"<!DOCTYPE" in stream.peek(2**12):  # type: ignore[attr-defined]
        raise UserError(f"{file.path}: declares a DOCTYPE, which no data dump does; remove it")
    names = {"id": "Id", "plain_title": "Title", "body": "Body"} | ({"tags": "Tags"} if file.options.tagged else {})
    columns = {field.removeprefix("plain_"): [name] for field, name in names.items()}
    for field in file.options.columns if file.options.binding else ():
        named = file.options.columns_of(field)
        if named != columns.get(field, named):
            raise UserError(
                f"{file.path}: a dump's {field} is {columns[field][0]}, not {named[0]!r:.40}; set "
                f"ingest.columns.{field} to null"
            )
    file.detected["columns"] = columns
    if file.start:
        stream.seek(file.start)
    for attributes in parsed(file, stream):
        file.row += 1
        kind = attributes.get("PostTypeId")
        if kind is None:
            raise UserError(f"{file.path}, row {file.row}: no PostTypeId; is this a dump's Posts.xml?")
        reason = no_question(kind)
        if not reason:
            fields = {field: attributes[name] for field, name in names.items() if name in attributes}
            yield Row(file.row, {field: value.replace(AMPERSAND, "&") for field, value in fields.items()})
        else:
            yield Row(file.row, None, reason)
    if file.row == 0:
        raise UserError(f"{file.path}: no <row> in it; is this a dump's Posts.xml?")


def parts_of_dump(file: File) -> Iterator[File]:
    """Split a dump into parts of about PART bytes; together they read the same as the whole.

    In well-formed XML, bytes in which every `<` begins a row hold nothing but rows. At anything else, such as a
    comment, splitting stops: the last part runs to the end.
    """
    try:
        with file.path.open("rb") as stream:
            sample, _ = peek(read_dump(replace(file, detected={}), stream), SAMPLE)
        tag_cells = tuple(row.fields.get("tags") for row in sample if row.fields)
    except (OSError, UserError):  # reported when the file is read
        yield file
        return
    with file.path.open("rb") as stream:
        start = row = 0
        data = stream.read(size := PART)
        head = max(0, data.find(ROW))
        while len(data) == size <= LONGEST and HEAD.fullmatch(data, 0, head):
            # Not the last bytes: a row that begins there is cut off, and looked at again with the next part.
            whole = np.frombuffer(data, np.uint8)[head : 1 - len(ROW)]
            marks = np.flatnonzero(whole == ord("<")) + head
            rows = [mark for mark in marks.tolist() if data.startswith(ROW, mark)]
            if len(rows) < len(marks):
                break
            if len(rows) < 2:  # a row that is longer than a part
                data += stream.read(PART)
                size += PART
                continue
            yield replace(
                file, start=start, end=start + rows[-1], row=row, detected=dict(file.detected), tag_cells=tag_cells
            )
            start, row, head = start + rows[-1], row + len(rows) - 1, 0
            stream.seek(start)
            data = stream.read(size := PART)
        yield replace(file, start=start, row=row, detected=dict(file.detected), tag_cells=tag_cells)
