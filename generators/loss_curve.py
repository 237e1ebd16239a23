"""The loss along the time of a process, beside that of a network which learned nothing.

A mean over all times hides where a network is no better than its start: most of what remains of it is noise that nobody
can predict. So diffusion and flow are looked at by strata of their time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypedDict

from torch import Tensor

N_STRATA = 16
FEWEST_ROWS = 20
"""Of a stratum: the report shows the curves, and a mean of fewer comes near to telling of single records."""

Losses = tuple[Tensor, Tensor, Tensor]


class LossPoint(TypedDict):
    """Mean losses over one stratum of time: where it begins, that of the network, and that of one untrained."""

    x: float
    loss: float
    untrained: float


class LossCurve(TypedDict):
    """Mean losses by strata of time, as plain JSON values: what is lost, what time is counted in, and the points."""

    title: str
    unit: str
    points: list[LossPoint]


def loss_curve(title: str, unit: str, starts: Sequence[float], losses: Callable[[int], Losses]) -> LossCurve:
    """Return the mean losses by strata of time, those of fewer than 20 rows left out.

    Means have three significant digits. Noise and times follow from the seed, so that exact ones would be equations for
    the values of the rows, and many releases of one table would solve them.

    Args:
        title: what is lost, with its unit.
        unit: what time is counted in.
        starts: where each stratum begins, in that unit.
        losses: from a stratum's number to losses at times drawn in it, to those of a network that learned nothing on
            the same rows, times and noise, and to which of them count, all **(n_rows, n)**.

    Example:
        >>> import torch
        >>> all_count = torch.ones(20, 1, dtype=torch.bool)
        >>> curve = loss_curve("Error", "time", [0.0, 0.5], lambda i: (all_count * 0.1234, all_count * 1.0, all_count))
        >>> curve["points"][1]
        {'x': 0.5, 'loss': 0.123, 'untrained': 1.0}
    """
    points = [
        LossPoint(x=start, loss=_mean(loss[counts]), untrained=_mean(untrained[counts]))
        for start, (loss, untrained, counts) in zip(starts, map(losses, range(len(starts))), strict=True)
        if counts.any(1).sum() >= FEWEST_ROWS
    ]
    return LossCurve(title=title, unit=unit, points=points)


def _mean(losses: Tensor) -> float:
    return float(f"{losses.mean().item():.3g}")


def strata(n: int) -> list[range]:
    """Return 0 .. n - 1 in strata of near equal size: `N_STRATA` of them, or one for each where there are fewer.

    Example:
        >>> [len(stratum) for stratum in strata(33)] == [3] + [2] * 15
        True
        >>> strata(2)
        [range(0, 1), range(1, 2)]
    """
    n_strata = min(n, N_STRATA)
    starts = [-(-i * n // n_strata) for i in range(n_strata + 1)]
    return [range(start, stop) for start, stop in pairwise(starts)]
