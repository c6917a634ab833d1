"""Splits: every post is in one, each has its fraction of the posts, and of the rarest tag most exactly."""

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tagstudy.core.config import read_params
from tagstudy.data.splits import TEST, TRAIN, VALID, split_posts, stratified_sample

LABELS = st.tuples(st.integers(1, 200), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)
FRACTION = st.floats(0.01, 0.99)


@given(LABELS, FRACTION, st.integers(0, 2**32 - 1))
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


@given(LABELS, st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 2**32 - 1))
def test_every_post_is_in_one_split_and_test_does_not_depend_on_valid(
    labels: np.ndarray, valid: float, test: float, seed: int
) -> None:
    params = read_params(ROOT / "params.yaml").ingest
    nowhere = np.zeros(len(labels), np.int8)

    def split(**changes: float) -> np.ndarray:
        return split_posts(csr_array(labels), nowhere, True, params.model_copy(update={"seed": seed} | changes))

    drawn = split(valid=valid, test=test)
    for number, fraction in ((TRAIN, 1 - valid - test), (VALID, valid), (TEST, test)):
        assert (drawn == number).sum() == pytest.approx(fraction * len(labels), abs=2)
    assert np.isin(drawn, (TRAIN, VALID, TEST)).all()
    assert np.array_equal(drawn == TEST, split(valid=0.5 * valid, test=test) == TEST)
