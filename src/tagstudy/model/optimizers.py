"""The optimizers, as torch.optim has them: AdamW for the layers, row-wise Adagrad for the embedding matrix."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

ENTRIES = 2**20  # of a gradient that RowwiseAdagrad handles at a time


class EagerOptimizer(Optimizer):
    """An optimizer that leaves torch's compiler alone.

    torch wraps these methods to hide them from its compiler, and the wrapper imports the compiler: three seconds of
    each training stage, more than a small study trains.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)

    def _patch_step_function(self) -> None:
        """torch would record each step for its profiler."""


class AdamW(EagerOptimizer):
    """Loshchilov and Hutter, Decoupled weight decay regularization, 2019; torch's fused step."""

    def __init__(self, params: Iterable[Any], lr: float, weight_decay: float) -> None:
        # torch keeps the state of a fused optimizer on its parameters' device when it is loaded.
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "fused": True})
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            state = [self.state[parameter] for parameter in parameters]
            adamw(
                parameters,
                [parameter.grad for parameter in parameters],
                [each["exp_avg"] for each in state],
                [each["exp_avg_sq"] for each in state],
                [],
                [each["step"] for each in state],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=1e-8,
                maximize=False,
            )


class RowwiseAdagrad(EagerOptimizer):
    """Adagrad (Duchi et al., 2011) with one accumulator for a row: its mean squared gradients, summed.

    Only rows in the batch are updated. A frequent word's steps shrink as its accumulator grows; the accumulator's
    initial value holds back the first steps of a rare one. Adam would read and write two more matrices as large.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, initial_accumulator_value: float) -> None:
        super().__init__(params, {"lr": lr})
        for group in self.param_groups:
            for matrix in group["params"]:
                accumulator = torch.full((len(matrix), 1), initial_accumulator_value, device=matrix.device)
                self.state[matrix] = {"accumulator": accumulator}  # [rows, 1]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                gradient, accumulator = matrix.grad, self.state[matrix]["accumulator"]
                rows, values = gradient._indices()[0], gradient._values()  # coalesced: each row once
                mean_square = torch.linalg.vector_norm(values, dim=1, keepdim=True).square() / values.shape[1]
                grown = accumulator[rows] + mean_square
                accumulator[rows] = grown
                # The smallest normal number: a row whose gradient is all zeros stays where it is. rsqrt is the same on
                # every processor, where sqrt is MKL's.
                factor = grown.clamp(min=torch.finfo(grown.dtype).tiny).rsqrt() * -group["lr"]
                # Some rows at a time: with thousands of tags, allocating memory for all takes longer than the sums.
                parts = (part.split(max(1, ENTRIES // values.shape[1])) for part in (rows, values, factor))
                for some, gradients, factors in zip(*parts, strict=True):
                    matrix.index_add_(0, some, gradients * factors)
