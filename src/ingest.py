"""Stage ingest: read tagged posts, merge repeated ones, keep those with enough tags, split them.

in:  ingest.source, a file or a folder in any format that posts.py reads
out: data/posts/{train,valid,test}.parquet (id, text, tags), tags.json, summary.json
"""

import signal
from array import array
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from hashlib import blake2b
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array
from tqdm import tqdm

from tagstudy.core.config import Ingest, read_params
from tagstudy.core.errors import UserError
from tagstudy.core.files import whole_folder, write_json
from tagstudy.core.paths import POSTS, SPLITS
from tagstudy.core.stage import run
from tagstudy.data.readers import Post, Skipped, read_posts
from tagstudy.data.splits import TRAIN, VALID, beyond, check_splits, split_posts
from tagstudy.data.text import fold

BATCH = 1_000  # posts in memory at a time
NOWHERE = -1  # in none of the splits
SPARE = -2  # of train, but more than ingest.max_train


def main() -> str:
    params = read_params().ingest
    with whole_folder(POSTS) as folder:
        pool = folder / "pool.parquet"
        keys, given, labels, names, skipped = gather(params, pool)
        owner = merge(keys, given)
        del keys  # what grows with the posts is held no longer than it is needed
        labels = unite(labels, owner)
        columns = choose_tags(labels, names, params.tags)
        labels, tags = labels[:, columns], [names[column] for column in columns]

        kept = (owner == np.arange(len(owner))) & (labels.sum(axis=1) >= params.min_tags)
        if not kept.any():
            raise UserError(f"{params.source}: no post has {params.min_tags} of the tags {tags}; lower ingest.min_tags")
        labels, tags = order_tags(labels, tags, kept)
        has_valid = params.split == "random" or bool((given == VALID).any())
        split = np.full(len(owner), NOWHERE, dtype=np.int8)
        split[kept] = split_posts(labels[kept], given[kept], has_valid, params)
        if params.max_train is not None:
            split[beyond(labels, split, params.max_train, params.seed)] = SPARE
        check_splits(labels, split, tags, params)

        write_splits(folder, pool, labels, tags, split)
        pool.unlink()
        write_json(folder / "tags.json", tags)
        summary = summarize(skipped, owner, labels, tags, split) | {"valid_cut_from_train": not has_valid}
        write_json(folder / "summary.json", summary)
    sizes = ", ".join(f"{count:,} {name}" for name, count in summary["splits"].items())
    return f"read {summary['read']:,} rows, kept {summary['kept']:,} posts with {len(tags)} tags: {sizes}"


class Gathered(NamedTuple):
    keys: np.ndarray  # [posts] uint64: hash of the folded text
    given: np.ndarray  # [posts]: number of the split that the source names; all 0 where ingest.split is random
    labels: csr_array  # [posts, tags] 0 or 1
    tags: list[str]
    skipped: Counter[str]  # rows that are no posts, by reason


def gather(params: Ingest, pool: Path) -> Gathered:
    """Read the source into a Parquet file of ids and texts; keep in memory only what splitting needs."""
    keys, given, indices, indptr = array("Q"), array("b"), array("i"), array("q", [0])
    tags: dict[str, int] = {}
    skipped: Counter[str] = Counter()
    broken = ""
    schema = pa.schema({"id": pa.string(), "text": pa.string()})
    with pq.ParquetWriter(pool, schema, compression="lz4") as writer:
        ids: list[str] = []
        texts: list[str] = []
        for post in tqdm(read_elsewhere(params.source), desc="ingest", unit=" posts", disable=None):
            if isinstance(post, Skipped):
                skipped[post.reason] += 1
                broken = broken or (post.place if post.reason == "malformed row" else "")
                continue
            if params.split == "given":
                if post.split not in SPLITS:
                    raise UserError(
                        f"{params.source}: post {post.id} is in split {post.split!r}; ingest.split: given needs "
                        "a column 'split' or files named train, valid and test"
                    )
                given.append(SPLITS.index(post.split))
            else:
                given.append(0)
            keys.append(int.from_bytes(blake2b(fold(post.text).encode(), digest_size=8).digest()))
            indices.extend([tags.setdefault(tag, len(tags)) for tag in post.tags])
            indptr.append(len(indices))
            ids.append(post.id)
            texts.append(post.text)
            if len(ids) == BATCH:
                writer.write_batch(pa.record_batch([ids, texts], schema=schema))
                ids, texts = [], []
        writer.write_batch(pa.record_batch([ids, texts], schema=schema))
    if not keys:
        counts = ", ".join(f"{count:,} × {reason}" for reason, count in sorted(skipped.items()))
        raise UserError(f"{broken or params.source}; not one post in it ({counts or 'no rows'}); give one with posts")
    if skipped["malformed row"] > params.max_malformed * (len(keys) + skipped.total()):
        raise UserError(
            f"{broken}; {skipped['malformed row']} rows are broken, more than ingest.max_malformed allows; "
            "mend the file or raise it"
        )
    columns = np.frombuffer(indices, np.int32)  # of the same memory
    labels = csr_array(
        (np.ones(len(columns), np.int8), columns, np.frombuffer(indptr, np.int64)), shape=(len(keys), len(tags))
    )
    return Gathered(np.frombuffer(keys, np.uint64), np.frombuffer(given, np.int8), labels, list(tags), skipped)


def read_elsewhere(source: str) -> Iterator[Post | Skipped]:
    """:func:`read_posts` in a process of its own, a batch ahead of what is done with the posts here."""
    fork = get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    reader = fork.Process(target=send_posts, args=(source, receiver, sender))
    reader.start()
    sender.close()  # so that a reader that was killed is an EOFError here, not a wait for ever
    try:
        while batch := receiver.recv():
            if isinstance(batch, Exception):
                raise batch
            yield from batch
    except EOFError:
        raise UserError(f"{source}: the process that reads it was killed; is there enough memory?") from None
    finally:
        receiver.close()  # what the reader sends next fails, and it tidies up and ends
        reader.join()


def send_posts(source: str, receiver: Connection, sender: Connection) -> None:
    """Send the posts in lists, and then an empty one or the error that ended the reading."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage says that it was interrupted
    receiver.close()
    posts = read_posts(source)
    try:
        while batch := list(islice(posts, 200)):
            sender.send(batch)
        sender.send([])
    except BrokenPipeError:
        posts.close()  # nobody listens any more
    except Exception as problem:
        sender.send(problem)


def merge(keys: np.ndarray, given: np.ndarray) -> np.ndarray:
    """For each post the first one with the same text: itself, or the one it is merged into.

    Where the source gives the splits, a text belongs to test before valid before train, and the posts that
    repeat it in another split belong nowhere: test stays as published, and nothing of it is learned.
    """
    order = np.lexsort((-given, keys))  # stable: the first comes first
    new = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    owner = np.empty(len(keys), dtype=np.int32)
    owner[order] = order[new][np.cumsum(new) - 1]
    owner[given != given[owner]] = NOWHERE
    return owner


def unite(labels: csr_array, owner: np.ndarray) -> csr_array:
    """Give every tag of a merged post to the post that stands for it."""
    rows = np.repeat(owner, np.diff(labels.indptr))
    somewhere = rows != NOWHERE
    pairs = rows[somewhere], labels.indices[somewhere]
    del rows
    united = csr_array((labels.data[somewhere], pairs), shape=labels.shape)
    united.data[:] = 1
    return united


def choose_tags(labels: csr_array, names: list[str], wanted: int | list[str]) -> list[int]:
    """Columns of the ``wanted`` most frequent tags, or of those named."""
    if not names:
        raise UserError("no post has a tag; give posts with tags in ingest.source")
    if isinstance(wanted, int):
        frequency = labels.sum(axis=0)
        return sorted(range(len(names)), key=lambda tag: (-frequency[tag], names[tag]))[:wanted]
    where = {name: column for column, name in enumerate(names)}
    for name in wanted:
        if name not in where:
            nearest = get_close_matches(name, names, n=3) or names[:3]
            raise UserError(f"ingest.tags: no post has the tag {name!r}; did you mean one of {nearest}?")
    return [where[name] for name in wanted]


def order_tags(labels: csr_array, tags: list[str], kept: np.ndarray) -> tuple[csr_array, list[str]]:
    """Tags, and their columns, by how many kept posts have them."""
    frequency = labels[kept].sum(axis=0)
    order = sorted(range(len(tags)), key=lambda tag: (-frequency[tag], tags[tag]))
    return labels[:, order], [tags[tag] for tag in order]


def write_splits(folder: Path, pool: Path, labels: csr_array, tags: list[str], split: np.ndarray) -> None:
    """Deal the pool out to a Parquet file for each split, in the order of reading."""
    names = pa.array(tags, pa.string())
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "tags": pa.list_(pa.string())})
    labels.sort_indices()
    writers = [pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd") for name in SPLITS]
    waiting: list[list[pa.RecordBatch]] = [[] for _ in SPLITS]  # until there are BATCH posts: few make poor row groups
    start = 0
    # With pre_buffer, what was read stays in memory to the end.
    for batch in pq.ParquetFile(pool, pre_buffer=False).iter_batches(BATCH):
        here = split[start : start + len(batch)]
        for number, (writer, parts) in enumerate(zip(writers, waiting, strict=True)):
            rows = np.flatnonzero(here == number)
            own = labels[start + rows]
            own_tags = pa.ListArray.from_arrays(own.indptr.astype(np.int32), names.take(pa.array(own.indices)))
            parts.append(pa.record_batch([*batch.take(pa.array(rows)).columns, own_tags], schema=schema))
            if sum(map(len, parts)) >= BATCH:
                writer.write_table(pa.Table.from_batches(parts))
                parts.clear()
        start += len(batch)
    for writer, parts in zip(writers, waiting, strict=True):
        writer.write_table(pa.Table.from_batches(parts, schema))
        writer.close()


def summarize(
    skipped: Counter[str], owner: np.ndarray, labels: csr_array, tags: list[str], split: np.ndarray
) -> dict[str, Any]:
    """Where every row that was read has gone, and the posts of each split and of each tag in it."""
    standing, kept = owner == np.arange(len(owner)), split >= TRAIN
    parts = [(name, split == number) for number, name in enumerate(SPLITS)]
    of_tags = {name: labels[part].sum(axis=0).tolist() for name, part in parts}
    return {
        "read": len(owner) + skipped.total(),
        "skipped": dict(sorted(skipped.items())),
        "merged": int((~standing & (owner != NOWHERE)).sum()),
        "taken_out_of_train_or_valid": int((owner == NOWHERE).sum()),
        "too_few_tags": int((standing & (split == NOWHERE)).sum()),
        "beyond_max_train": int((split == SPARE).sum()),
        "kept": int(kept.sum()),
        "splits": {name: int(part.sum()) for name, part in parts},
        "tags": {tag: {name: of_tags[name][column] for name in SPLITS} for column, tag in enumerate(tags)},
    }


if __name__ == "__main__":
    run(main)
