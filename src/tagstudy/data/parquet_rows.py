"""Rows of a Parquet file. A few bytes of it may stand for gigabytes of text, so its decoded size is checked first."""

import io
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tagstudy.core.errors import UserError
from tagstudy.data.archives import ALWAYS_ALLOWED, MAX_RATIO
from tagstudy.data.files import Row

BATCH_ROWS = 1000  # rows, at most
BATCH_BYTES = 2**24  # of texts, about
PART = 2**23  # compressed bytes of a part, about
LONGEST_BYTES = 2**25  # that a batch decodes to at most if all its rows are the longest text
LENGTH_BYTES = 4  # that PLAIN puts before each text: a column with fewer bytes a text repeats most of them
DELTA = {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}  # encodings
PIECES = 8  # of a row group, at most: who reads the last one decodes all that stand before it
ROW_BYTES = 8  # that a row counts for besides its texts
TEXT_TYPES = ("STRING", "NONE", "JSON", "ENUM")  # logical types of columns of text


class ParquetRows:
    """The rows of a file, some columns of them, as often as they are wanted."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stream = path, stream
        plain = pq.ParquetFile(stream)
        self.metadata, self.schema = plain.metadata, plain.schema_arrow
        self.plain = {field.name: field.type for field in self.schema if is_plain_text(field.type)}
        self.files: dict[tuple[str, ...], pq.ParquetFile] = {}
        self.size = stream.seek(0, io.SEEK_END)
        self.allowed = allowed(path.stat().st_size)
        groups = map(self.metadata.row_group, range(self.metadata.num_row_groups))
        self.first = [0, *accumulate(group.num_rows for group in groups)]  # of each row group its first row

    def chunks(self, group: int) -> list[pq.ColumnChunkMetaData]:
        """The metadata of the columns of a row group.

        Raises ArrowInvalid where they are damaged, and :class:`UserError` for a column that is too large.
        """
        check_metadata(self.metadata, group, self.size)
        about = self.metadata.row_group(group)
        chunks = [about.column(place) for place in range(self.metadata.num_columns)]
        for place, chunk in enumerate(chunks):
            entries = chunk.num_values if self.metadata.schema.column(place).max_repetition_level else 0
            self.check_size(max(chunk.total_uncompressed_size, entries), self.allowed)
        return chunks

    def compressed(self, group: int) -> int:
        """Bytes of a row group in the file."""
        return sum(chunk.total_compressed_size for chunk in self.chunks(group))

    def check_size(self, size: int, allowed: int) -> None:
        if size > allowed:
            raise UserError(
                f"{self.path}: decodes to more than {MAX_RATIO} times its size, as text never does; if it is right, "
                "write it as CSV"
            )

    def bounds(self) -> list[int]:
        """The rows that parts of about PART bytes begin with, and the end. What remains belongs to the last part."""
        bounds, size = [0], 0
        for group, (first, end) in enumerate(pairwise(self.first)):
            compressed = self.compressed(group)
            pieces = max(1, min(PIECES, compressed // PART))
            for piece in range(1, pieces + 1):
                size += compressed // pieces
                bound = first + (end - first) * piece // pieces
                if size >= PART and bound > bounds[-1]:
                    bounds.append(bound)
                    size = 0
        return [*bounds[:-1], self.first[-1]] if len(bounds) > 1 else [0, self.first[-1]]

    def rows(self, columns: Sequence[str], start: int = 0, end: int | None = None) -> Iterator[Row]:
        """The rows behind the first ``start``, up to ``end``, by the names of columns.

        One with a value that Python cannot hold, such as a date, is malformed.
        Raises :class:`UserError` for a file that decodes to far more than its size.
        """
        types = pa.schema([field.with_type(plain(field.type)) for field in map(self.schema.field, columns)])
        groups, allowance = list(range(self.metadata.num_row_groups)), self.allowed
        if end is not None:
            groups = [group for group in groups if self.first[group] < end and self.first[group + 1] > start]
            allowance = allowed(sum(map(self.compressed, groups)))
        number = self.first[groups[0]] if groups else 0
        size = 0
        for batch in self.batches(groups, list(columns)):
            decoded = sum(text_bytes(column) for column in batch.columns) + ROW_BYTES * len(batch)
            size += decoded
            self.check_size(size, allowance)
            step = len(batch) if decoded <= BATCH_BYTES else 1
            before = min(len(batch), max(0, start - number))
            number += before
            for first in range(before, len(batch), step):
                for fields, problem in values(batch.slice(first, step), types):
                    if number == end:
                        return
                    number += 1
                    yield Row(number, fields, problem)

    def batches(self, groups: list[int], columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Row groups in batches. Each ends with its row group: Arrow cannot join lists under different dictionaries.

        With its dictionary, a text that is repeated is decoded once. But each batch brings the dictionary along; where
        texts differ, these are all texts that stand before. So they are decoded, few rows at a time if they are long.
        """
        for group in groups:
            about = self.metadata.row_group(group)
            if not about.num_rows:
                continue
            repeated, differing, longest_text = self.texts(group, columns)
            first = next(self.file(*repeated, *differing).iter_batches(1, row_groups=[group], columns=columns), None)
            if first is None:
                raise pa.ArrowInvalid("a row group without its rows")
            longest_text += sum(map(longest, first.columns))  # of all rows: a dictionary stands before them
            rows = min(
                BATCH_ROWS,
                BATCH_BYTES * about.num_rows // max(1, about.total_byte_size),
                LONGEST_BYTES // max(1, longest_text),
            )
            yield from self.file(*repeated).iter_batches(max(1, rows), row_groups=[group], columns=columns)

    def texts(self, group: int, columns: list[str]) -> tuple[list[str], list[str], int]:
        """The columns of text in a row group, by their paths: those to read with their dictionaries, and others.

        And how long a text is at most that has no dictionary. Lists, of which a row may repeat a long text, are read
        with their dictionaries.
        """
        repeated, differing, longest_text = list[str](), list[str](), 0
        for place, chunk in enumerate(self.chunks(group)):
            column, size = self.metadata.schema.column(place), chunk.total_uncompressed_size
            if column.physical_type != "BYTE_ARRAY" or column.logical_type.type not in TEXT_TYPES:
                continue
            if column.path not in self.plain:
                repeated.append(column.path)
            elif is_extension(self.plain[column.path]) or not DELTA.isdisjoint(chunk.encodings):
                # Of these Arrow makes no dictionary.
                longest_text += size if column.path in columns else 0
            else:
                (repeated if size < LENGTH_BYTES * chunk.num_values else differing).append(column.path)
        return repeated, differing, longest_text

    def file(self, *texts: str) -> pq.ParquetFile:
        """The file, with these columns of text read with their dictionaries."""
        if texts not in self.files:
            self.files[texts] = pq.ParquetFile(self.stream, metadata=self.metadata, read_dictionary=[*texts])
        return self.files[texts]


def check_metadata(metadata: pq.FileMetaData, group: int, size: int) -> None:
    """Raises ArrowInvalid where the metadata of a row group's columns are damaged, in a file of ``size`` bytes.

    If they are, `metadata.row_group(0).column(0)` would abort Python. Reading raises an error, before it reads a byte.
    """
    with TemporaryFile() as closed:
        closed.truncate(size)
        unreadable = pq.ParquetFile(closed, metadata=metadata)
    try:
        next(unreadable.iter_batches(row_groups=[group]), None)
    except (OSError, pa.ArrowException) as problem:
        raise pa.ArrowInvalid(str(problem)) from None
    except ValueError:  # the file is closed: nothing else is wrong
        pass


def allowed(size: int) -> int:
    """The largest decoded size allowed for a Parquet file of this size, as for archives."""
    return max(ALWAYS_ALLOWED, MAX_RATIO * size)


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
    if is_extension(kind):
        return text_bytes(array.storage)
    if is_plain_text(kind):
        return pc.sum(pc.binary_length(array)).as_py() or 0
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


def is_extension(kind: Any) -> bool:
    """Whether a type is one with another meaning, such as JSON, stored as another type."""
    return isinstance(kind, pa.BaseExtensionType)


def is_plain_text(kind: Any) -> bool:
    """Whether a column of this type is plain texts: strings, bytes, as old writers mark them, or JSON."""
    types, kind = pa.types, kind.storage_type if is_extension(kind) else kind
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def longest(array: Any) -> int:
    """Bytes of the longest texts in the dictionaries of an array."""
    if pa.types.is_dictionary(array.type):
        return pc.max(pc.binary_length(array.dictionary)).as_py() or 0
    return sum(map(longest, array.flatten())) if pa.types.is_struct(array.type) else 0


def plain(kind: Any) -> Any:
    """The type that a column is read as. Arrow cannot cast dictionaries to views of strings, so these are strings.

    A time has no zone, which need not be installed.
    """
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp(kind.unit)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return pa.large_string() if types.is_string_view(kind) else pa.large_binary()
    if types.is_fixed_size_list(kind):
        return pa.list_(plain(kind.value_type), kind.list_size)
    if any(of(kind) for of in (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view)):
        return pa.large_list(plain(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(plain(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(plain(kind.key_type), plain(kind.item_type))
    return kind
