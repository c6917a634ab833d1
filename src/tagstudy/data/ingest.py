"""From a source of tagged posts to the posts of a study on disk, which core.corpus reads back.

in:  any file or folder that readers.py reads
out: posts.parquet (id, title, body: one row a kept post, in reading order), splits.npy [folds, posts], labels/
     [posts, tags], counts/ ([posts, terms] and the terms), tags.json, summary.json
"""

import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from tagstudy.core.config import EVERY_CORE, Compute, Ingest
from tagstudy.core.corpus import BLOCK_BYTES, read_batches
from tagstudy.core.errors import UserError
from tagstudy.core.files import write_json
from tagstudy.core.paths import SPLITS
from tagstudy.core.store import BLOCK, CsrWriter
from tagstudy.data.counts import COUNTS, write_counts
from tagstudy.data.files import distinct
from tagstudy.data.gather import gather
from tagstudy.data.labels import LEFT_OUT, choose_tags, merge, order_tags, unite
from tagstudy.data.parts import TEXT_SCHEMA
from tagstudy.data.splits import TEST, TRAIN, VALID, check_split, split_posts

SHOWN_TAGS = 10  # tags that a message names


def ingest(
    settings: Ingest, folder: Path, compute: Compute = EVERY_CORE, unfinished: Path | None = None
) -> dict[str, Any]:
    """Read, merge, choose, split and count the posts of ``settings.source``, and write them into an empty folder.

    ``compute`` says who reads and counts; the result is the same. The folder ``unfinished``, ingest's own, keeps what
    has been read until it is in posts.parquet. Returns what summary.json holds. Raises :class:`UserError` for a source
    or settings that give no study.
    """
    parts = unfinished or folder / "parts"
    summary = write_chosen(settings, folder, parts, compute)
    shutil.rmtree(parts)
    write_counts(folder / COUNTS, folder / "posts.parquet", compute)
    write_json(folder / "summary.json", summary)
    return summary


def write_chosen(settings: Ingest, folder: Path, parts: Path, compute: Compute) -> dict[str, Any]:
    """Write the posts of a study, their labels and splits, and the tags. Returns what summary.json holds.

    Posts with fewer than ``min_tags`` of the chosen tags are left out. Unseen tags are left out of the labels, unless
    ``unseen_tags`` counts them; their posts stay in their splits. When this returns, all arrays of posts are released:
    counting words needs the memory.
    """
    texts, keys, source_split, labels, names, skipped, files = gather(settings, parts, compute)
    source_split, valid_is_test = test_of_two(source_split, settings)
    merged_into = merge(keys, source_split)
    labels = unite(labels, merged_into)
    columns = choose_tags(labels, names, settings.tags)
    labels, tags = labels[:, columns], [names[column] for column in columns]

    is_first = merged_into == np.arange(len(merged_into))
    kept = with_enough_tags(labels, tags, is_first, settings)
    labels, tags = order_tags(labels[kept], tags)
    has_valid = settings.split == "random" or bool((source_split == VALID).any())
    splits = split_posts(labels, source_split[kept], has_valid, settings)
    in_use: np.ndarray = np.any(splits >= TRAIN, axis=0)
    labels, splits, kept = labels[in_use], splits[:, in_use], kept[in_use]
    unseen = is_unseen(labels, splits)
    positives = labels.sum(axis=0)
    unseen_tags = {tags[column]: int(positives[column]) for column in np.flatnonzero(unseen)}
    if settings.unseen_tags == "leave_out":
        labels, tags = labels[:, ~unseen], [tag for tag in tags if tag not in unseen_tags]
    for split in splits:
        check_split(labels, split, settings)
    write_posts(folder, texts, kept, labels)
    np.save(folder / "splits.npy", splits)
    write_json(folder / "tags.json", tags)
    return {
        "files": distinct(files),
        "read": len(merged_into) + skipped.total(),
        "skipped": dict(sorted(skipped.items())),
        "merged": int((~is_first & (merged_into != LEFT_OUT)).sum()),
        "taken_out_of_train_or_valid": int((merged_into == LEFT_OUT).sum()),
        "too_few_tags": int(is_first.sum()) - len(in_use),
        "beyond_max_train": int((~in_use).sum()),
        "unseen_tags": unseen_tags,
        "valid_cut_from_train": not has_valid,
        "valid_is_test": valid_is_test,
    } | describe(keys[kept], labels, tags, splits)


def with_enough_tags(labels: csr_array, tags: list[str], is_first: np.ndarray, settings: Ingest) -> np.ndarray:
    """The posts that are kept, by their places. Raises :class:`UserError` where none is."""
    kept = np.flatnonzero(is_first & (labels.sum(axis=1) >= settings.min_tags))
    if not len(kept):
        shown = ", ".join(tags[:SHOWN_TAGS]) + ", …" * (len(tags) > SHOWN_TAGS)
        raise UserError(
            f"{settings.source}: no post has {settings.min_tags} of the tags {shown:.500}; lower ingest.min_tags"
        )
    return kept


def test_of_two(source_split: np.ndarray, settings: Ingest) -> tuple[np.ndarray, bool]:
    """In a published split of two parts, the held-out part is test. Also returns whether it was named valid."""
    valid_is_test = settings.split == "given" and not (source_split == TEST).any()
    return np.where(source_split == VALID, TEST, source_split) if valid_is_test else source_split, valid_is_test


def is_unseen(labels: csr_array, splits: np.ndarray) -> np.ndarray:
    """[tags] Whether a tag has no train post in some fold: it cannot be learned.

    Where such tags are left out, a post in valid or test that had no other is one without tags, on which every
    predicted tag is a false positive.
    """
    return np.any([labels[split == TRAIN].sum(axis=0) == 0 for split in splits], axis=0)


def write_posts(folder: Path, texts: list[Path], kept: np.ndarray, labels: csr_array) -> None:
    """Write the ``kept`` posts, by their places in the source, and their labels, a block at a time, in their order.

    ``texts`` are files of parts with the posts of the source. Each is removed once it has been read.
    """
    start = written = rows = size = 0
    batches: list[pa.RecordBatch] = []  # of one row group: a group a batch would be small where few posts are kept
    with (
        CsrWriter(folder / "labels", labels.shape[1], np.uint8) as label_writer,
        pq.ParquetWriter(folder / "posts.parquet", TEXT_SCHEMA, compression="zstd") as post_writer,
    ):
        for path in texts:
            for batch in read_batches(path, TEXT_SCHEMA.names):
                end = int(np.searchsorted(kept, start + len(batch)))
                label_writer.append_rows(labels[written:end])
                batches.append(batch.take(pa.array(kept[written:end] - start)))
                rows, size = rows + len(batches[-1]), size + batches[-1].nbytes
                if rows >= BLOCK or size >= BLOCK_BYTES:
                    post_writer.write_table(pa.Table.from_batches(batches))
                    batches.clear()
                    rows = size = 0
                start, written = start + len(batch), end
            path.unlink()
        post_writer.write_table(pa.Table.from_batches(batches, TEXT_SCHEMA))


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
