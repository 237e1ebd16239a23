"""Ceilings and floors: tables of known quality that put every number in proportion."""

from __future__ import annotations

import numpy as np

from .features import Frame, Values
from .statistics import FloatArray


def subsample(frame: Frame, n_rows: int, rng: np.random.Generator) -> Frame:
    """Return `n_rows` distinct rows at random, or the frame itself where it has no more."""
    if frame.n_rows <= n_rows:
        return frame
    return frame.take(rng.permutation(frame.n_rows)[:n_rows])


def shuffled(frame: Frame, rng: np.random.Generator) -> Frame:
    """Return the frame with every column shuffled on its own: exact marginals, no dependence."""
    columns = tuple(column[rng.permutation(frame.n_rows)] for column in frame.columns)
    return Frame(frame.features, columns, frame.n_rows)


def uniform(frame: Frame, n_rows: int, rng: np.random.Generator) -> Frame:
    """Return rows whose every cell is drawn evenly from the column's levels or range: it knows no marginal."""
    columns = tuple(_uniform_column(frame, i, n_rows, rng) for i in range(len(frame.features)))
    return Frame(frame.features, columns, n_rows)


def _uniform_column(frame: Frame, index: int, n_rows: int, rng: np.random.Generator) -> Values:
    feature, missing = frame.features[index], frame.missing(index)
    if feature.categorical:
        lowest = -1 if missing.any() else 0
        return rng.integers(lowest, max(len(feature.labels), 1), size=n_rows)
    present = np.asarray(frame.columns[index], dtype=np.float64)[~missing]
    if not len(present):
        return np.full(n_rows, np.nan)
    drawn: FloatArray = rng.uniform(present.min(), present.max(), size=n_rows)
    drawn[rng.random(n_rows) < (0.5 if missing.any() else 0.0)] = np.nan
    return drawn


def at_size(error: float, *, measured_on: int, n_rows: int, n_train: int) -> float:
    """Scale the error of a `measured_on`-row honest sample to `n_rows` rows.

    What remains of a distance between two samples of one population is chance, and shrinks with
    sqrt(1 / n_rows + 1 / n_train). Without this a small holdout would flatter a large synthetic table.

    Example:
        >>> at_size(0.63, measured_on=16_281, n_rows=32_561, n_train=32_561).__round__(2)
        0.51

    """
    return error * float(np.sqrt((1 / n_rows + 1 / n_train) / (1 / measured_on + 1 / n_train)))
