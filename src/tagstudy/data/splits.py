"""Which posts are to train, valid and test: as the source says, or drawn so that each has its share of every tag."""

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.config import Ingest
from tagstudy.core.errors import UserError
from tagstudy.core.paths import SPLITS

TRAIN, VALID, TEST = range(3)  # as in SPLITS


def split_posts(labels: csr_array, given: np.ndarray, has_valid: bool, params: Ingest) -> np.ndarray:
    """The number of each post's split. Where the source gives the splits but no valid, it is cut from train."""
    if params.split == "given":
        split = given.copy()
        if not has_valid:
            train = np.flatnonzero(split == TRAIN)
            split[train[spread(labels[train], params.valid, params.seed)]] = VALID
        return split
    split = np.full(labels.shape[0], TRAIN, dtype=np.int8)
    split[spread(labels, params.test, params.seed)] = TEST
    rest = np.flatnonzero(split == TRAIN)
    split[rest[spread(labels[rest], params.valid / (1 - params.test), params.seed)]] = VALID
    return split


def beyond(labels: csr_array, split: np.ndarray, max_train: int, seed: int) -> np.ndarray:
    """Rows of train to leave out so that ``max_train`` are left, drawn as the splits are."""
    train = np.flatnonzero(split == TRAIN)
    return train[spread(labels[train], max(0, 1 - max_train / max(1, len(train))), seed)]


def spread(labels: csr_array, share: float, seed: int) -> np.ndarray:
    """Rows of a ``share`` of posts, drawn so that every tag is drawn in nearly the same share.

    Systematic sampling (Madow and Madow, 1944): posts are ordered by their tags, the rarest first, those with the
    same tags at random, and taken from the line at even distances. The rarest tag is drawn to within one post of its
    share; a frequent one, whose posts stand in many runs, to within a few.
    """
    posts, tags = labels.shape
    rng = np.random.default_rng(seed)
    rank = np.argsort(np.argsort(labels.sum(axis=0), kind="stable")).astype(np.int32)  # [tags] 0: the rarest
    ranked = csr_array((labels.data, rank[labels.indices], labels.indptr), shape=labels.shape)
    ranked.sort_indices()
    length = np.diff(ranked.indptr)
    rarest = np.full((4, posts), tags, dtype=np.int32)  # the four rarest tags of each post settle its place
    for place in range(4):
        has = length > place
        rarest[place, has] = ranked.indices[ranked.indptr[:-1][has] + place]
    line = np.lexsort((rng.random(posts), *rarest[::-1]))
    taken = np.diff(np.floor(np.arange(posts + 1) * share + rng.random())) > 0
    return line[taken]


def check_splits(labels: csr_array, split: np.ndarray, tags: list[str], params: Ingest) -> None:
    """Raise :class:`UserError` for a split without posts or without tags, and for a tag that train could not learn."""
    remedy = "use ingest.split: random" if params.split == "given" else "give more posts"
    for number, name in enumerate(SPLITS):
        if (split == number).sum() < (2 if number == TRAIN else 1):
            raise UserError(f"{params.source}: not enough posts for {name}; {remedy} or lower ingest.min_tags")
        if not labels[split == number].sum():
            raise UserError(f"{params.source}: no {name} post has a tag; {remedy} or raise ingest.min_tags")
    for tag, count in zip(tags, labels[split == TRAIN].sum(axis=0), strict=True):
        if count == 0:
            remedy = "lower ingest.tags" if isinstance(params.tags, int) else "leave it out of ingest.tags"
            remedy += " or raise ingest.max_train" if params.max_train else ""
            raise UserError(f"{params.source}: no train post has the tag {tag!r}; {remedy}")
