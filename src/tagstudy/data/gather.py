"""Reads a source into what merging and splitting need; the texts stay on disk. Processes share its parts.

The parts are merged in the order of the source: how many processes read them changes nothing.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from hashlib import blake2b
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array
from tqdm import tqdm

from tagstudy.core.config import Compute, Ingest
from tagstudy.core.corpus import BLOCK_BYTES
from tagstudy.core.errors import UserError
from tagstudy.core.files import atomic_file
from tagstudy.core.paths import SPLITS
from tagstudy.core.shards import map_in_order
from tagstudy.core.store import BLOCK
from tagstudy.data.fields import Post
from tagstudy.data.files import File, ReadOptions
from tagstudy.data.readers import Skipped, files_of, parts_of, read_file
from tagstudy.data.text import duplicate_key

PARTS = "parts"
SCHEMA = pa.schema({"id": pa.string(), "title": pa.string(), "body": pa.string()})


class Part(NamedTuple):
    """What was read of a file, or of a part of one."""

    file: File
    texts: Path  # a Parquet file of SCHEMA
    keys: "array[int]"  # [posts] a hash of the folded text, 64 bits
    source_split: "array[int]"  # [posts] the split that the source names, by its number; all 0 for ingest.split: random
    indices: "array[int]"  # of the tags of all posts, in `tags`
    lengths: "array[int]"  # [posts] how many tags a post has
    tags: list[str]
    skipped: Counter[str]  # rows that are not posts, by reason
    first_malformed: str  # its place, or empty


class Gathered(NamedTuple):
    texts: list[Path]  # Parquet files of SCHEMA
    keys: np.ndarray  # [posts] uint64
    source_split: np.ndarray  # [posts] int8
    labels: csr_array  # [posts, tags] 0 or 1
    tags: list[str]
    skipped: Counter[str]
    files: list[File]  # that were read


def gather(settings: Ingest, folder: Path, compute: Compute) -> Gathered:
    """Read the source, and leave its texts in files of a folder PARTS in this one.

    Raises :class:`UserError` for a source without posts, for more malformed rows than ``max_malformed``, and, where
    the source is to name the splits, for a post whose split is unknown.
    """
    keys, source_split, indices, lengths = array("Q"), array("b"), array("i"), array("i")
    tags: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    files: list[File] = []
    texts: list[Path] = []
    first_malformed = ""
    options = ReadOptions(
        columns=settings.columns.model_dump(exclude_none=True),
        tag_separator=settings.tag_separator,
        encoding=settings.encoding,
    )
    pa.array([""])  # which imports pandas: once here, and not in each process
    (folder / PARTS).mkdir()
    sources = enumerate(part for file in files_of(settings.source, options) for part in parts_of(file))
    with closing(map_in_order(partial(read_part, settings, folder), sources, compute)) as parts:
        for part in tqdm(parts, desc="ingest", unit=" parts", disable=None):
            keys += part.keys
            source_split += part.source_split
            lengths += part.lengths
            numbers = np.array([tags.setdefault(tag, len(tags)) for tag in part.tags], np.int32)
            indices.frombytes(numbers[np.frombuffer(part.indices, np.int32)].tobytes())
            skipped += part.skipped
            first_malformed = first_malformed or part.first_malformed
            texts.append(part.texts)
            if files and files[-1].path == part.file.path:
                files[-1].add(part.file)
            else:
                files.append(part.file)
    check_rows(settings, len(keys), skipped, first_malformed)
    columns = np.frombuffer(indices, np.int32)  # a view, not a copy
    indptr = np.concatenate([[0], np.cumsum(np.frombuffer(lengths, np.int32), dtype=np.int64)])
    labels = csr_array((np.ones(len(columns), np.int8), columns, indptr), shape=(len(keys), len(tags)))
    source_splits = np.frombuffer(source_split, np.int8)
    return Gathered(texts, np.frombuffer(keys, np.uint64), source_splits, labels, list(tags), skipped, files)


def read_part(settings: Ingest, folder: Path, numbered: tuple[int, File]) -> Part:
    """Read a file or a part of one, which has a number in the source. Writes the texts of its posts into the folder."""
    number, file = numbered
    texts_of_part = folder / PARTS / f"part-{number}.parquet"
    part = Part(file, texts_of_part, array("Q"), array("b"), array("i"), array("i"), [], Counter(), "")
    tags: dict[str, int] = {}
    malformed: list[str] = []
    posts = only_posts(settings, file, part.skipped, malformed)
    with (
        atomic_file(part.texts) as path,
        pq.ParquetWriter(path, SCHEMA, compression="lz4", use_dictionary=False, write_statistics=False) as writer,
    ):
        for block in blocks(posts):
            for post in block:
                key = blake2b(duplicate_key(f"{post.title}\n{post.body}").encode(), digest_size=8).digest()
                part.keys.append(int.from_bytes(key))
                part.source_split.append(SPLITS.index(post.split) if settings.split == "given" else 0)
                part.indices.extend([tags.setdefault(tag, len(tags)) for tag in post.tags])
                part.lengths.append(len(post.tags))
            texts: list[Any] = [[getattr(post, name) for post in block] for name in SCHEMA.names]
            writer.write_batch(pa.record_batch(texts, schema=SCHEMA))
    return part._replace(tags=list(tags), first_malformed="".join(malformed))


def blocks(posts: Iterator[Post]) -> Iterator[list[Post]]:
    """Posts in lists of at most BLOCK, shorter ones where their texts have more than about BLOCK_BYTES characters."""
    block: list[Post] = []
    size = 0
    for post in posts:
        block.append(post)
        size += len(post.title) + len(post.body)
        if len(block) == BLOCK or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def only_posts(settings: Ingest, file: File, skipped: Counter[str], malformed: list[str]) -> Iterator[Post]:
    """The posts of a file. Its other rows are counted in ``skipped``; ``malformed`` gets the place of the first one."""
    alone = parent_process() is None  # no other process reads beside this one
    for row in tqdm(read_file(file), desc=file.path.name, unit=" rows", leave=False, disable=None if alone else True):
        if isinstance(row, Skipped):
            skipped[row.reason] += 1
            if row.reason == "malformed row" and not malformed:
                malformed.append(row.place)
            continue
        if settings.split == "given" and row.split not in SPLITS:
            raise UserError(
                f"{settings.source}: post {row.id} is in split {row.split!r}; ingest.split: given needs "
                "a column 'split' or files named train, valid and test"
            )
        yield row


def check_rows(settings: Ingest, posts: int, skipped: Counter[str], first_malformed: str) -> None:
    """Raise :class:`UserError` where there is no post, or more malformed rows than ``max_malformed``."""
    if not posts:
        counts = ", ".join(f"{count:,} × {reason}" for reason, count in sorted(skipped.items())) or "no rows"
        raise UserError(
            f"{first_malformed or settings.source}; the source holds no post ({counts}); name one with posts"
        )
    if skipped["malformed row"] > settings.max_malformed * (posts + skipped.total()):
        raise UserError(
            f"{first_malformed}; {skipped['malformed row']:,} rows are malformed, more than ingest.max_malformed "
            "allows; repair the file or raise it"
        )
