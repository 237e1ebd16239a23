"""What is to be learned: rows with their predictors and their target, in every table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..features import Feature, Frame
from ..references import shuffled
from ..statistics import FloatArray, IntArray

MIN_ROWS = 100
MAX_CLASSES, MIN_CLASS_ROWS = 30, 20
"""Rows of rarer classes are left out: a class of a few rows says nothing about a table."""
MAX_INTEGER_CLASSES = 10
MAX_SUBSAMPLE = 8_000


@dataclass(frozen=True)
class Task:
    """Rows to learn from and to be tested on.

    Attributes:
        classes: the values of the target that are classes, in order, or None where it is a quantity.
        predictors: the other columns, by table.
        targets: the target **(n_rows,)** by table: the number of the class, or the quantity.

    """

    classes: FloatArray | None
    predictors: Mapping[str, Frame]
    targets: Mapping[str, FloatArray]

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 where the target is a quantity."""
        return 0 if self.classes is None else len(self.classes)

    def labels(self, role: str) -> IntArray:
        """Return the number of every row's class."""
        return self.targets[role].astype(np.int64)

    def only(self, *roles: str) -> Task:
        """Return the task with the tables `roles` alone."""
        return replace(
            self,
            predictors={role: self.predictors[role] for role in roles},
            targets={role: self.targets[role] for role in roles},
        )

    def judged_classes(self) -> IntArray:
        """Return the classes that are told from the rest: the rarer one of two in train, else all that holdout has.

        Of two classes the rarer is nearly always the one that a model is built to find, and a score of it shows what
        a score of the frequent one hides (Saito and Rehmsmeier 2015, doi:10.1371/journal.pone.0118432).
        """
        if self.n_classes == 2:
            return np.array([np.bincount(self.labels("train"), minlength=2).argmin()])
        return np.unique(self.labels("holdout"))

    def problem(self, *roles: str, min_rows: int = MIN_ROWS) -> str | None:
        """Return why nothing can be learned or tested in the tables `roles`, or None."""
        for role in roles:
            if len(self.targets[role]) < min_rows:
                return f"fewer than {min_rows} rows of {role} have a target"
            if len(np.unique(self.targets[role])) < 2:
                return f"the target has a single value in {role}"
        return None if self.predictors["train"].features else "there is no column to predict the target from"


def task_of(tables: Mapping[str, Frame], index: int, classes: FloatArray | None) -> Task:
    """Split the target off, and leave out rows that lack it. `classes` are those of `classes_of`."""
    predictors, targets = {}, {}
    for role, frame in tables.items():
        target = target_of(frame, index, classes)
        known = ~np.isnan(target)
        predictors[role], targets[role] = frame.without(index).take(known), target[known]
    return Task(classes, predictors, targets)


def classes_of(
    train: Frame, index: int, max_classes: int = MAX_CLASSES, min_class_rows: int = MIN_CLASS_ROWS
) -> FloatArray | None:
    """Return the values that are classes, in order, or None where the column is a quantity.

    A target of categories, truth values or up to 10 distinct whole numbers is classified, any other is regressed. At
    least 20 rows of train carry a class.
    """
    values, feature = train.numbers(index), train.features[index]
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if not _is_classified(feature, len(distinct)):
        return None
    most_frequent = np.argsort(-counts, kind="stable")[:max_classes]
    return np.sort(distinct[most_frequent[counts[most_frequent] >= max(min_class_rows, MIN_CLASS_ROWS)]])


def target_of(frame: Frame, index: int, classes: FloatArray | None) -> FloatArray:
    """Return every row's number of its class, or quantity; NaN where a row is left out."""
    values = frame.numbers(index)
    return values if classes is None else np.where(np.isin(values, classes), np.searchsorted(classes, values), np.nan)


def sized(task: Task, max_rows: int, rng: np.random.Generator) -> Task:
    """Give train and synthetic the same number of rows, and add the tables to compare with.

    `floor` is train with every column shuffled on its own, `both` is train with the synthetic rows, `both floor` train
    with the floor, and `first half` and `second half` are train cut in two, so that both have their share of every
    class.
    """
    n_rows = min(max_rows, *(len(task.targets[role]) for role in ("train", "synthetic")))
    limits = {"train": n_rows, "synthetic": n_rows, "holdout": max_rows}
    chosen = {role: rng.permutation(len(task.targets[role]))[:limit] for role, limit in limits.items()}
    predictors = {role: task.predictors[role].take(rows) for role, rows in chosen.items()}
    targets = {role: task.targets[role][rows] for role, rows in chosen.items()}
    predictors["floor"], targets["floor"] = shuffled(predictors["train"], rng), rng.permutation(targets["train"])
    for role, added in (("both", "synthetic"), ("both floor", "floor")):
        predictors[role] = predictors["train"].join(predictors[added])
        targets[role] = np.concatenate([targets["train"], targets[added]])
    ordered = np.argsort(targets["train"], kind="stable")
    for role, part in (("first half", ordered[::2]), ("second half", ordered[1::2])):
        predictors[role], targets[role] = predictors["train"].take(part), targets["train"][part]
    return Task(task.classes, predictors, targets)


def subsampled(task: Task, rng: np.random.Generator) -> Task:
    """Return the task with a random half of train and of synthetic, at most 8,000 rows, and the whole holdout.

    Every class has its share of them, and one row at least. `both` is made of the two.
    """
    predictors, targets = {"holdout": task.predictors["holdout"]}, {"holdout": task.targets["holdout"]}
    for role in ("train", "synthetic"):
        whole = task.targets[role]
        share = min(0.5, MAX_SUBSAMPLE / len(whole))
        rows = _of_each_class(whole if task.n_classes else np.zeros(len(whole)), share, rng)
        predictors[role], targets[role] = task.predictors[role].take(rows), whole[rows]
    predictors["both"] = predictors["train"].join(predictors["synthetic"])
    targets["both"] = np.concatenate([targets["train"], targets["synthetic"]])
    return Task(task.classes, predictors, targets)


def _of_each_class(classes: FloatArray, share: float, rng: np.random.Generator) -> IntArray:
    """Return a share of the rows of each class, rounded up, in random order."""
    order = rng.permutation(len(classes))
    members = (order[classes[order] == each] for each in np.unique(classes))
    return rng.permutation(np.concatenate([rows[: int(np.ceil(share * len(rows)))] for rows in members]))


def _is_classified(feature: Feature, n_distinct: int) -> bool:
    return feature.categorical or (feature.column.kind == "integer" and n_distinct <= MAX_INTEGER_CLASSES)
