"""How the tests of the privacy gate decide: exact p-values from relabelled rows, their combination, and the verdict."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, hypergeom, nchypergeom_fisher

from ..features import Frames
from ..report import GateVerdict, PrivacyTest, TestName, TestPart
from ..statistics import FloatArray

FAMILY_ERROR, MOST_TESTS = 0.01, 10
FAIL_BELOW = FAMILY_ERROR / MOST_TESTS
"""Bonferroni: ten tests that each refuse one honest table in a thousand refuse at most one in a hundred together."""
REVIEW_BELOW = 0.01
TOLERATED_SHARE = 0.52
"""A share of near rows that a generator of any quality has: what may pass is not refused for being certain."""
MIN_HOLDOUT = 500
DRAWS_PER_PERMUTATION = 100
"""Rows of equal weight are relabelled as one number, so a configured permutation costs little and is drawn often."""
WORST_FIRST: tuple[GateVerdict, ...] = ("FAIL", "REVIEW", "NOT TESTABLE", "PASS", "NOT APPLICABLE", "OFF")


def verdict_of(p_value: float) -> GateVerdict:
    """Return what one p-value means.

    Example:
        >>> [verdict_of(p) for p in (0.5, 0.01, 0.005, 0.0005)]
        ['PASS', 'PASS', 'REVIEW', 'FAIL']

    """
    return "FAIL" if p_value < FAIL_BELOW else "REVIEW" if p_value < REVIEW_BELOW else "PASS"


def worst(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """Return the verdict that decides over several.

    Example:
        >>> worst(["PASS", "REVIEW", "NOT APPLICABLE"])
        'REVIEW'

    """
    return min(verdicts, key=WORST_FIRST.index, default="NOT APPLICABLE")


def worst_first(parts: Sequence[TestPart]) -> tuple[TestPart, ...]:
    """Return the parts of a test, worst verdict first, then by p-value."""
    return tuple(sorted(parts, key=lambda part: (WORST_FIRST.index(part.verdict), part.p_value or 0.0)))


def gravest(parts: Sequence[TestPart]) -> TestPart:
    """Return the worst of the parts that have an interval: what stands for a test that p-values decide."""
    return next(part for part in worst_first(parts) if part.interval is not None)


def undecided(name: TestName, verdict: GateVerdict, *, statistic: str, rule: str, reason: str) -> PrivacyTest:
    """Return a test that measured nothing, with the reason."""
    return PrivacyTest(name=name, verdict=verdict, statistic=statistic, rule=rule, reason=reason)


def too_few_rows(frames: Frames) -> str:
    """Return why the tables cannot be tested against holdout rows at all, or nothing."""
    if not frames.features:
        return "No column is modelled, so there is no row to compare."
    if not frames.synthetic.n_rows:
        return "The synthetic table has no row."
    for role, table in (("holdout", frames.holdout), ("train", frames.train)):
        if table.n_rows < MIN_HOLDOUT:
            return f"The {role} table has {table.n_rows} rows; {MIN_HOLDOUT} are needed to tell a leak from chance."
    return ""


def excess_p(train: int, holdout: int, n_train: int, n_holdout: int, odds: float = 1.0) -> float:
    """Return how often chance puts at least `train` of the hits among the train records.

    Under honest rows the labels of the `n_train + n_holdout` records are exchangeable, so the number of hits in train
    follows the hypergeometric law: this is the limit of infinitely many relabellings. Where train's records may be hit
    with `odds` times those of holdout's, it is Fisher's noncentral one.

    Source: Fisher 1935, The Design of Experiments, ch. II; Fisher 1935, doi:10.2307/2342435, for odds other than 1.

    Example:
        >>> excess_p(10, 0, 500, 500) < 0.001 < excess_p(9, 0, 500, 500) < excess_p(5, 5, 500, 500)
        True
        >>> excess_p(60, 40, 500, 500) < 0.05 < excess_p(60, 40, 500, 500, odds=1.5)
        True

    """
    drawn = (n_train + n_holdout, n_train, train + holdout)
    if odds == 1.0:
        return float(hypergeom.sf(train - 1, *drawn))
    return float(np.clip(nchypergeom_fisher.sf(train - 1, *drawn, odds), 0.0, 1.0))


def detectable_excess(
    holdout: int, n_train: int, n_holdout: int, below: float = FAIL_BELOW, odds: float = 1.0
) -> int | None:
    """Return the fewest hits in train that would refuse, with `holdout` hits there; None where all would not.

    Example:
        >>> detectable_excess(0, 500, 500), detectable_excess(20, 500, 500), detectable_excess(0, 5, 5)
        (10, 45, None)

    """
    candidates = range(n_train + 1)
    fewest = bisect_right(candidates, -below, key=lambda train: -excess_p(train, holdout, n_train, n_holdout, odds))
    return fewest if fewest <= n_train else None


def relabelled_p(
    train: FloatArray, holdout: FloatArray, n_train: int, n_holdout: int, n_draws: int, rng: np.random.Generator
) -> float:
    """Return how often relabelled rows carry as much weight in train as the labels at hand.

    Args:
        train: the positive weights of train rows, **(n_weighted,)**; the others weigh 0.
        holdout: those of holdout rows.
        n_train: the number of train rows.
        n_holdout: the number of holdout rows.
        n_draws: how many relabellings.
        rng: draws them. Rows of equal weight are drawn as one number, so that many relabellings cost little.

    Source: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585, for the ones added above and below.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> relabelled_p(np.ones(20), np.zeros(0), 500, 500, 9_999, rng)
        0.0001
        >>> 0.3 < relabelled_p(np.ones(20), np.ones(20), 500, 500, 9_999, rng) < 0.7
        True

    """
    weights, sizes = np.unique(np.concatenate([train, holdout]), return_counts=True)
    rest = n_train + n_holdout - int(sizes.sum())
    drawn = rng.multivariate_hypergeometric([*sizes.tolist(), rest], n_train, size=n_draws)[:, :-1]
    reached = int((drawn @ weights >= train.sum() - 1e-9).sum())
    return (1 + reached) / (1 + n_draws)


def combined(p_values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return one p-value for several that may depend on each other, by the Cauchy combination.

    A p-value above one half adds nothing, rather than outweighing a small one: exact tests of few hits give 1 often.

    Source: Liu and Xie 2020, doi:10.1080/01621459.2018.1554485, eq. 1; cut off at one half.

    Example:
        >>> round(combined([0.001, 0.001]), 6), round(combined([0.001, 1.0]), 4), combined([1.0, 0.7])
        (0.001, 0.002, 1.0)

    """
    share = np.full(len(p_values), 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    p = np.clip(p_values, 1e-15, 0.5)
    statistic = float((share / share.sum()) @ (1.0 / np.tan(math.pi * p)))
    return float(math.atan2(1.0, statistic) / math.pi) if statistic > 1e-9 else 1.0


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.

    Example:
        >>> [round(end, 4) for end in clopper_pearson(0, 300)]
        [0.0, 0.0122]

    """
    tail = (1.0 - level) / 2.0
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def counted(number: float, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "record"), counted(2, "record"), counted(1200, "row")
        ('1 record', '2 records', '1,200 rows')

    """
    return f"{number:,.0f} {noun}" + ("" if round(number) == 1 else "s")


def chance(p_value: float) -> str:
    """Return a p-value for a sentence.

    Example:
        >>> chance(0.25), chance(0.004), chance(1e-9)
        ('p = 0.25', 'p = 0.004', 'p < 0.0001')

    """
    return f"p = {p_value:.2g}" if p_value >= 1e-4 else "p < 0.0001"
