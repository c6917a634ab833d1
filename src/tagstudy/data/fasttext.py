"""Posts in the format of fastText."""

from collections.abc import Iterator
from typing import IO

from tagstudy.core.errors import UserError
from tagstudy.data.columns import TEXT_FIELDS, USUAL, simplified
from tagstudy.data.decoding import text_lines
from tagstudy.data.files import File, Row, peek

LABEL = "__label__"


def read_fasttext(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """Lines of `__label__tag __label__tag words`. Raises :class:`UserError` for a table."""
    if file.options.columns and file.options.binding:
        raise UserError(f"{file.path}: fastText's lines have no columns; set ingest.columns to null for them")
    file.detected["columns"] = {"body": ["line"]} | ({"tags": [LABEL]} if file.options.tagged else {})
    lines = text_lines(file, stream)
    first, lines = peek(lines, 1)
    refuse_table(file, "".join(first))
    for number, line in enumerate(lines, start=1):
        words = line.split()
        labels = [word for word in words if word.startswith(LABEL)]
        # Commas between labels are no part of them, and labels without a space between them are several.
        tags = [tag.strip(",|") for label in labels for tag in label.split(LABEL)[1:]]
        if merged := [tag for tag in tags if "," in tag or "|" in tag]:
            yield Row(number, None, f"malformed row: a label goes on as {merged[0]!r:.40}; put a space behind labels")
        elif tags or (words and not file.options.tagged):
            text = " ".join(word for word in words if not word.startswith(LABEL))
            yield Row(number, {"text": text, "tags": tags})
        elif words:
            yield Row(number, None, "malformed row: no __label__ in it")


def refuse_table(file: File, line: str) -> None:
    """Raise :class:`UserError` where the first line is a header: of a text's column, and of another usual one."""
    for delimiter, ending in (("\t", ".tsv"), (",", ".csv")):
        names = [simplified(cell.strip().strip('"')) for cell in line.split(delimiter)]
        usual = {field for field, known in USUAL.items() if not set(known).isdisjoint(names)}
        if len(usual) > 1 and not usual.isdisjoint(TEXT_FIELDS):
            raise UserError(f"{file.path}: a table, not lines of fastText; let its name end in {ending}")
