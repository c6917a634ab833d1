"""The reader of each format of tagged posts. A reader yields a `Row` for every row of a file, post or not."""

from collections.abc import Callable, Iterator
from typing import IO

from tagstudy.data.dumps import parts_of_dump, read_dump
from tagstudy.data.fasttext import read_fasttext
from tagstudy.data.files import File, Row
from tagstudy.data.json_files import read_posts_json
from tagstudy.data.parquet import parts_of_parquet, read_parquet
from tagstudy.data.tables import read_csv, read_tsv

READERS: dict[str, Callable[[File, IO[bytes]], Iterator[Row]]] = {
    ".xml": read_dump,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".json": read_posts_json,
    ".jsonl": read_posts_json,
    ".ndjson": read_posts_json,
    ".txt": read_fasttext,
    ".train": read_fasttext,
    ".valid": read_fasttext,
    ".test": read_fasttext,
}
# Formats whose files are read in parts, each by itself; of another format a file is read as a whole.
PARTS: dict[str, Callable[[File], Iterator[File]]] = {".xml": parts_of_dump, ".parquet": parts_of_parquet}
