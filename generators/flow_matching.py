"""Flow matching on tables: a discrete flow on tokens, then a continuous flow on values given all tokens.

p(row) = p(tokens) p(values | tokens).

Tokens follow the masked path: at time t each cell is known with probability t and masked otherwise. The network
predicts the clean token of every masked cell (x1-prediction, cross-entropy); Gat et al. 2024, "Discrete flow matching",
arXiv:2407.15595. Sampled one cell at a time the process is exact and its likelihood is the chain rule, in any order
that was trained.

Values follow the linear path and its velocity; see `value_flow`.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from pipeline.encoded import Encoded, Layout

from .config import TrainedConfig
from .masked import MaskedTokens, auto_dropout, auto_width
from .model import Batch, DensityKind, Known, Model, Objective, without_progress
from .solver import SOLVERS, Velocity, dopri5, euler_maruyama
from .value_flow import TimeSampling, ValueFlow
from .values import given_values, with_known

VALUE_DEPTH = 2


class FlowMatchingConfig(TrainedConfig):
    """Flow matching: discrete on tokens (masked source, x1-prediction), linear-path velocity on values.

    Attributes:
        width: of the hidden state; None derives it from the number of rows and columns.
        depth: residual blocks.
        dropout: of the blocks' hidden units; None derives it from the number of rows.
        ordered_share: the part of training rows whose mask is a suffix of the sampling order; the others get random
            masks, which is what conditions on any subset of columns need.
        value_width: of the velocity network's hidden state.
        value_times: how the times of the velocity's training are drawn.
        value_solver: of the velocity ODE when sampling: "dopri5" chooses its steps, the others take `value_steps`.
        value_steps: of the fixed-step solvers.
        value_tolerance: of "dopri5", relative to 1 + |x|.
        value_noise: above 0, the strength of the noise of a stochastic process with the same marginals, in place of
            the ODE; it needs `value_solver = "euler"`, whose steps it takes.
    """

    kind: Literal["flow_matching"] = "flow_matching"
    width: int | None = Field(default=None, ge=8)
    depth: int = Field(default=2, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    ordered_share: float = Field(default=0.5, ge=0, le=1)
    value_width: int = Field(default=64, ge=8)
    value_times: TimeSampling = "uniform"
    value_solver: Literal["euler", "heun", "rk4", "dopri5"] = "heun"
    value_steps: int = Field(default=4, ge=1)
    value_tolerance: float = Field(default=1e-3, gt=0)
    value_noise: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _noise_needs_euler(self) -> Self:
        if self.value_noise and self.value_solver != "euler":
            raise ValueError('value_noise needs value_solver = "euler"')
        return self

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> FlowMatching:
        """Return the untrained model."""
        return FlowMatching(layout, self, n_rows, rng)


class FlowMatching(Model):
    """The family: a token flow and, where a column has a continuous part, a value flow."""

    guided = True

    def __init__(self, layout: Layout, config: FlowMatchingConfig, n_rows: int, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config = config
        width = config.width or auto_width(n_rows)
        rate = auto_dropout(n_rows) if config.dropout is None else config.dropout
        self.tokens = MaskedTokens(layout, width, config.depth, rate, config.ordered_share, rng)
        self.values: ValueFlow | None = None
        if layout.valued:
            self.values = ValueFlow(layout, config.value_width, VALUE_DEPTH, rate, config.value_times, rng)

    def objectives(self) -> tuple[Objective, ...]:
        """Return the token objective and, where there are values, the value objective."""
        flows = {"tokens": self.tokens} | ({"values": self.values} if self.values else {})
        return tuple(
            Objective(name, list(flow.parameters()), without_progress(flow.loss), flow.validation)
            for name, flow in flows.items()
        )

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator, known: Known, guidance: float = 0.0) -> Encoded:
        """Draw `n` rows: tokens cell by cell in the sampling order, the known ones first, then all values at once."""
        tokens = self.tokens.draw(n, rng, known, guidance)
        values = torch.empty((n, 0))
        if self.values is not None:
            given = given_values(self.layout, known)
            values = with_known(self.values.draw(tokens, given, self._integrate, rng), self.layout, known)
        return Batch(tokens, values).encoded(self.layout)

    def _integrate(self, velocity: Velocity, noise: Tensor, rng: torch.Generator) -> Tensor:
        config = self.config
        if config.value_noise:
            return euler_maruyama(velocity, noise, config.value_steps, config.value_noise, rng)
        if config.value_solver == "dopri5":
            return dopri5(velocity, noise, config.value_tolerance)
        return SOLVERS[config.value_solver](velocity, noise, config.value_steps)

    @property
    def density_kind(self) -> DensityKind:
        """Exact for tokens; a density of the positions in the bins is one in encoded space."""
        return "encoded_space" if self.layout.valued else "exact"

    @torch.no_grad()
    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(tokens) + log p(values | tokens) **(batch,)** in nats."""
        total = self.tokens.log_density(batch.tokens)
        return total if self.values is None else total + self.values.log_density(batch, rng)

    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:  # noqa: ARG002  nothing is estimated
        """Return the held-out nats of each token column given those drawn before it, in the sampling order."""
        nats = self.tokens.nats_by_column(held_out.tokens).mean(0).tolist()
        return {"held_out_nats": {self.layout.names[column]: nats[column] for column in self.tokens.order}}
