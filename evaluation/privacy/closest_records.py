"""G3: do synthetic rows lie closer to train than to holdout, all of them and those that lie closest?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frames
from ..measurement import Interval
from ..report import GateVerdict, PrivacyTest, TestPart
from ..statistics import Z_95, BoolArray, Estimate, FloatArray
from .decisions import (
    DRAWS_PER_PERMUTATION,
    FAIL_BELOW,
    REVIEW_BELOW,
    TOLERATED_SHARE,
    chance,
    combined,
    counted,
    detectable_excess,
    relabelled_p,
    too_few_rows,
    undecided,
    verdict_of,
    worst,
    worst_first,
)
from .nearest_records import TOO_COMMON, Nearness, Searched, search
from .simultaneous import rows_suffice

STATISTIC = "share of synthetic rows nearer to train than to holdout, equal in size; ties half"
TAIL = 0.01
"""The tail is where only one holdout row in a hundred comes as close to train."""
ALONE = (0.01, 0.05)
"""Shares of the synthetic rows that stand out most by being near to one record and far from the next."""
EVERYWHERE, CLOSEST = "all synthetic rows", f"rows as close as one holdout row in {1 / TAIL:.0f}"
Z_99, Z_POWER = 2.5758293035489004, 1.6448536269514722
RULE = (
    f"PASS: p >= {REVIEW_BELOW:g}, and upper 95 % share <= {TOLERATED_SHARE:g} where the rows are enough to show it; "
    f"FAIL: lower 99 % share > {TOLERATED_SHARE:g} with p < {REVIEW_BELOW / 2:g}, "
    f"or p < {FAIL_BELOW:g} among the closest rows "
    "(Bonferroni)"
)
SOURCE = "distance to the closest record with equal references; relabelling of the original rows"
INDEXED = "searched by an approximate index, which misses about one nearest record in a hundred on either side"


def judge_nearest_records(
    frames: Frames, config: EvaluationConfig, *, seed: int, searched: Searched | None = None
) -> PrivacyTest:
    """Compare the nearest train and holdout rows of synthetic rows: all, and those that come as close as few rows do,
    by the distance itself and in proportion to the distance to the second nearest record.

    The p-values relabel the original rows: each carries as weight the synthetic rows that it is nearest to, so that
    many rows near one record count as one event. `searched` saves a search that has been made already.
    """
    reason = too_few_rows(frames)
    if reason:
        return undecided("g3_nearest_records", "NOT TESTABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    found = (searched or search(frames, config, seed=seed)).synthetic
    known = [nearness for nearness in found if nearness]
    if len(known) < len(found):
        reason = f"{TOO_COMMON[:1].upper()}{TOO_COMMON[1:]}, so nearness singles nobody out."
        return undecided("g3_nearest_records", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    rng = numpy_rng(seed, "privacy", "closest")
    n_draws = config.privacy.permutations * DRAWS_PER_PERMUTATION
    chosen = {
        EVERYWHERE: [np.ones(near.n_queries, dtype=np.bool_) for near in known],
        CLOSEST: [_closest(near) for near in known],
        **{f"the {share:.0%} nearest to one record alone": [_alone(near, share) for near in known] for share in ALONE},
    }
    test = _decided({name: _Closer.of(known, queries, n_draws, rng) for name, queries in chosen.items()})
    return test.model_copy(update={"source": f"{SOURCE}; {INDEXED}"}) if config.privacy.index else test


def _closest(near: Nearness) -> BoolArray:
    """Return the queries that come as close to either side as one holdout row in a hundred to train."""
    reach = np.quantile(near.holdout_to_train, TAIL)
    return np.asarray(np.minimum(near.train.first, near.holdout.first) <= reach)


def _alone(near: Nearness, share: float) -> BoolArray:
    """Return the queries that come closest to one record in proportion to the second nearest, on whichever side."""
    four = np.stack([near.train.first, near.train.second, near.holdout.first, near.holdout.second])
    first, second = np.sort(four, axis=0)[:2]
    ratio = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return np.asarray(ratio <= np.quantile(ratio, share))


@dataclass(frozen=True)
class _Closer:
    """How much closer a set of queries lies to train, over all pairs of references."""

    shares: list[Estimate]
    p_value: float
    n_queries: int
    nearer_train: int
    nearer_holdout: int
    n_train: int
    n_holdout: int

    @classmethod
    def of(cls, found: list[Nearness], chosen: list[BoolArray], n_draws: int, rng: np.random.Generator) -> _Closer:
        """Count and relabel; a pair of references without a chosen query says nothing."""
        pairs = [(near, which) for near, which in zip(found, chosen, strict=True) if which.any()]
        weights = [_weights(near, which) for near, which in pairs]
        p_values = [
            relabelled_p(*weight, near.n_train, near.n_holdout, n_draws, rng)
            for weight, (near, _) in zip(weights, pairs, strict=True)
        ]
        n_pairs = max(len(pairs), 1)
        return cls(
            [near.share(which) for near, which in pairs],
            combined(p_values) if p_values else 1.0,
            sum(int(which.sum()) for _, which in pairs) // n_pairs,
            sum(len(train) for train, _ in weights) // n_pairs,
            sum(len(holdout) for _, holdout in weights) // n_pairs,
            found[0].n_train,
            found[0].n_holdout,
        )

    @property
    def value(self) -> float:
        """The share nearer to train; one half where nothing was asked."""
        return float(np.mean([share.value for share in self.shares])) if self.shares else 0.5

    @property
    def deviation(self) -> float:
        """The standard deviation, averaged: the pairs share the holdout rows, so more of them narrow nothing."""
        return float(np.mean([np.sqrt(np.square(share.influence).sum()) for share in self.shares] or [0.5]))

    def interval(self, z: float) -> Interval:
        """Return the normal interval that reaches `z` deviations to either side."""
        return max(0.0, self.value - z * self.deviation), min(1.0, self.value + z * self.deviation)


def _weights(near: Nearness, chosen: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the weights of the original rows that are nearest to some chosen query: how many; of a tie, half."""
    to_train = near.nearer_to_train()[chosen]
    train = np.bincount(near.train.row[chosen], to_train).astype(np.float64)
    holdout = np.bincount(near.holdout.row[chosen], 1.0 - to_train).astype(np.float64)
    return train[train > 0], holdout[holdout > 0]


def _decided(closer: dict[str, _Closer]) -> PrivacyTest:
    everywhere, closest = closer[EVERYWHERE], closer[CLOSEST]
    near = {name: each for name, each in closer.items() if name != EVERYWHERE}
    parts = [
        _part(EVERYWHERE, everywhere, verdict_of_share(everywhere.value, everywhere.deviation, everywhere.p_value)),
        *(_part(name, each, verdict_of(min(1.0, each.p_value * len(near)))) for name, each in near.items()),
    ]
    verdict = worst([part.verdict for part in parts])
    return PrivacyTest(
        name="g3_nearest_records",
        verdict=verdict,
        statistic=STATISTIC,
        value=everywhere.value,
        interval=everywhere.interval(Z_99),
        p_value=everywhere.p_value,
        rule=RULE,
        reason=_reason(verdict, everywhere, min(near.values(), key=lambda each: each.p_value)),
        detection_limit=_detection_limit(everywhere, closest, FAIL_BELOW / len(near)),
        parts=worst_first(parts),
        source=SOURCE,
    )


def verdict_of_share(value: float, deviation: float, p_value: float) -> GateVerdict:
    """Return what the share of all synthetic rows nearer to train says.

    What may pass is not refused for being certain: a refusal needs a share that is surely above the tolerated one. Few
    rows do not show a share below it, however honest the table: there the p-value alone decides.

    Args:
        value: the share.
        deviation: its standard deviation.
        p_value: how often relabelled rows have as large a share.

    Example:
        >>> [verdict_of_share(0.51, deviation, 0.1) for deviation in (0.001, 0.007)]
        ['PASS', 'PASS']
        >>> [verdict_of_share(value, 0.004, 0.02) for value in (0.511, 0.515)]
        ['PASS', 'REVIEW']
        >>> verdict_of_share(0.515, 0.005, 0.001), verdict_of_share(0.54, 0.005, 0.001)
        ('REVIEW', 'FAIL')

    """
    if value - Z_99 * deviation > TOLERATED_SHARE and p_value < REVIEW_BELOW / 2:
        return "FAIL"
    reach = Z_95 * deviation
    enough = rows_suffice(Z_99 * deviation, reach, chance=0.5, passes=TOLERATED_SHARE)
    too_close = enough and value + reach > TOLERATED_SHARE
    return "REVIEW" if too_close or p_value < REVIEW_BELOW else "PASS"


def _part(subject: str, closer: _Closer, verdict: GateVerdict) -> TestPart:
    return TestPart(
        subject=subject,
        statistic="share nearer to train",
        value=closer.value,
        interval=closer.interval(Z_99) if closer.shares else None,
        p_value=closer.p_value,
        verdict=verdict,
        note=(
            f"{counted(closer.n_queries, 'synthetic row')}, nearest to {counted(closer.nearer_train, 'train row')} "
            f"and {counted(closer.nearer_holdout, 'holdout row')}; 99 % interval"
        ),
    )


def _reason(verdict: GateVerdict, everywhere: _Closer, closest: _Closer) -> str:
    found = (
        f"{everywhere.value:.1%} of the synthetic rows lie nearer to train than to as many holdout rows, "
        f"and {closest.value:.1%} of the {closest.n_queries:,} that stand out most by their nearness"
    )
    p_values = f"{chance(everywhere.p_value)} and {chance(closest.p_value)}"
    if verdict == "PASS":
        return f"{found}; chance explains both ({p_values})."
    return f"{found} ({p_values}); 50 % is what rows show that owe nothing to single train rows."


def _detection_limit(everywhere: _Closer, closest: _Closer, below: float) -> str:
    copies = min(1.0, 2.0 * (TOLERATED_SHARE - 0.5 + (Z_99 + Z_POWER) * everywhere.deviation))
    told = f"A share of near copies of {copies:.1%} is refused with 95 % power by the share of all rows"
    fewest = detectable_excess(closest.nearer_holdout, closest.n_train, closest.n_holdout, below)
    if fewest is None:
        return f"{told}."
    return (
        f"{told}; near copies of {counted(max(fewest - closest.nearer_holdout, 0), 'record')} among those compared "
        f"by the closest rows ({everywhere.n_queries:,} synthetic rows and {closest.n_train:,} records a side)."
    )
