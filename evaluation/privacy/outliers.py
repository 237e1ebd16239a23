"""G5: are outliers and small classes, whose records are the easiest to recognise, repeated or approached?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng

from ..features import Frame, Frames
from ..report import PrivacyTest, TestPart
from ..statistics import BoolArray, FloatArray, IntArray
from .boxes import Boxes
from .decisions import (
    FAIL_BELOW,
    REVIEW_BELOW,
    chance,
    clopper_pearson,
    combined,
    counted,
    excess_p,
    gravest,
    too_few_rows,
    undecided,
    verdict_of,
    worst,
    worst_first,
)
from .neighbours import nearest_distance
from .records import RowKeys, Singles
from .space import Space

STATISTIC = "share of train members closer to a synthetic row than 95 % of the holdout members"
RULE = f"PASS: p >= {REVIEW_BELOW:g}; FAIL: p < {FAIL_BELOW:g}"
SOURCE = "outliers by the distance to a random sample (Sugiyama and Borgwardt 2013); exact under relabelling"
OUTLIERS = "outliers"
OUTLIER_SHARE, MIN_OUTLIERS = 0.05, 200
OUTLIER_WEIGHT = 0.5
"""Half of the test's error goes to the outliers, the other half to the small classes together."""
NEIGHBOURS = 5
SAMPLE_ROWS = 2_000
"""Original rows that outlyingness is measured against: a sample finds outliers as well as the whole table does."""
RARE_SHARE = 0.05
MIN_MEMBERS = 40
"""Of fewer records, half of them train's, too few can be repeated to be told from chance."""
MOST_LEVELS = 50
MOST_CLASSES = 10
FEWEST_SEARCHED, MOST_COMPARED = 100, 10**9
"""How many members of a group are searched at least, and how many pairs of cells are compared: some seconds."""
CLOSEST_SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""The closest members of a group that are looked at: a leak may concern few of them or all."""
FALSE_POSITIVES = 0.05


def judge_outliers(frames: Frames, *, seed: int, near: Frame | None = None) -> PrivacyTest:
    """Test the outliers, each rarer class of the target, and each column's rare levels for copies and near copies.

    Outliers are the 5 % (at least 200) of the original records that differ from all others with the largest mean
    distance to the nearest five rows of a random sample, numbers in units of their range. A member is **approached** by
    its distance to the nearest synthetic row, over its own distance to the sample. Both are measured without looking at
    whether a record is train's, so the labels of the members are exchangeable under an honest generator: of those
    repeated or approached the most, train's number is hypergeometric. `near` are the synthetic rows whose approach is
    measured, where all of them are too many; copies are counted among all.

    Source: Sugiyama and Borgwardt 2013, Rapid distance-based outlier detection via sampling, NeurIPS.
    """
    reason = too_few_rows(frames)
    if reason:
        return undecided("g5_outliers", "NOT TESTABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    keys = RowKeys(frames)
    singles = keys.singles(keys.over(range(len(keys.names))))
    if len(singles.rows) < MIN_OUTLIERS:
        reason = f"{counted(len(singles.rows), 'original row')} differ from all others; {MIN_OUTLIERS} are needed."
        return undecided("g5_outliers", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    groups = _Members(frames, near or frames.synthetic, singles, seed).examined()
    return _decided(frames, groups)


@dataclass(frozen=True)
class _Group:
    """What became of the members of one group.

    Attributes:
        name: what the group is, without a value of the table.
        singles: its records, and which are repeated.
        approached: for the searched members, closest first, whether each is train's.

    """

    name: str
    singles: Singles
    approached: BoolArray

    def approached_p(self) -> float:
        """Return how often chance puts as many train records among the closest members, at several depths."""
        n, n_train = len(self.approached), int(self.approached.sum())
        p_values = []
        for depth in {max(1, round(share * n)) for share in CLOSEST_SHARES}:
            hits = int(self.approached[:depth].sum())
            p_values.append(excess_p(hits, depth - hits, n_train, n - n_train))
        return combined(p_values)

    def p_value(self) -> float:
        """Return the p-value of copies and near copies together."""
        return combined([self.singles.p_value(), self.approached_p()])

    def true_positives(self) -> tuple[int, int]:
        """Return how many train members lie closer than all but 5 % of the holdout members, and of how many."""
        others = np.cumsum(~self.approached)
        n_train = int(self.approached.sum())
        allowed = int(FALSE_POSITIVES * (len(self.approached) - n_train))
        return int((self.approached & (others <= allowed)).sum()), n_train


class _Members:
    """The records that differ from all others, with their outlyingness, and the synthetic rows near them."""

    def __init__(self, frames: Frames, near: Frame, singles: Singles, seed: int) -> None:
        self._frames, self._singles = frames, singles
        self._rng = numpy_rng(seed, "privacy", "outliers")
        self._real = frames.train.join(frames.holdout)
        self._space = Space(self._real)
        self._points = self._space.place(self._real)
        self._synthetic = Boxes(self._space, self._space.place(near))
        self._outlyingness = self._distance_to_sample()

    def examined(self) -> list[_Group]:
        """Return every group, the outliers first."""
        small = [*self._classes(), *self._rare_levels()]
        outliers = self._group(OUTLIERS, self._outliers(), max(MIN_OUTLIERS, self._affordable(1)))
        most = max(FEWEST_SEARCHED, self._affordable(len(small)))
        return [outliers, *(self._group(name, members, most) for name, members in small)]

    def _affordable(self, n_groups: int) -> int:
        """Return how many members of each group to search: among many synthetic rows fewer."""
        synthetic = self._synthetic.references
        return MOST_COMPARED // (max(n_groups, 1) * len(synthetic) * synthetic.n_columns)

    def _distance_to_sample(self) -> FloatArray:
        """Return for every record the mean distance to its five nearest sampled rows; a row does not see itself."""
        space = Space(self._real, ranks=False)
        sampled = self._rng.permutation(self._real.n_rows)[:SAMPLE_ROWS]
        sample = self._points.take(sampled)
        records = self._points.take(self._singles.rows)
        k = min(NEIGHBOURS, len(sampled) - 1)
        found = k * nearest_distance(space, records, sample, k=k)
        inside = np.isin(self._singles.rows, sampled)
        own = records.take(np.flatnonzero(inside))
        found[inside] = (k + 1) * nearest_distance(space, own, sample, k=k + 1)
        return found / k

    def _outliers(self) -> BoolArray:
        n = max(MIN_OUTLIERS, round(OUTLIER_SHARE * len(self._singles.rows)))
        order = np.lexsort((self._rng.random(len(self._outlyingness)), -self._outlyingness))
        members = np.zeros(len(order), dtype=np.bool_)
        members[order[:n]] = True
        return members

    def _classes(self) -> Iterator[tuple[str, BoolArray]]:
        """Yield every class of the target but the commonest; they are named by their place, not by their label."""
        target = self._frames.target
        if target is None or not self._frames.features[target].categorical:
            return
        codes, sizes = self._codes(target)
        for place, level in enumerate(np.argsort(-sizes, kind="stable")[1 : MOST_CLASSES + 1], start=2):
            if (codes == level).sum() >= MIN_MEMBERS:
                yield f'class {place} of "{self._frames.features[target].name}" by size', codes == level

    def _rare_levels(self) -> Iterator[tuple[str, BoolArray]]:
        for index, feature in enumerate(self._frames.features):
            if feature.categorical and index != self._frames.target and len(feature.labels) <= MOST_LEVELS:
                codes, sizes = self._codes(index)
                members = np.isin(codes, np.flatnonzero(sizes <= RARE_SHARE * self._real.n_rows))
                if members.sum() >= MIN_MEMBERS:
                    yield f'rare levels of "{feature.name}"', members

    def _codes(self, index: int) -> tuple[IntArray, IntArray]:
        """Return the levels of the records, and how many original rows hold each level."""
        codes = self._real.codes(index)
        return codes[self._singles.rows], np.bincount(codes)

    def _group(self, name: str, members: BoolArray, most: int) -> _Group:
        places = self._rng.permutation(np.flatnonzero(members))
        searched = places[:most]
        rows = self._singles.rows[searched]
        distance = self._synthetic.nearest(self._points.take(rows), 1)[0][:, 0].astype(np.float64)
        own = np.maximum(self._outlyingness[searched], 1e-12)
        order = np.argsort(distance / own, kind="stable")  # the members are shuffled, so ties fall at random
        singles = Singles(self._singles.rows[places], self._singles.repeated[places], self._singles.n_train_rows)
        return _Group(name, singles, np.asarray(rows[order] < self._singles.n_train_rows))


def _decided(frames: Frames, groups: list[_Group]) -> PrivacyTest:
    weights = [OUTLIER_WEIGHT, *[(1 - OUTLIER_WEIGHT) / max(len(groups) - 1, 1)] * (len(groups) - 1)]
    p_values = [group.p_value() for group in groups]
    p_value = combined(p_values, weights)
    shares = [weight / sum(weights) for weight in weights]
    parts = [_part(*given) for given in zip(groups, p_values, shares, strict=True)]
    parts.append(
        TestPart(
            subject="all groups together", statistic="p-value", value=p_value, p_value=p_value,
            verdict=verdict_of(p_value), note="Cauchy combination; the outliers count as much as all classes",
        )
    )  # fmt: skip
    verdict, found = worst([part.verdict for part in parts]), gravest(parts)
    return PrivacyTest(
        name="g5_outliers",
        verdict=verdict,
        statistic=f"{found.statistic}: {found.subject}",
        value=found.value,
        interval=found.interval,
        p_value=p_value,
        rule=RULE,
        reason=_reason(p_value, verdict == "PASS", groups, p_values),
        detection_limit=_detection_limit(frames, groups[0], shares[0]),
        parts=worst_first(parts),
        source=SOURCE,
    )


def _part(group: _Group, p_value: float, share: float) -> TestPart:
    hits, n_train = group.true_positives()
    return TestPart(
        subject=group.name,
        statistic=STATISTIC,
        value=hits / max(n_train, 1),
        interval=clopper_pearson(hits, n_train) if n_train else (0.0, 1.0),
        p_value=p_value,
        verdict=verdict_of(min(1.0, p_value / share)),
        note=f"{group.singles.counts()}; 95 % interval",
    )


def _reason(p_value: float, passes: bool, groups: list[_Group], p_values: list[float]) -> str:
    if passes:
        told = f"Outliers and the members of {counted(len(groups) - 1, 'group')} of small classes"
        return f"{told} are repeated or approached no more if they are train's ({chance(p_value)})."
    group = groups[int(np.argmin(p_values))]
    hits, n_train = group.true_positives()
    return (
        f"Among {group.name}, train's records are singled out: {group.singles.counts()}; {hits / max(n_train, 1):.1%} "
        f"of train's lie closer to a synthetic row than 95 % of holdout's ({chance(p_value)})."
    )


def _detection_limit(frames: Frames, outliers: _Group, share: float) -> str:
    singles = outliers.singles
    fewest = singles.detectable(share * FAIL_BELOW / 2)
    if fewest is None:
        return f"Of {counted(len(singles.rows), 'outlier')}, no number of copies could be told from chance."
    return (
        f"Copies of {counted(fewest, 'train outlier')} ({fewest / frames.synthetic.n_rows:.2%} of the synthetic rows) "
        f"are refused; near copies where they are among the closest {CLOSEST_SHARES[0]:.0%} or more of the outliers."
    )
