"""Posts.xml of a Stack Exchange data dump, or a part of one."""

import re
from collections.abc import Iterator
from typing import IO

from tagstudy.core.errors import UserError
from tagstudy.data.files import File, Row

# References to characters that XML forbids; whole sites have some.
FORBIDDEN = re.compile(rb"&#(?:x0*(?:[0-8b-cB-CeEfF]|1[0-9a-fA-F])|0*(?:[0-8]|1[1-24-9]|2[0-9]|3[01]));")
LONGEST_CARRY = 2**20  # bytes
LONGEST_REFERENCE = 20
ROW_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?\s*<row\b")


class Repaired:
    """The bytes of a dump without references to forbidden characters, and whole where `head` or `grep` cut it off.

    Notes in ``file.found`` what was done.
    """

    def __init__(self, file: File, stream: IO[bytes]) -> None:
        self.found, self.stream = file.found, stream
        self.carry = b""  # what follows the last whole element
        self.root: bool | None = None  # whether there is one; None: nothing has been read
        self.after_row = False  # whether what was given ends with a row

    def read(self, size: int) -> bytes:
        while data := self.stream.read(size):
            if self.root is None:
                self.root = b"<posts" in data
                if ROW_FIRST.match(data):
                    self.root = self.found["part_of_a_dump"] = True
                    data = b"<posts>" + data.removeprefix(b"\xef\xbb\xbf")
            data = self.carry + data
            end = data.rfind(b">") + 1
            if len(data) - end > LONGEST_CARRY:  # a long text is given in pieces, but a reference whole
                end = len(data) - LONGEST_REFERENCE
                end = data.find(b"&", end) if b"&" in data[end:] else len(data)
            data, self.carry = data[:end], data[end:]
            data, dropped = FORBIDDEN.subn(b"", data)
            if dropped:
                self.found["forbidden_characters_dropped"] = self.found.get("forbidden_characters_dropped", 0) + dropped
            if data:
                self.after_row = data.endswith(b"/>")
                return data
        return self.end()

    def end(self) -> bytes:
        """What is missing behind the last whole row."""
        data, self.carry = self.carry, b""
        if not (self.root and self.after_row):
            return data
        self.after_row, self.found["part_of_a_dump"] = False, True
        if data.strip():
            self.found["cut_off"] = True
        return b"</posts>"


def read_dump(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """The questions of a Stack Exchange data dump's Posts.xml, streamed."""
    from lxml import etree

    if b"<!DOCTYPE" in stream.peek(2**12):  # type: ignore[attr-defined]
        raise UserError(f"{file.path}: declares a DOCTYPE, which no data dump does; remove it")
    names = {"id": "Id", "plain_title": "Title", "body": "Body"} | ({"tags": "Tags"} if file.told.tagged else {})
    unknown = [name for name in file.told.columns.values() if name not in names.values()]
    if unknown and file.told.binding:
        raise UserError(f"{file.path}: a dump has no column {unknown[0]!r:.40}; set ingest.columns to null for it")
    file.found["columns"] = {field.removeprefix("plain_"): [name] for field, name in names.items()}
    number = 0
    try:
        elements = etree.iterparse(Repaired(file, stream), resolve_entities=False, no_network=True, load_dtd=False)
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
