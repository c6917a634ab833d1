"""Tables of predicted tags as CSV, JSON Lines or Parquet, written some posts at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tagstudy.core.printing import json_line
from tagstudy.evaluation.tables import escape_cells

PARTS = {"tags": pa.list_(pa.string()), "scores": pa.list_(pa.float64())}  # the predicted tags; their probabilities
Write = Callable[[pa.Table], None]


def schema_of(systems: tuple[str, ...]) -> pa.Schema:
    """The columns of a table: a post's id, and of each system the tags and their probabilities."""
    columns = [(f"{name}_{part}", kind) for name in systems for part, kind in PARTS.items()]
    return pa.schema([("id", pa.string()), *columns])


@contextmanager
def csv_writer(file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    """Lists stand as JSON in their cells."""
    header = True

    def write(table: pa.Table) -> None:
        nonlocal header
        rows = (
            [json_line(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in table.to_pylist()
        )
        frame = pd.DataFrame(rows, columns=schema.names)
        file.write(escape_cells(frame).to_csv(index=False, header=header, lineterminator="\n").encode())
        header = False

    yield write


@contextmanager
def json_writer(file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    yield lambda table: file.writelines(f"{json_line(row)}\n".encode() for row in table.to_pylist())


@contextmanager
def parquet_writer(file: BinaryIO, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(file, schema) as writer:
        yield writer.write_table


WRITERS = {".csv": csv_writer, ".jsonl": json_writer, ".parquet": parquet_writer}
