"""From a source of tagged posts to the posts of a study on disk, which core.corpus reads back.

in:  any file or folder that readers.py reads
out: posts.parquet (id, title, body: one row a kept post, in reading order), splits.npy [folds, posts], labels/
     [posts, tags], tags.json, summary.json
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array
from tqdm import tqdm

from tagstudy.core.config import Ingest
from tagstudy.core.corpus import BLOCK_BYTES, read_batches
from tagstudy.core.errors import UserError
from tagstudy.core.files import write_json
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import BLOCK, CsrWriter
from tagstudy.data.files import File, Told, distinct
from tagstudy.data.labels import LEFT_OUT, choose_tags, merge, order_tags, unite
from tagstudy.data.readers import Post, Skipped, read_posts
from tagstudy.data.splits import TRAIN, VALID, check_split, split_posts
from tagstudy.data.text import fold

SCHEMA = pa.schema({"id": pa.string(), "title": pa.string(), "body": pa.string()})


def ingest(settings: Ingest, folder: Path) -> dict[str, Any]:
    """Read, merge, choose and split the posts of ``settings.source``, and write them into an empty folder.

    Posts with fewer than ``min_tags`` of the chosen tags are left out. Tags without a train post in some fold are
    unseen: nothing can be learned of them. They are left out of the labels, unless ``unseen_tags`` counts them. The
    posts stay in their splits: one in valid or test that had no other tag is a post without tags, on which every
    predicted tag is a false positive.

    Returns what summary.json holds. Raises :class:`UserError` for a source or settings that give no study.
    """
    every_post = folder / "every_post.parquet"
    keys, source_split, labels, names, skipped, files = gather(settings, every_post)
    merged_into = merge(keys, source_split)
    labels = unite(labels, merged_into)
    columns = choose_tags(labels, names, settings.tags)
    labels, tags = labels[:, columns], [names[column] for column in columns]

    is_first = merged_into == np.arange(len(merged_into))
    kept = np.flatnonzero(is_first & (labels.sum(axis=1) >= settings.min_tags))
    if not len(kept):
        raise UserError(
            f"{settings.source}: no post has {settings.min_tags} of the tags {tags!s:.500}; lower ingest.min_tags"
        )
    labels, tags = order_tags(labels[kept], tags)
    has_valid = settings.split == "random" or bool((source_split == VALID).any())
    splits = split_posts(labels, source_split[kept], has_valid, settings)
    in_use: np.ndarray = np.any(splits >= TRAIN, axis=0)
    labels, splits, kept = labels[in_use], splits[:, in_use], kept[in_use]
    unseen = is_unseen(labels, splits)
    unseen_tags = {tags[column]: int(labels[:, [column]].sum()) for column in np.flatnonzero(unseen)}
    if settings.unseen_tags == "leave_out":
        labels, tags = labels[:, ~unseen], [tag for tag in tags if tag not in unseen_tags]
    for split in splits:
        check_split(labels, split, settings)
    write_posts(folder, every_post, kept, labels)
    np.save(folder / "splits.npy", splits)
    write_json(folder / "tags.json", tags)
    summary = {
        "files": distinct(files),
        "read": len(merged_into) + skipped.total(),
        "skipped": dict(sorted(skipped.items())),
        "merged": int((~is_first & (merged_into != LEFT_OUT)).sum()),
        "taken_out_of_train_or_valid": int((merged_into == LEFT_OUT).sum()),
        "too_few_tags": int(is_first.sum()) - len(in_use),
        "beyond_max_train": int((~in_use).sum()),
        "unseen_tags": unseen_tags,
        "valid_cut_from_train": not has_valid,
    } | describe(keys[kept], labels, tags, splits)
    write_json(folder / "summary.json", summary)
    return summary


class Gathered(NamedTuple):
    keys: np.ndarray  # [posts] uint64: hash of the folded text
    source_split: np.ndarray  # [posts] the split that the source names, by its number; all 0 for ingest.split: random
    labels: csr_array  # [posts, tags] 0 or 1
    tags: list[str]
    skipped: Counter[str]  # rows that are not posts, by reason
    files: list[File]  # that were read


def gather(settings: Ingest, path: Path) -> Gathered:
    """Read the source into a Parquet file of ids and texts; keep in memory only what merging and splitting need."""
    keys, source_split, indices, indptr = array("Q"), array("b"), array("i"), array("q", [0])
    tags: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    files: list[File] = []
    posts = only_posts(settings, skipped, files)
    with pq.ParquetWriter(path, SCHEMA, compression="lz4") as writer:
        for block in blocks(posts):
            for post in block:
                key = blake2b(fold(str(post.text)).encode(), digest_size=8).digest()
                keys.append(int.from_bytes(key))
                source_split.append(SPLITS.index(post.split) if settings.split == "given" else 0)
                indices.extend([tags.setdefault(tag, len(tags)) for tag in post.tags])
                indptr.append(len(indices))
            texts = [[getattr(post, name) for post in block] for name in SCHEMA.names]
            writer.write_batch(pa.record_batch(texts, schema=SCHEMA))
    columns = np.frombuffer(indices, np.int32)  # a view, not a copy
    labels = csr_array(
        (np.ones(len(columns), np.int8), columns, np.frombuffer(indptr, np.int64)), shape=(len(keys), len(tags))
    )
    source_splits = np.frombuffer(source_split, np.int8)
    return Gathered(np.frombuffer(keys, np.uint64), source_splits, labels, list(tags), skipped, files)


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


def only_posts(settings: Ingest, skipped: Counter[str], files: list[File]) -> Iterator[Post]:
    """The posts of the source; its other rows are counted in ``skipped``, by reason, and its files are in ``files``.

    Raises :class:`UserError` for a source without posts, for more malformed rows than ``max_malformed``, and, where
    the source is to name the splits, for a post whose split is unknown.
    """
    posts = 0
    first_malformed = ""
    told = Told(
        columns=settings.columns.model_dump(exclude_none=True),
        tag_separator=settings.tag_separator,
        encoding=settings.encoding,
    )
    for row in tqdm(read_posts(settings.source, told=told, files=files), desc="ingest", unit=" posts", disable=None):
        if isinstance(row, Skipped):
            skipped[row.reason] += 1
            if row.reason == "malformed row" and not first_malformed:
                first_malformed = row.place
            continue
        if settings.split == "given" and row.split not in SPLITS:
            raise UserError(
                f"{settings.source}: post {row.id} is in split {row.split!r}; ingest.split: given needs "
                "a column 'split' or files named train, valid and test"
            )
        posts += 1
        yield row
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


def is_unseen(labels: csr_array, splits: np.ndarray) -> np.ndarray:
    """[tags] Whether a tag has no train post in some fold."""
    return np.any([labels[split == TRAIN].sum(axis=0) == 0 for split in splits], axis=0)


def write_posts(folder: Path, every_post: Path, kept: np.ndarray, labels: csr_array) -> None:
    """Write the ``kept`` posts, by their places in the source, and their labels, a block at a time, in their order.

    ``every_post`` is then removed.
    """
    start = written = 0
    batches: list[pa.RecordBatch] = []  # of one row group: a group a batch would be small where few posts are kept
    with (
        CsrWriter(folder / "labels", labels.shape[1], np.uint8) as label_writer,
        pq.ParquetWriter(folder / "posts.parquet", SCHEMA, compression="zstd") as post_writer,
    ):
        for batch in read_batches(every_post):
            end = int(np.searchsorted(kept, start + len(batch)))
            label_writer.append_rows(labels[written:end])
            batches.append(batch.take(pa.array(kept[written:end] - start)))
            if sum(map(len, batches)) >= BLOCK or sum(batch.nbytes for batch in batches) >= BLOCK_BYTES:
                post_writer.write_table(pa.Table.from_batches(batches))
                batches.clear()
            start, written = start + len(batch), end
        post_writer.write_table(pa.Table.from_batches(batches, SCHEMA))
    every_post.unlink()


def describe(keys: np.ndarray, labels: csr_array, tags: list[str], splits: np.ndarray) -> dict[str, Any]:
    """How many posts were kept: in all, in each split of each fold, with each tag. ``keys`` [posts] hash their texts.

    The fingerprint is the same for the same texts, labels and splits.
    """
    digest = blake2b(repr(tags).encode(), digest_size=16)
    for part in (keys, labels.indptr.astype(np.int64), labels.indices.astype(np.int32), splits):
        digest.update(np.ascontiguousarray(part).data)
    return {
        "kept": labels.shape[0],
        "folds": [{name: int((split == number).sum()) for number, name in enumerate(SPLITS)} for split in splits],
        "tags": dict(zip(tags, labels.sum(axis=0).tolist(), strict=True)),
        "fingerprint": digest.hexdigest(),
    }
