"""How far chance alone moves a share or a distribution between two samples of one population.

Both bounds are at 5 standard deviations, so that a table of 40 columns that is read every night for ten years is
reported by chance less than once. Rows are taken as independent.
"""

from __future__ import annotations

import math

DEVIATIONS = 5.0


def threshold(tolerance: float, *, chance: float, slack: float) -> float:
    """Return the observed change from which on a change is reported.

    A true change of at least the tolerance is observed as at least the tolerance less the slack; chance alone stays
    below `chance`. So where `chance + slack` is below the tolerance, all such changes are reported and nothing else.

    Example:
        >>> threshold(0.1, chance=0.04, slack=0.02)
        0.08
    """
    return max(chance, tolerance - slack)


def share_moves(share: float, n_before: int, n_now: int) -> float:
    """Return by how much a share of independent rows moves between two samples: Bernstein's inequality.

    Example:
        >>> round(share_moves(0.05, 20_000, 20_000), 3)
        0.011
    """
    variance = share * (1 - share) * (1 / n_before + 1 / n_now)
    skew = DEVIATIONS**2 / 6 * max(1 / n_before, 1 / n_now)
    return skew + math.sqrt(skew**2 + DEVIATIONS**2 * variance)


def bins_move(n_bins: int, n_before: int, n_now: int) -> float:
    """Return the total variation distance between two samples over the same bins.

    Half the root of chi-square bounds it (Cauchy and Schwarz); the quantile of chi-square is that of Wilson & Hilferty
    (1931, doi:10.1073/pnas.17.12.684).

    Example:
        >>> round(bins_move(20, 20_000, 20_000), 3)
        0.041
    """
    freedom = max(n_bins - 1, 1)
    spread = 2 / (9 * freedom)
    chi_square = freedom * (1 - spread + DEVIATIONS * math.sqrt(spread)) ** 3
    return math.sqrt(chi_square * (1 / n_before + 1 / n_now)) / 2


def event_moves(n_before: int, n_now: int) -> float:
    """Return by how much the share of any one set of rows moves: a true distance is observed less this at the least.

    Example:
        >>> event_moves(20_000, 20_000)
        0.025
    """
    return DEVIATIONS * math.sqrt(1 / n_before + 1 / n_now) / 2
