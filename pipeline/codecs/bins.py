"""Bins over the numbers that do not repeat: neighbouring ranges, and the position of a number inside its range.

No edge is a number of train where the grid leaves a choice, and the outer edges leave out the extremes that too few
rows carry: numbers beyond are read as lying on the edge, and never come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.codecs.axis import Numbers
from pipeline.encoded import FloatArray

Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]

BELOW_ONE = float(np.nextafter(1.0, 0.0))
MAX_BINS = 64


class Bins(Protocol):
    """Ranges `low[i]` to `high[i]` that touch each other, in ascending order; there may be none."""

    @property
    def low(self) -> Numbers:
        """The lower edge of each bin."""
        ...

    @property
    def high(self) -> Numbers:
        """The upper edge of each bin."""
        ...

    def place(self, numbers: Numbers) -> Places:
        """Return the bin of each number; numbers beyond the edges go to the outer bins."""
        ...

    def position(self, numbers: Numbers, places: Places) -> FloatArray:
        """Return where in its bin each number lies, in [0, 1)."""
        ...

    def number(self, places: Places, positions: FloatArray) -> Numbers:
        """Return the number at each position; the inverse of `position`."""
        ...


def bins_from_edges(low: Numbers, high: Numbers, atoms: Numbers) -> Bins:
    """Return the bins of the given edges: over whole steps if they are integers, without the `atoms`; else over floats.

    Raises:
        ValueError: the edges are not in ascending order.
    """
    ascend = len(low) == len(high) and (low <= high).all() and (low[1:] >= high[:-1]).all()  # NaN never does
    if not ascend:
        raise ValueError("the edges of bins must ascend")
    return IntegerBins(low, high, atoms) if _on_grid(low) else FloatBins(low, high)


def fit_bins(unique: Numbers, counts: Counts, atoms: Numbers, *, protect: int, n_bins: int | None) -> Bins:
    """Return bins of about equal numbers of rows over the sorted numbers `unique`, met `counts` times each.

    None if fewer than 3 * `protect` rows are left for them, else at most `n_bins` (default: half the root of the number
    of rows) of at least 2 * `protect` rows. So every bin keeps at least `protect` rows even where all extremes are
    nearer to an atom than to the outer bin.

    Example:
        >>> numbers = np.arange(0, 1000, 10)
        >>> bins = fit_bins(numbers, np.ones(100, np.int64), numbers[:0], protect=5, n_bins=2)
        >>> bins.low.tolist(), bins.high.tolist()
        ([35, 495], [494, 955])
    """
    n_rows = int(counts.sum())
    if n_rows < 3 * protect:
        return bins_from_edges(unique[:0], unique[:0], atoms)
    axis = _without(unique, atoms) if _on_grid(unique) else unique
    wanted = n_bins or int(np.clip(round(np.sqrt(n_rows) / 2), 1, MAX_BINS))
    first, last = _inner_range(axis, counts, protect)
    starts = [_towards(axis[cut + 1], axis[cut]) for cut in _cuts(counts, wanted, 2 * protect)]
    low, high = np.array([first, *starts], unique.dtype), np.array([*starts, last], unique.dtype)
    if not _on_grid(unique):
        return bins_from_edges(low, high, atoms)
    high[:-1] -= 1  # on a grid both edges are inclusive
    return bins_from_edges(_with(low, atoms), _with(high, atoms), atoms)


def _on_grid(numbers: Numbers) -> bool:
    return bool(np.issubdtype(numbers.dtype, np.integer))


def _cuts(counts: Counts, n_bins: int, min_rows: int) -> list[int]:
    """Return after which of the sorted numbers to cut, so that every part has at least `min_rows` rows."""
    rows = np.cumsum(counts)
    cuts: list[int] = []
    begun = 0
    for cut in np.unique(np.searchsorted(rows, rows[-1] * np.arange(1, n_bins) / n_bins)):
        if rows[cut] - begun >= min_rows and rows[-1] - rows[cut] >= min_rows:
            cuts.append(int(cut))
            begun = rows[cut]
    return cuts


def _inner_range(axis: Numbers, counts: Counts, protect: int) -> tuple[float, float]:
    """Return the outer edges: the protect-th smallest and largest row, moved half way to the next row outside."""
    row_ends = np.cumsum(counts)
    near, far = protect - 1, max(protect - 2, 0)  # counted in rows from either end
    low = [axis[np.searchsorted(row_ends, row, side="right")] for row in (near, far)]
    high = [axis[np.searchsorted(row_ends, row_ends[-1] - 1 - row, side="right")] for row in (near, far)]
    return _towards(*low), _towards(*high)


def _towards(near: np.generic, far: np.generic) -> float:
    """Return the point half way from `near` to `far`, but never `far` itself: on a grid, a step nearer."""
    if isinstance(near, np.integer):
        gap = int(far) - int(near)  # Python's integers do not overflow
        return int(near) + (gap // 2 if gap > 0 else -(-gap // 2))
    middle = float(near) * 0.5 + float(far) * 0.5
    return float(near) if middle == float(far) else middle


def _without(numbers: Numbers, atoms: Numbers) -> Places:
    """Count the steps of the grid anew, as if the atoms were not there."""
    return (numbers - np.searchsorted(atoms, numbers)).astype(np.int64)


def _with(steps: Numbers, atoms: Numbers) -> Places:
    """Undo `_without`."""
    return (steps + np.searchsorted(atoms - np.arange(len(atoms)), steps, side="right")).astype(np.int64)


@dataclass(frozen=True)
class IntegerBins:
    """Bins of whole steps, both edges inclusive. The atoms inside are cut out, so that no position falls on one.

    Positions are exact in bins of up to 2^51 steps; in a wider one they are off by at most its width times 2^-51.
    """

    low: Numbers
    high: Numbers
    atoms: Numbers

    @cached_property
    def _first(self) -> Places:
        return _without(self.low, self.atoms)

    @cached_property
    def _span(self) -> npt.NDArray[np.uint64]:
        """How many steps follow the first one in each bin; up to 2^64 - 1."""
        return _without(self.high, self.atoms).view(np.uint64) - self._first.view(np.uint64)

    def place(self, numbers: Numbers) -> Places:
        """Return the bin of each number; numbers beyond the edges go to the outer bins."""
        return np.searchsorted(self.low[1:], numbers, side="right")

    def position(self, numbers: Numbers, places: Places) -> FloatArray:
        """Return the middle of each number's step, in units of its bin."""
        steps = _without(np.clip(numbers, self.low[0], self.high[-1]), self.atoms)
        offset = steps.view(np.uint64) - self._first[places].view(np.uint64)
        return np.minimum((offset + 0.5) / (self._span[places] + 1.0), BELOW_ONE)

    def number(self, places: Places, positions: FloatArray) -> Numbers:
        """Return the number whose step holds each position."""
        span = self._span[places]
        offset = np.minimum((positions * (span + 1.0)).astype(np.uint64), span)
        return _with((self._first[places].view(np.uint64) + offset).view(np.int64), self.atoms)


@dataclass(frozen=True)
class FloatBins:
    """Bins of floats, from the lower edge up to, and without, the upper one."""

    low: Numbers
    high: Numbers

    def place(self, numbers: Numbers) -> Places:
        """Return the bin of each number; numbers beyond the edges go to the outer bins."""
        return np.searchsorted(self.low[1:], numbers, side="right")

    def position(self, numbers: Numbers, places: Places) -> FloatArray:
        """Return how far each number is on its way from the lower to the upper edge."""
        low, high = self.low[places], self.high[places]
        with np.errstate(over="ignore"):  # a bin may be wider than the largest float: then halves are compared
            scale = np.where(np.isfinite(high - low), 1.0, 0.5)
        width = high * scale - low * scale
        offset = np.clip(numbers, low, high) * scale - low * scale
        positions: FloatArray = np.divide(offset, width, out=np.full(len(places), 0.5), where=width > 0)
        return np.minimum(positions, BELOW_ONE)

    def number(self, places: Places, positions: FloatArray) -> Numbers:
        """Return the number at each position, without the overflow of `low + position * width`."""
        low, high = self.low[places], self.high[places]
        return np.clip(low * (1 - positions) + high * positions, low, high)
