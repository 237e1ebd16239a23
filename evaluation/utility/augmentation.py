"""Do synthetic rows of rare classes help a classifier? Measured on one's own table, beside what costs nothing.

The table is split again and again: three fifths of every class to learn from, a fifth to choose thresholds on, a fifth
to test on; the last two are original rows always. Every remedy against imbalance makes its lesson of the first part,
several learners learn it, and each is compared with the same learner after real rows only, split by split. A generator
comes in as a function: what makes the rows is of no concern here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.errors import ConfigError, DataError
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng, substream

from ..features import Frame, frames_of
from ..statistics import BoolArray, FloatArray, IntArray
from ..tables import Tables
from ..threads import one_thread
from .learners import LARGEST_FLOAT32, N_INDICATORS, boosted_classifier, indicators, matrix
from .resampling import Lesson, Remedy, lacking
from .scores import average_precision, best_threshold, calibration_error, f1
from .tasks import classes_of

Augmenter = Callable[[pa.Table, Mapping[Any, int], int], pa.Table]
"""From original rows, how many rows each class of the target lacks, and a seed to synthetic rows of these classes."""

LEARNING, TUNING, TEST = 0.6, 0.2, 0.2
FEWEST_CLASS_ROWS = 50
"""A class of fewer rows has less than ten to test on."""
FEWEST_SPLITS = 2
REAL = "real rows only"
MEASURES: dict[str, tuple[str, bool]] = {
    "pr_auc": ("PR-AUC", True),
    "f1": ("F1, tuned", True),
    "f1_untuned": ("F1 at 1/2", True),
    "balanced_accuracy": ("balanced accuracy", True),
    "brier": ("Brier", False),
    "calibration_error": ("calibration error", False),
    "brier_uncorrected": ("Brier, uncorrected", False),
    "calibration_error_uncorrected": ("calibration error, uncorrected", False),
}
"""By name: the title, and whether more is better."""


@dataclass(frozen=True)
class Trial:
    """How one learner did after one remedy on one split.

    Attributes:
        split: its number.
        remedy: what was done about rare classes; `REAL` for nothing.
        learner: the learner's name.
        scores: by the names of `MEASURES`.
    """

    split: int
    remedy: str
    learner: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Exercise:
    """A split in numeric form: what is learned, and original rows to choose thresholds on and to test on.

    Attributes:
        shares: of the classes among original rows **(n_classes,)**.
    """

    lesson: Lesson
    tuning: Frame
    tuning_labels: IntArray
    test: Frame
    test_labels: IntArray
    shares: FloatArray

    def judged(self) -> IntArray:
        """Return the classes that are told from the rest: the rarer one of two, else all."""
        return np.array([self.shares.argmin()]) if len(self.shares) == 2 else np.arange(len(self.shares))


class Splits:
    """Repeated splits of a table whose target is classified.

    Args:
        table: original rows.
        schema: their schema.
        target: the column of the classes; rows that lack it, or whose class has fewer than 50 rows, are left out.
        n: splits.
        ratio: how frequent the rarer classes are made, as a part of the most frequent one.
        most_rows: most rows to learn from; of larger tables a random part is taken, split by split.
        seed: of everything random.

    Raises:
        ConfigError: there are fewer than two splits, the ratio is not in (0, 1], or the target is no modelled column.
        DataError: the target is a quantity, or has fewer than two classes of 50 rows.
    """

    def __init__(
        self,
        table: pa.Table,
        schema: Schema,
        target: str,
        *,
        n: int = 5,
        ratio: float = 1.0,
        most_rows: int | None = None,
        seed: int = 0,
    ) -> None:
        if n < FEWEST_SPLITS:
            raise ConfigError(f"an interval needs {FEWEST_SPLITS} splits", actual=str(n), remedy="give more")
        if not 0 < ratio <= 1:
            raise ConfigError("the ratio is in (0, 1]", actual=str(ratio), remedy="give 1 to balance the classes")
        self.schema, self.target, self.n, self.ratio, self.seed = schema, target, n, ratio, seed
        labels, self.classes = _classes(table, schema, target)
        self.table, self.labels = table.filter(pa.array(labels >= 0)), labels[labels >= 0]
        self.most_rows = most_rows

    def parts(self, split: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return the rows to learn from, to choose thresholds on and to test on; each has its part of every class."""
        rng = numpy_rng(self.seed, "augmentation", str(split))
        chosen = rng.permutation(len(self.labels))
        if self.most_rows is not None:
            chosen = chosen[: round(self.most_rows / LEARNING)]
        found: tuple[list[IntArray], ...] = ([], [], [])
        for k in range(len(self.classes)):
            of_class = chosen[self.labels[chosen] == k]
            ends = np.round(len(of_class) * np.array([LEARNING, LEARNING + TUNING])).astype(int)
            for part, rows in zip(found, np.split(of_class, ends), strict=True):
                part.append(rows)
        learning, tuning, test = (rng.permutation(np.concatenate(part)) for part in found)
        return learning, tuning, test

    def exercise(self, split: int, augment: Augmenter | None = None) -> Exercise:
        """Return a split in numeric form, with the rows that `augment` draws added to what is learned."""
        learning, tuning, test = self.parts(split)
        known, unseen = self.table.take(learning), self.table.take(np.concatenate([tuning, test]))
        labels = self.labels[learning]
        drawn = known.slice(0, 0)
        if augment is not None:
            wanted = {self.classes[k]: int(n) for k, n in enumerate(lacking(labels, self.ratio)) if n}
            drawn = augment(known, wanted, self.seed_of(split))
        frames = frames_of(Tables(self.schema, known, unseen, drawn, self.target))
        index = frames.target
        assert index is not None  # Tables has refused a target that is none of the features
        predictors = frames.train.without(index), frames.holdout.without(index), frames.synthetic.without(index)
        lesson = Lesson(predictors[0], labels, np.ones(len(labels)))
        if augment is not None:
            lesson = lesson.extended(predictors[2], self._labels_of(drawn))
        rows = np.arange(len(tuning) + len(test))
        here, there = predictors[1].take(rows[: len(tuning)]), predictors[1].take(rows[len(tuning) :])
        return Exercise(lesson, here, self.labels[tuning], there, self.labels[test], np.bincount(labels) / len(labels))

    def seed_of(self, split: int) -> int:
        """Return the seed of what is drawn and learned on a split."""
        return substream(self.seed, "augmentation", "split", str(split))

    def _labels_of(self, drawn: pa.Table) -> IntArray:
        numbers = {value: k for k, value in enumerate(self.classes)}
        return np.array([numbers[value] for value in drawn[self.target].to_pylist()], dtype=np.int64)


def _classes(table: pa.Table, schema: Schema, target: str) -> tuple[IntArray, list[Any]]:
    """Return the number of every row's class, -1 for rows that are left out, and the classes' values."""
    frame = frames_of(Tables(schema, table, table.slice(0, 0), table.slice(0, 0), target)).train
    index = [feature.name for feature in frame.features].index(target)
    kept = classes_of(frame, index, min_class_rows=FEWEST_CLASS_ROWS)
    if kept is None:
        remedy = "name a column of categories, or of at most ten whole numbers"
        raise DataError("the target must be a class", actual=f'quantities in "{target}"', remedy=remedy)
    if len(kept) < 2:
        rule = f"two classes of at least {FEWEST_CLASS_ROWS} rows are needed"
        raise DataError(rule, actual=f"{len(kept)}", remedy="collect more rows")
    numbers = frame.numbers(index)
    labels = np.where(np.isin(numbers, kept), np.searchsorted(kept, numbers), -1).astype(np.int64)
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(len(kept))]
    return labels, table[target].take(pa.array(first)).to_pylist()


@dataclass(frozen=True)
class WeighingLearner:
    """A classifier that takes weights of rows and gives probabilities.

    Attributes:
        name: what a person calls it.
        new: from the lesson and a seed to an unfitted model of `rows`.
        rows: a frame as the matrix **(n_rows, n_features)** that the model takes.
        weights: the name of the weights when the model is fitted.
    """

    name: str
    new: Callable[[Lesson, int], Any]
    rows: Callable[[Frame], FloatArray]
    weights: str = "sample_weight"

    def learn(self, lesson: Lesson, seed: int) -> Callable[[Frame], FloatArray]:
        """Return what gives the probabilities **(n_rows, n_classes)** of all classes."""
        rows = self.rows(lesson.frame)
        empty = np.isnan(rows).all(axis=0)  # boosting cannot bin a column without any number
        model = self.new(lesson, seed).fit(np.where(empty, 0.0, rows), lesson.labels, **{self.weights: lesson.weights})
        return lambda frame: np.asarray(model.predict_proba(np.where(empty, 0.0, self.rows(frame))))


def _boosted(lesson: Lesson, seed: int) -> Any:
    return boosted_classifier(lesson.frame, len(np.unique(lesson.labels)), seed)


def _logistic(lesson: Lesson, seed: int) -> Any:
    del seed  # there is one solution
    return make_pipeline(indicators(lesson.frame, StandardScaler()), LogisticRegression(solver="newton-cholesky"))


def _forest(lesson: Lesson, seed: int) -> Any:
    del lesson
    return RandomForestClassifier(n_estimators=100, min_samples_leaf=2, random_state=seed % (1 << 32))


def _narrow(frame: Frame) -> FloatArray:
    return np.clip(matrix(frame), -LARGEST_FLOAT32, LARGEST_FLOAT32)


def _few_levels(frame: Frame) -> FloatArray:
    return matrix(frame, N_INDICATORS)


LEARNERS: tuple[WeighingLearner, ...] = (
    WeighingLearner("boosted trees", _boosted, matrix),
    WeighingLearner("logistic regression", _logistic, _few_levels, "logisticregression__sample_weight"),
    WeighingLearner("random forest", _forest, _narrow),
)


def trials(
    splits: Splits,
    simple: Mapping[str, Remedy],
    augmenters: Mapping[str, Augmenter],
    learners: Sequence[WeighingLearner] = LEARNERS,
) -> Iterator[Trial]:
    """Try every remedy with every learner on every split, in this order of nesting: split, remedy, learner."""
    for split in range(splits.n):
        for name, remedy in simple.items():
            yield from try_remedy(splits, split, name, remedy, learners)
        for name, augment in augmenters.items():
            yield from try_augmenter(splits, split, name, augment, learners)


def try_remedy(
    splits: Splits, split: int, name: str, remedy: Remedy, learners: Sequence[WeighingLearner] = LEARNERS
) -> Iterator[Trial]:
    """Try one remedy that needs no generator on one split."""
    exercise = splits.exercise(split)
    lesson = remedy(exercise.lesson, splits.ratio, splits.seed_of(split))
    yield from _tried(splits, split, name, exercise, lesson, learners)


def try_augmenter(
    splits: Splits, split: int, name: str, augment: Augmenter, learners: Sequence[WeighingLearner] = LEARNERS
) -> Iterator[Trial]:
    """Try synthetic rows on one split."""
    exercise = splits.exercise(split, augment)
    yield from _tried(splits, split, name, exercise, exercise.lesson, learners)


def _tried(
    splits: Splits, split: int, name: str, exercise: Exercise, lesson: Lesson, learners: Sequence[WeighingLearner]
) -> Iterator[Trial]:
    for learner in learners:
        with one_thread():
            predict = learner.learn(lesson, splits.seed_of(split))
            scores = scores_of(exercise, lesson.shares(), predict(exercise.tuning), predict(exercise.test))
        yield Trial(split, name, learner.name, scores)


def prior_corrected(probabilities: FloatArray, learned: FloatArray, real: FloatArray) -> FloatArray:
    """Return what probabilities **(n_rows, n_classes)** become where classes are as frequent as among original rows.

    It is exact where the lesson differs from the original rows in P(y) alone, so that it shows what a remedy does to
    P(x | y).

    Args:
        probabilities: of a model that learned from classes with the shares `learned` **(n_classes,)**.
        learned: those shares.
        real: the shares among original rows **(n_classes,)**.

    Source: Saerens, Latinne and Decaestecker 2002, eq. 2.4, doi:10.1162/089976602753284446.

    Example:
        >>> prior_corrected(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.9, 0.1]))
        array([[0.9, 0.1]])
    """
    weighted = probabilities * (real / learned)
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def scores_of(exercise: Exercise, learned: FloatArray, tuning: FloatArray, test: FloatArray) -> dict[str, float]:
    """Return every measure of `MEASURES` on the test rows, the mean over the judged classes.

    Thresholds are those that serve the tuning rows best, each for its own measure. Probabilities are corrected for the
    shares of the classes in the lesson; F1 at 1/2, and the two that say so, are of what the learner itself says.

    Args:
        exercise: the split.
        learned: the shares of the classes in the lesson **(n_classes,)**.
        tuning: the learner's probabilities of the tuning rows **(n_rows, n_classes)**.
        test: the same of the test rows.
    """
    fitting, judging = (prior_corrected(each, learned, exercise.shares) for each in (tuning, test))
    by_class = []
    for k in exercise.judged():
        known, truth = exercise.tuning_labels == k, exercise.test_labels == k
        by_class.append(
            {
                "pr_auc": average_precision(judging[:, k], truth).value,
                "f1": f1(judging[:, k] >= best_threshold(fitting[:, k], known), truth).value,
                "f1_untuned": f1(test.argmax(axis=1) == k, truth).value,
                "balanced_accuracy": _balanced_accuracy(judging[:, k] >= _balancing(fitting[:, k], known), truth),
                "calibration_error": calibration_error(judging[:, k], truth).value,
                "calibration_error_uncorrected": calibration_error(test[:, k], truth).value,
            }
        )
    means = {name: float(np.mean([each[name] for each in by_class])) for name in by_class[0]}
    brier, uncorrected = (_brier(each, exercise.test_labels) for each in (judging, test))
    return means | {"brier": brier, "brier_uncorrected": uncorrected}


def _brier(probabilities: FloatArray, labels: IntArray) -> float:
    """Return the mean squared error of the probabilities of all classes, halved (Brier 1950)."""
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1).mean() / 2)


def _balancing(scores: FloatArray, positive: BoolArray) -> float:
    """Return the threshold of the highest balanced accuracy (Youden 1950)."""
    false_alarms, found, thresholds = roc_curve(positive, scores)
    return float(thresholds[(found - false_alarms).argmax()])


def _balanced_accuracy(flagged: BoolArray, positive: BoolArray) -> float:
    return float((flagged[positive].mean() + 1 - flagged[~positive].mean()) / 2)
