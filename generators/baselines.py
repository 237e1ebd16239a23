"""Two generators that keep the evaluation honest: one knows no dependence, the other copies."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pipeline.encoded import Encoded, Layout

from .config import FamilyConfig
from .given import Batch, Given
from .heads import draw_tokens
from .model import DensityKind, Model, Objective


class IndependentConfig(FamilyConfig):
    """The baseline that knows every column and no dependence."""

    kind: Literal["independent"] = "independent"

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> Independent:  # noqa: ARG002  it has no weights
        """Return the model, which is its layout's counts."""
        return Independent(layout)


class Independent(Model):
    """Every column drawn from its own train frequencies; positions in bins uniform. It has nothing to train."""

    def objectives(self) -> tuple[Objective, ...]:
        """Return no objective."""
        return ()

    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:  # noqa: ARG002
        """Draw every cell that is not given by itself; guidance changes nothing, because conditions do not."""
        group = torch.zeros(len(given), dtype=torch.long)
        tokens = given.batch.tokens.clone()
        for i, column in enumerate(self.layout.columns):
            counts = torch.from_numpy(column.counts).masked_fill(given.forbidden(i), 0).double()
            tokens[:, i] = torch.where(
                given.mask[:, i], tokens[:, i], draw_tokens(counts.log().unsqueeze(0), group, rng)
            )
        values = torch.rand(len(given), len(self.layout.valued), generator=rng, dtype=torch.float64)
        return Batch(tokens, given.complete(values)).encoded(self.layout)

    @property
    def density_kind(self) -> DensityKind:
        """Exact, but for the positions in bins."""
        return "encoded_space" if self.layout.valued else "exact"

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the sum of the columns' log train frequencies **(batch,)**."""
        return -self.nats_by_term(batch, rng).sum(1)

    def nats_by_term(self, batch: Batch, rng: torch.Generator) -> Tensor:  # noqa: ARG002  nothing is estimated
        """Return the negative log train frequency of each cell **(batch, n_columns)**."""
        counts = [torch.from_numpy(column.counts).double() for column in self.layout.columns]
        parts = [-(c / c.sum()).log()[tokens] for c, tokens in zip(counts, batch.tokens.unbind(1), strict=True)]
        return torch.stack(parts, dim=1)

    def conditionals(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:  # noqa: ARG002  nothing is estimated
        """Return the log train frequencies for every row: no cell depends on another."""
        counts = [torch.from_numpy(column.counts).double() for column in self.layout.columns]
        return [(c / c.sum()).log().expand(len(batch), -1) for c in counts]


class Bootstrap(Model):
    """Train rows drawn with replacement: what a privacy check must refuse. It holds the rows, so it cannot be saved."""

    def __init__(self, layout: Layout, train: Encoded) -> None:
        super().__init__(layout)
        self.train_rows = train

    def objectives(self) -> tuple[Objective, ...]:
        """Return no objective."""
        return ()

    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:  # noqa: ARG002
        """Copy, for each row of what is given, one of the rows that agree with its tokens."""
        stored = torch.from_numpy(self.train_rows.tokens).long()
        pattern, chosen = given.token_patterns(), torch.empty(len(given), dtype=torch.long)
        for number in range(int(pattern.max()) + 1 if len(pattern) else 0):
            rows = (pattern == number).nonzero().squeeze(1)
            mask, tokens = given.mask[rows[0]], given.batch.tokens[rows[0]]
            candidates = (stored[:, mask] == tokens[mask]).all(1).nonzero().squeeze(1)
            chosen[rows] = candidates[torch.randint(len(candidates), (len(rows),), generator=rng)]
        return self.train_rows.take(chosen.numpy())
