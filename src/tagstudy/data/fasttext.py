"""Posts in the format of fastText."""

from collections.abc import Iterator
from typing import IO

from tagstudy.core.errors import UserError
from tagstudy.data.decoding import text_lines
from tagstudy.data.files import File, Row

LABEL = "__label__"


def read_fasttext(file: File, stream: IO[bytes]) -> Iterator[Row]:
    """Lines of `__label__tag __label__tag words`."""
    if file.options.columns and file.options.binding:
        raise UserError(f"{file.path}: fastText's lines have no columns; set ingest.columns to null for them")
    file.detected["columns"] = {"body": ["line"]} | ({"tags": [LABEL]} if file.options.tagged else {})
    for number, line in enumerate(text_lines(file, stream), start=1):
        words = line.split()
        labels = [word for word in words if word.startswith(LABEL)]
        # Commas between labels are no part of them, and labels without a space between them are several.
        tags = [tag.strip(",") for label in labels for tag in label.split(LABEL)[1:]]
        if tags or (words and not file.options.tagged):
            text = " ".join(word for word in words if not word.startswith(LABEL))
            yield Row(number, {"text": text, "tags": tags})
        elif words:
            yield Row(number, None, "malformed row: no __label__ in it")
