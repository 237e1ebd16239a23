"""One verdict over several attacks: each has to be harmless, and one that is harmful is enough."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from ..report import GateVerdict, TestPart
from ..statistics import Interval
from .decisions import REVIEW_BELOW

FAMILY_LEVEL = 0.95
DOUBT_LEVEL = 1.0 - 2.0 * REVIEW_BELOW
"""Of a two-sided interval that begins above chance by chance in as few honest tables as a p-value asks for a review."""
ALL_HOLD = "intervals of all hold together with 95 % (Bonferroni)"


def corrected_level(n_comparisons: int, together: float = FAMILY_LEVEL) -> float:
    """Return the level at which each of several intervals must be taken for all to hold `together`.

    Source: Bonferroni; Dunn 1961, doi:10.1080/01621459.1961.10482090.

    Example:
        >>> corrected_level(1), round(corrected_level(10), 3)
        (0.95, 0.995)

    """
    return 1.0 - (1.0 - together) / max(n_comparisons, 1)


def rows_suffice(by_chance: float, reach: float, *, chance: float, passes: float) -> bool:
    """Return whether so many rows show of an honest table that it is harmless.

    The largest value that chance leaves to it still has an interval that ends within the bound. Fewer rows would leave
    doubt about honest tables too, so that a bound says nothing there.

    Args:
        by_chance: how far chance takes the value.
        reach: how far the interval reaches above the value.
        chance: what a table shows that owes nothing to single rows.
        passes: the bound for the upper end.

    Example:
        >>> [rows_suffice(by_chance, 0.01, chance=0.5, passes=0.53) for by_chance in (0.015, 0.025)]
        [True, False]

    """
    return chance + by_chance + reach <= passes


def judged(
    subject: str,
    statistic: str,
    value: float,
    interval: Callable[[float], Interval],
    *,
    n_comparisons: int,
    chance: float,
    passes: float,
    fails: float,
    note: str = "",
) -> TestPart:
    """Return one attack's part of a test.

    To pass, the attack's own 95 % interval has to end at `passes` or below; that all attacks are harmless needs no
    correction, because a single doubtful one withholds it (Berger 1982, doi:10.1080/00401706.1982.10487790). Few rows
    do not show that of the largest of many attacks, however honest the table: where it would not pass with the largest
    value that chance leaves it, it is enough that chance alone reaches it with p >= .01, corrected for all comparisons:
    that the interval which says so does not begin above `chance`. To fail, the interval with which all hold together
    has to begin above `fails`: the largest of many is large by chance.

    Args:
        subject: which attack.
        statistic: what `value` is.
        value: the estimate; larger is worse.
        interval: its interval at a given level.
        n_comparisons: over how many intervals the test takes the worst.
        chance: what an attack that knows nothing has.
        passes: the bound for the upper end.
        fails: the bound for the lower end.
        note: what else to say.

    Example:
        >>> bounds = dict(n_comparisons=2, chance=0.5, passes=0.53, fails=0.55)
        >>> part = judged("a", "AUC", 0.5, lambda level: (0.49, 0.51), **bounds)
        >>> part.verdict, part.note
        ('PASS', 'corrected interval 0.490 to 0.510')
        >>> [judged("a", "AUC", x, lambda level: (x - 0.01, x + 0.01), **bounds).verdict for x in (0.53, 0.58)]
        ['REVIEW', 'FAIL']
        >>> [judged("a", "AUC", x, lambda level: (x - 0.08, x + 0.08), **bounds).verdict for x in (0.52, 0.59)]
        ['PASS', 'REVIEW']

    """
    own, corrected = interval(FAMILY_LEVEL), interval(corrected_level(n_comparisons))
    doubtful = interval(corrected_level(n_comparisons, DOUBT_LEVEL))
    enough = rows_suffice(doubtful[1] - value, own[1] - value, chance=chance, passes=passes)
    harmless = own[1] <= passes or (not enough and doubtful[0] <= chance)
    verdict: GateVerdict = "FAIL" if corrected[0] > fails else "PASS" if harmless else "REVIEW"
    told = f"corrected interval {corrected[0]:.3f} to {corrected[1]:.3f}"
    note = f"{note}; {told}" if note else told
    return TestPart(subject=subject, statistic=statistic, value=value, interval=own, verdict=verdict, note=note)


def z(level: float) -> float:
    """Return how many standard errors a two-sided normal interval reaches.

    Example:
        >>> round(z(0.95), 2)
        1.96

    """
    return float(norm.ppf((1.0 + level) / 2))


def excess_risk(hits: int, n: int, control_hits: int, n_control: int, level: float = 0.95) -> tuple[float, Interval]:
    """Return (attack - control) / (1 - control) and its interval; 0 is no more than the control, 1 is everything.

    One minus it is the ratio of two shares of failures, so that the interval is that of a risk ratio on the log scale,
    with half a failure added to each side.

    Source: Katz et al. 1978, doi:10.2307/2530610.

    Example:
        >>> value, (low, high) = excess_risk(60, 100, 20, 100)
        >>> round(value, 2), round(low, 2), round(high, 2)
        (0.5, 0.35, 0.61)

    """
    failures, control_failures = n - hits + 0.5, n_control - control_hits + 0.5
    ratio = (failures / (n + 0.5)) / (control_failures / (n_control + 0.5))
    variance = 1 / failures - 1 / (n + 0.5) + 1 / control_failures - 1 / (n_control + 0.5)
    reach = z(level) * float(np.sqrt(variance))
    return 1.0 - ratio, (1.0 - ratio * float(np.exp(reach)), 1.0 - ratio * float(np.exp(-reach)))
