"""What the table is for: does a model trained on synthetic rows serve holdout rows as well as one trained on train?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..statistics import BoolArray, Estimate, FloatArray
from ..threads import one_thread
from .agreement import importances, mean_of_rows, rank_agreement
from .learners import BOOSTED, LINEAR, NEURAL, TREE, Learner, Predictor
from .scores import average_precision, best_threshold, brier, calibration_error, f1, headline, macro, rmse
from .tasks import Task, classes_of, sized, task_of

TSTR = "train on synthetic, test on holdout: Esteban et al. 2017, arXiv:1706.02633"
LEARNERS = {"": BOOSTED, "linear_": LINEAR, "neural_": NEURAL, "tree_": TREE}
"""By the part of a metric's name that stands for them."""
HEADLINES = {"auc": (0.5, "macro one-against-rest AUC"), "r2": (0.0, "R2")}
GAP = Definition("utility_gap", "utility", 0.0, 1.0, "boosted trees: trained on train minus on synthetic; " + TSTR)
GAIN = Definition(
    "augmentation_gain", "utility", 1.0, -1.0, "boosted trees: trained on train and synthetic minus on train alone"
)
PR_AUC = Definition("tstr_pr_auc", "utility", 1.0, 0.0, "Davis and Goadrich 2006, 10.1145/1143844.1143874; " + TSTR)
F1 = Definition("tstr_f1", "utility", 1.0, 0.0, "van Rijsbergen 1979; threshold from the training rows; " + TSTR)
BRIER = Definition("tstr_brier", "utility", 0.0, 1.0, "Brier 1950, halved; " + TSTR)
CALIBRATION = Definition(
    "tstr_calibration_error",
    "utility",
    0.0,
    1.0,
    "15 bins of equal numbers: Nixon et al. 2019, arXiv:1904.01685; " + TSTR,
)
RMSE = Definition(
    "tstr_rmse", "utility", 0.0, 1.0, "root of the mean squared error in the unit of the features; " + TSTR
)
IMPORTANCE = Definition(
    "importance_agreement",
    "utility",
    1.0,
    0.0,
    "Spearman of permutation importances: Breiman 2001, 10.1023/A:1010933404324",
)
RANKING = Definition(
    "learner_agreement", "utility", 1.0, 0.0, "Spearman of the learners' scores: Jordon et al. 2018, arXiv:1806.11345"
)
TABLES = ("synthetic", "train", "floor")
HALVES = ("first half", "second half")
MIN_RANKED = 3
MAX_THRESHOLD_ROWS = 10_000


@dataclass(frozen=True)
class Trained:
    """One learner's models and what they say of the holdout rows, by the rows that they learned from."""

    learner: Learner
    models: Mapping[str, Predictor]
    tested: Mapping[str, FloatArray]
    headlines: Mapping[str, Estimate]


def measure_utility(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure downstream scores on holdout rows, and the utility gap: what is lost by training on synthetic rows.

    All models see the same number of rows, but for the one that learns from both tables. A score without a subject is
    that of boosted trees. Ceiling: trained on train. Floor: trained on train with its columns shuffled. Intervals hold
    the chance of the holdout rows; boosted trees and the linear model have no other.
    """
    if frames.target is None:
        return Findings((GAP.unmeasured("no target is declared", applicable=False),))
    tables = {"train": frames.train, "synthetic": frames.synthetic, "holdout": frames.holdout}
    task = task_of(tables, frames.target, classes_of(frames.train, frames.target))
    reason = task.problem(*tables)
    if reason is None:
        task = sized(task, config.utility_rows, numpy_rng(seed, "utility", "rows"))
        reason = task.problem(*tables) or task.problem(*HALVES, min_rows=1)
    if reason:
        missed = (GAP, *(tstr(prefix, task) for prefix in ("", "linear_")))
        return Findings(tuple(definition.unmeasured(reason) for definition in missed))
    with one_thread():
        return Findings(_measured(task, seed))


def tstr(prefix: str, task: Task) -> Definition:
    """Return the definition of a learner's AUC or R2."""
    score = "r2" if task.classes is None else "auc"
    worst, title = HEADLINES[score]
    return Definition(f"tstr_{prefix}{score}", "utility", 1.0, worst, f"{LEARNERS[prefix].name}, {title}; {TSTR}")


def _measured(task: Task, seed: int) -> tuple[Measurement, ...]:
    trained = {prefix: _trained(learner, task, seed) for prefix, learner in LEARNERS.items()}
    boosted, n_rows = trained[""], len(task.targets["synthetic"])
    return (
        _gap(boosted, n_rows),
        _gain(boosted, task, seed),
        *(_company(tstr(prefix, task), each.headlines, n_rows, highest=1.0) for prefix, each in trained.items()),
        *(m for each in trained.values() if each.learner is not TREE for m in _further(task, each)),
        _importance(boosted, task, seed),
        _ranking(list(trained.values()), seed),
    )


def _trained(learner: Learner, task: Task, seed: int) -> Trained:
    models = {role: learner.learn(task, role, _learner_seed(seed)) for role in (*TABLES, *HALVES)}
    tested = {role: model(task.predictors["holdout"]) for role, model in models.items()}
    return Trained(learner, models, tested, {role: headline(task, predicted) for role, predicted in tested.items()})


def _company(
    definition: Definition, estimates: Mapping[str, Estimate], n_rows: int, highest: float = np.inf, subject: str = ""
) -> Measurement:
    value = estimates["synthetic"]
    lowest = definition.best if definition.best < definition.worst else -np.inf
    return definition.measured(
        value.value,
        n_rows=n_rows,
        interval=value.interval(lowest, highest),
        ceiling=estimates["train"].value,
        floor=estimates["floor"].value,
        subject=subject,
    )


def _gap(boosted: Trained, n_rows: int) -> Measurement:
    """Return the paired difference; holdout rows are the same for both models, so their luck cancels."""
    scores = boosted.headlines
    gap = scores["train"] - scores["synthetic"]
    floor = (scores["train"] - scores["floor"]).value
    return GAP.measured(gap.value, n_rows=n_rows, interval=gap.interval(), ceiling=0.0, floor=floor)


def _gain(boosted: Trained, task: Task, seed: int) -> Measurement:
    """Return the paired difference. Ceiling: what one half of train gains from the other, which is of original rows.

    Floor: what train gains from itself with its columns shuffled.
    """
    both, with_floor = (
        headline(task, boosted.learner.learn(task, role, _learner_seed(seed))(task.predictors["holdout"]))
        for role in ("both", "both floor")
    )
    alone = boosted.headlines["train"]
    gain, floor = both - alone, (with_floor - alone).value
    ceiling = (alone - boosted.headlines["first half"]).value
    n_rows = len(task.targets["both"])
    return GAIN.measured(gain.value, n_rows=n_rows, interval=gain.interval(), ceiling=ceiling, floor=floor)


def _further(task: Task, trained: Trained) -> list[Measurement]:
    """Return what a learner's AUC or R2 does not show."""
    subject = "" if trained.learner is BOOSTED else trained.learner.name
    n_rows = len(task.targets["synthetic"])
    found = []
    for definition, score in _scores(task, trained):
        estimates = {role: score(role) for role in TABLES}
        highest = np.inf if definition.metric == RMSE.metric else 1.0
        found.append(_company(definition, estimates, n_rows, highest, subject))
    return found


def _scores(task: Task, trained: Trained) -> list[tuple[Definition, Callable[[str], Estimate]]]:
    tested = trained.tested
    if task.classes is None:
        truth = task.targets["holdout"]
        of_mean = replace(RMSE, worst=float(truth.std()))  # the error of predicting the mean
        return [(of_mean, lambda role: rmse(truth, tested[role]))]
    labels, judged = task.labels("holdout"), task.judged_classes()
    found: list[tuple[Definition, Callable[[str], Estimate]]] = [
        (PR_AUC, lambda role: macro(average_precision, tested[role], labels, judged)),
        (F1, lambda role: macro(f1, _flagged(task, trained, role), labels, judged)),
    ]
    chances: list[tuple[Definition, Callable[[str], Estimate]]] = [
        (BRIER, lambda role: brier(task, tested[role])),
        (CALIBRATION, lambda role: macro(calibration_error, tested[role], labels, judged)),
    ]
    return [*found, *chances] if trained.learner.knows_chances else found


def _flagged(task: Task, trained: Trained, role: str) -> BoolArray:
    """Return which holdout rows are taken to be of each class, by the threshold that serves the training rows best."""
    rows = np.arange(min(MAX_THRESHOLD_ROWS, len(task.targets[role])))  # they are in random order
    own, labels = trained.models[role](task.predictors[role].take(rows)), task.labels(role)[rows]
    thresholds = np.array([best_threshold(own[:, k], labels == k) for k in range(task.n_classes)])
    return np.asarray(trained.tested[role] >= thresholds)


def _importance(boosted: Trained, task: Task, seed: int) -> Measurement:
    """Ceiling: models of two halves of train, a little low as each has half of the rows."""
    if len(task.predictors["train"].features) < MIN_RANKED:
        return IMPORTANCE.unmeasured(f"fewer than {MIN_RANKED} columns to rank", applicable=False)
    rises = {
        role: importances(boosted.models[role], task, numpy_rng(seed, "utility", "permutation"))
        for role in ("train", "synthetic", *HALVES)
    }
    if not (rises["train"].mean(axis=0) > 0).any():
        return IMPORTANCE.unmeasured("no column helps to predict the target")
    return _agreement(IMPORTANCE, {role: mean_of_rows(each) for role, each in rises.items()}, seed)


def _ranking(trained: list[Trained], seed: int) -> Measurement:
    roles = ("train", "synthetic", *HALVES)
    return _agreement(RANKING, {role: [each.headlines[role] for each in trained] for role in roles}, seed)


def _agreement(definition: Definition, scores: Mapping[str, list[Estimate]], seed: int) -> Measurement:
    """Return how alike train and synthetic order what was scored. Ceiling: two halves of train. Floor: any order."""
    value, interval = rank_agreement(scores["train"], scores["synthetic"], numpy_rng(seed, "utility", "bootstrap"))
    ceiling, _ = rank_agreement(scores[HALVES[0]], scores[HALVES[1]], numpy_rng(seed, "utility", "bootstrap"))
    n_rows = len(scores["train"][0].influence)
    return definition.measured(value, n_rows=n_rows, interval=interval, ceiling=ceiling, floor=0.0)


def _learner_seed(seed: int) -> int:
    return substream(seed, "utility", "learner")
