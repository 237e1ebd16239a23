"""Numbers as levels: their distinct values, or bins that hold about equally many train rows, for every table alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..features import Frame
from ..statistics import FloatArray, IntArray


def ordered(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the distinct values in order, and for each cell its place among them; -1 for missing.

    Values are hashed and the distinct ones sorted: columns of large tables repeat theirs.

    Example:
        >>> ordered(np.array([5.0, np.nan, 2.0, 5.0]))
        (array([2., 5.]), array([ 1, -1,  0,  1]))

    """
    codes, points = pd.factorize(values, sort=True)
    return points, codes.astype(np.int64)


def quantile_edges(known: FloatArray, n_bins: int) -> FloatArray:
    """Return the inner edges of at most `n_bins` bins with about equally many of the present values; outer ones open.

    Example:
        >>> quantile_edges(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), 2)
        array([2.5])

    """
    present = known[~np.isnan(known)]
    return np.unique(np.quantile(present, np.arange(1, n_bins) / n_bins)) if len(present) else np.zeros(0)


def quantile_codes(train: FloatArray, n_bins: int, *tables: FloatArray) -> list[IntArray]:
    """Return the bin of every value of each table, by train's edges; -1 for missing."""
    edges = quantile_edges(train, n_bins)
    return [np.where(np.isnan(x), -1, np.searchsorted(edges, x, side="left")).astype(np.int64) for x in tables]


def levels(train: Frame, other: Frame, index: int, n_bins: int, n_labels: int) -> tuple[IntArray, int]:
    """Return a column of `other` as levels, and how many there are; the last level is missing.

    Numbers fall into at most `n_bins` bins by train's quantiles; the labels from the `n_labels`-th on, which are rarest
    in train, are one.
    """
    if train.features[index].categorical:
        n_levels = min(len(train.features[index].labels), n_labels)
        codes = np.asarray(other.columns[index], dtype=np.int64)
        return np.where(codes < 0, n_levels, np.minimum(codes, n_levels - 1)), n_levels + 1
    (codes,) = quantile_codes(train.numbers(index), n_bins, other.numbers(index))
    return np.where(codes < 0, n_bins, codes), n_bins + 1
