"""Solvers of dx/dt = velocity(x, t) from t = 0 (noise) to t = 1 (data) on a uniform grid."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


def euler(velocity: Velocity, x: Tensor, n_steps: int) -> Tensor:
    """Integrate with Euler's method: order 1, one evaluation per step.

    Example:
        >>> import torch
        >>> round(euler(lambda x, t: x, torch.ones(1), 1000).item(), 2)
        2.72
    """
    h = 1 / n_steps
    for i in range(n_steps):
        x = x + h * velocity(x, i * h)
    return x


def heun(velocity: Velocity, x: Tensor, n_steps: int) -> Tensor:
    """Integrate with Heun's method: order 2, two evaluations per step.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1.

    Example:
        >>> import torch
        >>> round(heun(lambda x, t: x, torch.ones(1), 100).item(), 3)
        2.718
    """
    h = 1 / n_steps
    for i in range(n_steps):
        slope = velocity(x, i * h)
        x = x + h / 2 * (slope + velocity(x + h * slope, (i + 1) * h))
    return x
