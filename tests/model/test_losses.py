"""losses.py: the usual definitions, and probabilities that the losses are proper for."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from tagstudy.model.losses import LOSSES, Loss
from tagstudy.predictions.links import PROBABILITIES

LOGITS = torch.tensor([[0.3, -2.0, 1.5], [-0.2, 0.0, -0.9]])
LABELS = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def test_cross_entropy_is_torch_s() -> None:
    weight = torch.tensor([1.0, 2.0, 5.0])
    expected = binary_cross_entropy_with_logits(LOGITS, LABELS, pos_weight=weight)
    torch.testing.assert_close(LOSSES["cross_entropy"](LOGITS, LABELS, weight), expected)


def test_squared_hinge_is_the_square_of_what_the_margin_of_1_lacks() -> None:
    expected = ((1 - 0.3) ** 2 + 0 + 0 + (1 + 0.2) ** 2 + 1**2 + (1 - 0.9) ** 2) / 6
    assert LOSSES["squared_hinge"](LOGITS, LABELS).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_pos_weight_multiplies_the_terms_of_the_tags_that_a_post_has(loss: Loss) -> None:
    alone = loss(LOGITS[:1, :1], LABELS[:1, :1]), loss(LOGITS[:1, 1:2], LABELS[:1, 1:2])
    both = loss(LOGITS[:1, :2], LABELS[:1, :2], torch.tensor([7.0, 7.0]))
    torch.testing.assert_close(both, (7 * alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_loss_of_a_logit_of_0_is_that_of_an_untrained_network(loss: Loss) -> None:
    assert loss(torch.zeros(2, 3), LABELS).item() == pytest.approx(loss.untrained)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_the_best_constant_is_the_share_of_posts_with_the_tag(loss: Loss, share: float) -> None:
    labels = (torch.arange(100) < 100 * share).float()[:, None]
    logits = torch.linspace(-6, 6, 4001)
    best = logits[torch.stack([loss(logit.expand(100, 1), labels) for logit in logits]).argmin()]
    assert loss.probability(best).item() == pytest.approx(share, abs=0.002)
    torch.testing.assert_close(loss.probability(loss.logit(torch.tensor(share))), torch.tensor(share))


@pytest.mark.parametrize("name", LOSSES)
def test_numpy_has_the_same_probabilities(name: str) -> None:
    logits = torch.linspace(-30, 30, 1001)
    np.testing.assert_allclose(PROBABILITIES[name](logits.numpy()), LOSSES[name].probability(logits), atol=1e-6)
    assert PROBABILITIES.keys() == LOSSES.keys()
