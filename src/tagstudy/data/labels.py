"""The labels of posts, [posts, tags] of 0 and 1: repeated posts are merged, tags are chosen and ordered."""

from difflib import get_close_matches

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.errors import UserError
from tagstudy.data.tags import tag_name

LEFT_OUT = -1  # instead of a row: the post is left out


def merge(keys: np.ndarray, source_split: np.ndarray) -> np.ndarray:
    """For each post [posts] the row that it is merged into: the first post with the same key, often itself.

    Where the source names the splits, a text belongs to test before valid before train, and its repeats in the other
    splits are LEFT_OUT: test stays as published, and nothing of it is in train.
    """
    order = np.lexsort((-source_split, keys))  # stable, so that the first post of a key and split comes first
    is_first = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    merged_into = np.empty(len(keys), dtype=np.int32)
    merged_into[order] = order[is_first][np.cumsum(is_first) - 1]
    merged_into[source_split != source_split[merged_into]] = LEFT_OUT
    return merged_into


def unite(labels: csr_array, merged_into: np.ndarray) -> csr_array:
    """The labels [posts, tags] with every tag of a repeated post moved to the post that it is merged into."""
    rows = np.repeat(merged_into, np.diff(labels.indptr))
    stays = rows != LEFT_OUT
    pairs = rows[stays], labels.indices[stays]
    del rows
    united = csr_array((labels.data[stays], pairs), shape=labels.shape)
    united.data[:] = 1  # where several repeats had the same tag, csr_array has added them up
    return united


def choose_tags(labels: csr_array, names: list[str], wanted: int | list[str]) -> list[int]:
    """Columns of the ``wanted`` most frequent tags, or of those named.

    Names are cleaned as the tags of posts are. Raises :class:`UserError` for a named tag that no post has, for one that
    is named twice, and where no post has any tag.
    """
    if not names:
        raise UserError("no post has a tag; give posts with tags in ingest.source")
    frequency = labels.sum(axis=0)
    by_frequency = sorted(range(len(names)), key=lambda tag: (-frequency[tag], names[tag]))
    if isinstance(wanted, int):
        return by_frequency[:wanted]
    column_of = {name: column for column, name in enumerate(names)}
    wanted = list(map(tag_name, wanted))
    for place, name in enumerate(wanted):
        if name in wanted[:place]:
            raise UserError(f"ingest.tags names the tag {name!r} twice; remove one")
        if name not in column_of:
            nearest = get_close_matches(name, set(names) - set(wanted), n=3)
            frequent = [names[tag] for tag in by_frequency[:3]]
            hint = f"did you mean one of {nearest}?" if nearest else f"the most frequent are {frequent}"
            raise UserError(f"ingest.tags: no post has the tag {name!r}; {hint}")
    return [column_of[name] for name in wanted]


def order_tags(labels: csr_array, tags: list[str]) -> tuple[csr_array, list[str]]:
    """Labels and tags, the tag with the most posts first."""
    frequency = labels.sum(axis=0)
    order = sorted(range(len(tags)), key=lambda tag: (-frequency[tag], tags[tag]))
    return labels[:, order], [tags[tag] for tag in order]
