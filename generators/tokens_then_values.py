"""What flow matching and denoising diffusion have in common: p(row) = p(tokens) p(values | tokens).

Both learn the tokens with `MaskedTokens`, which are one process in two languages; they differ in the values.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.encoded import Encoded, Layout

from .config import TrainedConfig
from .given import Batch, Given
from .loss_curve import LossCurve
from .masked import MaskedTokens, auto_dropout, auto_width
from .model import Model, Objective, without_progress

MOST_ROWS_BY_TIME = 1_024
"""That losses by time are means over, at each of their times: more would take from a budget what training needs."""


class TokensThenValuesConfig(TrainedConfig):
    """The settings of the token network, and what the networks of values have in common.

    Attributes:
        width: of the token network's hidden state; None derives it from the number of rows.
        depth: its residual blocks.
        dropout: of both networks' hidden units; None derives it from the number of rows.
        ordered_share: the part of training rows that are learned along the sampling order; in the others a random set
            of cells comes first, which is what conditions on any subset of columns need.
        value_width: of the value network's hidden state.
        condition_share: the part of training rows in which some columns stand for conditions to the network of values:
            half of these rows give them, their values without noise, the other half hide them, which is what guidance
            compares with.
        missing: "level" learns a missing cell as a value of its own, so that drawn rows have as many of them as train.
            "unobserved" learns complete rows from what is observed of them, which `imputation` is sharper with: missing
            cells are not learned, other cells are not told of them, and none is drawn.
    """

    width: int | None = Field(default=None, ge=8)
    depth: int = Field(default=2, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    ordered_share: float = Field(default=0.5, ge=0, le=1)
    value_width: int = Field(default=64, ge=8)
    condition_share: float = Field(default=0.2, ge=0, le=1)
    missing: Literal["level", "unobserved"] = "level"

    @property
    def hides_missing(self) -> bool:
        """Whether missing cells are not learned, and never drawn."""
        return self.missing == "unobserved"


class ValuePart(nn.Module):
    """The distribution of all values of a row together, given all its tokens."""

    @abstractmethod
    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the loss per row **(batch,)** with dropout."""

    @abstractmethod
    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the same kind of figure **(batch,)** without dropout."""

    @abstractmethod
    def loss_by_time(self, batch: Batch, rng: torch.Generator) -> LossCurve:
        """Return the mean loss per value by strata of the process's time, without dropout."""


V = TypeVar("V", bound=ValuePart)


class TokensThenValues(Model, Generic[V]):
    """A token network and, where a column has a continuous part, a value part, which the family brings."""

    guided = True
    config: TokensThenValuesConfig
    values: V | None

    def __init__(self, layout: Layout, config: TokensThenValuesConfig, n_rows: int, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config = config
        width = config.width or auto_width(n_rows)
        rate = auto_dropout(n_rows, layout.n_columns) if config.dropout is None else config.dropout
        self.tokens = MaskedTokens(layout, width, config.depth, rate, config.ordered_share, rng)
        self.values = self._value_part(rate, rng) if layout.valued else None

    @abstractmethod
    def _value_part(self, rate: float, rng: torch.Generator) -> V:
        """Return the untrained value part with a dropout rate."""

    @abstractmethod
    def _value_log_density(self, values: V, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(values | tokens) or a bound of it **(batch,)** in nats."""

    @abstractmethod
    def _draw_values(self, values: V, tokens: Tensor, given: Given, guidance: float, rng: torch.Generator) -> Tensor:
        """Draw positions in the bins **(batch, n_valued)** given all tokens and the given positions."""

    def objectives(self) -> tuple[Objective, ...]:
        """Return the token objective and, where there are values, the value objective."""
        return tuple(
            Objective(name, list(part.parameters()), without_progress(part.loss), part.validation)
            for name, part in self._learned().items()
        )

    def _learned(self) -> dict[str, MaskedTokens | ValuePart]:
        tokens: dict[str, MaskedTokens | ValuePart] = {"tokens": self.tokens}
        return tokens if self.values is None else tokens | {"values": self.values}

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(tokens) + log p(values | tokens), or its bound, **(batch,)** in nats."""
        return -self.nats_by_term(batch, rng).sum(1)

    @property
    def joint_terms(self) -> tuple[str, ...]:
        """The values of all columns together, which are drawn after all tokens."""
        return () if self.values is None else ("places inside bins",)

    @torch.no_grad()
    def nats_by_term(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return -log p(token | tokens before it) of each cell, and -log p(values | tokens), or its bound."""
        tokens = self.tokens.nats_by_column(batch.tokens)
        if self.values is None:
            return tokens
        return torch.cat([tokens, -self._value_log_density(self.values, batch, rng).unsqueeze(1)], dim=1)

    @torch.no_grad()
    def token_nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return -log p(token | tokens before it) of each cell, and what it is on average if the model is right."""
        return self.tokens.nats_by_column(batch.tokens), self.tokens.entropy_by_column(batch.tokens)

    @torch.no_grad()
    def conditionals(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:  # noqa: ARG002  nothing is estimated
        """Return log p(token | all other tokens of its row) **(batch, size)**; values are not looked at."""
        return self.tokens.conditionals(batch.tokens)

    @torch.no_grad()
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        """Draw rows: tokens cell by cell in the sampling order, the given ones first, then all values at once."""
        tokens = self.tokens.draw(given, rng, guidance)
        values = torch.empty((len(given), 0))
        if self.values is not None:
            values = given.complete(self._draw_values(self.values, tokens, given, guidance, rng))
        return Batch(tokens, values).encoded(self.layout)

    @torch.no_grad()
    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return the held-out nats of each token column, and the losses along the time of both processes.

        `held_out_nats` are those of a column given the columns drawn before it, in the sampling order; `loss_by_time`
        has a `LossCurve` of the tokens and, where there are values, one of them.
        """
        nats = self.tokens.nats_by_column(held_out.tokens).mean(0).tolist()
        rows = held_out.take(torch.arange(min(len(held_out), MOST_ROWS_BY_TIME), device=rng.device))
        return {
            "held_out_nats": {self.layout.names[column]: nats[column] for column in self.tokens.order},
            "loss_by_time": [part.loss_by_time(rows, rng) for part in self._learned().values()],
        }
