"""Splits: every post is in one, each has its fraction of the posts, and of the rarest tag most exactly.

Folds: every post is tested once, and each fold has its share of every tag's posts.
"""

from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tagstudy.core.config import read_params
from tagstudy.core.errors import UserError
from tagstudy.data.splits import (
    NO_SPLIT,
    TEST,
    TRAIN,
    VALID,
    check_split,
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
def test_a_sample_has_its_fraction_of_the_posts_and_of_the_rarest_tag(
    labels: np.ndarray, fraction: float, seed: int
) -> None:
    rows = stratified_sample(csr_array(labels), fraction, seed)
    assert len(set(rows)) == len(rows)
    assert abs(len(rows) - fraction * len(labels)) < 1
    posts = labels.sum(axis=0)
    rarest = int(np.argmin(posts))
    assert abs(labels[rows, rarest].sum() - fraction * posts[rarest]) < 1 + 1e-9
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


def test_a_single_split_is_the_one_that_earlier_versions_drew() -> None:
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


@given(LABELS, FOLDS, SEED)
def test_every_part_has_its_share_of_the_rarest_tag(labels: np.ndarray, parts: int, seed: int) -> None:
    """Its posts stand next to one another in the order that parts are drawn in: two rounds at the ends are shared."""
    part = stratified_parts(csr_array(labels), parts, seed)
    rarest = int(np.argmin(labels.sum(axis=0)))
    posts = np.bincount(part[labels[:, rarest] > 0], minlength=parts)
    assert posts.max() - posts.min() <= 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), FOLDS, SEED)
def test_where_posts_have_one_tag_each_fold_tests_on_its_share_of_every_tag_to_within_two(
    tags: list[int], folds: int, seed: int
) -> None:
    labels = np.eye(6, dtype=np.int8)[tags]
    for split in draw(labels, folds=folds, seed=seed):
        assert np.abs(labels[split == TEST].sum(axis=0) - labels.sum(axis=0) / folds).max() < 2


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_where_posts_have_two_tags_each_fold_tests_on_nearly_its_share_of_every_tag(folds: int) -> None:
    """To within two posts, and of frequent tags, which stand beside many others, one in a hundred more."""
    rng = np.random.default_rng(0)
    names = rng.choice(8, size=(1000, 2), p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01])
    labels = np.zeros((1000, 8), np.int8)
    labels[np.arange(1000)[:, None], names] = 1
    posts = labels.sum(axis=0)
    for seed in range(20):
        for split in draw(labels, folds=folds, seed=seed):
            assert (np.abs(labels[split == TEST].sum(axis=0) - posts / folds) <= 2 + 0.01 * posts).all()


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
            check_split(csr_array(labels), split, ["a"], INGEST)


@given(LABELS, st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_valid_that_is_cut_from_train_leaves_it_a_post_of_each_tag(labels: np.ndarray, valid: float, seed: int) -> None:
    settings = read_params(ROOT / "params.yaml").ingest.model_copy(
        update={"split": "given", "valid": valid, "seed": seed}
    )
    source_split = np.where(np.arange(len(labels)) % 4 == 3, TEST, TRAIN).astype(np.int8)
    [split] = split_posts(csr_array(labels), source_split, False, settings)
    assert np.array_equal(split == TEST, source_split == TEST)
    assert np.array_equal(labels[split == TRAIN].any(axis=0), labels[source_split == TRAIN].any(axis=0))
    moved = valid * (source_split == TRAIN).sum() - (split == VALID).sum()
    assert -1 < moved < labels.shape[1] + 1
