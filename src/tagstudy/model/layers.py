"""Linear layers and dropout that are faster on CPUs than torch's, and the same on every x86-64 processor.

And batch normalisation of a batch that several processes share.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from tagstudy.model.replicas import Sum, ranks


class Product(torch.autograd.Function):
    """inputs · weightᵀ + bias, and its gradients, by oneDNN.

    torch multiplies with MKL, which takes one path on Intel's processors and another on AMD's. oneDNN takes the same
    path on each, as long as the instructions are the same (core/processor.py).
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        inputs, weight = ctx.saved_tensors
        gradient = gradients[0]
        below = multiply(gradient, weight.T) if ctx.needs_input_grad[0] else None
        return below, multiply(gradient.T, inputs.T), gradient.sum(dim=0)


def multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs [rows, columns] · weight [outputs, columns]ᵀ + bias [outputs]."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


class Linear(nn.Linear):
    """A linear layer over [posts, inputs]."""

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.device.type != "cpu" or torch.compiler.is_exporting() or not torch.backends.mkldnn.is_available():
            return linear(inputs, self.weight, self.bias)
        return Product.apply(inputs, self.weight, self.bias)


class Dropout(nn.Dropout):
    """Dropout with torch's random bits, 16 for each unit.

    torch's own draws a number in double precision for each.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or inputs.device.type != "cpu":
            return dropout(inputs, self.p, self.training)
        return inputs * torch.from_numpy(keep(inputs.numel(), self.p)).view(inputs.shape)


def keep(units: int, fraction: float) -> np.ndarray:
    """[units] float32: 0 for a random ``fraction``, and what makes up for them for the others."""
    bits = torch.empty(-(-units // 4), dtype=torch.int64).random_(-(2**63), None).numpy().view(np.uint16)[:units]
    return np.multiply(bits >= round(fraction * 2**16), np.float32(1 / (1 - fraction)))


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation over [posts, units], by the statistics of the whole batch, of all processes' posts."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or ranks() == 1:
            return super().forward(inputs)
        values = inputs.double()  # a variance is a small difference of large sums
        sums = Sum.apply(torch.cat([values.new_full((1,), len(values)), values.sum(dim=0), values.square().sum(dim=0)]))
        posts = sums[0].detach()
        mean, mean_square = (sums[1:] / posts).chunk(2)
        variance = (mean_square - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * posts / (posts - 1)).float(), self.momentum)
        normalised = (inputs - mean.float()) * (variance + self.eps).rsqrt().float()
        return normalised * self.weight + self.bias
