"""Two generators that keep the evaluation honest: one knows no dependence, the other copies."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.encoded import Encoded, Layout

from .config import FamilyConfig
from .heads import draw_tokens
from .model import Batch, DensityKind, Known, Model, Objective


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

    def sample(self, n: int, rng: torch.Generator, known: Known, guidance: float = 0.0) -> Encoded:  # noqa: ARG002
        """Draw every unknown column by itself; guidance changes nothing, because conditions do not."""
        group = torch.zeros(n, dtype=torch.long)
        tokens = np.empty((n, self.layout.n_columns), dtype=np.int32)
        for i, column in enumerate(self.layout.columns):
            counts = torch.from_numpy(np.where(column.drawable, column.counts, 0)).double()
            drawn = draw_tokens(counts.log().unsqueeze(0), group, rng)
            tokens[:, i] = known[i][0] if i in known else drawn.numpy()
        values = torch.rand(n, len(self.layout.valued), generator=rng, dtype=torch.float64).numpy()
        for place, i in enumerate(self.layout.valued):
            if i in known:
                values[:, place] = known[i][1]
        return Encoded(self.layout, tokens, values)

    @property
    def density_kind(self) -> DensityKind:
        """Exact, but for the positions in bins."""
        return "encoded_space" if self.layout.valued else "exact"

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:  # noqa: ARG002  nothing is estimated
        """Return the sum of the columns' log train frequencies **(batch,)**."""
        logs = [torch.from_numpy(column.counts).double() for column in self.layout.columns]
        parts = [(c / c.sum()).log()[tokens] for c, tokens in zip(logs, batch.tokens.unbind(1), strict=True)]
        return torch.stack(parts).sum(0)


class Bootstrap(Model):
    """Train rows drawn with replacement: what a privacy check must refuse. It holds the rows, so it cannot be saved."""

    def __init__(self, layout: Layout, train: Encoded) -> None:
        super().__init__(layout)
        self.train_rows = train

    def objectives(self) -> tuple[Objective, ...]:
        """Return no objective."""
        return ()

    def sample(self, n: int, rng: torch.Generator, known: Known, guidance: float = 0.0) -> Encoded:  # noqa: ARG002
        """Copy `n` rows among those that agree with the known tokens."""
        fits = np.ones(len(self.train_rows), dtype=np.bool_)
        for column, (token, _) in known.items():
            fits &= self.train_rows.tokens[:, column] == token
        candidates = np.flatnonzero(fits)
        return self.train_rows.take(candidates[torch.randint(len(candidates), (n,), generator=rng).numpy()])
