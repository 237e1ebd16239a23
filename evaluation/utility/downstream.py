"""What the table is for: does a model trained on synthetic rows serve holdout rows as well as one trained on train?

A score owes something to the holdout rows, something to the rows that were learned from and something to the learner's
seed. The first is in its influence. For the others every learner learns again, each time with a seed of its own and
from a random part of its rows. The variance between the scores of parts of m out of n rows, times m / (n - m), is that
of the score of n rows: Politis and Romano 1994, doi:10.1214/aos/1176325770, with their correction for drawing from
finitely many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice

import numpy as np

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..processes import in_processes
from ..statistics import BoolArray, Estimate, FloatArray
from .agreement import importances, mean_of_rows, rank_agreement
from .learners import BOOSTED, LINEAR, NEURAL, TREE, Learner
from .scores import average_precision, best_threshold, brier, calibration_error, f1, headline, macro, rmse
from .tasks import Task, classes_of, sized, subsampled, task_of

TSTR = "train on synthetic, test on holdout: Esteban et al. 2017, arXiv:1706.02633"
LEARNERS = {"": BOOSTED, "linear_": LINEAR, "neural_": NEURAL, "tree_": TREE}
"""By the part of a metric's name that stands for them."""
HEADLINES = {"auc": (0.5, "macro one-against-rest AUC"), "r2": (0.0, "R2")}
GAP = Definition("utility_gap", "utility", 0.0, 1.0, "boosted trees: trained on train minus on synthetic; " + TSTR)
GAIN = Definition(
    "augmentation_gain", "utility", 1.0, -1.0, "AUC or R2: trained on train and synthetic minus on train alone"
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
REPLICATED = ("train", "synthetic")
RANKED = (*REPLICATED, *HALVES)
MIN_RANKED = 3
MAX_THRESHOLD_ROWS = 10_000


@dataclass(frozen=True)
class Outcome:
    """What one model says.

    Attributes:
        tested: of the holdout rows.
        own: of the first 10,000 of the rows that it learned from, which are in random order; none where no threshold is
            chosen by them.
        rises: by how much the loss of each probed holdout row rises when a column is permuted **(n_rows, n_features)**;
            none where nobody asks.

    """

    tested: FloatArray
    own: FloatArray | None = None
    rises: FloatArray | None = None


@dataclass(frozen=True)
class Trained:
    """One learner's models by the rows that they learned from.

    Attributes:
        learner: which one.
        task: what was learned.
        outcomes: what the models say, by role.
        replicates: the same learned again from parts of the rows, with other seeds.

    """

    learner: Learner
    task: Task
    outcomes: Mapping[str, Outcome]
    replicates: tuple[Trained, ...] = ()

    def estimate(self, score: Score, role: str) -> Estimate:
        """Return the score of what was learned from `role`, with replicates that vary as it does."""
        whole = score(self, role)
        again = np.array([score(each, role).value for each in self.replicates if role in each.outcomes])
        if not len(again):
            return whole
        n, m = (len(each.task.targets[role]) for each in (self, self.replicates[0]))
        return whole.replicated(whole.value + np.sqrt(m / (n - m)) * (again - again.mean()))

    @cached_property
    def headlines(self) -> dict[str, Estimate]:
        """The AUC or R2 of what was learned from each role."""

        def score(trained: Trained, role: str) -> Estimate:
            return headline(trained.task, trained.outcomes[role].tested)

        return {role: self.estimate(score, role) for role in self.outcomes}

    @property
    def n_rows(self) -> int:
        """The number of synthetic rows that were learned from."""
        return len(self.task.targets["synthetic"])


Score = Callable[[Trained, str], Estimate]


def measure_utility(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure downstream scores on holdout rows, and the utility gap: what is lost by training on synthetic rows.

    All models see the same number of rows, but for the one that learns from both tables. A score without a subject is
    that of boosted trees. Ceiling: trained on train. Floor: trained on train with its columns shuffled. Intervals hold
    the chance of the holdout rows, of the rows that were learned from and of the learner's seed.
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
    return Findings(_measured(_all_trained(task, config.utility_replicates, seed, frames.n_rows), seed))


def tstr(prefix: str, task: Task) -> Definition:
    """Return the definition of a learner's AUC or R2."""
    score = "r2" if task.classes is None else "auc"
    worst, title = HEADLINES[score]
    return Definition(f"tstr_{prefix}{score}", "utility", 1.0, worst, f"{LEARNERS[prefix].name}, {title}; {TSTR}")


def _measured(trained: Mapping[str, Trained], seed: int) -> tuple[Measurement, ...]:
    boosted = trained[""]
    return (
        _gap(boosted),
        *(_gain(each) for each in trained.values() if "both" in each.outcomes),
        *(_headline(tstr(prefix, each.task), each) for prefix, each in trained.items()),
        *(m for each in trained.values() if each.learner != TREE for m in _further(each)),
        _importance(boosted, seed),
        _ranking(list(trained.values()), seed),
    )


def _all_trained(task: Task, n_replicates: int, seed: int, n_rows: int) -> dict[str, Trained]:
    """Return every learner's models by the prefix of its metrics."""
    whole = Course(task, substream(seed, "utility", "learner"), (*TABLES, *HALVES, "both", "both floor"))
    parts = [
        Course(
            subsampled(task, numpy_rng(seed, "utility", f"part {r}")),
            substream(seed, "utility", f"learner {r}"),
            (*REPLICATED, "both"),
        )
        for r in range(n_replicates)
    ]
    taught = [(learner, course) for learner in LEARNERS.values() for course in (whole, *parts)]
    trained = iter(trained_on(taught, seed, n_rows=n_rows))
    return {prefix: replace(next(trained), replicates=tuple(islice(trained, n_replicates))) for prefix in LEARNERS}


@dataclass(frozen=True)
class Course:
    """What to learn, from which of its tables, with which seed; the network, which is slow, is spared joined ones."""

    task: Task
    seed: int
    roles: Sequence[str]

    def asked(self, learner: Learner) -> list[str]:
        """Return the tables that the learner learns from."""
        return [role for role in self.roles if learner != NEURAL or not role.startswith("both")]


def trained_on(taught: Sequence[tuple[Learner, Course]], seed: int, *, n_rows: int) -> list[Trained]:
    """Let learners take their courses.

    Args:
        taught: who learns what.
        seed: of the permutations; the same for all models.
        n_rows: rows of the largest evaluated table.
    """
    lessons = (
        (learner, course.task.only(role, "holdout"), role, course.seed)
        for learner, course in taught
        for role in course.asked(learner)
    )
    outcomes = iter(in_processes(partial(_outcome, seed), lessons, n_rows=n_rows))
    return [
        Trained(learner, course.task, {role: next(outcomes) for role in course.asked(learner)})
        for learner, course in taught
    ]


def _outcome(seed: int, lesson: tuple[Learner, Task, str, int]) -> Outcome:
    learner, task, role, own_seed = lesson
    model = learner.learn(task, role, own_seed)
    tested, own, rises = model(task.predictors["holdout"]), None, None
    if task.classes is not None and role in TABLES and learner != TREE:
        own = model(task.predictors[role].take(np.arange(min(MAX_THRESHOLD_ROWS, len(task.targets[role])))))
    if role in RANKED and learner == BOOSTED:
        rises = importances(model, task, numpy_rng(seed, "utility", "permutation"))
    return Outcome(tested, own, rises)


def _headline(definition: Definition, trained: Trained) -> Measurement:
    return _company(definition, trained.headlines, trained.n_rows, highest=1.0)


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


def _gap(boosted: Trained) -> Measurement:
    """Return the paired difference; holdout rows are the same for both models, so their luck cancels."""
    train, synthetic, floor = (boosted.headlines[role] for role in ("train", "synthetic", "floor"))
    gap, of_floor = train - synthetic, train.value - floor.value
    return GAP.measured(gap.value, n_rows=boosted.n_rows, interval=gap.interval(), ceiling=0.0, floor=of_floor)


def _gain(trained: Trained) -> Measurement:
    """Return the paired difference. Ceiling: what one half of train gains from the other, which is of original rows.

    Floor: what train gains from itself with its columns shuffled.
    """
    both, alone = trained.headlines["both"], trained.headlines["train"]
    gain, n_rows = both - alone, len(trained.task.targets["both"])
    ceiling = alone.value - trained.headlines[HALVES[0]].value
    floor = trained.headlines["both floor"].value - alone.value
    interval, subject = gain.interval(), _subject(trained)
    return GAIN.measured(gain.value, n_rows=n_rows, interval=interval, ceiling=ceiling, floor=floor, subject=subject)


def _subject(trained: Trained) -> str:
    """Return whose score it is; boosted trees go without saying."""
    return "" if trained.learner == BOOSTED else trained.learner.name


def _further(trained: Trained) -> list[Measurement]:
    """Return what a learner's AUC or R2 does not show."""
    found = []
    for definition, score in _scores(trained.task, trained.learner):
        estimates = {role: trained.estimate(score, role) for role in TABLES}
        highest = np.inf if definition.metric == RMSE.metric else 1.0
        found.append(_company(definition, estimates, trained.n_rows, highest, _subject(trained)))
    return found


def _scores(task: Task, learner: Learner) -> list[tuple[Definition, Score]]:
    if task.classes is None:
        truth = task.targets["holdout"]
        of_mean = replace(RMSE, worst=float(truth.std()))  # the error of predicting the mean
        return [(of_mean, lambda trained, role: rmse(truth, trained.outcomes[role].tested))]
    labels, judged = task.labels("holdout"), task.judged_classes()
    found: list[tuple[Definition, Score]] = [
        (PR_AUC, lambda trained, role: macro(average_precision, trained.outcomes[role].tested, labels, judged)),
        (F1, lambda trained, role: macro(f1, _flagged(trained, role), labels, judged)),
    ]
    chances: list[tuple[Definition, Score]] = [
        (BRIER, lambda trained, role: brier(task, trained.outcomes[role].tested)),
        (CALIBRATION, lambda trained, role: macro(calibration_error, trained.outcomes[role].tested, labels, judged)),
    ]
    return [*found, *chances] if learner.knows_chances else found


def _flagged(trained: Trained, role: str) -> BoolArray:
    """Return which holdout rows are taken to be of each class, by the threshold that serves the training rows best."""
    own, tested = trained.outcomes[role].own, trained.outcomes[role].tested
    assert own is not None
    labels = trained.task.labels(role)[: len(own)]
    thresholds = np.array([best_threshold(own[:, k], labels == k) for k in range(trained.task.n_classes)])
    return np.asarray(tested >= thresholds)


def _importance(boosted: Trained, seed: int) -> Measurement:
    """Ceiling: models of two halves of train, a little low as each has half of the rows."""
    if len(boosted.task.predictors["train"].features) < MIN_RANKED:
        return IMPORTANCE.unmeasured(f"fewer than {MIN_RANKED} columns to rank", applicable=False)
    own = {role: mean_of_rows(_rises(boosted, role)) for role in RANKED}
    for role in REPLICATED:
        again = [_rises(each, role).mean(axis=0) for each in boosted.replicates]
        own[role] = [whole.replicated(np.array([rises[i] for rises in again])) for i, whole in enumerate(own[role])]
    if not any(rise.value > 0 for rise in own["train"]):
        return IMPORTANCE.unmeasured("no column helps to predict the target")
    return _agreement(IMPORTANCE, own, seed)


def _rises(boosted: Trained, role: str) -> FloatArray:
    rises = boosted.outcomes[role].rises
    assert rises is not None
    return rises


def _ranking(trained: list[Trained], seed: int) -> Measurement:
    return _agreement(RANKING, {role: [each.headlines[role] for each in trained] for role in RANKED}, seed)


def _agreement(definition: Definition, scores: Mapping[str, list[Estimate]], seed: int) -> Measurement:
    """Return how alike train and synthetic order what was scored. Ceiling: two halves of train. Floor: any order.

    Where train scores all alike there is no order to agree with.
    """
    if not np.ptp([estimate.value for estimate in scores["train"]]):
        return definition.unmeasured("trained on train, all score the same: there is no order")
    value, interval = rank_agreement(scores["train"], scores["synthetic"], numpy_rng(seed, "utility", "bootstrap"))
    ceiling, _ = rank_agreement(scores[HALVES[0]], scores[HALVES[1]], numpy_rng(seed, "utility", "bootstrap"))
    n_rows = len(scores["train"][0].influence)
    return definition.measured(value, n_rows=n_rows, interval=interval, ceiling=ceiling, floor=0.0)
