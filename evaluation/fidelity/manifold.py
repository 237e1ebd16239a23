"""Do synthetic rows lie where real rows lie, and the other way round: precision, recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics import BoolArray, Estimate, FloatArray, IntArray, mean

BLOCK_CELLS = 1 << 22
"""Squared distances held at a time: 32 MB."""
N_NEIGHBOURS = 5
N_RADII = 50
TIES = 1.0 + 1e-9
"""Distances that are equal differ by rounding; a ball holds its own border."""


@dataclass(frozen=True)
class Manifolds:
    """Two clouds of points beside each other, with every distance that the scores need. Each needs more than 5 points.

    Attributes:
        real_radius, synthetic_radius: the distance of every point to its fifth neighbour in its own cloud.
        real_gap: the distance of every real point to its nearest real neighbour.
        inside: how many real balls hold each synthetic point.
        reached: whether each real point lies in any synthetic ball.
        nearest: the distance of every real point to the nearest synthetic one.
        nearest_row: which that is.
        real_depth, synthetic_depth: distances to the centre of the real cloud.

    """

    real_radius: FloatArray
    synthetic_radius: FloatArray
    real_gap: FloatArray
    inside: IntArray
    reached: BoolArray
    nearest: FloatArray
    nearest_row: IntArray
    real_depth: FloatArray
    synthetic_depth: FloatArray

    @classmethod
    def of(cls, real: FloatArray, synthetic: FloatArray) -> Manifolds:
        """Compute the distances block by block."""
        real_gap, real_radius = _own_neighbours(real)
        _, synthetic_radius = _own_neighbours(synthetic)
        inside, parts = np.zeros(len(synthetic), dtype=np.int64), []
        for rows in _blocks(len(real), len(synthetic)):
            squared = _squared(real[rows], synthetic)
            inside += (squared <= _square(real_radius[rows])[:, None]).sum(axis=0)
            row = squared.argmin(axis=1)
            reached = (squared <= _square(synthetic_radius)).any(axis=1)
            parts.append((reached, np.sqrt(squared[np.arange(len(row)), row]), row))
        reached, nearest, nearest_row = (np.concatenate(column) for column in zip(*parts, strict=True))
        centre = real.mean(axis=0)
        depths = (np.linalg.norm(points - centre, axis=1) for points in (real, synthetic))
        return cls(real_radius, synthetic_radius, real_gap, inside, reached, nearest, nearest_row, *depths)

    def precision(self) -> Estimate:
        """Return the share of synthetic points in the ball of any real one: Kynkäänniemi et al. 2019, eq. 2."""
        return mean((self.inside > 0).astype(np.float64))

    def recall(self) -> Estimate:
        """Return the share of real points in the ball of any synthetic one: Kynkäänniemi et al. 2019, eq. 2."""
        return mean(self.reached.astype(np.float64))

    def density(self) -> Estimate:
        """Return how many real balls hold a synthetic point, in units of k: Naeem et al. 2020, eq. 3."""
        return mean(self.inside / N_NEIGHBOURS)

    def coverage(self) -> Estimate:
        """Return the share of real balls that hold a synthetic point: Naeem et al. 2020, eq. 4."""
        return mean((self.nearest <= TIES * self.real_radius).astype(np.float64))

    def alpha_precision(self) -> Estimate:
        """Return 1 - 2 times the mean gap between the shares of synthetic and of real points within every radius.

        Radii are the quantiles of the real points' distances to their centre: Alaa et al. 2022, eqs. 3 and 8.
        """
        return _agreement(self.synthetic_depth, self.real_depth, _radii(self.real_depth))

    def beta_recall(self) -> Estimate:
        """Return 1 - 2 times the mean gap between the share of real points covered by synthetic cores and their size.

        A real point is covered if a synthetic one is no further than its nearest real neighbour: Alaa et al. 2022,
        eqs. 4 and 8. Fresh rows of the same population come to about 1/2; only copies come to 1.
        """
        covered = self.nearest <= TIES * self.real_gap
        by_core = np.where(covered, self.synthetic_depth[self.nearest_row], np.inf)
        return _agreement(by_core, self.synthetic_depth, _radii(self.synthetic_depth))


def _radii(depth: FloatArray) -> FloatArray:
    return np.asarray(TIES * np.quantile(depth, np.arange(1, N_RADII + 1) / N_RADII))


def _agreement(ours: FloatArray, theirs: FloatArray, radii: FloatArray) -> Estimate:
    """Return 1 - 2 times the mean over radii of the gap between the shares within them, as a difference of two means.

    At each radius the gap is its sign times the difference of shares; so a point counts the signs of the radii that
    hold it.
    """
    side = np.sign(_within(ours, radii) - _within(theirs, radii)) / len(radii)
    held = np.append(np.cumsum(side[::-1])[::-1], 0.0)
    first, second = (mean(held[np.searchsorted(radii, depth)]) for depth in (ours, theirs))
    influence = np.concatenate([-2.0 * first.influence, 2.0 * second.influence])
    return Estimate(1.0 - 2.0 * (first.value - second.value), influence)


def _within(depth: FloatArray, radii: FloatArray) -> FloatArray:
    return np.searchsorted(np.sort(depth), radii, side="right") / len(depth)


def _square(radius: FloatArray) -> FloatArray:
    return np.square(TIES * radius)


def _blocks(n_rows: int, n_columns: int) -> list[slice]:
    size = max(1, BLOCK_CELLS // n_columns)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def _squared(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the squared distances **(n_first, n_second)**; what the cancellation leaves of 0 is 0."""
    lengths = [np.einsum("nd,nd->n", points, points) for points in (first, second)]
    size = lengths[0][:, None] + lengths[1]
    squared = size - 2 * first @ second.T
    squared[squared < 1e-12 * size] = 0.0
    return np.asarray(squared)


def _own_neighbours(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the distance of every point to its nearest and its fifth neighbour, itself left out."""
    found = []
    for rows in _blocks(len(points), len(points)):
        squared = _squared(points[rows], points)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        nearest = np.partition(squared, (0, N_NEIGHBOURS - 1), axis=1)
        found.append(np.sqrt(nearest[:, [0, N_NEIGHBOURS - 1]]))
    nearest, fifth = np.concatenate(found).T
    return nearest, fifth
