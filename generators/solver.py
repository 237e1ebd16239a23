"""Solvers of dx/dt = velocity(x, t) from t = 0 (noise) to t = 1 (data)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import score_from_velocity

Velocity = Callable[[Tensor, float], Tensor]
Solver = Callable[[Velocity, Tensor, int], Tensor]

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
FIRST_STEP, MOST_STEPS = 0.05, 10_000


def euler(velocity: Velocity, x: Tensor, n_steps: int) -> Tensor:
    """Integrate with Euler's method on a uniform grid: order 1, one evaluation per step.

    Example:
        >>> round(euler(lambda x, t: x, torch.ones(1), 1000).item(), 2)
        2.72
    """
    h = 1 / n_steps
    for i in range(n_steps):
        x = x + h * velocity(x, i * h)
    return x


def heun(velocity: Velocity, x: Tensor, n_steps: int) -> Tensor:
    """Integrate with Heun's method on a uniform grid: order 2, two evaluations per step.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1.

    Example:
        >>> round(heun(lambda x, t: x, torch.ones(1), 100).item(), 3)
        2.718
    """
    h = 1 / n_steps
    for i in range(n_steps):
        slope = velocity(x, i * h)
        x = x + h / 2 * (slope + velocity(x + h * slope, (i + 1) * h))
    return x


def rk4(velocity: Velocity, x: Tensor, n_steps: int) -> Tensor:
    """Integrate with the classical Runge-Kutta method on a uniform grid: order 4, four evaluations per step.

    Source: Hairer, Norsett and Wanner 1993, doi:10.1007/978-3-540-78862-1, section II.1.

    Example:
        >>> round(rk4(lambda x, t: x, torch.ones(1), 10).item(), 4)
        2.7183
    """
    h = 1 / n_steps
    for i in range(n_steps):
        t = i * h
        a = velocity(x, t)
        b = velocity(x + h / 2 * a, t + h / 2)
        c = velocity(x + h / 2 * b, t + h / 2)
        x = x + h / 6 * (a + 2 * b + 2 * c + velocity(x + h * c, t + h))
    return x


SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun, "rk4": rk4}

# Dormand and Prince 1980, doi:10.1016/0771-050X(80)90013-3: the slopes' weights in each stage, in the solution of
# order 5 (the last row, whose slope the next step begins with), and in the difference to that of order 4.
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
DIFFERENCE = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def dopri5(velocity: Velocity, x: Tensor, tolerance: float) -> Tensor:
    """Integrate with the method of Dormand and Prince, order 5, choosing its steps.

    A step is taken when the estimated error, as root mean square over all cells, is at most `tolerance` (1 + |x|).

    Raises:
        ArithmeticError: the velocity is not finite, or so steep that the steps do not end.

    Example:
        >>> round(dopri5(lambda x, t: x, torch.ones(1), 1e-6).item(), 5)
        2.71828
    """
    t, h, slope = 0.0, FIRST_STEP, velocity(x, 0.0)
    for _ in range(MOST_STEPS):
        h = min(h, 1 - t)
        after, slopes = _stages(velocity, x, t, h, slope)
        error = float((h * _combine(DIFFERENCE, slopes) / (tolerance * (1 + x.abs()))).square().mean().sqrt())
        if not math.isfinite(error):
            raise ArithmeticError("the velocity is not finite")
        if error <= 1:
            t, x, slope = t + h, after, slopes[-1]
            if t >= 1 - 1e-12:
                return x
        h *= min(GROW, max(SHRINK, SAFETY * max(error, 1e-10) ** -0.2))
    raise ArithmeticError(f"{MOST_STEPS} steps did not reach the end")


def _stages(velocity: Velocity, x: Tensor, t: float, h: float, slope: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the state after a step, and the slopes of its stages, the last one at that state."""
    slopes, state = [slope], x
    for weights in STAGES:
        state = x + h * _combine(weights, slopes)
        slopes.append(velocity(state, min(1.0, t + h * sum(weights))))
    return state, slopes


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return torch.stack([weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]).sum(0)


def euler_maruyama(velocity: Velocity, x: Tensor, n_steps: int, noise: float, rng: torch.Generator) -> Tensor:
    """Integrate the stochastic process that has the same marginals as the flow of a linear path.

    The drift is v + (g^2 / 2) score with a diffusion of g^2 = 2 w (1 - t), which ends at 0 with the noise of the path:
    w = 0 is Euler's method.

    Source: Albergo et al. 2023, "Stochastic interpolants", arXiv:2303.08797, on forward and backward processes with the
    marginals of the interpolant.

    Args:
        velocity: of a linear path from standard normal noise.
        x: the noise.
        n_steps: on a uniform grid.
        noise: w, the strength.
        rng: of the noise on the way.

    Example:
        >>> rng = torch.Generator().manual_seed(0)
        >>> euler_maruyama(lambda x, t: 0 * x, torch.ones(1), 10, 0.0, rng).item()
        1.0
    """
    h = 1 / n_steps
    for i in range(n_steps):
        t = i * h
        slope = velocity(x, t)
        kick = torch.randn(x.shape, generator=rng, device=x.device) * math.sqrt(2 * noise * (1 - t) * h)
        x = x + h * (slope + noise * (1 - t) * score_from_velocity(slope, x, t)) + kick
    return x
