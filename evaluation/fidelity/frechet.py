"""The Fréchet distance between two clouds of points: how far their means and covariances lie apart."""

from __future__ import annotations

import numpy as np

from ..statistics import Estimate, FloatArray

SMALLEST_VARIANCE = 1e-10
"""Of the largest one: less is rounding, and has no inverse."""


def frechet_distance(points: FloatArray, reference: FloatArray) -> Estimate:
    """Return the distance between normal distributions with the clouds' moments, in units of the reference's spread.

    1 is the distance from the reference to its own mean; where the reference has no spread there is no unit, and the
    distance is NaN. Influences are those of the points, then of the reference: the derivative of the squared distance
    is 2 (m - m') for a mean and I - T for a covariance, with T the optimal map.

    Args:
        points: **(n, d)**.
        reference: **(m, d)**.

    Source: Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X; as a score Heusel et al. 2017, arXiv:1706.08500;
    the maps: Olkin and Pukelsheim 1982, doi:10.1016/0024-3795(82)90112-4.

    Example:
        >>> cloud = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
        >>> round(frechet_distance(cloud + [1.0, 0.0], cloud).value, 6)
        1.0

    """
    centre, other_centre = points.mean(axis=0), reference.mean(axis=0)
    ours, theirs = points - centre, reference - other_centre
    cov, other_cov = (np.asarray(x.T @ x / len(x)) for x in (ours, theirs))
    total = float(np.trace(other_cov))
    if total <= 0:
        return Estimate(np.nan, np.zeros(len(points) + len(reference)))
    root = _power(other_cov, 0.5)
    middle = _power(root @ cov @ root, 0.5)
    shift = centre - other_centre
    squared = float(shift @ shift + np.trace(cov) + total - 2 * np.trace(middle)) / total
    distance = float(np.sqrt(max(squared, 0.0)))
    if squared < SMALLEST_VARIANCE:
        return Estimate(0.0, np.zeros(len(points) + len(reference)))
    back = _power(other_cov, -0.5)
    from_reference = back @ middle @ back
    to_reference = root @ _power(root @ cov @ root, -0.5) @ root
    spread = (np.square(theirs).sum(axis=1) - total) / len(theirs)  # what each row adds to the unit
    influence = [_influence(ours, shift, to_reference), _influence(theirs, -shift, from_reference) - squared * spread]
    return Estimate(distance, np.concatenate(influence) / (2 * distance * total))


def _power(matrix: FloatArray, exponent: float) -> FloatArray:
    """Return the power of a symmetric matrix; directions without variance stay without."""
    variances, directions = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = variances > SMALLEST_VARIANCE * max(float(variances[-1]), 1e-300)
    powers = np.power(variances, exponent, out=np.zeros_like(variances), where=kept)
    return np.asarray((directions * powers) @ directions.T)


def _influence(centred: FloatArray, shift: FloatArray, transport: FloatArray) -> FloatArray:
    stretch = centred @ (np.eye(len(shift)) - transport)
    per_row = 2 * centred @ shift + np.einsum("nd,nd->n", stretch, centred)
    return np.asarray((per_row - per_row.mean()) / len(centred))
