"""predictions.py: the best tags of each post keep their logits; a stored tag is known to be the post's or not."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix
from tagstudy.predictions.predictions import Predictions, PredictionWriter, is_relevant


@pytest.mark.parametrize("top_tags", [1, 3, 7, 8, 100])
def test_the_best_tags_of_each_post_are_kept(tmp_path: Path, top_tags: int) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    with PredictionWriter(tmp_path / "test", 8, top_tags) as writer:
        writer.append_logits(logits[:30])
        writer.append_logits(logits[30:])
    stored = CsrMatrix(tmp_path / "test")
    assert stored.shape == (50, 8)
    for post in range(50):
        row = stored.take(np.array([post]))
        assert sorted(row.indices) == row.indices.tolist()
        best = np.sort(np.argsort(-logits[post])[:top_tags])
        np.testing.assert_array_equal(row.indices, best)
        np.testing.assert_array_equal(row.data, logits[post, best])


def test_runs_are_read_back_with_their_link(tmp_path: Path) -> None:
    for run in (0, 1):
        for split in ("valid", "test"):
            with PredictionWriter(tmp_path / f"run-{run}" / split, 2, 100) as writer:
                writer.append_logits(np.full((5, 2), run + 3, np.float32))
    runs = [{"fold": 0, "seed": 7, "problem": None}, {"fold": 1, "seed": 8, "problem": "still improving"}]
    about = {"loss": "squared_hinge", "runs": runs, "posts": "a fingerprint", "remedy": "raise train.epochs"}
    (tmp_path / "predictions.json").write_text(json.dumps(about))
    predictions = Predictions(tmp_path)
    assert predictions.probability(np.array([-2.0, 0.0, 0.5, 3.0])).tolist() == [0, 0.5, 0.75, 1]
    assert (predictions.posts, predictions.remedy) == ("a fingerprint", "raise train.epochs")
    assert predictions.problem == "still improving"  # in half of the runs
    assert [(run.fold, run.problem) for run in predictions.runs] == [(0, None), (1, "still improving")]
    assert [run.logits["test"].data[0] for run in predictions.runs] == [3, 4]


BOOLEANS = arrays(bool, (6, 5))


@given(BOOLEANS, BOOLEANS)
def test_an_entry_is_relevant_where_the_post_has_the_tag(labels: np.ndarray, stored: np.ndarray) -> None:
    scores = csr_array(stored.astype(np.float32))
    found = is_relevant(csr_array(labels.astype(np.uint8)), scores)
    np.testing.assert_array_equal(found, labels[stored])


@given(st.integers(1, 3))
def test_posts_without_labels_or_scores_have_no_relevant_entry(posts: int) -> None:
    nothing, all_tags = csr_array((posts, 4), dtype=np.uint8), csr_array(np.ones((posts, 4), np.float32))
    assert not is_relevant(nothing, all_tags).any() and len(is_relevant(nothing, nothing)) == 0
    assert is_relevant(all_tags, all_tags).all()
