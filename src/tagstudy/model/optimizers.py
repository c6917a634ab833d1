"""One step of learning: AdamW for the layers, row-wise Adagrad for the table.

torch.optim's classes would do the first, but the first one that is made imports torch's compiler: seconds for each
training stage, more than a small study trains. The step itself is torch's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw


class AdamW:
    """Loshchilov and Hutter, Decoupled weight decay regularization, 2019; torch's fused step."""

    def __init__(self, parameters: Sequence[Tensor], lr: float, weight_decay: float) -> None:
        self.parameters, self.lr, self.weight_decay = parameters, lr, weight_decay
        self.means, self.squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=p.device) for p in parameters]

    def state(self) -> list[Tensor]:
        """What it remembers from step to step."""
        return [*self.means, *self.squares, *self.steps]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at a ``share`` of the learning rate."""
        adamw(
            list(self.parameters),
            [p.grad for p in self.parameters],  # type: ignore[misc]  # every layer took part in the loss
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr * share,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )


class RowwiseAdagrad:
    """Adagrad (Duchi et al., 2011) with one accumulator for a row of the table: its mean squared gradients, summed.

    Only rows in the batch move. A frequent word's steps grow smaller as its accumulator grows; the accumulator's start
    holds back the first steps of a rare one. Adam would read and write two more tables of the same size.
    """

    def __init__(self, table: Tensor, lr: float, initial: float) -> None:
        self.table, self.lr = table, lr
        self.accumulator = torch.full((len(table), 1), initial, device=table.device)  # [rows, 1]

    def state(self) -> list[Tensor]:
        """What it remembers from step to step."""
        return [self.accumulator]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at a ``share`` of the learning rate."""
        gradient = self.table.grad
        assert gradient is not None
        rows, values = gradient._indices()[0], gradient._values()  # coalesced: each row once
        grown = self.accumulator[rows] + values.square().mean(dim=1, keepdim=True)
        self.accumulator[rows] = grown
        # The smallest normal number: a row whose gradient is all zeros stays where it is.
        factor = self.lr * share / grown.sqrt().clamp(min=torch.finfo(grown.dtype).tiny)
        self.table.index_add_(0, rows, values * -factor)
