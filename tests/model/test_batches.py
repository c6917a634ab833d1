"""batches.py: posts as the network takes them; word dropout and mixup."""

from pathlib import Path

import numpy as np
import pytest
from conftest import save_csr
from scipy.sparse import csr_array

from tagstudy.model.batches import Posts, draw_mixup, drop_words


def test_posts_are_some_rows_of_the_corpus(tmp_path: Path) -> None:
    features = save_csr(tmp_path / "features", csr_array(np.array([[1, 0], [2, 3], [0, 0], [4, 5]], np.float32)))
    labels = save_csr(
        tmp_path / "labels", csr_array(np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]], np.uint8)), np.uint8
    )
    posts = Posts(features, labels, np.array([1, 3]))
    indices, offsets, weights = posts.features_of(np.array([1, 0]))
    assert (indices.tolist(), offsets.tolist(), weights.tolist()) == ([0, 1, 0, 1], [0, 2, 4], [4, 5, 2, 3])
    assert posts.labels_of(np.array([1, 0])).tolist() == [[1, 1, 1], [0, 0, 0]]
    assert posts.positives().tolist() == [1, 1, 1]
    assert Posts(features, labels, np.array([0, 2])).entries_per_post() == 0.5


def test_words_are_left_out_and_the_rest_made_up_for() -> None:
    rng = np.random.default_rng(0)
    batch = np.arange(10_000), np.array([0, 10_000]), np.full(10_000, 2, dtype=np.float32)
    indices, offsets, weights = drop_words(batch, 0.25, rng)
    assert indices is batch[0] and offsets is batch[1] and weights.dtype == np.float32
    assert set(np.unique(weights)) == {0, np.float32(2 / 0.75)}
    assert (weights == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert drop_words(batch, 0, rng) is batch


def test_of_a_matrix_entries_are_left_out() -> None:
    (rows,) = drop_words((np.ones((100, 100), np.float32),), 0.5, np.random.default_rng(0))
    assert set(np.unique(rows)) == {0, 2} and rows.mean() == pytest.approx(1, abs=0.05)


def test_mixtures_have_every_share_alike_and_cost_no_draw_where_they_are_off() -> None:
    rng = np.random.default_rng(0)
    shares, others = zip(*(draw_mixup(5, slice(5), 1, rng) for _ in range(2000)), strict=True)  # type: ignore[misc]
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    assert all(sorted(own.tolist()) == [0, 1, 2, 3, 4] for own in others)
    before = rng.bit_generator.state
    assert draw_mixup(5, slice(5), 0, rng) is None and rng.bit_generator.state == before
