"""A model whose training has a closed form, for the tests of the loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from generators import TrainingConfig
from generators.given import Batch
from generators.model import Model, Objective, Validation, without_progress

from .tables import rng, token_layout

N_ROWS = 40
QUICK = TrainingConfig(steps=20, n_validations=4, batch_size=8, learning_rate=0.05, precision="fp32", ema_decay=0.5)


def rows(n: int = N_ROWS) -> Batch:
    """Return rows that are told apart by their one token."""
    return Batch(torch.arange(n).unsqueeze(1), torch.randn(n, 1, generator=rng()))


class Parabola(Model):
    """Minimises the squared distance of its weights from 1; a test may replace the loss and the validation."""

    def __init__(self, loss: Validation | None = None, validation: Validation | None = None) -> None:
        super().__init__(token_layout(2))
        self.matrix = nn.Parameter(torch.zeros(2, 2))
        self.vector = nn.Parameter(torch.zeros(3))
        self.loss = loss or self.distance
        self.validation = validation or self.distance

    def distance(self, batch: Batch, rng: torch.Generator) -> Tensor:
        squared = (self.matrix - 1).square().sum() + (self.vector - 1).square().sum()
        return squared + 0.01 * torch.randn(len(batch), generator=rng)

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("only", [self.matrix, self.vector], without_progress(self.loss), self.validation),)

    def sample(self, *_: object) -> None:
        raise NotImplementedError

    def tensors(self) -> list[Tensor]:
        """Return copies of the weights."""
        return [parameter.detach().clone() for parameter in self.parameters()]


def equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Return whether all tensors are the same to the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
