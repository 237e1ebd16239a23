"""What is done about rare classes before a classifier learns: nothing, weights, repeated rows, or rows in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.seeds import numpy_rng, substream

from ..features import Frame
from ..statistics import FloatArray, IntArray

N_NEIGHBOURS = 5
"""As in the paper on SMOTE."""


@dataclass(frozen=True)
class Lesson:
    """What a classifier learns from.

    Attributes:
        frame: the predictors.
        labels: the number of each row's class **(n_rows,)**.
        weights: how much each row counts **(n_rows,)**.
    """

    frame: Frame
    labels: IntArray
    weights: FloatArray

    def shares(self) -> FloatArray:
        """Return the part of all weight that each class has **(n_classes,)**."""
        per_class = np.bincount(self.labels, self.weights)
        return np.asarray(per_class / per_class.sum())

    def extended(self, frame: Frame, labels: IntArray) -> Lesson:
        """Return the lesson with more rows, each of weight 1."""
        weights = np.concatenate([self.weights, np.ones(len(labels))])
        return Lesson(self.frame.join(frame), np.concatenate([self.labels, labels]), weights)


Remedy = Callable[[Lesson, float, int], Lesson]
"""From original rows, the ratio that rarer classes shall reach of the most frequent one, and a seed to a lesson."""


def lacking(labels: IntArray, ratio: float) -> IntArray:
    """Return how many rows each class lacks to be `ratio` times as frequent as the most frequent one **(n_classes,)**.

    Example:
        >>> lacking(np.array([0, 0, 0, 0, 1]), 0.5)
        array([0, 1])
    """
    counts = np.bincount(labels)
    return np.asarray(np.maximum(int(ratio * counts.max()) - counts, 0))


def unchanged(lesson: Lesson, ratio: float, seed: int) -> Lesson:
    """Return the original rows alone."""
    del ratio, seed
    return lesson


def class_weights(lesson: Lesson, ratio: float, seed: int) -> Lesson:
    """Weight the rows so that all classes count alike; the weights sum to the number of rows.

    Source: King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868.
    """
    del ratio, seed
    counts = np.bincount(lesson.labels)
    return Lesson(lesson.frame, lesson.labels, (len(lesson.labels) / (len(counts) * counts))[lesson.labels])


def random_oversampling(lesson: Lesson, ratio: float, seed: int) -> Lesson:
    """Repeat rows of the rarer classes, chosen at random."""
    rng = numpy_rng(seed, "oversampling")
    chosen = [
        rng.choice(np.flatnonzero(lesson.labels == k), size=n) for k, n in enumerate(lacking(lesson.labels, ratio))
    ]
    rows = np.concatenate(chosen)
    return lesson.extended(lesson.frame.take(rows), lesson.labels[rows])


def smote(lesson: Lesson, ratio: float, seed: int) -> Lesson:
    """Add rows between a row of a rarer class and one of its nearest neighbours of that class, by imbalanced-learn.

    Numbers are standardised, so that no unit rules the distance, and missing ones are at the median; categories are
    those of the neighbours, and missing is one of them.

    Raises:
        DataError: a class that lacks rows has a single one.

    Source: Chawla et al. 2002, doi:10.1613/jair.953: SMOTE, SMOTE-NC (sec. 6.1) and SMOTE-N (sec. 6.2).
    """
    categorical = [i for i, feature in enumerate(lesson.frame.features) if feature.categorical]
    rows, centre, spread = _complete(lesson.frame)
    added = lacking(lesson.labels, ratio)
    sampler = _sampler(lesson, categorical, added, seed)
    drawn, labels = sampler.fit_resample((rows - centre) / spread, lesson.labels)
    new = drawn[len(rows) :] * spread + centre
    return lesson.extended(_framed(lesson.frame, new), np.asarray(labels[len(rows) :], dtype=np.int64))


SIMPLE: dict[str, Remedy] = {
    "real rows only": unchanged,
    "class weights": class_weights,
    "random oversampling": random_oversampling,
}


def remedies() -> dict[str, Remedy]:
    """Return every remedy that needs no generator, by name; SMOTE where imbalanced-learn is installed."""
    return SIMPLE | ({"SMOTE": smote} if find_spec("imblearn") else {})


def _complete(frame: Frame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return all rows **(n_rows, n_features)** without a missing number, and what standardises each column.

    Categories are the numbers of their levels, and stay as they are.
    """
    n_features = len(frame.features)
    rows, centre, spread = np.empty((frame.n_rows, n_features)), np.zeros(n_features), np.ones(n_features)
    for i, feature in enumerate(frame.features):
        if feature.categorical:
            rows[:, i] = frame.codes(i)
            continue
        numbers = frame.numbers(i)
        known = numbers[~np.isnan(numbers)]
        rows[:, i] = np.where(np.isnan(numbers), np.median(known) if len(known) else 0.0, numbers)
        centre[i], spread[i] = rows[:, i].mean(), rows[:, i].std() or 1.0
    return rows, centre, spread


def _sampler(lesson: Lesson, categorical: list[int], added: IntArray, seed: int) -> Any:
    counts = np.bincount(lesson.labels)
    if (counts[added > 0] < 2).any():
        remedy = "leave out classes of a single row"
        raise DataError("SMOTE needs two rows of a class", actual="a class of one row", remedy=remedy)
    n_neighbours = int(min(N_NEIGHBOURS, counts[added > 0].min(initial=N_NEIGHBOURS + 1) - 1))
    settings: dict[str, Any] = {
        "sampling_strategy": {k: int(counts[k] + n) for k, n in enumerate(added) if n},
        "k_neighbors": n_neighbours,
        "random_state": substream(seed, "smote") % (1 << 32),
    }
    library = import_module("imblearn.over_sampling")
    if not categorical:
        return library.SMOTE(**settings)
    if len(categorical) == len(lesson.frame.features):
        return library.SMOTEN(**settings)
    return library.SMOTENC(categorical_features=categorical, **settings)


def _framed(like: Frame, rows: FloatArray) -> Frame:
    """Return completed rows as a frame; the level after the last label is missing again."""
    columns = tuple(
        np.where(rows[:, i] == len(feature.labels), -1, rows[:, i]).round().astype(np.int64)
        if feature.categorical
        else rows[:, i].astype(np.float64)
        for i, feature in enumerate(like.features)
    )
    return Frame(like.features, columns, len(rows))
