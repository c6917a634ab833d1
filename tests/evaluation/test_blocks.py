"""blocks.py: posts in blocks of any size give the same; what is chosen is chosen on valid."""

import numpy as np
import pytest
from as_csr import blocks_of, labels_of
from sklearn.metrics import f1_score

from tagstudy.evaluation.blocks import assess, decide, tune


def study(seed: int, tags: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits [posts, tags]; some logits are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.random((50, tags)) < 0.3
    return labels, (2 * labels - 1 + rng.normal(size=labels.shape)).round(1).astype(np.float32)


@pytest.mark.parametrize("kept", [2, 6])
@pytest.mark.parametrize("size", [1, 7, 49, 50])
def test_blocks_of_any_size_give_the_same(size: int, kept: int) -> None:
    labels, logits = study(0)
    runs = [assess(labels_of(labels), blocks_of(labels, logits, kept, size=posts), 0.4) for posts in (size, 1000)]
    assert runs[0].scores == pytest.approx(runs[1].scores)
    np.testing.assert_array_equal(runs[0].precision, runs[1].precision)
    assert (runs[0].decisions != runs[1].decisions).nnz == 0
    assert tune(blocks_of(labels, logits, kept, size)) == tune(blocks_of(labels, logits, kept))


def test_micro_f1_at_the_tuned_threshold_is_scikit_learn_s() -> None:
    labels, logits = study(0)
    threshold, micro_f1 = tune(blocks_of(labels, logits, size=9))
    predicted = (1 + logits) / 2 >= threshold
    assert micro_f1 == pytest.approx(f1_score(labels, predicted, average="micro"))
    run = assess(labels_of(labels), blocks_of(labels, logits, size=9), threshold)
    assert run.scores["micro_f1"] == pytest.approx(micro_f1)


def test_a_tag_that_is_not_stored_is_never_predicted() -> None:
    labels, logits = study(0)
    (block,) = blocks_of(labels, logits, kept=2)
    decisions = decide(block, 0)
    assert (np.diff(decisions.indptr) == 2).all()
    counts = assess(labels_of(labels), [block], 0).counts
    assert (counts.tp + counts.fn).tolist() == labels.sum(axis=0).tolist()  # those that are missed count as well


def test_a_decision_says_whether_the_post_has_the_tag() -> None:
    labels, logits = study(0)
    (block,) = blocks_of(labels, logits)
    decisions = decide(block, 0.4)
    posts = np.repeat(np.arange(len(labels)), np.diff(decisions.indptr))
    assert (decisions.data == labels[posts, decisions.indices]).all()
