"""layers.py: the linear layer and dropout give what torch's give."""

import numpy as np
import pytest
import torch
from torch import nn

from tagstudy.model.layers import Dropout, Linear, keep


@pytest.mark.parametrize("posts", [1, 7, 128])
def test_a_linear_layer_has_the_values_and_gradients_of_torch(posts: int) -> None:
    torch.manual_seed(0)
    ours, theirs = Linear(30, 5), nn.Linear(30, 5)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(posts, 30)
    found = []
    for layer in (ours, theirs):
        own = inputs.clone().requires_grad_()
        outputs = layer(own)
        outputs[:, 1:].square().sum().backward()  # a view: what comes back is not contiguous
        found.append([outputs, own.grad, layer.weight.grad, layer.bias.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_dropout_keeps_a_fraction_and_makes_up_for_the_rest(fraction: float) -> None:
    torch.manual_seed(0)
    units = 100_003
    kept = keep(units, fraction)
    assert kept.shape == (units,) and set(kept) == {np.float32(0), np.float32(1 / (1 - fraction))}
    assert abs((kept == 0).mean() - fraction) < 5 * (fraction * (1 - fraction) / units) ** 0.5
    assert not np.array_equal(kept, keep(units, fraction))

    layer, inputs = Dropout(fraction), torch.randn(13, 5, requires_grad=True)
    outputs = layer(inputs)
    outputs.sum().backward()
    torch.testing.assert_close(outputs, inputs * inputs.grad)
    assert torch.equal(layer.eval()(inputs), inputs)
