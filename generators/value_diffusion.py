"""Gaussian diffusion of all values of a row together, given its tokens.

What diffuses is the probit of the position inside the bin; Ho et al. 2020, arXiv:2006.11239. It is nearly standard
normal, for which the mean of v = alpha epsilon - sigma data is zero at each state. So v is what the network gives, and
the estimates of epsilon and of the data follow without a division: epsilon is sigma x + alpha v, the data are
alpha x - sigma v. Which of the three is the prediction says whose squared error counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.encoded import Layout

from .diffusion import Denoiser, NoiseSchedule, bound_weights, diffuse, draw_indices, score_from_epsilon, undo_diffusion
from .given import Batch, Given
from .loss_curve import N_STRATA, LossCurve, Losses, loss_curve, strata
from .nets import Trunk, fourier_features, linear
from .schedule import stratified_times
from .value_view import View, ViewedValues
from .values import to_position

N_TIME_FREQUENCIES = 4
DEPTH = 2
VALIDATION_DRAWS = 4

Prediction = Literal["epsilon", "data", "v"]
PREDICTED: dict[Prediction, str] = {"epsilon": "noise", "data": "data", "v": "v"}
Sampler = Callable[[Denoiser, Tensor, torch.Generator], Tensor]


class ValueDiffusion(ViewedValues):
    """The Gaussian diffusion of the values of all columns together, given tokens."""

    alpha: Tensor
    sigma: Tensor
    time_features: Tensor
    loss_weight: Tensor
    bound_weight: Tensor

    def __init__(
        self,
        layout: Layout,
        schedule: NoiseSchedule,
        prediction: Prediction,
        width: int,
        rate: float,
        rng: torch.Generator,
        *,
        learned_times: bool,
        condition_share: float,
    ) -> None:
        super().__init__(layout, width, condition_share, rng)
        n = len(layout.valued)
        self.schedule, self.prediction = schedule, prediction
        self.time = linear(2 * N_TIME_FREQUENCIES + 1, width, rng)
        self.trunk = Trunk(width, DEPTH, rng, rate=rate)
        self.out = linear(width, n, rng, scale=0.0)
        self._keep(alpha=schedule.alpha.float(), sigma=schedule.sigma.float(), time_features=time_features(schedule))
        self._keep(loss_weight=error_of_v(schedule, prediction).float(), bound_weight=bound_weights(schedule))
        self.times = LearnedTimes(self.loss_weight) if learned_times else None

    def _keep(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def v(self, x: Tensor, k: Tensor | int, view: View, rng: torch.Generator | None) -> Tensor:
        """Return the estimate of v **(batch, n_valued)**.

        Args:
            x: states **(batch, n_valued)**; the data themselves where they are given.
            k: their index, or one per row **(batch,)**.
            view: what is known of the rows.
            rng: drives the dropout; None while sampling.
        """
        hidden = self.hidden(x, view) + self.time(self.time_features[k])
        v: Tensor = self.out(self.trunk(hidden, rng))
        # At a state with little noise v is mostly noise, of which little can be known: its mean is O(sigma).
        return self.sigma[k].view(-1, 1) * v.float()

    def score(self, x: Tensor, k: int, tokens: Tensor) -> Tensor:
        """Return the score of the states x_k given all tokens, -epsilon / sigma_k **(batch, n_valued)**."""
        alpha, sigma = self.schedule.at(k)
        v = self.v(x, k, self.view(tokens), None)
        return score_from_epsilon(undo_diffusion(x, v, alpha, sigma)[1], sigma)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the squared error of the prediction **(batch,)** with dropout, and the term that fits learned times.

        The error is a mean over the valued columns, of which only those that are predicted count.
        """
        uniform = stratified_times(len(batch), rng, batch.tokens.device)
        view = self.training_view(batch.tokens, rng)
        if self.times is None:
            k = draw_indices(uniform, torch.full_like(self.bound_weight, 1 / self.schedule.n_steps))
            return self._error(batch, k, view, rng, rng)
        k = draw_indices(uniform, self.times.probability())
        return self.times.balanced(self._error(batch, k, view, rng, rng), k)

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return an unbiased estimate of the negative bound of log p(values | tokens) **(batch,)** in nats."""
        return -self.log_density(batch, VALIDATION_DRAWS, rng)

    def loss_by_time(self, batch: Batch, rng: torch.Generator) -> LossCurve:
        """Return the mean squared error of the prediction per value, by strata of k, without dropout.

        A network that learned nothing takes the data for standard normal, and so v for zero.
        """
        view, n_steps = self.view(batch.tokens), self.schedule.n_steps
        uniform, steps = stratified_times(len(batch), rng, batch.tokens.device), strata(n_steps)

        def losses(stratum: int) -> Losses:
            size = len(steps[stratum])
            k = steps[stratum].start + draw_indices(uniform, torch.full((size,), 1 / size, device=uniform.device))
            x, v = self._diffused(batch, k, view, rng)
            weight = self.loss_weight[k - 1].unsqueeze(1)
            return weight * (self.v(x, k, view, None) - v).square(), weight * v.square(), view.visible

        title = f"Squared error of a number's {PREDICTED[self.prediction]}"
        starts = [stratum.start + 1 for stratum in steps]
        return loss_curve(title, f"Step, from data (0) to noise ({n_steps:,})", starts, losses)

    def _error(
        self, batch: Batch, k: Tensor, view: View, rng: torch.Generator, dropout_rng: torch.Generator | None
    ) -> Tensor:
        x, v = self._diffused(batch, k, view, rng)
        error = (self.v(x, k, view, dropout_rng) - v).square() * view.predicted
        return self.loss_weight[k - 1] * error.sum(1) / error.shape[1]

    def _diffused(self, batch: Batch, k: Tensor, view: View, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return states at the indices k **(batch,)**, the data where they are given, and their v."""
        data = self.cells.normal(batch)
        noise = torch.randn(data.shape, generator=rng, device=data.device)
        x, v = diffuse(data, noise, self.alpha[k].unsqueeze(1), self.sigma[k].unsqueeze(1))
        return torch.where(view.given, data, x), v

    def draw(self, tokens: Tensor, given: Given, guidance: float, sampler: Sampler, rng: torch.Generator) -> Tensor:
        """Draw positions in the bins **(batch, n_valued)** given all tokens and some values.

        Guidance w takes (1 + w) v given everything - w v given neither the given cells' tokens nor their values: Ho
        and Salimans 2022, "Classifier-free diffusion guidance", arXiv:2207.12598, equation 6.

        Args:
            tokens: int64 **(batch, n_columns)**.
            given: the cells that are conditions.
            guidance: how much they are strengthened.
            sampler: from a denoiser and noise to data.
            rng: of everything random.
        """
        view = self.view(tokens, given=given.mask)
        without = self.view(tokens, hidden=given.mask) if guidance and given else None
        known, data = self.cells.given(given)

        def denoise(x: Tensor, k: int) -> Tensor:
            x = torch.where(known, data, x)
            v = self.v(x, k, view, None)
            if without is not None:
                v = (1 + guidance) * v - guidance * self.v(x, k, without, None)
            return undo_diffusion(x, v, *self.schedule.at(k))[0]

        noise = torch.randn(view.visible.shape, generator=rng, device=tokens.device)
        return to_position(sampler(denoise, noise, rng) * view.visible)

    def log_density(self, batch: Batch, n_draws: int, rng: torch.Generator) -> Tensor:
        """Return an unbiased estimate of a lower bound of log p(values | tokens) **(batch,)** in nats.

        It is the variational bound of the ancestral sampler with all T steps (`bound_weights`); the base measure of a
        position is uniform on [0, 1), that is normal for its probit, so only what the network adds to the process of
        normal data is left, and only that is estimated. Indices are drawn in proportion to their weights times sigma,
        as the noise of the estimate is, spread evenly over the draws of a row as over the rows.
        """
        view = self.view(batch.tokens)
        total = torch.zeros(len(batch), dtype=torch.float64, device=batch.tokens.device)
        uniform = stratified_times(len(batch), rng, batch.tokens.device)
        probability = self.bound_weight * self.sigma[1:]
        probability = probability / probability.sum()
        for i in range(n_draws):
            k = draw_indices((uniform + i / n_draws) % 1, probability)
            x, v = self._diffused(batch, k, view, rng)
            estimate = self.v(x, k, view, None)
            gain = ((2 * v - estimate) * estimate * view.visible).sum(1)
            total += gain * (self.bound_weight / probability)[k - 1] / n_draws
        return total.float()


class LearnedTimes(nn.Module):
    """The distribution of the indices that are trained on: in proportion to a loss per stratum that is learned beside.

    Source: importance sampling as in Nichol and Dhariwal 2021, arXiv:2102.09672, equation 18; the loss per noise level
    as a fit by gradients in Karras et al. 2024, arXiv:2312.02696, equation 21.
    """

    stratum: Tensor

    def __init__(self, expected: Tensor) -> None:
        """Start from the expected loss at k = 1 .. T, **(T,)**."""
        super().__init__()
        sizes = torch.tensor([len(stratum) for stratum in strata(len(expected))])
        stratum = torch.arange(N_STRATA).repeat_interleave(sizes)
        self.register_buffer("stratum", stratum, persistent=False)
        sums = torch.zeros(N_STRATA).index_add(0, stratum, expected)
        self.log_loss = nn.Parameter((sums / sizes).clamp(min=1e-4).log())

    def probability(self) -> Tensor:
        """Return the probability of each index, float64 **(T,)**."""
        return self.log_loss.detach().double()[self.stratum].softmax(0)

    def balanced(self, error: Tensor, k: Tensor) -> Tensor:
        """Return errors **(batch,)** at indices drawn so, weighted to the mean over all, and the fit of their size."""
        weight = 1 / (len(self.stratum) * self.probability()[k - 1]).float()
        log_loss = self.log_loss[self.stratum[k - 1]]
        return weight * error + error.detach() * torch.exp(-log_loss) + log_loss


def time_features(schedule: NoiseSchedule) -> Tensor:
    """Return features **(T + 1, n_features)** of the angle between state and noise: 0 at noise, 1 at data.

    They belong to the noise in a state rather than to its index, and so do not depend on the schedule.
    """
    angle = torch.atan2(schedule.sigma, schedule.alpha)
    return fourier_features(1 - angle.float() * (2 / math.pi), N_TIME_FREQUENCIES)


def error_of_v(schedule: NoiseSchedule, prediction: Prediction) -> Tensor:
    """Return the squared error of a prediction where that of v is one, float64 **(T,)** at k = 1 .. T.

    At a given state, an error of v is one of alpha as much in epsilon and one of sigma as much in the data.
    """
    alpha_bar = schedule.alpha_bar[1:]
    return {"epsilon": alpha_bar, "data": 1 - alpha_bar, "v": torch.ones_like(alpha_bar)}[prediction]
