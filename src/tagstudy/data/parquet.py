"""Rows of a Parquet file. A few bytes of it may stand for gigabytes of text, so that these are counted first."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tagstudy.core.errors import UserError
from tagstudy.data.archives import ALWAYS_ALLOWED, MAX_RATIO
from tagstudy.data.files import Row

BATCH = 1000  # rows, at most; each batch brings the dictionaries of its columns along, so that small ones are slow
BATCH_BYTES = 2**24  # of texts, about
ROW_BYTES = 8  # that a row counts for besides its texts
TEXTS = ("STRING", "NONE", "JSON", "ENUM")  # logical types of columns of text


class ParquetRows:
    """The rows of a file, some columns of them, as often as they are wanted."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stream = path, stream
        plain = pq.ParquetFile(stream)
        self.metadata, self.schema = plain.metadata, plain.schema_arrow
        self.allowed = max(ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size)  # as archives are allowed
        columns = [self.metadata.schema.column(place) for place in range(self.metadata.num_columns)]
        texts = [c.path for c in columns if c.physical_type == "BYTE_ARRAY" and c.logical_type.type in TEXTS]
        self.file = pq.ParquetFile(stream, metadata=self.metadata, read_dictionary=texts)
        sizes = [0]
        for group in map(self.metadata.row_group, range(self.metadata.num_row_groups)):
            sizes.append(group.total_byte_size)
            for place, column in enumerate(columns):
                chunk = group.column(place)
                entries = chunk.num_values if column.max_repetition_level else 0
                self.check_size(max(chunk.total_uncompressed_size, entries))
        self.batch_rows = max(1, min(BATCH, BATCH_BYTES * self.metadata.num_rows // max(1, sum(sizes))))

    def check_size(self, size: int) -> None:
        if size > self.allowed:
            raise UserError(
                f"{self.path}: decodes to more than {MAX_RATIO} times its size, as text never does; if it is right, "
                "write it as CSV"
            )

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows, by the names of columns. One with a value that Python cannot hold, such as a date, is malformed.

        Raises :class:`UserError` for a file that decodes to far more than its size.
        """
        types = pa.schema([field.with_type(without_zone(field.type)) for field in map(self.schema.field, columns)])
        number = size = 0
        for batch in self.file.iter_batches(self.batch_rows, columns=list(columns)):
            own = sum(text_bytes(column) for column in batch.columns) + ROW_BYTES * len(batch)
            size += own
            self.check_size(size)
            step = len(batch) if own <= BATCH_BYTES else 1
            for start in range(0, len(batch), step):
                for fields, problem in values(batch.slice(start, step), types):
                    number += 1
                    yield Row(number, fields, problem)


def values(batch: Any, types: Any) -> list[tuple[dict[str, Any] | None, str]]:
    """Of each row its values, or none and what is wrong with it."""
    try:
        return [(row, "") for row in batch.cast(types).to_pylist()]
    except (ArithmeticError, ValueError) as problem:
        if len(batch) == 1:
            return [(None, f"malformed row: {problem!s:.200}")]
        return [pair for row in range(len(batch)) for pair in values(batch.slice(row, 1), types)]


def text_bytes(array: Any) -> int:
    """How many bytes the texts of an array decode to, and one for each element of a list."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pc.sum(pc.take(pc.binary_length(array.dictionary), array.indices)).as_py() or 0
    if pa.types.is_map(kind):
        return text_bytes(array.keys) + text_bytes(array.items)
    if pa.types.is_struct(kind):
        return sum(map(text_bytes, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        elements = array.flatten()
        return len(elements) + text_bytes(elements)
    return 0


def without_zone(kind: Any) -> Any:
    """The type of a column; of a time without its zone, which need not be installed."""
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind
