"""Which posts are for train, valid and test, in each fold: at random, stratified by tag, or as the source says."""

from itertools import combinations

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.config import Ingest
from tagstudy.core.errors import UserError
from tagstudy.core.paths import SPLITS

TRAIN, VALID, TEST = range(3)  # as in SPLITS
NO_SPLIT = -1  # instead of the number of a split
PASSES = 100  # at most, to balance parts
SAMPLE = 10_000  # posts of a pass


def split_posts(labels: csr_array, source_split: np.ndarray, has_valid: bool, settings: Ingest) -> np.ndarray:
    """The split of each post in each fold [folds, posts].

    Of several folds, fold k tests on part k of the posts, validates on the next and trains on the rest. Where the
    source names splits but no valid, it is taken from train, which keeps a post of each tag that it has.
    """
    if settings.split == "given":
        splits = source_split[None].copy()
        if not has_valid:
            train = np.flatnonzero(splits[0] == TRAIN)
            splits[0, train[stratified_sample(labels[train], settings.valid, settings.seed)]] = VALID
            leave_posts_to_train(labels, splits[0])
    elif settings.folds > 1:
        part = stratified_parts(labels, settings.folds, settings.seed)
        fold = np.arange(settings.folds)[:, None]
        splits = np.full((settings.folds, len(part)), TRAIN, dtype=np.int8)
        splits[part == (fold + 1) % settings.folds] = VALID
        splits[part == fold] = TEST
    else:
        splits = np.full((1, labels.shape[0]), TRAIN, dtype=np.int8)
        splits[0, stratified_sample(labels, settings.test, settings.seed)] = TEST
        rest = np.flatnonzero(splits[0] == TRAIN)
        valid = stratified_sample(labels[rest], settings.valid / (1 - settings.test), settings.seed)
        splits[0, rest[valid]] = VALID
    if settings.max_train is not None:
        for split in splits:
            split[surplus_train_posts(labels, split, settings.max_train, settings.seed)] = NO_SPLIT
    return splits


def leave_posts_to_train(labels: csr_array, split: np.ndarray) -> None:
    """Move a post from valid back to train for each tag that has none there, in place."""
    counts = labels[split == TRAIN].sum(axis=0)  # [tags]
    by_tag = labels.tocsc()
    for tag in np.flatnonzero(counts == 0):
        posts = by_tag.indices[by_tag.indptr[tag] : by_tag.indptr[tag + 1]]
        if counts[tag] == 0 and len(posts := posts[split[posts] == VALID]):
            split[posts[0]] = TRAIN
            counts[labels.indices[labels.indptr[posts[0]] : labels.indptr[posts[0] + 1]]] += 1


def surplus_train_posts(labels: csr_array, split: np.ndarray, max_train: int, seed: int) -> np.ndarray:
    """Rows of train to leave out so that ``max_train`` remain: a stratified sample, as the splits are."""
    train = np.flatnonzero(split == TRAIN)
    return train[stratified_sample(labels[train], max(0, 1 - max_train / max(1, len(train))), seed)]


def stratified_parts(labels: csr_array, parts: int, seed: int) -> np.ndarray:
    """A part [posts] for each post, of equal size, each with nearly the same fraction of every tag's posts.

    Every ``parts`` consecutive posts of :func:`stratified_order` are dealt out at random, one to each part; then the
    parts are balanced.
    """
    rng = np.random.default_rng(seed)
    order = stratified_order(labels, rng)
    rounds = -(-len(order) // parts)
    part = np.empty(len(order), dtype=np.int8)
    part[order] = rng.permuted(np.tile(np.arange(parts), (rounds, 1)), axis=1).ravel()[: len(order)]
    balance(labels, part, parts, rng)
    return part


def stratified_sample(labels: csr_array, fraction: float, seed: int) -> np.ndarray:
    """Rows, ascending, of a random ``fraction`` of the posts that holds nearly that fraction of every tag's posts.

    Systematic sampling (Madow and Madow, 1944): posts are taken at equal distances in :func:`stratified_order`; then
    the sample and the rest are balanced.
    """
    rng = np.random.default_rng(seed)
    order = stratified_order(labels, rng)
    taken = np.empty(len(order), dtype=np.int8)
    taken[order] = np.diff(np.floor(np.arange(len(order) + 1) * fraction + rng.random()))
    balance(labels, taken, 2, rng)
    return np.flatnonzero(taken)


def balance(labels: csr_array, part: np.ndarray, parts: int, rng: np.random.Generator) -> None:
    """Exchange posts between parts, in place, until every part has nearly its share of each tag's posts.

    The sizes of the parts, ``part`` [posts], do not change. The squared deviations from the shares, summed over parts
    and tags, fall with every exchange. A pass looks for exchanges between every two parts, among SAMPLE posts drawn at
    random; the first that finds none is the last. The aim is that of iterative stratification (Sechidis et al., 2011;
    Szymański and Kajdanowicz, 2017), which deals out one post at a time; this works on arrays.
    """
    sizes = np.bincount(part, minlength=parts)
    counts = np.stack([labels[part == number].sum(axis=0, dtype=np.int64) for number in range(parts)])  # [parts, tags]
    posts = len(part)
    excess = counts * posts - np.outer(sizes, counts.sum(axis=0))  # in 1 / posts of a post: whole numbers are exact
    for _ in range(PASSES):
        chosen = rng.choice(posts, min(SAMPLE, posts), replace=False)
        rows, exchanged = labels[chosen].astype(np.int64), False
        for first, second in combinations(range(parts), 2):
            ones, others = (np.flatnonzero(part[chosen] == number) for number in (first, second))
            if not (len(ones) and len(others)):
                continue
            ones, others, moved = exchanges(rows, ones, others, excess[first] - excess[second], posts)
            part[chosen[ones]], part[chosen[others]] = second, first
            excess[first] -= moved * posts
            excess[second] += moved * posts
            exchanged |= len(ones) > 0
        if not exchanged:
            break


def exchanges(
    labels: csr_array, ones: np.ndarray, others: np.ndarray, surplus: np.ndarray, unit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows to exchange between two parts, and how many posts of each tag [tags] the first part loses.

    ``surplus`` [tags] is the excess of the first part minus that of the second, in posts / ``unit``. Rows of the first
    part with the most surplus are paired with rows of the second with the least. Each tag has a quota of pairs; every
    pair is judged as if the quota were used up, so that all pairs together reduce the squared deviations.
    """
    score = labels @ surplus
    pairs = min(len(ones), len(others))
    ones = ones[np.argsort(-score[ones], kind="stable")[:pairs]]
    others = others[np.argsort(score[others], kind="stable")[:pairs]]
    promising = score[ones] > score[others]
    ones, others = ones[promising], others[promising]
    quota = np.maximum(1, abs(surplus) // (2 * unit))
    change = labels[ones] - labels[others]  # [pairs, tags] -1, 0 or 1
    gain = change @ surplus - unit * (abs(change) @ quota)
    better = np.argsort(-gain, kind="stable")[: (gain > 0).sum()]
    ones, others, change = ones[better], others[better], change[better]
    by_tag = change.tocsc()
    length = np.diff(by_tag.indptr)
    place = np.arange(by_tag.nnz) - np.repeat(by_tag.indptr[:-1], length)  # among the pairs of the tag
    within = np.bincount(by_tag.indices, place >= np.repeat(quota, length), len(better)) == 0
    return ones[within], others[within], change[within].sum(axis=0)


def stratified_order(labels: csr_array, rng: np.random.Generator) -> np.ndarray:
    """All rows, sorted by their tags, the rarest tag first, those with the same tags in random order.

    A sample at equal distances then holds the rarest tag to within one post of its fraction; a frequent one, whose
    posts stand in many runs, to within some tens.
    """
    posts, tags = labels.shape
    rank = np.argsort(np.argsort(labels.sum(axis=0), kind="stable")).astype(np.int32)  # [tags] 0: the rarest
    ranked = csr_array((labels.data, rank[labels.indices], labels.indptr), shape=labels.shape)
    ranked.sort_indices()
    length = np.diff(ranked.indptr)
    # A post's four rarest tags are its sort key.
    rarest = np.full((4, posts), tags, dtype=np.min_scalar_type(tags))
    for place in range(4):
        has = length > place
        rarest[place, has] = ranked.indices[ranked.indptr[:-1][has] + place]
    return np.lexsort((rng.random(posts), *rarest[::-1]))


def check_split(labels: csr_array, split: np.ndarray, settings: Ingest) -> None:
    """Raise :class:`UserError` for a split without posts or without tags. ``split`` [posts] is that of one fold."""
    remedy = "use ingest.split: random" if settings.split == "given" else "give more posts"
    fewer = " or lower ingest.min_tags" if settings.min_tags > 1 else ""
    # With min_tags, every post has a tag; those without a train post are left out.
    tagged = "set ingest.unseen_tags to count" if settings.min_tags else "raise ingest.min_tags"
    for number, name in enumerate(SPLITS):
        if (split == number).sum() < (2 if number == TRAIN else 1):
            raise UserError(f"{settings.source}: not enough posts for {name}; {remedy}{fewer}")
        if not labels[split == number].sum():
            raise UserError(f"{settings.source}: no {name} post has a tag that can be learned; {remedy} or {tagged}")
