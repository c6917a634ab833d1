"""The reader of each format of tagged posts. A reader yields a `Row` for every row of a file, post or not."""

from collections.abc import Callable, Iterator
from typing import IO

from tagstudy.data.dumps import read_dump
from tagstudy.data.fasttext import read_fasttext
from tagstudy.data.files import File, Row
from tagstudy.data.json_files import read_json
from tagstudy.data.tables import read_csv, read_parquet, read_tsv

READERS: dict[str, Callable[[File, IO[bytes]], Iterator[Row]]] = {
    ".xml": read_dump,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".txt": read_fasttext,
    ".train": read_fasttext,
    ".valid": read_fasttext,
    ".test": read_fasttext,
}
