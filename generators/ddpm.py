"""Denoising diffusion on tables: absorbing-state diffusion on tokens, then Gaussian diffusion on values given tokens.

p(row) = p(tokens) p(values | tokens).

Tokens are absorbed by a mask, each cell at a time of its own; Austin et al. 2021, "Structured denoising diffusion
models in discrete state-spaces", arXiv:2107.03006, section 3.1. In continuous time the bound is the mean cross-entropy
of masked cells, weighted by how fast the schedule unmasks them (Shi et al. 2024, arXiv:2406.04329, equation 4), and a
network that sees which cells are masked needs no time beside it. The schedule may differ from column to column. Here
the columns' windows of absorption do not overlap, the largest vocabulary is absorbed first and so drawn last: then the
reverse process unmasks one cell at a time, the bound is the chain rule in that order, and it is tight. The network is
`MaskedTokens`, which a discrete flow with a masked source shares, because it is the same process.

Values diffuse all together; see `value_diffusion`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.encoded import Layout

from .diffusion import SCHEDULES, Denoiser, NoiseSchedule, ancestral, ddim, dpm_solver, step_indices
from .given import Batch, Given
from .loss_curve import N_STRATA
from .model import DensityKind
from .tokens_then_values import TokensThenValues, TokensThenValuesConfig
from .value_diffusion import Prediction, ValueDiffusion

DENSITY_DRAWS = 32


class DDPMConfig(TokensThenValuesConfig):
    """Denoising diffusion: absorbing-state on tokens, Gaussian on values.

    Attributes:
        timesteps: T, the steps of the forward process of values.
        schedule: of their noise; Ho et al. 2020 or Nichol and Dhariwal 2021.
        prediction: whose squared error is minimised: of the noise, of the data (x0) or of v.
        time_sampling: of the indices that are trained on; "stratified" is even over them, "learned" in proportion to
            the loss that is expected there, with weights that keep the mean of the loss.
        sampler: "dpm_solver" is DPM-Solver++(2M).
        sampler_steps: its steps, each one evaluation of the value network.
        eta: the share of noise of "ddim": 0 is deterministic.
    """

    kind: Literal["ddpm"] = "ddpm"
    timesteps: int = Field(default=1000, ge=N_STRATA)
    schedule: Literal["linear", "cosine"] = "linear"
    prediction: Prediction = "epsilon"
    time_sampling: Literal["stratified", "learned"] = "stratified"
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = "dpm_solver"
    sampler_steps: int = Field(default=8, ge=1)
    eta: float = Field(default=0.0, ge=0, le=1)

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> DDPM:
        """Return the untrained model."""
        return DDPM(layout, self, n_rows, rng)


class DDPM(TokensThenValues[ValueDiffusion]):
    """The family: diffusion of tokens and, where a column has a continuous part, of values."""

    config: DDPMConfig

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of values."""
        return SCHEDULES[self.config.schedule](self.config.timesteps)

    def _value_part(self, rate: float, rng: torch.Generator) -> ValueDiffusion:
        config = self.config
        return ValueDiffusion(
            self.layout,
            self.schedule,
            config.prediction,
            config.value_width,
            rate,
            rng,
            learned_times=config.time_sampling == "learned",
            condition_share=config.condition_share,
        )

    def _value_log_density(self, values: ValueDiffusion, batch: Batch, rng: torch.Generator) -> Tensor:
        return values.log_density(batch, DENSITY_DRAWS, rng)

    def _draw_values(
        self, values: ValueDiffusion, tokens: Tensor, given: Given, guidance: float, rng: torch.Generator
    ) -> Tensor:
        return values.draw(tokens, given, guidance, self._solve, rng)

    def _solve(self, denoise: Denoiser, noise: Tensor, rng: torch.Generator) -> Tensor:
        indices = step_indices(self.schedule, self.config.sampler_steps)
        if self.config.sampler == "ancestral":
            return ancestral(denoise, noise, self.schedule, indices, rng)
        if self.config.sampler == "ddim":
            return ddim(denoise, noise, self.schedule, indices, rng, self.config.eta)
        return dpm_solver(denoise, noise, self.schedule, indices)

    @property
    def density_kind(self) -> DensityKind:
        """Exact for tokens, a bound where there are values."""
        return "lower_bound" if self.layout.valued else "exact"
