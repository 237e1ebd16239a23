"""What a family is to the training loop and to the table: objectives to minimise and a way to draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.encoded import Encoded, Layout
from pipeline.errors import UnsupportedError

from .given import Batch, Given

DensityKind = Literal["exact", "lower_bound", "encoded_space"]


Loss = Callable[[Batch, torch.Generator, float], Tensor]
Validation = Callable[[Batch, torch.Generator], Tensor]
Logged = Callable[[Batch, torch.Generator], dict[str, float]]


def without_progress(loss: Validation) -> Loss:
    """Return a loss that is the same at every moment of the run."""
    return lambda batch, rng, _: loss(batch, rng)


@dataclass(frozen=True)
class Objective:
    """One minimisation inside a training step.

    Attributes:
        name: unique in its model.
        parameters: what this objective moves; every parameter of a model is in exactly one objective.
        loss: batch, rng, the part of the run that is over in [0, 1) -> **(batch,)**, while training.
        validation: what early stopping watches: held-out batch, rng -> **(batch,)**, without dropout; the lower the
            better. None where there is nothing to watch: the last weights are kept.
        repeats: minimisations per step, each on rows of its own.
        betas: of Adam.
        logged: what a person wants to follow beside the losses: held-out batch, rng -> numbers by name, which decide
            nothing.
        group: objectives of different groups share nothing, so they may be minimised at the same time.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Loss
    validation: Validation | None
    repeats: int = 1
    betas: tuple[float, float] = (0.9, 0.98)
    logged: Logged | None = None
    group: int = 0


class Model(nn.Module, ABC):
    """A family over the encoded form.

    Attributes:
        layout: the columns that it was built for.
        guided: whether `sample` can strengthen its conditions.
        finishing_rounds: how often `finish` is called when training is over.
    """

    guided = False
    finishing_rounds = 0

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives of one training step, in their order."""

    def keep_groups(self, n: int) -> None:
        """Forget all but the first n groups of objectives, and what they train."""
        raise ValueError(f"a model of one group cannot keep {n} of them")

    def finish(self, rng: torch.Generator) -> None:
        """Do a round of what is to be done when training is over and the weights are the best ones."""

    @abstractmethod
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        """Draw a row for each row of what is given.

        Args:
            given: the cells that are known, of each row its own, on the model's device.
            rng: of everything random, on the model's device.
            guidance: how much the given cells are strengthened, w in p(row | given) (p(given | row) ** w); 0 leaves
                the distribution alone. A family that is not `guided` is only asked with 0.
        """

    @property
    def condition_columns(self) -> Sequence[int]:
        """The columns that may be given to `sample`."""
        return range(self.layout.n_columns)

    @property
    def density_kind(self) -> DensityKind:
        """What `log_density` returns.

        Raises:
            UnsupportedError: the family has no density.
        """
        raise UnsupportedError(
            "a density needs a likelihood model",
            actual=type(self).__name__,
            remedy="use flow_matching, ddpm or vae",
        )

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:  # noqa: ARG002  families with one use both
        """Return log p of each row in nats **(batch,)**, in encoded space; `rng` serves estimates.

        Raises:
            UnsupportedError: the family has no density.
        """
        raise UnsupportedError("a density needs a likelihood model", actual=self.density_kind)

    @property
    def joint_terms(self) -> tuple[str, ...]:
        """The names of what `nats_by_term` returns beside the columns."""
        return ()

    def nats_by_term(self, batch: Batch, rng: torch.Generator) -> Tensor:  # noqa: ARG002  families with one use both
        """Return what -log p of each row is the sum of, in nats **(batch, n_columns + len(joint_terms))**.

        The terms of the columns come first, each the surprise of a cell given those before it in the sampling order.
        The sum is that of `log_density` with the same `rng`.

        Raises:
            UnsupportedError: the family has no density.
        """
        raise UnsupportedError("a density needs a likelihood model", actual=self.density_kind)

    def token_nats(self, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ARG002  families with a chain use it
        """Return -log p(token | tokens before it in the sampling order) of each cell, and the entropy of that p.

        Both are in nats **(batch, n_columns)**, and 0 where a cell is `UNOBSERVED`. The second is what the model itself
        expects of the first.

        Raises:
            UnsupportedError: the family does not draw tokens along a chain that has a likelihood.
        """
        raise UnsupportedError(
            "nats of tokens along a chain need a family that draws them so",
            actual=type(self).__name__,
            remedy="use flow_matching or ddpm",
        )

    def conditionals(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:  # noqa: ARG002  families with one use both
        """Return log p(token | all other cells of its row) in nats of every token of each column **(batch, size)**.

        Raises:
            UnsupportedError: the family has no density.
        """
        raise UnsupportedError("a density needs a likelihood model", actual=self.density_kind)

    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:  # noqa: ARG002  families have some
        """Return what a person who judges the fit wants to know, as plain JSON values; no row can be told from it."""
        return {}
