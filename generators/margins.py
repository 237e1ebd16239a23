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

from pipeline.encoded import BoolArray, Rows
from pipeline.errors import ConfigError, DataError

Shares = Mapping[Any, float]
Weights = npt.NDArray[np.float64]

MOST_SWEEPS, TOLERANCE = 1_000, 1e-6


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


def rake(groups: Sequence[BoolArray], shares: Sequence[Sequence[float]]) -> Weights:
    """Return weights of rows **(n_rows,)** that sum up to one, under which every column has its shares.

    Args:
        groups: of each column which rows have each value, bool **(n_values, n_rows)**; rows with none get no weight.
        shares: of each column's values, positive.

    Raises:
        DataError: no weights of the rows have all these shares.

    Example:
        >>> women, sick = np.array([True, True, False]), np.array([True, False, True])
        >>> rake([np.stack([women, ~women]), np.stack([sick, ~sick])], [[1, 1], [3, 1]]).round(3).tolist()
        [0.25, 0.25, 0.5]
    """
    weights = np.logical_and.reduce([group.any(0) for group in groups]).astype(np.float64)
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


def systematic(weights: Weights, n: int, order: Rows, rng: np.random.Generator) -> Rows:
    """Draw n of the rows **(n,)** in proportion to their weights; neighbours in `order` get their joint share to one.

    Source: Madow 1949, doi:10.1214/aoms/1177729988.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> systematic(np.array([0.5, 0.25, 0.25]), 4, np.arange(3), rng).tolist()
        [0, 0, 1, 2]
    """
    cumulative = np.cumsum(weights[order])
    points = (np.arange(n) + rng.random()) / n * cumulative[-1]
    chosen: Rows = order[np.minimum(np.searchsorted(cumulative, points, side="right"), len(order) - 1)]
    return chosen
