"""Stage ingest: read tagged posts, merge repeated ones, keep those with enough tags, split them.

in:  ingest.source, a file or a folder in any format that posts.py reads
out: data/posts/{train,valid,test}.parquet (id, text, tags), tags.json, summary.json
"""

from array import array
from collections import Counter
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array
from tqdm import tqdm

from params import Ingest, read_params
from posts import Skipped, read_posts
from stage import POSTS, SPLITS, BadInput, run, whole_folder, write_json
from text import fold

BATCH = 5_000  # posts in memory at a time
TRAIN, VALID, TEST = range(3)  # as in SPLITS
NOWHERE = -1  # in none of them


def main() -> str:
    params = read_params().ingest
    with whole_folder(POSTS) as folder:
        pool = folder / "pool.parquet"
        gathered = gather(params, pool)
        owner = merge(gathered.keys, gathered.given)
        labels = unite(gathered.labels, owner)
        columns = choose_tags(labels, gathered.tags, params.tags)
        labels, tags = labels[:, columns], [gathered.tags[column] for column in columns]

        kept = (owner == np.arange(len(owner))) & (labels.sum(axis=1) >= params.min_tags)
        if not kept.any():
            raise BadInput(f"{params.source}: no post has {params.min_tags} of the tags {tags}; lower ingest.min_tags")
        labels, tags = order_tags(labels, tags, kept)
        has_valid = params.split == "random" or bool((gathered.given == VALID).any())
        split = np.full(len(owner), NOWHERE)
        split[kept] = split_posts(labels[kept], gathered.given[kept], has_valid, params)
        check_splits(labels, split, tags, params)

        write_splits(folder, pool, labels, tags, split)
        pool.unlink()
        write_json(folder / "tags.json", tags)
        summary = summarize(gathered, owner, labels, tags, split) | {"valid_cut_from_train": not has_valid}
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
    with pq.ParquetWriter(pool, schema, compression="zstd") as writer:
        ids: list[str] = []
        texts: list[str] = []
        for post in tqdm(read_posts(params.source), desc="ingest", unit=" posts", disable=None):
            if isinstance(post, Skipped):
                skipped[post.reason] += 1
                broken = broken or (post.place if post.reason == "broken row" else "")
                continue
            if params.split == "given":
                if post.split not in SPLITS:
                    raise BadInput(
                        f"{params.source}: post {post.id} is in split {post.split!r}; ingest.split: given needs "
                        "a column 'split' or files named train, valid and test"
                    )
                given.append(SPLITS.index(post.split))
            else:
                given.append(0)
            keys.append(int.from_bytes(blake2b(fold(post.text).encode(), digest_size=8).digest()))
            indices.extend(tags.setdefault(tag, len(tags)) for tag in post.tags)
            indptr.append(len(indices))
            ids.append(post.id)
            texts.append(post.text)
            if len(ids) == BATCH:
                writer.write_batch(pa.record_batch([ids, texts], schema=schema))
                ids, texts = [], []
        writer.write_batch(pa.record_batch([ids, texts], schema=schema))
    if not keys:
        raise BadInput(f"{params.source}: no posts in it ({dict(skipped)} skipped)")
    if skipped["broken row"] > params.max_broken * (len(keys) + skipped.total()):
        raise BadInput(
            f"{broken}; {skipped['broken row']} rows are broken, more than ingest.max_broken allows; "
            "mend the file or raise it"
        )
    labels = csr_array(
        (np.ones(len(indices), np.int32), np.array(indices), np.array(indptr)), shape=(len(keys), len(tags))
    )
    return Gathered(np.array(keys), np.array(given), labels, list(tags), skipped)


def merge(keys: np.ndarray, given: np.ndarray) -> np.ndarray:
    """For each post the first one with the same text: itself, or the one it is merged into.

    Where the source gives the splits, a text belongs to test before valid before train, and the posts that
    repeat it in another split belong nowhere: test stays as published, and nothing of it is learned.
    """
    order = np.lexsort((np.arange(len(keys)), -given, keys))
    new = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    owner = np.empty(len(keys), dtype=np.int64)
    owner[order] = order[new][np.cumsum(new) - 1]
    owner[given != given[owner]] = NOWHERE
    return owner


def unite(labels: csr_array, owner: np.ndarray) -> csr_array:
    """Give every tag of a merged post to the post that stands for it."""
    pairs = labels.tocoo()
    rows = owner[pairs.row]
    somewhere = rows != NOWHERE
    united = csr_array((pairs.data[somewhere], (rows[somewhere], pairs.col[somewhere])), shape=labels.shape)
    united.data[:] = 1
    return united


def choose_tags(labels: csr_array, names: list[str], wanted: int | list[str]) -> list[int]:
    """Columns of the ``wanted`` most frequent tags, or of those named."""
    if not names:
        raise BadInput("no post has a tag; give posts with tags in ingest.source")
    if isinstance(wanted, int):
        frequency = labels.sum(axis=0)
        return sorted(range(len(names)), key=lambda tag: (-frequency[tag], names[tag]))[:wanted]
    where = {name: column for column, name in enumerate(names)}
    for name in wanted:
        if name not in where:
            nearest = get_close_matches(name, names, n=3) or names[:3]
            raise BadInput(f"ingest.tags: no post has the tag {name!r}; did you mean one of {nearest}?")
    return [where[name] for name in wanted]


def order_tags(labels: csr_array, tags: list[str], kept: np.ndarray) -> tuple[csr_array, list[str]]:
    """Tags, and their columns, by how many kept posts have them."""
    frequency = labels[kept].sum(axis=0)
    order = sorted(range(len(tags)), key=lambda tag: (-frequency[tag], tags[tag]))
    return labels[:, order], [tags[tag] for tag in order]


def split_posts(labels: csr_array, given: np.ndarray, has_valid: bool, params: Ingest) -> np.ndarray:
    """The number of each post's split. Where the source gives the splits but no valid, it is cut from train."""
    if params.split == "given":
        split = given.astype(np.int64)
        if not has_valid:
            train = np.flatnonzero(split == TRAIN)
            split[train[spread(labels[train], params.valid, params.seed)]] = VALID
        return split
    split = np.full(labels.shape[0], TRAIN)
    split[spread(labels, params.test, params.seed)] = TEST
    rest = np.flatnonzero(split == TRAIN)
    split[rest[spread(labels[rest], params.valid / (1 - params.test), params.seed)]] = VALID
    return split


def spread(labels: csr_array, share: float, seed: int) -> np.ndarray:
    """Rows of a ``share`` of posts, drawn so that every tag is drawn in nearly the same share.

    Systematic sampling (Madow and Madow, 1944): posts are ordered by their tags, the rarest first, those with the
    same tags at random, and taken from the line at even distances. The rarest tag is drawn to within one post of its
    share; a frequent one, whose posts stand in many runs, to within a few.
    """
    posts, tags = labels.shape
    rng = np.random.default_rng(seed)
    rank = np.argsort(np.argsort(labels.sum(axis=0), kind="stable"))  # [tags] 0: the rarest
    ranked = csr_array((np.ones(labels.nnz), rank[labels.indices], labels.indptr), shape=labels.shape)
    ranked.sort_indices()
    length = np.diff(ranked.indptr)
    rarest = np.full((4, posts), tags)  # the four rarest tags of each post settle its place
    for place in range(4):
        has = length > place
        rarest[place, has] = ranked.indices[ranked.indptr[:-1][has] + place]
    line = np.lexsort((rng.random(posts), *rarest[::-1]))
    taken = np.diff(np.floor(np.arange(posts + 1) * share + rng.random())) > 0
    return line[taken]


def check_splits(labels: csr_array, split: np.ndarray, tags: list[str], params: Ingest) -> None:
    """Raise :class:`BadInput` for a split without posts, and for a tag that train could not learn."""
    for number, name in enumerate(SPLITS):
        if (split == number).sum() < (2 if number == TRAIN else 1):
            remedy = "use ingest.split: random" if params.split == "given" else "give more posts"
            raise BadInput(f"{params.source}: not enough posts for {name}; {remedy} or lower ingest.min_tags")
    for tag, count in zip(tags, labels[split == TRAIN].sum(axis=0), strict=True):
        if count == 0:
            remedy = "lower ingest.tags" if isinstance(params.tags, int) else "leave it out of ingest.tags"
            raise BadInput(f"{params.source}: no train post has the tag {tag!r}; {remedy}")


def write_splits(folder: Path, pool: Path, labels: csr_array, tags: list[str], split: np.ndarray) -> None:
    """Deal the pool out to a Parquet file for each split, in the order of reading."""
    names = pa.array(tags, pa.string())
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "tags": pa.list_(pa.string())})
    labels.sort_indices()
    writers = [pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd") for name in SPLITS]
    start = 0
    for batch in pq.ParquetFile(pool).iter_batches(BATCH):
        here = split[start : start + len(batch)]
        for number, writer in enumerate(writers):
            rows = np.flatnonzero(here == number)
            own = labels[start + rows]
            own_tags = pa.ListArray.from_arrays(own.indptr.astype(np.int32), names.take(pa.array(own.indices)))
            writer.write_batch(pa.record_batch([*batch.take(pa.array(rows)).columns, own_tags], schema=schema))
        start += len(batch)
    for writer in writers:
        writer.close()


def summarize(
    gathered: Gathered, owner: np.ndarray, labels: csr_array, tags: list[str], split: np.ndarray
) -> dict[str, Any]:
    """Where every row that was read has gone, and the posts of each split and of each tag in it."""
    standing, kept = owner == np.arange(len(owner)), split != NOWHERE
    parts = [(name, split == number) for number, name in enumerate(SPLITS)]
    of_tags = {name: labels[part].sum(axis=0).tolist() for name, part in parts}
    return {
        "read": len(owner) + gathered.skipped.total(),
        "skipped": dict(sorted(gathered.skipped.items())),
        "merged": int((~standing & (owner != NOWHERE)).sum()),
        "taken_out_of_train_or_valid": int((owner == NOWHERE).sum()),
        "too_few_tags": int((standing & ~kept).sum()),
        "kept": int(kept.sum()),
        "splits": {name: int(part.sum()) for name, part in parts},
        "tags": {tag: {name: of_tags[name][column] for name in SPLITS} for column, tag in enumerate(tags)},
    }


if __name__ == "__main__":
    run(main)
