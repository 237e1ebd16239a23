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

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.encoded import Encoded, Layout

from .config import TrainedConfig
from .diffusion import SCHEDULES, Denoiser, ancestral, ddim, dpm_solver, step_indices
from .masked import MaskedTokens, auto_dropout, auto_width
from .model import Batch, DensityKind, Known, Model, Objective, without_progress
from .value_diffusion import N_STRATA, Prediction, ValueDiffusion
from .values import given_values, with_known

DENSITY_DRAWS = 32
DIAGNOSED_ROWS = 1_000


class DDPMConfig(TrainedConfig):
    """Denoising diffusion: absorbing-state on tokens, Gaussian on values.

    Attributes:
        width: of the token network's hidden state; None derives it from the number of rows.
        depth: its residual blocks.
        dropout: of both networks' hidden units; None derives it from the number of rows.
        ordered_share: the part of training rows whose mask is a suffix of the sampling order; the others get random
            masks, which is what conditions on any subset of columns need.
        value_width: of the value network's hidden state.
        timesteps: T, the steps of the forward process of values.
        schedule: of their noise; Ho et al. 2020 or Nichol and Dhariwal 2021.
        prediction: whose squared error is minimised: of the noise, of the data (x0) or of v.
        time_sampling: of the indices that are trained on; "stratified" is even over them, "learned" in proportion to
            the loss that is expected there, with weights that keep the mean of the loss.
        condition_share: the part of training rows in which some columns stand for conditions to the network of values:
            half of these rows give them, their values without noise, the other half hide them, which is what guidance
            compares with.
        sampler: "dpm_solver" is DPM-Solver++(2M).
        sampler_steps: its steps, each one evaluation of the value network.
        eta: the share of noise of "ddim": 0 is deterministic.
    """

    kind: Literal["ddpm"] = "ddpm"
    width: int | None = Field(default=None, ge=8)
    depth: int = Field(default=2, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    ordered_share: float = Field(default=0.5, ge=0, le=1)
    value_width: int = Field(default=64, ge=8)
    timesteps: int = Field(default=1000, ge=N_STRATA)
    schedule: Literal["linear", "cosine"] = "linear"
    prediction: Prediction = "epsilon"
    time_sampling: Literal["stratified", "learned"] = "stratified"
    condition_share: float = Field(default=0.2, ge=0, le=1)
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = "dpm_solver"
    sampler_steps: int = Field(default=8, ge=1)
    eta: float = Field(default=0.0, ge=0, le=1)

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> DDPM:
        """Return the untrained model."""
        return DDPM(layout, self, n_rows, rng)


class DDPM(Model):
    """The family: diffusion of tokens and, where a column has a continuous part, of values."""

    guided = True

    def __init__(self, layout: Layout, config: DDPMConfig, n_rows: int, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config, self.schedule = config, SCHEDULES[config.schedule](config.timesteps)
        width = config.width or auto_width(n_rows)
        rate = auto_dropout(n_rows) if config.dropout is None else config.dropout
        self.tokens = MaskedTokens(layout, width, config.depth, rate, config.ordered_share, rng)
        self.values = self._value_diffusion(rate, rng) if layout.valued else None

    def _value_diffusion(self, rate: float, rng: torch.Generator) -> ValueDiffusion:
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

    def objectives(self) -> tuple[Objective, ...]:
        """Return the token objective and, where there are values, the value objective; both are validated in nats."""
        diffusions = {"tokens": self.tokens} | ({"values": self.values} if self.values else {})
        return tuple(
            Objective(name, list(diffusion.parameters()), without_progress(diffusion.loss), diffusion.validation)
            for name, diffusion in diffusions.items()
        )

    @property
    def density_kind(self) -> DensityKind:
        """Exact for tokens, a bound where there are values."""
        return "lower_bound" if self.layout.valued else "exact"

    @torch.no_grad()
    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(tokens) + the bound of log p(values | tokens) **(batch,)** in nats."""
        total = self.tokens.log_density(batch.tokens)
        return total if self.values is None else total + self.values.log_density(batch, DENSITY_DRAWS, rng)

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator, known: Known, guidance: float = 0.0) -> Encoded:
        """Draw `n` rows: tokens cell by cell, the known ones first, then all values at once."""
        tokens = self.tokens.draw(n, rng, known, guidance)
        values = torch.empty((n, 0))
        if self.values is not None:
            given = given_values(self.layout, known)
            drawn = self.values.draw(tokens, list(known), given, guidance, self._solve, rng)
            values = with_known(drawn, self.layout, known)
        return Batch(tokens, values).encoded(self.layout)

    def _solve(self, denoise: Denoiser, noise: Tensor, rng: torch.Generator) -> Tensor:
        indices = step_indices(self.schedule, self.config.sampler_steps)
        if self.config.sampler == "ancestral":
            return ancestral(denoise, noise, self.schedule, indices, rng)
        if self.config.sampler == "ddim":
            return ddim(denoise, noise, self.schedule, indices, rng, self.config.eta)
        return dpm_solver(denoise, noise, self.schedule, indices)

    @torch.no_grad()
    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return the held-out nats of each token column given those drawn before it, and the loss by timestep.

        `value_loss_by_timestep` has, for each stratum of the indices of the Gaussian diffusion, the mean squared error
        of the prediction per value, and `of_normal_data` what a prediction that learned nothing has. The time of the
        absorbing diffusion is how many cells are known: `token_nats_by_known` has the mean nats of a masked cell behind
        0, 1, ... random known ones.
        """
        nats = self.tokens.nats_by_column(held_out.tokens).mean(0).tolist()
        found: dict[str, Any] = {
            "held_out_nats": {self.layout.names[column]: nats[column] for column in self.tokens.order},
            "token_nats_by_known": self._nats_by_known(held_out.tokens[:DIAGNOSED_ROWS], rng),
        }
        if self.values is not None:
            found["value_loss_by_timestep"] = self.values.loss_by_timestep(held_out, rng)
        return found

    def _nats_by_known(self, tokens: Tensor, rng: torch.Generator) -> list[float]:
        order = torch.rand(tokens.shape, generator=rng, device=tokens.device).argsort(dim=1)
        nats = self.tokens.nats(tokens, order.argsort(dim=1), None)
        by_known: list[float] = nats.gather(1, order).mean(0).tolist()
        return by_known
