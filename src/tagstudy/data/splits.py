"""Which posts are for train, valid and test: as the source says, or at random, stratified by tag."""

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.config import Ingest
from tagstudy.core.errors import UserError
from tagstudy.core.paths import SPLITS

TRAIN, VALID, TEST = range(3)  # as in SPLITS


def split_posts(labels: csr_array, source_split: np.ndarray, has_valid: bool, settings: Ingest) -> np.ndarray:
    """The number of each post's split [posts]. Where the source names splits but no valid, it is taken from train."""
    if settings.split == "given":
        split = source_split.copy()
        if not has_valid:
            train = np.flatnonzero(split == TRAIN)
            split[train[stratified_sample(labels[train], settings.valid, settings.seed)]] = VALID
        return split
    split = np.full(labels.shape[0], TRAIN, dtype=np.int8)
    split[stratified_sample(labels, settings.test, settings.seed)] = TEST
    rest = np.flatnonzero(split == TRAIN)
    split[rest[stratified_sample(labels[rest], settings.valid / (1 - settings.test), settings.seed)]] = VALID
    return split


def surplus_train_posts(labels: csr_array, split: np.ndarray, max_train: int, seed: int) -> np.ndarray:
    """Rows of train to leave out so that ``max_train`` remain: a stratified sample, as the splits are."""
    train = np.flatnonzero(split == TRAIN)
    return train[stratified_sample(labels[train], max(0, 1 - max_train / max(1, len(train))), seed)]


def stratified_sample(labels: csr_array, fraction: float, seed: int) -> np.ndarray:
    """Rows of a random ``fraction`` of the posts that holds nearly the same fraction of every tag's posts.

    Systematic sampling (Madow and Madow, 1944): posts are sorted by their tags, the rarest tag first, those with the
    same tags in random order, and taken at equal distances. The rarest tag is sampled to within one post of its
    fraction; a frequent one, whose posts stand in many runs, to within a few.
    """
    posts, tags = labels.shape
    rng = np.random.default_rng(seed)
    rank = np.argsort(np.argsort(labels.sum(axis=0), kind="stable")).astype(np.int32)  # [tags] 0: the rarest
    ranked = csr_array((labels.data, rank[labels.indices], labels.indptr), shape=labels.shape)
    ranked.sort_indices()
    length = np.diff(ranked.indptr)
    rarest = np.full((4, posts), tags, dtype=np.int32)  # a post's four rarest tags are its sort key
    for place in range(4):
        has = length > place
        rarest[place, has] = ranked.indices[ranked.indptr[:-1][has] + place]
    order = np.lexsort((rng.random(posts), *rarest[::-1]))
    taken = np.diff(np.floor(np.arange(posts + 1) * fraction + rng.random())) > 0
    return order[taken]


def check_splits(labels: csr_array, split: np.ndarray, tags: list[str], settings: Ingest) -> None:
    """Raise :class:`UserError` for a split without posts or without tags, and for a tag without a train post."""
    remedy = "use ingest.split: random" if settings.split == "given" else "give more posts"
    for number, name in enumerate(SPLITS):
        if (split == number).sum() < (2 if number == TRAIN else 1):
            raise UserError(f"{settings.source}: not enough posts for {name}; {remedy} or lower ingest.min_tags")
        if not labels[split == number].sum():
            raise UserError(f"{settings.source}: no {name} post has a tag; {remedy} or raise ingest.min_tags")
    for tag, count in zip(tags, labels[split == TRAIN].sum(axis=0), strict=True):
        if count == 0:
            remedy = "leave it out of ingest.tags" + (" or raise ingest.max_train" if settings.max_train else "")
            raise UserError(f"{settings.source}: no train post has the tag {tag!r}; {remedy}")
