"""Gaussian diffusion: noise schedules, the forward process and its posterior, conversions, samplers with few steps.

The index k runs from 0 (data) to T (noise), with x_k = alpha_k data + sigma_k noise and alpha_k^2 + sigma_k^2 = 1. In
the notation of Ho et al. 2020, "Denoising diffusion probabilistic models", arXiv:2006.11239, alpha_k^2 is alpha_bar_k.

The three samplers need nothing but a denoiser, which estimates the data from a state, and may leave out any of the
indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

LARGEST_BETA = 0.999
Coefficient = Tensor | float
Denoiser = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class NoiseSchedule:
    """How much of the data is left at each index k in 0 .. T.

    Attributes:
        beta: float64 **(T,)**, the variance that each step adds, in (0, 1).
    """

    beta: Tensor

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.beta)

    @cached_property
    def alpha_bar(self) -> Tensor:
        """float64 **(T + 1,)**: the share of the variance that is data; 1 at k = 0."""
        return torch.cat([self.beta.new_ones(1), (1 - self.beta).cumprod(0)])

    @cached_property
    def alpha(self) -> Tensor:
        """float64 **(T + 1,)**: the factor of the data."""
        return self.alpha_bar.sqrt()

    @cached_property
    def sigma(self) -> Tensor:
        """float64 **(T + 1,)**: the factor of the noise."""
        return (1 - self.alpha_bar).sqrt()

    def at(self, k: int) -> tuple[float, float]:
        """Return alpha_k and sigma_k."""
        return self.alpha[k].item(), self.sigma[k].item()

    def log_snr(self, k: int) -> float:
        """Return log(alpha_k / sigma_k), half the log of the signal-to-noise ratio; infinite at k = 0."""
        alpha, sigma = self.at(k)
        return math.log(alpha / sigma) if k else math.inf


def linear_schedule(n_steps: int) -> NoiseSchedule:
    """Return betas on a line from 1e-4 to 0.02, scaled to the number of steps.

    Source: Ho et al. 2020, arXiv:2006.11239, section 4, where T is 1,000; the factor 1000 / T of Nichol and Dhariwal
    2021, arXiv:2102.09672, keeps the amount of noise at the end.

    Example:
        >>> linear_schedule(1000).beta[[0, -1]].tolist()
        [0.0001, 0.02]
    """
    line = torch.linspace(1e-4, 0.02, n_steps, dtype=torch.float64)
    return NoiseSchedule((line * (1000 / n_steps)).clamp(max=LARGEST_BETA))


def cosine_schedule(n_steps: int) -> NoiseSchedule:
    """Return the schedule whose share of data falls like the square of a cosine.

    Source: Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic models", arXiv:2102.09672, equation
    17, with s = 0.008 and betas of at most 0.999.

    Example:
        >>> round(cosine_schedule(1000).alpha_bar[500].item(), 2)
        0.49
    """
    place = torch.arange(n_steps + 1, dtype=torch.float64) / n_steps
    share = ((place + 0.008) / 1.008 * math.pi / 2).cos().square()
    return NoiseSchedule((1 - share[1:] / share[:-1]).clamp(max=LARGEST_BETA))


SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {"linear": linear_schedule, "cosine": cosine_schedule}


def diffuse(data: Tensor, noise: Tensor, alpha: Coefficient, sigma: Coefficient) -> tuple[Tensor, Tensor]:
    """Return the state x = alpha data + sigma noise and its v = alpha noise - sigma data.

    (data, noise) -> (x, v) is a rotation. Source: Ho et al. 2020, equation 4; Salimans and Ho 2022, "Progressive
    distillation", arXiv:2202.00512, appendix D.
    """
    return alpha * data + sigma * noise, alpha * noise - sigma * data


def undo_diffusion(x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> tuple[Tensor, Tensor]:
    """Return data and noise (epsilon) of a state and its v: the rotation back.

    Example:
        >>> data, noise = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
        >>> [x.round(decimals=4).tolist() for x in undo_diffusion(*diffuse(data, noise, 0.6, 0.8), 0.6, 0.8)]
        [[1.0, 2.0], [3.0, 4.0]]
    """
    return alpha * x - sigma * v, sigma * x + alpha * v


def epsilon_from_data(x: Tensor, data: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
    """Return the noise that makes x of the data."""
    return (x - alpha * data) / sigma


def data_from_epsilon(x: Tensor, epsilon: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
    """Return the data that the noise makes x of."""
    return (x - sigma * epsilon) / alpha


def score_from_epsilon(epsilon: Tensor, sigma: Coefficient) -> Tensor:
    """Return the gradient of the log density of the states where epsilon is the mean noise of a state.

    Source: Song et al. 2021, "Score-based generative modeling through SDEs", arXiv:2011.13456; the denoising identity
    of Vincent 2011 for a Gaussian kernel.
    """
    return -epsilon / sigma


def epsilon_from_score(score: Tensor, sigma: Coefficient) -> Tensor:
    """Return the mean noise of a state: the inverse of `score_from_epsilon`."""
    return -sigma * score


def posterior(x: Tensor, data: Tensor, schedule: NoiseSchedule, k: int, earlier: int) -> tuple[Tensor, float]:
    """Return mean and variance of q(x_earlier | x_k, data) for earlier < k.

    Source: Ho et al. 2020, equations 6 and 7; for indices that are not neighbours Song et al. 2021, arXiv:2010.02502.
    """
    of_data, of_x, variance = _posterior(schedule, k, earlier)
    return of_data * data + of_x * x, variance


def _posterior(schedule: NoiseSchedule, k: int, earlier: int) -> tuple[float, float, float]:
    now, before = schedule.alpha_bar[k].item(), schedule.alpha_bar[earlier].item()
    added = 1 - now / before
    of_data, of_x = math.sqrt(before) * added / (1 - now), math.sqrt(now / before) * (1 - before) / (1 - now)
    return of_data, of_x, added * (1 - before) / (1 - now)


def draw_indices(uniform: Tensor, probability: Tensor) -> Tensor:
    """Return indices int64 **(n,)** in 1 .. T by inversion of uniform numbers **(n,)**, as probable as **(T,)** says.

    Example:
        >>> draw_indices(torch.tensor([0.1, 0.3, 0.9]), torch.tensor([0.2, 0.8])).tolist()
        [1, 2, 2]
    """
    index = torch.searchsorted(probability.cumsum(0), uniform.to(probability.dtype), right=True) + 1
    return index.clamp(max=len(probability))


def bound_weights(schedule: NoiseSchedule) -> Tensor:
    """Return float64 **(T,)**: what a squared error of v at k = 1 .. T counts in the variational bound, in nats.

    Where a step has the forward step's variance beta_k, its Kullback-Leibler divergence from the posterior is a
    constant plus w_k |v - v_hat|^2, w_k = alpha_bar_{k-1} beta_k / (2 (1 - alpha_bar_k)); and v_hat = 0 is the exact
    reverse process of standard normal data, whose bound is tight. So the bound is

        log p(data) >= log N(data; 0, 1) + sum_k w_k E[|v|^2 - |v - v_hat|^2],

    where the constants and the prior's term have gone into the normal density. Source: Ho et al. 2020, equations 5 and
    8, with the mean of the posterior at the estimated data alpha x - sigma v_hat.

    Example:
        >>> round(bound_weights(linear_schedule(1000))[0].item(), 4)
        0.5
    """
    return schedule.alpha_bar[:-1] * schedule.beta / (2 * (1 - schedule.alpha_bar[1:]))


def ancestral(
    denoise: Denoiser, x: Tensor, schedule: NoiseSchedule, indices: Sequence[int], rng: torch.Generator
) -> Tensor:
    """Draw along p(x_earlier | x_k): the posterior's mean at the estimated data, and the variance of the forward step.

    Of the two variances of Ho et al. 2020, section 3.2, this is the one that is right for standard normal data, with
    any number of steps, and it is the process that `bound_weights` belong to.

    Args:
        denoise: estimates the data from a state and its index.
        x: standard normal noise.
        schedule: the noise schedule.
        indices: from T down to 0.
        rng: of the noise that is added.
    """
    for k, earlier in pairwise(indices):
        mean, _ = posterior(x, denoise(x, k), schedule, k, earlier)
        added = 1 - (schedule.alpha_bar[k] / schedule.alpha_bar[earlier]).item()
        x = mean + math.sqrt(added) * torch.randn(x.shape, generator=rng, device=x.device)
    return x


def ddim(
    denoise: Denoiser, x: Tensor, schedule: NoiseSchedule, indices: Sequence[int], rng: torch.Generator, eta: float
) -> Tensor:
    """Draw by denoising diffusion implicit models: deterministic at eta = 0, the posterior's variance at eta = 1.

    Source: Song et al. 2021, "Denoising diffusion implicit models", arXiv:2010.02502, equations 12 and 16. Arguments
    as in `ancestral`.
    """
    for k, earlier in pairwise(indices):
        data = denoise(x, k)
        epsilon = epsilon_from_data(x, data, *schedule.at(k))
        alpha, sigma = schedule.at(earlier)
        variance = eta**2 * _posterior(schedule, k, earlier)[2]
        x = alpha * data + math.sqrt(max(0.0, sigma**2 - variance)) * epsilon
        if variance:
            x = x + math.sqrt(variance) * torch.randn(x.shape, generator=rng, device=x.device)
    return x


def dpm_solver(denoise: Denoiser, x: Tensor, schedule: NoiseSchedule, indices: Sequence[int]) -> Tensor:
    """Solve the probability-flow ODE by DPM-Solver++(2M): order 2 with one evaluation per step.

    The first step, and the last one, to k = 0, where the log of the signal-to-noise ratio is infinite, are of order 1.

    Source: Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095, algorithm 2. Arguments as in `ancestral`.
    """
    last: tuple[Tensor, float] | None = None
    for k, earlier in pairwise(indices):
        data, h = denoise(x, k), schedule.log_snr(earlier) - schedule.log_snr(k)
        slope = data
        if last is not None and earlier > 0:
            slope = data + h / (2 * last[1]) * (data - last[0])
        alpha, sigma = schedule.at(earlier)
        x = sigma / schedule.sigma[k].item() * x - alpha * math.expm1(-h) * slope
        last = (data, h)
    return x


def step_indices(schedule: NoiseSchedule, n: int) -> list[int]:
    """Return n + 1 different indices from T down to 0 for a sampler of n steps, all of them where n is T.

    The angle arctan(sigma / alpha) falls from noise to data like the power 3/2 of the part of the steps that is left,
    whatever the schedule: denser towards the data. Of the grids that were tried, even ones in k, in log(alpha / sigma)
    and in the angle among them, it has the smallest error with 6 to 12 steps.

    Example:
        >>> step_indices(linear_schedule(4), 4)
        [4, 3, 2, 1, 0]
    """
    last = schedule.n_steps
    n = min(n, last)
    angle = torch.atan2(schedule.sigma, schedule.alpha)
    wanted = angle[-1] * torch.linspace(1, 0, n + 1, dtype=angle.dtype) ** 1.5
    nearest = (angle - wanted.unsqueeze(1)).abs().argmin(dim=1).tolist()
    # From the data on: each index above the one before, with room for those that are still to come.
    indices = [0]
    for left, k in enumerate(reversed(nearest[:-1]), start=1):
        indices.append(min(max(k, indices[-1] + 1), last - n + left))
    return indices[::-1]
