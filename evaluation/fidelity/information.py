"""How much one column tells about another, in bits of their levels: it sees relations that no correlation sees."""

from __future__ import annotations

import numpy as np

from ..statistics import FloatArray, IntArray
from .association import filled_cells


def normalised_information(
    codes: tuple[IntArray, ...], sizes: tuple[int, ...], pairs: list[tuple[int, int]]
) -> FloatArray:
    """Return each pair's mutual information over the root of the product of their entropies, in [0, 1].

    It is NaN where a column has one level. Source: Strehl and Ghosh 2002, JMLR 3, eq. 2.

    Example:
        >>> x, y = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
        >>> normalised_information((x, x, y), (2, 2, 2), [(0, 1), (0, 2)])
        array([1., 0.])

    """
    alone = [entropy(filled_cells(x, size)[1]) for x, size in zip(codes, sizes, strict=True)]
    found = np.full(len(pairs), np.nan)
    for k, (i, j) in enumerate(pairs):
        scale = np.sqrt(alone[i] * alone[j])
        if scale > 0:
            together = entropy(filled_cells(codes[i] * sizes[j] + codes[j], sizes[i] * sizes[j])[1])
            found[k] = (alone[i] + alone[j] - together) / scale
    return np.asarray(np.clip(found, 0.0, 1.0))


def entropy(counts: IntArray) -> float:
    """Return the entropy in bits of counts that are all above 0.

    Example:
        >>> entropy(np.array([2, 2]))
        1.0

    """
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())
