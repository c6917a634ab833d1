"""Splits: every post is in one, and each has its fraction of the posts and of every tag's posts.

Folds: every post is tested once, and each fold has its share of every tag's posts.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REAL, ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.errors import UserError
from tagstudy.data.ingest import ingest
from tagstudy.data.splits import (
    NO_SPLIT,
    TEST,
    TRAIN,
    VALID,
    balance,
    check_split,
    exchanges,
    split_posts,
    stratified_parts,
    stratified_sample,
)

LABELS = st.tuples(st.integers(1, 200), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)
FRACTION = st.floats(0.01, 0.99)
FOLDS = st.integers(3, 10)
SEED = st.integers(0, 2**32 - 1)
INGEST = read_params(ROOT / "params.yaml").ingest


def draw(labels: np.ndarray, source_split: np.ndarray | None = None, **changes: Any) -> np.ndarray:
    """[folds, posts] The splits of posts with these labels [posts, tags]."""
    given_split = np.zeros(len(labels), np.int8) if source_split is None else source_split
    has_valid = source_split is None or bool((source_split == VALID).any())
    return split_posts(csr_array(labels), given_split, has_valid, INGEST.model_copy(update=changes))


@given(LABELS, FRACTION, SEED)
def test_a_sample_has_its_fraction_of_the_posts_and_follows_from_the_seed(
    labels: np.ndarray, fraction: float, seed: int
) -> None:
    rows = stratified_sample(csr_array(labels), fraction, seed)
    assert (np.diff(rows) > 0).all()
    assert abs(len(rows) - fraction * len(labels)) < 1
    assert np.array_equal(rows, stratified_sample(csr_array(labels), fraction, seed))


@given(LABELS, st.floats(0.05, 0.45), st.floats(0.05, 0.45), SEED)
def test_every_post_is_in_one_split_and_test_does_not_depend_on_valid(
    labels: np.ndarray, valid: float, test: float, seed: int
) -> None:
    [drawn] = draw(labels, folds=1, valid=valid, test=test, seed=seed)
    for number, fraction in ((TRAIN, 1 - valid - test), (VALID, valid), (TEST, test)):
        assert (drawn == number).sum() == pytest.approx(fraction * len(labels), abs=2)
    assert np.isin(drawn, (TRAIN, VALID, TEST)).all()
    [other] = draw(labels, folds=1, valid=0.5 * valid, test=test, seed=seed)
    assert np.array_equal(drawn == TEST, other == TEST)


def test_a_single_split_is_two_samples() -> None:
    """Test is a stratified sample of all posts, and valid one of the rest, both with the seed itself."""
    labels = (np.random.default_rng(0).random((300, 5)) < 0.3).astype(np.int8)
    expected = np.full(300, TRAIN)
    expected[stratified_sample(csr_array(labels), 0.2, 1717)] = TEST
    rest = np.flatnonzero(expected == TRAIN)
    expected[rest[stratified_sample(csr_array(labels[rest]), 0.2 / 0.8, 1717)]] = VALID
    [drawn] = draw(labels, folds=1, valid=0.2, test=0.2, seed=1717)
    assert np.array_equal(drawn, expected)


@given(LABELS, FOLDS, SEED)
def test_parts_are_of_one_size_cover_all_posts_and_follow_from_the_seed(
    labels: np.ndarray, parts: int, seed: int
) -> None:
    part = stratified_parts(csr_array(labels), parts, seed)
    assert part.shape == (len(labels),)
    sizes = np.bincount(part, minlength=parts)
    assert len(sizes) == parts and sizes.max() - sizes.min() <= 1
    assert np.array_equal(part, stratified_parts(csr_array(labels), parts, seed))


@given(LABELS, st.integers(2, 10), SEED)
def test_exchanges_hold_the_sizes_of_parts_and_make_the_squares_smaller(
    labels: np.ndarray, parts: int, seed: int
) -> None:
    """Wherever they start."""
    part = np.random.default_rng(seed).integers(0, parts, len(labels)).astype(np.int8)
    sizes, before = np.bincount(part, minlength=parts), squares(labels, part, parts)
    again = part.copy()
    balance(csr_array(labels), part, parts, np.random.default_rng(seed))
    assert np.array_equal(sizes, np.bincount(part, minlength=parts))
    assert squares(labels, part, parts) <= before
    balance(csr_array(labels), again, parts, np.random.default_rng(seed))
    assert np.array_equal(part, again)


def squares(labels: np.ndarray, part: np.ndarray, parts: int) -> int:
    """Of the deviations of all tags' posts in all parts, in 1 / posts."""
    ones = np.eye(parts, dtype=int)[part]  # [posts, parts]
    return int(((labels.T @ ones * len(part) - np.outer(labels.sum(axis=0), ones.sum(axis=0))) ** 2).sum())


@given(LABELS, SEED)
def test_no_two_pairs_undo_one_another(labels: np.ndarray, seed: int) -> None:
    """All exchanges of a round together make the squares smaller, whatever surplus each tag has."""
    rng = np.random.default_rng(seed)
    surplus = rng.integers(-30, 30, labels.shape[1]) * 7 + rng.integers(0, 7, labels.shape[1])
    ones, others = np.array_split(rng.permutation(len(labels)), 2)
    ones, others, moved = exchanges(csr_array(labels).astype(np.int64), ones, others, surplus, 7)
    assert np.array_equal(moved, (labels[ones].astype(int) - labels[others]).sum(axis=0))
    assert len(ones) == 0 or surplus @ moved > 7 * moved @ moved


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), FOLDS, SEED)
def test_where_posts_have_one_tag_each_fold_tests_on_its_share_of_every_tag_to_within_two(
    tags: list[int], folds: int, seed: int
) -> None:
    labels = np.eye(6, dtype=np.int8)[tags]
    for split in draw(labels, folds=folds, seed=seed):
        assert np.abs(labels[split == TEST].sum(axis=0) - labels.sum(axis=0) / folds).max() < 2


def zipf(posts: int, tags: int) -> csr_array:
    """[posts, tags] Posts with one to four tags, some of which many posts have."""
    rng = np.random.default_rng(0)
    lengths, share = rng.integers(1, 5, posts), 1 / np.arange(1, tags + 1)
    pairs = np.repeat(np.arange(posts), lengths), rng.choice(tags, lengths.sum(), p=share / share.sum())
    labels = csr_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(posts, tags))
    labels.data[:] = 1
    return labels


@pytest.mark.parametrize(("folds", "mean", "worst"), [(1, 0.5, 1.5), (3, 0.5, 1.5), (10, 0.5, 1.5)])
def test_the_test_posts_have_their_share_of_every_tag_within_a_post(folds: int, mean: float, worst: float) -> None:
    """Also of tags that stand beside many others, of which a systematic sample is tens of posts off."""
    labels = zipf(5000, 100)
    splits = split_posts(labels, np.zeros(5000, np.int8), True, INGEST.model_copy(update={"folds": folds}))
    for number in (TEST, VALID):
        off = np.array(
            [labels[split == number].sum(axis=0) - labels.sum(axis=0) * (split == number).mean() for split in splits]
        )
        assert np.abs(off).mean() < mean and np.abs(off).max() < worst


def test_of_many_posts_a_sample_is_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some posts are looked at in a pass."""
    monkeypatch.setattr("tagstudy.data.splits.SAMPLE", 500)
    labels = zipf(20_000, 100)
    rows = stratified_sample(labels, 0.2, 0)
    assert np.abs(labels[rows].sum(axis=0) - 0.2 * labels.sum(axis=0)).mean() < 0.5


@pytest.mark.slow
def test_a_million_posts_are_split_soon() -> None:
    """With 4,000 tags. It takes about 4 seconds; a slow machine may take ten times as many."""
    labels = zipf(1_000_000, 4000)
    for folds in (1, 5):
        start = time.process_time()
        splits = split_posts(labels, np.zeros(1_000_000, np.int8), True, INGEST.model_copy(update={"folds": folds}))
        assert time.process_time() - start < 40
        for split in splits:
            assert np.abs(labels[split == TEST].sum(axis=0) - labels.sum(axis=0) * (split == TEST).mean()).mean() < 1


@pytest.mark.real_posts
@pytest.mark.parametrize(
    ("source", "tags"),
    [("so_titles", 100), ("stack_exchange/crypto.csv.zip", 50), ("stack_exchange/biology.csv.zip", 50)],
)
def test_the_test_posts_of_real_ones_have_their_share_of_every_tag(tmp_path: Path, source: str, tags: int) -> None:
    ingest(INGEST.model_copy(update={"source": str(REAL / source), "tags": tags, "min_tags": 1}), tmp_path)
    corpus = Corpus(tmp_path)
    labels = corpus.labels.take(np.arange(len(corpus)))
    for folds in (1, 5):
        for split in split_posts(
            labels, np.zeros(len(corpus), np.int8), True, INGEST.model_copy(update={"folds": folds})
        ):
            off = np.abs(labels[split == TEST].sum(axis=0) - labels.sum(axis=0) * (split == TEST).mean())
            assert off.mean() < 0.5 and off.max() < 2


@given(LABELS, FOLDS, SEED)
def test_folds_test_and_validate_every_post_exactly_once(labels: np.ndarray, folds: int, seed: int) -> None:
    splits = draw(labels, folds=folds, seed=seed)
    assert splits.shape == (folds, len(labels)) and np.isin(splits, (TRAIN, VALID, TEST)).all()
    assert ((splits == TEST).sum(axis=0) == 1).all()
    assert ((splits == VALID).sum(axis=0) == 1).all()
    for fold in range(folds):  # what one fold validates on, the next one tests on
        assert np.array_equal(splits[fold] == VALID, splits[(fold + 1) % folds] == TEST)


@given(LABELS, FOLDS, SEED, st.integers(2, 100))
def test_fewer_train_posts_change_neither_valid_nor_test_of_any_fold(
    labels: np.ndarray, folds: int, seed: int, max_train: int
) -> None:
    whole, cut = (draw(labels, folds=folds, seed=seed, max_train=limit) for limit in (None, max_train))
    for before, after in zip(whole, cut, strict=True):
        assert np.array_equal(before[before != TRAIN], after[before != TRAIN])
        assert np.isin(after[before == TRAIN], (TRAIN, NO_SPLIT)).all()
        assert (after == TRAIN).sum() == min(max_train, (before == TRAIN).sum())


@pytest.mark.parametrize("folds", [1, 5])
def test_a_given_split_is_single_and_is_kept(folds: int) -> None:
    labels = np.ones((90, 1), np.int8)
    source = np.repeat(np.arange(3, dtype=np.int8), 30)
    splits = draw(labels, source, split="given", folds=folds)
    assert np.array_equal(splits, source[None])
    [without_valid] = draw(labels, np.where(source == VALID, TRAIN, source), split="given", folds=folds, valid=0.25)
    assert np.array_equal(without_valid == TEST, source == TEST)
    assert (without_valid == VALID).sum() == 15  # a quarter of train


def test_a_fold_without_enough_posts_is_refused() -> None:
    """Of three posts in three folds each trains on one, and two are the least."""
    labels = np.ones((3, 1), np.int8)
    for split in draw(labels, folds=3):
        with pytest.raises(UserError, match="not enough posts for train"):
            check_split(csr_array(labels), split, INGEST)


@given(LABELS, st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_valid_that_is_cut_from_train_leaves_it_a_post_of_each_tag(labels: np.ndarray, valid: float, seed: int) -> None:
    settings = INGEST.model_copy(update={"split": "given", "valid": valid, "seed": seed})
    source_split = np.where(np.arange(len(labels)) % 4 == 3, TEST, TRAIN).astype(np.int8)
    [split] = split_posts(csr_array(labels), source_split, False, settings)
    assert np.array_equal(split == TEST, source_split == TEST)
    assert np.array_equal(labels[split == TRAIN].any(axis=0), labels[source_split == TRAIN].any(axis=0))
    moved = valid * (source_split == TRAIN).sum() - (split == VALID).sum()
    assert -1 < moved < labels.shape[1] + 1
