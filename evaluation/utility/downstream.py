"""What the table is for: does a model trained on synthetic rows serve holdout rows as well as one trained on train?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..references import shuffled
from ..statistics import Estimate, FloatArray, IntArray, auc, average, r_squared
from ..threads import one_thread
from .learners import boosted_predictions, boosted_scores, linear_predictions, linear_scores

TSTR = "train on synthetic, test on holdout: Esteban et al. 2017, arXiv:1706.02633"
GAP = Definition("utility_gap", "utility", 0.0, 1.0, "boosted trees: trained on train minus on synthetic; " + TSTR)
SCORES = {
    "auc": (
        Definition("tstr_auc", "utility", 1.0, 0.5, "boosted trees, macro one-against-rest AUC; " + TSTR),
        Definition("tstr_linear_auc", "utility", 1.0, 0.5, "ridge regression, macro one-against-rest AUC; " + TSTR),
    ),
    "r2": (
        Definition("tstr_r2", "utility", 1.0, 0.0, "boosted trees, R2; " + TSTR),
        Definition("tstr_linear_r2", "utility", 1.0, 0.0, "ridge regression, R2; " + TSTR),
    ),
}

MIN_ROWS = 100
MAX_CLASSES, MIN_CLASS_ROWS = 30, 20
"""Rows of rarer classes are left out: a class of a few rows says nothing about a table."""
MAX_INTEGER_CLASSES = 10

Score = Callable[[Frame, FloatArray, Frame, FloatArray, int], Estimate]


@dataclass(frozen=True)
class Task:
    """Rows to learn from and to be tested on: predictors and their target, by table."""

    score: str
    predictors: dict[str, Frame]
    targets: dict[str, FloatArray]

    def problem(self) -> str | None:
        """Return why nothing can be learned or tested, or None."""
        for role, target in self.targets.items():
            if len(target) < MIN_ROWS:
                return f"fewer than {MIN_ROWS} rows of {role} have a target"
            if len(np.unique(target)) < 2:
                return f"the target has a single value in {role}"
        return None if self.predictors["train"].features else "there is no column to predict the target from"


def measure_utility(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure downstream scores on holdout rows, and the utility gap: what is lost by training on synthetic rows.

    Both models see the same number of rows. A target of categories, truth values or up to 10 distinct whole numbers is
    classified, any other is regressed. Ceiling: trained on train. Floor: trained on train with its columns shuffled.
    """
    if frames.target is None:
        return Findings((GAP.unmeasured("no target is declared", applicable=False),))
    task = _sized(_task(frames), config.utility_rows, numpy_rng(seed, "utility", "rows"))
    definitions = SCORES[task.score]
    reason = task.problem()
    if reason:
        return Findings(tuple(definition.unmeasured(reason) for definition in (GAP, *definitions)))
    with one_thread():
        results = [_estimates(task, score, seed) for score in SCORERS[task.score]]
    found = [_measured(definition, r, task) for definition, r in zip(definitions, results, strict=True)]
    return Findings((_gap(results[0], task), *found))


def _task(frames: Frames) -> Task:
    """Split the target off, and leave out rows that lack it."""
    index = frames.target or 0
    classes = _classes(frames, index)
    predictors, targets = {}, {}
    for role, frame in (("train", frames.train), ("synthetic", frames.synthetic), ("holdout", frames.holdout)):
        target = frame.numbers(index) if classes is None else _as_classes(frame.numbers(index), classes)
        known = ~np.isnan(target)
        predictors[role], targets[role] = frame.without(index).take(known), target[known]
    return Task("r2" if classes is None else "auc", predictors, targets)


def _classes(frames: Frames, index: int) -> FloatArray | None:
    """Return the values that are classes, in order, or None where the target is a quantity."""
    values = frames.train.numbers(index)
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    feature = frames.features[index]
    if not feature.categorical and (feature.column.kind != "integer" or len(distinct) > MAX_INTEGER_CLASSES):
        return None
    most_frequent = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    return np.sort(distinct[most_frequent[counts[most_frequent] >= MIN_CLASS_ROWS]])


def _as_classes(values: FloatArray, classes: FloatArray) -> FloatArray:
    """Return the number of each value's class; NaN where it has none."""
    return np.where(np.isin(values, classes), np.searchsorted(classes, values), np.nan)


def _sized(task: Task, max_rows: int, rng: np.random.Generator) -> Task:
    """Give train and synthetic the same number of rows, and add the floor: train with its columns shuffled."""
    n_rows = min(max_rows, *(len(task.targets[role]) for role in ("train", "synthetic")))
    sizes = {"train": n_rows, "synthetic": n_rows, "holdout": max_rows}
    chosen = {role: rng.permutation(len(task.targets[role]))[:size] for role, size in sizes.items()}
    predictors = {role: task.predictors[role].take(rows) for role, rows in chosen.items()}
    targets = {role: task.targets[role][rows] for role, rows in chosen.items()}
    predictors["floor"], targets["floor"] = shuffled(predictors["train"], rng), rng.permutation(targets["train"])
    return Task(task.score, predictors, targets)


def _estimates(task: Task, score: Score, seed: int) -> dict[str, Estimate]:
    learner_seed = substream(seed, "utility", "learner")
    test, truth = task.predictors["holdout"], task.targets["holdout"]
    return {
        role: score(task.predictors[role], task.targets[role], test, truth, learner_seed)
        for role in ("synthetic", "train", "floor")
    }


def _measured(definition: Definition, estimates: dict[str, Estimate], task: Task) -> Measurement:
    value = estimates["synthetic"]
    return definition.measured(
        value.value,
        n_rows=len(task.targets["synthetic"]),
        interval=value.interval(highest=1.0),
        ceiling=estimates["train"].value,
        floor=estimates["floor"].value,
    )


def _gap(estimates: dict[str, Estimate], task: Task) -> Measurement:
    """Return the paired difference; holdout rows are the same for both models, so their luck cancels."""
    gap = estimates["train"] - estimates["synthetic"]
    return GAP.measured(
        gap.value,
        n_rows=len(task.targets["synthetic"]),
        interval=gap.interval(),
        ceiling=0.0,
        floor=(estimates["train"] - estimates["floor"]).value,
    )


def macro_auc(scores: FloatArray, truth: IntArray) -> Estimate:
    """Return the mean over the classes met in `truth` of each one's AUC against the rest.

    Example:
        >>> macro_auc(np.eye(3), np.array([0, 1, 2])).value
        1.0

    """
    return average([auc(scores[:, k], truth == k) for k in np.unique(truth)])


def _classified(learner: Callable[[Frame, IntArray, Frame, int, int], FloatArray]) -> Score:
    def score(train: Frame, target: FloatArray, test: Frame, truth: FloatArray, seed: int) -> Estimate:
        n_classes = int(max(target.max(), truth.max())) + 1
        scores = learner(train, target.astype(np.int64), test, n_classes, seed)
        return macro_auc(scores, truth.astype(np.int64))

    return score


def _regressed(learner: Callable[[Frame, FloatArray, Frame, int], FloatArray]) -> Score:
    def score(train: Frame, target: FloatArray, test: Frame, truth: FloatArray, seed: int) -> Estimate:
        return r_squared(truth, learner(train, target, test, seed))

    return score


SCORERS: dict[str, tuple[Score, ...]] = {
    "auc": (_classified(boosted_scores), _classified(linear_scores)),
    "r2": (_regressed(boosted_predictions), _regressed(linear_predictions)),
}
