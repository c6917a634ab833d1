"""A part of a source once it is read: a folder with the texts, keys, splits and tags of its posts.

The folder is whole or absent, and its name is a fingerprint of all that it depends on. So any process may read a part,
and after an ingest that was stopped only the parts that are missing are read.
"""

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tagstudy.core.checksums import SUMS, checked
from tagstudy.core.config import Ingest
from tagstudy.core.corpus import BLOCK_BYTES
from tagstudy.core.errors import UserError
from tagstudy.core.files import atomic_folder, read_json, write_json
from tagstudy.core.fingerprint import fingerprint
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import BLOCK
from tagstudy.data.fields import Post
from tagstudy.data.files import File
from tagstudy.data.readers import Skipped, read_file
from tagstudy.data.text import duplicate_key

TEXT_SCHEMA = pa.schema({"id": pa.string(), "title": pa.string(), "body": pa.string()})
SCHEMA = pa.unify_schemas(
    [
        TEXT_SCHEMA,
        pa.schema(
            {
                "key": pa.uint64(),  # a hash of the folded text
                "split": pa.int8(),  # that the source names, by its number; 0 for ingest.split: random
                "tags": pa.list_(pa.int32()),  # by their numbers in the file's list of tags
            }
        ),
    ]
)
FILE = "posts.parquet"  # of SCHEMA
FAST: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
ABOUT = "about.json"  # all else that was found


class Part(NamedTuple):
    """All of a part but its texts, which stay on disk."""

    file: File  # with what was detected
    posts: Path  # a Parquet file of SCHEMA
    keys: np.ndarray  # [posts] uint64
    splits: np.ndarray  # [posts] int8
    indices: np.ndarray  # int32, of the tags of all posts, in `tags`
    lengths: np.ndarray  # [posts] int32, how many tags a post has
    tags: list[str]
    skipped: Counter[str]  # rows that are not posts, by reason
    first_malformed: str  # its place, or empty


def write_part(settings: Ingest, folder: Path, file: File) -> Path:
    """Read a file, or a part of one, into ``folder/ab/abcdef…``, its fingerprint, unless that exists; return the path.

    Raises :class:`UserError` for a file that cannot be read, and, where the source is to name the splits, for a post
    whose split is unknown.
    """
    sources = [path for path in file.path.iterdir() if path.is_file()] if file.path.is_dir() else [file.path]
    name = fingerprint(file.start, file.end, file.detected, files=sources)
    part = folder / name[:2] / name  # a folder of many parts takes long to look through
    if is_whole(part):
        return part
    tags: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    malformed: list[str] = []
    posts = only_posts(settings, file, skipped, malformed)
    with atomic_folder(part, made_from=[]) as fresh:
        with pq.ParquetWriter(fresh / FILE, SCHEMA, **FAST) as writer:
            for block in blocks(posts):
                columns: list[Any] = [[getattr(post, name) for post in block] for name in TEXT_SCHEMA.names]
                columns.append([key_of(post) for post in block])
                columns.append([SPLITS.index(post.split) if settings.split == "given" else 0 for post in block])
                columns.append([[tags.setdefault(tag, len(tags)) for tag in post.tags] for post in block])
                writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
        about = {"path": str(file.path), "detected": file.detected, "tags": list(tags), "skipped": skipped}
        write_json(fresh / ABOUT, about | {"first_malformed": "".join(malformed)})
    return part


def is_whole(part: Path) -> bool:
    """Whether a part has been read already, and its files are as they were written."""
    try:
        return (part / SUMS).exists() and all(checked(part / name).exists() for name in (FILE, ABOUT))
    except (UserError, OSError):
        return False


def read_part(part: Path) -> Part:
    """What :func:`write_part` wrote, but for the texts."""
    about = read_json(part / ABOUT)
    posts = pq.ParquetFile(part / FILE).read(["key", "split", "tags"], use_threads=False)
    keys, splits, tags = (column.combine_chunks() for column in posts.columns)
    return Part(
        File(Path(about["path"]), detected=about["detected"]),
        part / FILE,
        keys.to_numpy(),
        splits.to_numpy(),
        tags.flatten().to_numpy(),
        tags.value_lengths().to_numpy(),
        about["tags"],
        Counter(about["skipped"]),
        about["first_malformed"],
    )


def key_of(post: Post) -> int:
    """A hash of the text, 64 bits: equal for posts that are repeated."""
    key = duplicate_key(f"{post.title}\n{post.body}").encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest())


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
            split = "has no split" if row.split is None else f"is in the split {row.split!r:.40}"
            raise UserError(
                f"{settings.source}: post {row.id} {split}; write train, valid or test into a column 'split', or give "
                "files of these names"
            )
        yield row
