"""Rows of one level: is each group as large as in train, and are its columns distributed as in train's group?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..references import at_size, shuffled
from ..report import MISSING_LABEL, OTHER_LABEL, Subgroup
from ..statistics import Z_95, FloatArray, IntArray
from .bins import levels

ERROR = Definition(
    "subgroup_error", "subgroups", 0.0, 1.0, "mean over the other columns of KS or TVD within the rows of a level"
)
SHARE = Definition("subgroup_share_error", "subgroups", 0.0, 1.0, "|difference of the level's shares of rows|")
WORST = Definition(
    "worst_subgroup_error", "subgroups", 0.0, 1.0, "subgroup_error of the level that most surely exceeds its ceiling"
)

MIN_CARRIERS = 20
"""Levels that fewer train rows carry are pooled, and never named: they would point to persons."""
MIN_HOLDOUT = 20
"""With fewer holdout rows a group has no ceiling, and is not judged."""
MAX_GROUPS = 40
"""Levels of one column; those after the most frequent ones are pooled."""
MAX_COLUMNS = 30
N_BINS, N_LABELS = 20, 50
N_REPORTED = 50


def measure_subgroups(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure every level of the categorical columns, the target first, of at most 30 columns.

    A group's error is the mean over the other columns of the distance between its synthetic and its train rows;
    numbers are compared over 20 bins of train's quantiles. A level that the synthetic table lost has error 1. Groups
    come worst first by how far the lower end of their interval exceeds their ceiling, since small groups differ by
    chance; the first is the overall number. Ceiling: the group's
    holdout rows at the size of its synthetic rows. Floor: the group's rows of train with every column shuffled on its
    own; for a share, the level left out.
    """
    del config  # small groups need every row
    reason, applicable = _reason(frames)
    if reason:
        return Findings((WORST.unmeasured(reason, applicable=applicable),))
    floor = shuffled(frames.train, numpy_rng(seed, "subgroups", "floor"))
    tables = (frames.train, frames.synthetic, frames.holdout, floor)
    binned = [[levels(frames.train, table, i, N_BINS, N_LABELS) for i in _every(frames)] for table in tables]
    found = [group for index in _grouping(frames) for group in _groups(frames, binned, tables, index)]
    if not found:
        return Findings((WORST.unmeasured(f"no level has {MIN_CARRIERS} rows in train and {MIN_HOLDOUT} in holdout"),))
    found.sort(key=lambda group: (-group.excess, group.column, group.label))
    return Findings((_worst(found[0]),), subgroups=tuple(_reported(g, frames) for g in found[:N_REPORTED]))


def _reason(frames: Frames) -> tuple[str, bool]:
    if not min(frames.train.n_rows, frames.holdout.n_rows, frames.synthetic.n_rows):
        return "a table has no row", True
    if len(frames.features) < 2:
        return "a table of one column has no other column to compare", True
    return ("", True) if _grouping(frames) else ("the table has no categorical column", False)


def _every(frames: Frames) -> range:
    return range(len(frames.features))


def _grouping(frames: Frames) -> list[int]:
    """Return the categorical columns, the target first."""
    chosen = [i for i in _every(frames) if frames.features[i].categorical]
    return sorted(chosen, key=lambda i: i != frames.target)[:MAX_COLUMNS]


@dataclass(frozen=True)
class Group:
    """The rows of one level, and how they compare.

    `sizes` are numbers of rows in train, synthetic and holdout; `error`, `ceiling` and `floor` are mean column errors.
    """

    column: str
    label: str
    sizes: tuple[int, int, int]
    error: float
    reach: float
    ceiling: float
    floor: float

    @property
    def excess(self) -> float:
        """How far the error lies above its ceiling for certain: the lower end of its interval counts."""
        return self.error - self.reach - self.ceiling


Binned = list[tuple[IntArray, int]]


def _groups(frames: Frames, binned: list[Binned], tables: tuple[Frame, ...], index: int) -> list[Group]:
    """Return the groups of one column that have enough rows to be judged."""
    target, labels = _named(frames, index)
    members = [target[np.asarray(table.columns[index], dtype=np.int64)] for table in tables]
    sizes = [np.bincount(group, minlength=len(labels)) for group in members]
    others = [i for i in _every(frames) if i != index]
    counts = [[_cross(members[t], binned[t][i], len(labels)) for i in others] for t in range(len(tables))]
    kinds = [frames.features[i].categorical for i in others]
    errors = [_mean_error(counts[t], counts[0], kinds) for t in range(1, len(tables))]
    reach = _reach(members[:2], [[binned[t][i][0] for i in others] for t in (0, 1)], counts[:2], kinds)
    n_train, n_synthetic, n_holdout, _ = (np.maximum(size, 1) for size in sizes)
    judged = (sizes[0] >= MIN_CARRIERS) & (sizes[2] >= MIN_HOLDOUT)
    return [
        Group(
            column=frames.features[index].name,
            label=labels[g],
            sizes=(int(sizes[0][g]), int(sizes[1][g]), int(sizes[2][g])),
            error=float(errors[0][g]),
            reach=float(reach[g]),
            ceiling=_honest(float(errors[1][g]), int(n_holdout[g]), int(n_synthetic[g]), int(n_train[g])),
            floor=float(errors[2][g]),
        )
        for g in np.flatnonzero(judged)
    ]


def _named(frames: Frames, index: int) -> tuple[IntArray, tuple[str, ...]]:
    """Return the group of every code, the last entry for missing, and the groups' labels.

    Rare levels share a group, and with them levels that train lacks.
    """
    codes, labels = np.asarray(frames.train.columns[index], dtype=np.int64), frames.features[index].labels
    carriers = np.bincount(codes[codes >= 0], minlength=len(labels))
    named = np.flatnonzero(carriers[:MAX_GROUPS] >= MIN_CARRIERS)  # codes are in the order of their frequency
    group = np.full(len(labels) + 1, len(named), dtype=np.int64)
    group[named] = np.arange(len(named))
    group[-1] = len(named) + 1
    return group, (*(labels[k] for k in named), OTHER_LABEL, MISSING_LABEL)


def _cross(group: IntArray, column: tuple[IntArray, int], n_groups: int) -> FloatArray:
    """Return how many rows of each group have each level of another column, **(n_groups, n_levels)**."""
    codes, n_levels = column
    counts = np.bincount(group * n_levels + codes, minlength=n_groups * n_levels)
    return counts.reshape(n_groups, n_levels).astype(np.float64)


def _mean_error(ours: list[FloatArray], theirs: list[FloatArray], categorical: list[bool]) -> FloatArray:
    """Return the mean over columns of each group's distance; 1 where our group has no row."""
    parts = [_distance(x, y, kind) for x, y, kind in zip(ours, theirs, categorical, strict=True)]
    empty = ours[0].sum(axis=1) == 0
    return np.where(empty, 1.0, np.mean(parts, axis=0))


def _distance(ours: FloatArray, theirs: FloatArray, categorical: bool) -> FloatArray:
    difference = _shares(ours, categorical) - _shares(theirs, categorical)
    return np.asarray((_witness(ours, theirs, categorical) * difference).sum(axis=1))


def _shares(counts: FloatArray, categorical: bool) -> FloatArray:
    """Return each group's shares; missing, the last level, counts for categories only."""
    kept = counts if categorical else counts * (np.arange(counts.shape[1]) < counts.shape[1] - 1)
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1.0))


def _witness(ours: FloatArray, theirs: FloatArray, categorical: bool) -> FloatArray:
    """Return each group's witness, see `statistics`: of the total variation, or over ordered bins of the widest gap."""
    difference = _shares(ours, categorical) - _shares(theirs, categorical)
    if categorical:
        return np.asarray(0.5 * np.sign(difference))
    gap = np.cumsum(difference, axis=1)
    widest = np.abs(gap).argmax(axis=1)[:, None]
    below = np.arange(gap.shape[1]) <= widest
    return np.where(below, np.sign(np.take_along_axis(gap, widest, axis=1)), 0.0)


def _reach(
    members: list[IntArray], codes: list[list[IntArray]], counts: list[list[FloatArray]], categorical: list[bool]
) -> FloatArray:
    """Return half the width of each group's 95 % interval, from what every train and synthetic row adds to the mean."""
    theirs, ours = counts
    variance = np.zeros(len(ours[0]))
    witnesses = [_witness(x, y, c) for x, y, c in zip(ours, theirs, categorical, strict=True)]
    for group, columns in zip(members, codes, strict=True):
        size = np.bincount(group, minlength=len(variance)).astype(np.float64)
        score = np.mean([w[group, column] for w, column in zip(witnesses, columns, strict=True)], axis=0)
        total, squares = (np.bincount(group, values, minlength=len(variance)) for values in (score, np.square(score)))
        n = np.maximum(size, 1.0)
        variance += np.maximum(squares / n - np.square(total / n), 0.0) / n
    return np.asarray(Z_95 * np.sqrt(variance))


def _honest(error: float, n_holdout: int, n_synthetic: int, n_train: int) -> float:
    return min(1.0, at_size(error, measured_on=n_holdout, n_rows=n_synthetic, n_train=n_train))


def _worst(group: Group) -> Measurement:
    return _error(group, WORST, "")


def _error(group: Group, definition: Definition, subject: str) -> Measurement:
    interval = (max(0.0, group.error - group.reach), min(1.0, group.error + group.reach))
    return definition.measured(
        group.error,
        n_rows=group.sizes[1],
        interval=interval,
        ceiling=group.ceiling,
        floor=group.floor,
        subject=subject,
    )


def _share_error(group: Group, frames: Frames) -> Measurement:
    n_train, n_synthetic, n_holdout = frames.train.n_rows, frames.synthetic.n_rows, frames.holdout.n_rows
    p, q, r = (size / n for size, n in zip(group.sizes, (n_train, n_synthetic, n_holdout), strict=True))
    reach = Z_95 * float(np.sqrt(p * (1 - p) / n_train + q * (1 - q) / n_synthetic))
    return SHARE.measured(
        abs(p - q),
        n_rows=n_synthetic,
        interval=(max(0.0, abs(p - q) - reach), min(1.0, abs(p - q) + reach)),
        ceiling=at_size(abs(p - r), measured_on=n_holdout, n_rows=n_synthetic, n_train=n_train),
        floor=p,
        subject=group.label,
    )


def _reported(group: Group, frames: Frames) -> Subgroup:
    return Subgroup(
        column=group.column,
        level=group.label,
        share_train=group.sizes[0] / frames.train.n_rows,
        share_synthetic=group.sizes[1] / frames.synthetic.n_rows,
        measurements=(_error(group, ERROR, group.label), _share_error(group, frames)),
    )
