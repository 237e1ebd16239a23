"""The continuous flow: all values of a row together, given all its tokens.

Values follow the linear path between standard normal noise and the probit of the position inside the bin; the network
predicts what the velocity adds to that of Gaussian data; Lipman et al. 2023, arXiv:2210.02747, equation 9. Values that
are given stand at their data from the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from pipeline.encoded import Layout

from .given import Batch, Given
from .loss_curve import N_STRATA, LossCurve, Losses, loss_curve
from .nets import Trunk, fourier_features, linear
from .schedule import linear_path, logit_normal_times, normal_velocity, stratified_times
from .solver import Velocity, heun
from .value_view import View, ViewedValues
from .values import to_position

N_TIME_FREQUENCIES = 4
DENSITY_STEPS = 32
NEAREST = 1e-3
"""To data, of the times at which the network is judged: nearer, its error and that of normal data are the same."""
MOST_EXACT_TRACES = 16

TimeSampling = Literal["uniform", "logit_normal"]
Integrate = Callable[[Velocity, Tensor, torch.Generator], Tensor]


class ValueFlow(ViewedValues):
    """The velocity of the values of all columns together, given all tokens."""

    def __init__(
        self,
        layout: Layout,
        width: int,
        depth: int,
        rate: float,
        times: TimeSampling,
        rng: torch.Generator,
        *,
        condition_share: float,
    ) -> None:
        super().__init__(layout, width, condition_share, rng)
        n = len(layout.valued)
        self.time = linear(2 * N_TIME_FREQUENCIES + 1, width, rng)
        self.trunk = Trunk(width, depth, rng, rate=rate)
        self.out = linear(width, n, rng, scale=0.0)
        self.draw_times = stratified_times if times == "uniform" else logit_normal_times

    def velocity(self, x: Tensor, t: Tensor, view: View, rng: torch.Generator | None) -> Tensor:
        """Return the velocity **(batch, n_valued)**.

        Args:
            x: states of the same shape; the data themselves where they are given.
            t: times **(batch, 1)**.
            view: what is known of the rows.
            rng: drives the dropout; None while sampling.
        """
        hidden = self.hidden(x, view) + self.time(fourier_features(t, N_TIME_FREQUENCIES).squeeze(1))
        change: Tensor = self.out(self.trunk(hidden, rng))
        return normal_velocity(x, t) + change.float()

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the flow-matching loss per row **(batch,)** with dropout: squared error of the predicted values."""
        view, data = self.training_view(batch.tokens, rng), self.cells.normal(batch)
        noise = torch.randn(data.shape, generator=rng, device=data.device)
        t = self.draw_times(len(batch), rng, data.device).unsqueeze(1)
        x, target = linear_path(noise, data, t)
        error = self.velocity(torch.where(view.given, data, x), t, view, rng) - target
        return (error.square() * view.predicted).sum(1) / max(1, error.shape[1])

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return an estimate of -log p(values | tokens) **(batch,)** in nats, without dropout and without a solver.

        Seen from signals in Gaussian noise, -log p is that of normal data, which is 0 here, less what the network knows
        of the noise beyond them: half of the integral over the signal-to-noise ratio of how much smaller its squared
        error is; Kong et al. 2023, arXiv:2302.03792. On the linear path that is the integral over t of t / (1 - t)
        times the difference of the squared errors of the velocity. Times near the data weigh most and are drawn more
        often. A wrong network has more nats than the right one, so that the lowest are the best.
        """
        view, data = self.view(batch.tokens), self.cells.normal(batch)
        noise = torch.randn(data.shape, generator=rng, device=data.device)
        t = (1 - NEAREST ** stratified_times(len(batch), rng, data.device)).unsqueeze(1)
        x, target = linear_path(noise, data, t)
        errors = ((v - target).square() for v in (self.velocity(x, t, view, None), normal_velocity(x, t)))
        own, normal = ((error * view.predicted).sum(1) for error in errors)
        return -math.log(NEAREST) * t.squeeze(1) * (own - normal)

    def loss_by_time(self, batch: Batch, rng: torch.Generator) -> LossCurve:
        """Return the mean squared error of the velocity per value, by strata of time, without dropout.

        A network that learned nothing takes the data for standard normal. Where it is right, its error is the variance
        of the velocity given the state, 1 / (t^2 + (1 - t)^2) on average.
        """
        view, data = self.view(batch.tokens), self.cells.normal(batch)

        def losses(stratum: int) -> Losses:
            noise = torch.randn(data.shape, generator=rng, device=data.device)
            t = ((stratum + stratified_times(len(batch), rng, data.device)) / N_STRATA).unsqueeze(1)
            x, target = linear_path(noise, data, t)
            loss, untrained = self.velocity(x, t, view, None) - target, normal_velocity(x, t) - target
            return loss.square(), untrained.square(), view.visible

        starts = [stratum / N_STRATA for stratum in range(N_STRATA)]
        return loss_curve("Squared error of a number's velocity", "Time t, from noise (0) to data (1)", starts, losses)

    def draw(self, tokens: Tensor, given: Given, guidance: float, integrate: Integrate, rng: torch.Generator) -> Tensor:
        """Draw positions in the bins **(batch, n_valued)** given all tokens and some values.

        Guidance w takes (1 + w) velocity given everything - w velocity given neither the given cells' tokens nor their
        values: Zheng et al. 2023, "Guided flows", arXiv:2311.13443, equation 6.

        Args:
            tokens: int64 **(batch, n_columns)**.
            given: the cells that are conditions; a stochastic solver moves their values, but no other one sees that.
            guidance: how much they are strengthened.
            integrate: the solver.
            rng: of the noise.
        """
        view = self.view(tokens, given=given.mask)
        without = self.view(tokens, hidden=given.mask) if guidance and given else None
        known, data = self.cells.given(given)

        def velocity(x: Tensor, t: float) -> Tensor:
            x, times = torch.where(known, data, x), x.new_full((len(x), 1), t)
            slope = self.velocity(x, times, view, None)
            if without is not None:
                slope = (1 + guidance) * slope - guidance * self.velocity(x, times, without, None)
            return slope * view.predicted

        noise = torch.randn(view.visible.shape, generator=rng, device=tokens.device) * view.visible
        return to_position(integrate(velocity, torch.where(known, data, noise), rng))

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(values | tokens) **(batch,)** in nats; the base measure of a position is uniform on [0, 1).

        The instantaneous change of variables, solved backwards from data to noise together with the state, with the
        exact trace up to 16 valued columns and an unbiased estimate beyond: Chen et al. 2018, "Neural ordinary
        differential equations", arXiv:1806.07366, equation 8; Grathwohl et al. 2019, arXiv:1810.01367, equation 7.
        """
        view, data = self.view(batch.tokens), self.cells.normal(batch)
        present = view.visible
        probe = None if present.shape[1] <= MOST_EXACT_TRACES else rademacher(data, rng)

        def backwards(state: Tensor, elapsed: float) -> Tensor:
            x = state[:, :-1].detach().requires_grad_()
            t = x.new_full((len(x), 1), 1 - elapsed)
            with torch.enable_grad():
                velocity = self.velocity(x, t, view, None) * present
                divergence = trace(velocity, x) if probe is None else estimated_trace(velocity, x, probe)
            return -torch.cat([velocity.detach(), divergence.unsqueeze(1)], dim=1)

        start = torch.cat([data, data.new_zeros(len(data), 1)], dim=1)
        end = heun(backwards, start, DENSITY_STEPS)
        return end[:, -1] + ((data.square() - end[:, :-1].square()) / 2 * present).sum(1)


def trace(velocity: Tensor, x: Tensor) -> Tensor:
    """Return the trace of d velocity / d x **(batch,)**, exactly: one backward pass per column of x."""
    total = x.new_zeros(len(x))
    for i in range(x.shape[1]):
        (gradient,) = torch.autograd.grad(velocity[:, i].sum(), x, retain_graph=True)
        total += gradient[:, i]
    return total


def estimated_trace(velocity: Tensor, x: Tensor, probe: Tensor) -> Tensor:
    """Return an unbiased estimate of `trace` **(batch,)** with one backward pass.

    Source: Hutchinson 1989, doi:10.1080/03610918908812806.

    Args:
        velocity: **(batch, n)**, a function of x.
        x: **(batch, n)**.
        probe: random, of mean 0 and covariance 1, of the same shape.
    """
    (gradient,) = torch.autograd.grad((velocity * probe).sum(), x)
    return (gradient * probe).sum(1)


def rademacher(like: Tensor, rng: torch.Generator) -> Tensor:
    """Return -1 or 1 with equal chance in the shape of a tensor."""
    return torch.randint(0, 2, like.shape, generator=rng, device=like.device).to(like.dtype) * 2 - 1
