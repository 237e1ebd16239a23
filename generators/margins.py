"""Shares of the values of several columns at once: the nearest distribution to the learned one that has them.

Rows of a pool that the model drew are weighted until every column has its shares, by iterative proportional fitting:
Deming and Stephan 1940, doi:10.1214/aoms/1177731829. The limit is the distribution with these margins that is nearest
to the pool's in relative entropy: Csiszár 1975, doi:10.1214/aop/1176996454.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack
from scipy.special import logit

from pipeline.encoded import BoolArray, Rows
from pipeline.errors import ConfigError, DataError

Shares = Mapping[Any, float]
Weights = npt.NDArray[np.float64]

MOST_SWEEPS, TOLERANCE = 1_000, 1e-6
ROUNDING, SMALLEST_PART = 1e-9, 1e-12


def apportion(n: int, shares: Shares) -> dict[Any, int]:
    """Return how many of n rows each value gets, by largest remainder.

    Raises:
        ConfigError: there is no share, or one is not positive.

    Example:
        >>> apportion(10, {"a": 1, "b": 2})
        {'a': 3, 'b': 7}
    """
    refuse_bad_shares(shares)
    exact = n * np.array(list(shares.values())) / sum(shares.values())
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return dict(zip(shares, counts.tolist(), strict=True))


def refuse_bad_shares(shares: Shares) -> None:
    """Refuse shares that are none.

    Raises:
        ConfigError: there is no share, or one is not positive.
    """
    if not shares or not all(math.isfinite(share) and share > 0 for share in shares.values()):
        actual = ", ".join(f"{value!r}: {share}" for value, share in shares.items()) or "none"
        raise ConfigError("shares must be positive numbers", actual=actual, remedy="leave out values of share 0")


def members(pool: pa.Table, margins: Mapping[str, Mapping[Any, pa.Scalar]]) -> dict[str, BoolArray]:
    """Return by column which rows of a pool have each value, bool **(n_values, n_rows)**.

    Args:
        pool: the rows.
        margins: by column the values as they were given, and as cells.

    Raises:
        DataError: a value is nowhere in the pool.
    """
    found = {
        column: np.stack([_equal(pool[column], cell) for cell in cells.values()]) for column, cells in margins.items()
    }
    for column, cells in margins.items():
        for value, rows in zip(cells, found[column], strict=True):
            if not rows.any():
                rule = f'{value!r} of column "{column}" must be met among the rows that the model draws'
                actual = f"none of {pool.num_rows:,} rows"
                raise DataError(rule, actual=actual, remedy="leave that value out, or rebalance that column alone")
    return found


def _equal(cells: pa.ChunkedArray, wanted: pa.Scalar) -> BoolArray:
    met = pc.equal(cells, wanted).fill_null(False) if wanted.is_valid else pc.is_null(cells)
    equal: BoolArray = met.to_numpy()
    return equal


def rake(groups: Sequence[BoolArray], shares: Sequence[Sequence[float]], start: Weights | None = None) -> Weights:
    """Return weights of rows **(n_rows,)** that sum up to one, under which every column has its shares.

    Args:
        groups: of each column which rows have each value, bool **(n_values, n_rows)**; rows with none get no weight.
        shares: of each column's values, positive.
        start: weights to begin with **(n_rows,)**, the same for all unless given.

    Raises:
        DataError: no weights of the rows have all these shares.

    Example:
        >>> women, sick = np.array([True, True, False]), np.array([True, False, True])
        >>> rake([np.stack([women, ~women]), np.stack([sick, ~sick])], [[1, 1], [3, 1]]).round(3).tolist()
        [0.25, 0.25, 0.5]
    """
    has_values = np.logical_and.reduce([group.any(0) for group in groups])
    weights = has_values * (np.ones(len(has_values)) if start is None else start)
    wanted = [np.asarray(share, np.float64) / np.sum(share) for share in shares]
    for _ in range(MOST_SWEEPS):
        for group, share in zip(groups, wanted, strict=True):
            has = group @ weights
            if not (has > 0).all():
                break
            weights = weights * (group.T @ (share / has))
        else:
            error = max(
                float(np.abs(group @ weights - share).max()) for group, share in zip(groups, wanted, strict=True)
            )
            if error < TOLERANCE:
                found: Weights = weights / weights.sum()
                return found
            continue
        break
    rule = "the margins must be possible together"
    raise DataError(rule, actual="no mixture of rows that the model draws has them", remedy="relax one of them")


def drawn_counts(
    n: int, groups: Sequence[BoolArray], shares: Sequence[Sequence[float]], rng: np.random.Generator
) -> Rows:
    """Draw how often each row of a pool is taken **(n_rows,)**, n in all, in proportion to the raked weights.

    The rows with the same value in every column are a cell. A cell gets its expected count rounded up or down, at
    random and in such a way that every value's count is its share of n rounded up or down, too: controlled rounding,
    which between two columns always exists (Cox 1987, doi:10.1080/01621459.1987.10478456). Where more columns leave
    none, the values' counts are as near as they can be.

    Args:
        n: rows.
        groups: as in `rake`.
        shares: as in `rake`.
        rng: what rounds.

    Raises:
        DataError: as in `rake`.

    Example:
        >>> women, sick = np.array([True, True, False, False]), np.array([True, False, True, False])
        >>> groups = [np.stack([women, ~women]), np.stack([sick, ~sick])]
        >>> counts = drawn_counts(10, groups, [[1, 1], [3, 7]], np.random.default_rng(0))
        >>> counts.sum().item(), [(group @ counts).tolist() for group in groups]
        (10, [[5, 5], [3, 7]])
    """
    kept = np.flatnonzero(np.logical_and.reduce([group.any(0) for group in groups]))
    codes = np.stack([group[:, kept].argmax(0) for group in groups], axis=1)
    cells, first, n_alike = np.unique(codes, axis=0, return_index=True, return_counts=True)
    values = [np.equal.outer(np.arange(len(group)), cells[:, i]) for i, group in enumerate(groups)]
    weights = rake(values, shares, n_alike.astype(np.float64))
    totals = np.concatenate([n * np.asarray(share) / np.sum(share) for share in shares])
    counts = np.zeros(groups[0].shape[1], np.intp)
    counts[kept[first]] = _rounded(n * weights, np.concatenate(values), totals, rng)
    return counts


def _rounded(expected: Weights, of_value: BoolArray, totals: Weights, rng: np.random.Generator) -> Rows:
    """Round the expected counts of cells **(n_cells,)**, and the totals **(n_values,)** of the cells of each value.

    Each cell alone would be rounded up as often as its fraction says: where its logit with logistic noise is positive.
    Of the roundings that fit the totals, the one is taken that has the largest sum of these.
    """
    down = np.floor(expected)
    part = np.clip(expected - down, SMALLEST_PART, 1 - SMALLEST_PART)
    wish = logit(part) + rng.logistic(size=len(part))
    inside = csr_array(of_value.astype(np.float64))
    n_values, n_cells = inside.shape
    amiss = np.full(2 * n_values, np.abs(wish).sum() + 1)  # costs more than any rounding can win
    n_up = round(expected.sum() - down.sum())
    found = milp(
        np.concatenate([-wish, amiss]),
        integrality=np.ones(n_cells + 2 * n_values),
        bounds=Bounds(0, np.concatenate([np.ones(n_cells), np.full(2 * n_values, np.inf)])),
        constraints=[
            LinearConstraint(
                hstack([inside, eye_array(n_values), -eye_array(n_values)]),
                np.floor(totals + ROUNDING) - of_value @ down,
                np.ceil(totals - ROUNDING) - of_value @ down,
            ),
            LinearConstraint(np.concatenate([np.ones(n_cells), np.zeros(2 * n_values)])[None], n_up, n_up),
        ],
    )
    assert found.x is not None  # `amiss` leaves no problem without a solution
    rounded: Rows = (down + found.x[:n_cells].round()).astype(np.intp)
    return rounded
