"""What a family is to the training loop and to the table: objectives to minimise and a way to draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.encoded import Encoded, Layout
from pipeline.errors import UnsupportedError


@dataclass(frozen=True)
class Batch:
    """Rows in encoded form on a device: tokens int64 **(batch, n_columns)**, values float32 **(batch, n_valued)**."""

    tokens: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Tensor) -> Batch:
        """Return the given rows."""
        return Batch(self.tokens[rows], self.values[rows])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(self.tokens.to(device), self.values.to(device))

    @classmethod
    def of(cls, encoded: Encoded) -> Batch:
        """Return a whole encoded table as one batch on the CPU."""
        return cls(torch.from_numpy(encoded.tokens).long(), torch.from_numpy(encoded.values).float())


Loss = Callable[[Batch, torch.Generator], Tensor]


@dataclass(frozen=True)
class Objective:
    """One minimisation inside a training step.

    Attributes:
        name: unique in its model.
        parameters: what this objective moves; every parameter of a model is in exactly one objective.
        loss: batch, rng -> **(batch,)**, while training.
        validation: what early stopping watches: the same kind of figure on held-out rows, without dropout.
        repeats: minimisations per step.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Loss
    validation: Loss
    repeats: int = 1


Known = Mapping[int, tuple[int, float]]


class Model(nn.Module, ABC):
    """A family over the encoded form.

    Attributes:
        layout: the columns that it was built for.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives of one training step, in their order."""

    @abstractmethod
    def sample(self, n: int, rng: torch.Generator, known: Known) -> Encoded:
        """Draw `n` rows given the columns in `known`: column index -> (token, value)."""

    def log_density(self, batch: Batch) -> Tensor:  # noqa: ARG002  families with a likelihood use it
        """Return log p of each row in nats **(batch,)**, in encoded space.

        Raises:
            UnsupportedError: the family has no density.
        """
        raise UnsupportedError(
            "a density needs a likelihood model", actual=type(self).__name__, remedy='use kind = "flow_matching"'
        )
