"""Singling out: conditions read off the synthetic table that hold for exactly one original row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features import Frame, Values
from ..statistics import BoolArray, FloatArray, IntArray

WINDOW = 0.01
"""A condition on a number holds within this share of the 2.5-97.5 % range on either side."""
N_CONJUNCTIONS = 3_000
GLANCED_ROWS = 1_000
"""Rows that say how many columns a condition needs at least, and which of them leaves the fewest rows."""


@dataclass(frozen=True)
class Isolation:
    """How many conditions single out one row of train, and one of as many holdout rows."""

    train: int
    holdout: int
    n_conditions: int


def by_one_column(train: Frame, holdout: Frame, synthetic: Frame) -> Isolation:
    """Try every condition "this column has this value" whose value exactly one synthetic row has.

    `train` and `holdout` have equal numbers of rows; otherwise the larger would be singled out less often.
    """
    counted = [_isolated(train, holdout, synthetic, i) for i in range(len(train.features))]
    totals = np.sum(counted, axis=0, dtype=np.int64).reshape(-1) if counted else np.zeros(3, dtype=np.int64)
    return Isolation(*(int(total) for total in totals))


def by_several_columns(train: Frame, holdout: Frame, synthetic: Frame, rng: np.random.Generator) -> Isolation:
    """Try conditions on several columns, each made until exactly one synthetic row is left.

    A condition starts at a synthetic row and takes its columns in random order: the same level, or a number close by.
    """
    rulers = [_ruler(train.join(holdout), i) for i in range(len(train.features))]
    tables = [_scaled(frame, rulers) for frame in (synthetic, train, holdout)]
    glanced = tables[0][:, :: max(1, synthetic.n_rows // GLANCED_ROWS)].copy()
    conditions = [
        found
        for row in rng.permutation(synthetic.n_rows)[:N_CONJUNCTIONS]
        if (found := _conjunction(tables[0], glanced, int(row), rng.permutation(len(rulers)))) is not None
    ]
    hits = [
        sum(len(_agreeing(table, tables[0][:, row], columns)) == 1 for row, columns in conditions)
        for table in tables[1:]
    ]
    return Isolation(hits[0], hits[1], len(conditions))


def _isolated(train: Frame, holdout: Frame, synthetic: Frame, index: int) -> tuple[int, int, int]:
    """Return the conditions of one column that hold once in train and in holdout, and all."""
    values, counts = np.unique(_present(synthetic, index), return_counts=True)
    alone = values[counts == 1]
    return _held_once(train, index, alone), _held_once(holdout, index, alone), len(alone)


def _held_once(frame: Frame, index: int, values: Values) -> int:
    own, counts = np.unique(_present(frame, index), return_counts=True)
    return int(np.isin(values, own[counts == 1]).sum())


def _present(frame: Frame, index: int) -> Values:
    return frame.columns[index][~frame.missing(index)]


def _ruler(pooled: Frame, index: int) -> float:
    """Return what to multiply a column with so that two values match where they differ by at most 1."""
    if pooled.features[index].categorical:
        return 2.0
    known = pooled.numbers(index)[~pooled.missing(index)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 0.0)
    return float(1.0 / (WINDOW * (high - low))) if high > low else 1.0


def _scaled(frame: Frame, rulers: list[float]) -> FloatArray:
    """Return float64 **(n_features, n_rows)**; missing lies apart from every value."""
    columns = [np.where(frame.missing(i), -1e30, frame.numbers(i) * ruler) for i, ruler in enumerate(rulers)]
    return np.array(columns).reshape(len(rulers), frame.n_rows)


def _conjunction(
    synthetic: FloatArray, glanced: FloatArray, row: int, columns: IntArray
) -> tuple[int, IntArray] | None:
    """Return the row and the first of `columns` that leave it alone in the synthetic table; None where none do.

    While two of the glanced rows agree with it, more columns are needed; rows that agree in those are looked for by the
    rarest agreement first. Neither changes what is found.
    """
    close = _close(glanced[columns], synthetic[columns, row][:, None])
    needed = int((np.logical_and.accumulate(close).sum(axis=1) > 1).sum()) + 1
    if needed > len(columns):
        return None
    left = _agreeing(synthetic, synthetic[:, row], columns[np.argsort(close[:needed].sum(axis=1), kind="stable")])
    for used in range(needed, len(columns)):
        if len(left) == 1:
            return row, columns[:used]
        left = left[_close(synthetic[columns[used], left], synthetic[columns[used], row])]
    return (row, columns) if len(left) == 1 else None


def _agreeing(table: FloatArray, cells: FloatArray, columns: IntArray) -> IntArray:
    """Return the rows of a table that agree with `cells` in all of the given columns."""
    left = np.flatnonzero(_close(table[columns[0]], cells[columns[0]]))
    for column in columns[1:]:
        left = left[_close(table[column, left], cells[column])]
    return left


def _close(values: FloatArray, value: float | FloatArray) -> BoolArray:
    return np.asarray(np.abs(values - value) <= 1.0)
