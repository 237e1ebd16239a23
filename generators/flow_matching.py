"""Flow matching on tables: a discrete flow on tokens, then a continuous flow on values given all tokens.

p(row) = p(tokens) p(values | tokens).

Tokens follow the masked path: at time t each cell is known with probability t and masked otherwise. The network
predicts the clean token of every masked cell (x1-prediction, cross-entropy); Gat et al. 2024, "Discrete flow matching",
arXiv:2407.15595. Sampled one cell at a time the process is exact and its likelihood is the chain rule, in any order
that was trained.

Values follow the linear path and its velocity; see `value_flow`.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from pipeline.encoded import Layout

from .given import Batch, Given
from .model import DensityKind
from .solver import SOLVERS, Velocity, dopri5, euler_maruyama
from .tokens_then_values import TokensThenValues, TokensThenValuesConfig
from .value_flow import TimeSampling, ValueFlow

VALUE_DEPTH = 2


class FlowMatchingConfig(TokensThenValuesConfig):
    """Flow matching: discrete on tokens (masked source, x1-prediction), linear-path velocity on values.

    Attributes:
        value_times: how the times of the velocity's training are drawn.
        value_solver: of the velocity ODE when sampling: "dopri5" chooses its steps, the others take `value_steps`.
        value_steps: of the fixed-step solvers.
        value_tolerance: of "dopri5", relative to 1 + |x|.
        value_noise: above 0, the strength of the noise of a stochastic process with the same marginals, in place of
            the ODE; it needs `value_solver = "euler"`, whose steps it takes.
    """

    kind: Literal["flow_matching"] = "flow_matching"
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


class FlowMatching(TokensThenValues[ValueFlow]):
    """The family: a token flow and, where a column has a continuous part, a value flow."""

    config: FlowMatchingConfig

    def _value_part(self, rate: float, rng: torch.Generator) -> ValueFlow:
        config = self.config
        return ValueFlow(
            self.layout,
            config.value_width,
            VALUE_DEPTH,
            rate,
            config.value_times,
            rng,
            condition_share=config.condition_share,
        )

    def _value_log_density(self, values: ValueFlow, batch: Batch, rng: torch.Generator) -> Tensor:
        return values.log_density(batch, rng)

    def _draw_values(
        self, values: ValueFlow, tokens: Tensor, given: Given, guidance: float, rng: torch.Generator
    ) -> Tensor:
        return values.draw(tokens, given, guidance, self._integrate, rng)

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
