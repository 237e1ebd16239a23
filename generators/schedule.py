"""The linear path between noise and data, and the shares of known cells of the masked path."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_path(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return x_t = (1 - t) noise + t data and its velocity data - noise.

    Source: Lipman et al. 2023, arXiv:2210.02747, equations 22-23 with sigma_min = 0.

    Example:
        >>> x, v = linear_path(torch.zeros(2), torch.ones(2), torch.tensor(0.25))
        >>> x.tolist(), v.tolist()
        ([0.25, 0.25], [1.0, 1.0])
    """
    return (1 - t) * noise + t * data, data - noise


def score_from_velocity(velocity: Tensor, x: Tensor, t: float) -> Tensor:
    """Return the score of the linear path's marginal at x_t = x, from its velocity and for t < 1.

    The noise that is expected at x is x - t velocity, and the score is minus that noise over its scale 1 - t.

    Source: Ma et al. 2024, "SiT", arXiv:2401.08740, equation 9, with alpha = t and sigma = 1 - t.

    Example:
        >>> score_from_velocity(torch.zeros(1), torch.ones(1), 0.5).item()  # data equal to noise: N(0, 1/2)
        -2.0
    """
    return -(x - t * velocity) / (1 - t)


def velocity_from_score(score: Tensor, x: Tensor, t: float) -> Tensor:
    """Return the velocity of the linear path from its score, for t > 0: the inverse of `score_from_velocity`."""
    return (x + (1 - t) * score) / t


def normal_velocity(x: Tensor, t: Tensor | float) -> Tensor:
    """Return the velocity of the linear path at x_t = x where noise and data are both standard normal.

    It is E[data - noise | x_t = x] = x (2t - 1) / (t^2 + (1 - t)^2); a network that learns only the difference starts
    from the exact flow of Gaussian data.

    Example:
        >>> normal_velocity(torch.ones(1), 0.5).item()
        0.0
    """
    return x * ((2 * t - 1) / (t**2 + (1 - t) ** 2))


def stratified_times(n: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """Return n times in [0, 1), one in each of n equal strata, in random order: uniform with little variance.

    Source: Kingma et al. 2021, "Variational diffusion models", arXiv:2107.00630, on low-discrepancy sampling.
    """
    strata = torch.randperm(n, generator=rng, device=device)
    times = (strata + torch.rand(n, generator=rng, device=device)) / n
    return times.clamp(max=1 - 2.0**-24)  # the last stratum's sum may round up to n


def logit_normal_times(n: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """Return n times in (0, 1) whose logit is standard normal, stratified: more of them in the middle of the path.

    Source: Esser et al. 2024, arXiv:2403.03206, equation 19 with location 0 and scale 1.
    """
    normal: Tensor = torch.special.ndtri(stratified_times(n, rng, device).clamp(2.0**-20, 1 - 2.0**-20))
    return normal.sigmoid()


def draw_known(n: int, rank: Tensor, ordered_share: float, rng: torch.Generator) -> Tensor:
    """Draw which cells of each row are known at a uniform time of the masked path.

    The number of known cells is uniform on 0 .. n_columns - 1, stratified over the rows. A part `ordered_share` of the
    rows knows a prefix of the order given by `rank`, the others a random subset.

    Args:
        n: rows.
        rank: int64 **(n_columns,)**, each column's place in the sampling order.
        ordered_share: in [0, 1].
        rng: the generator.

    Returns:
        bool **(n, n_columns)**; at least one cell of each row is False.
    """
    device = rank.device
    n_known = (stratified_times(n, rng, device) * len(rank)).long().unsqueeze(1)
    random_order = torch.rand(n, len(rank), generator=rng, device=device).argsort(dim=1)
    places = torch.arange(len(rank), device=device).expand_as(random_order)
    random_rank = torch.empty_like(random_order).scatter_(1, random_order, places)
    ordered = torch.rand(n, 1, generator=rng, device=device) < ordered_share
    return torch.where(ordered, rank, random_rank) < n_known


def known_first(rank: Tensor, known: Tensor) -> Tensor:
    """Return ranks int64 **(n, n_columns)**: known cells come first, both among themselves in the order of `rank`.

    Example:
        >>> known_first(torch.tensor([0, 1, 2]), torch.tensor([[False, True, False]])).argsort(dim=1).tolist()
        [[1, 0, 2]]
    """
    return rank + ~known * len(rank)
