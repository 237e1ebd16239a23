"""Each column predicted from the others: what one declared target misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..processes import in_processes
from ..references import shuffled
from ..statistics import BoolArray, Estimate, FloatArray, average
from .learners import SMALL_BOOSTED
from .scores import headline
from .tasks import MIN_ROWS, Task, classes_of, target_of, task_of

SOURCE = "small boosted trees, trained on train minus on synthetic: after Jiang et al. 2025, arXiv:2509.11950"
MEAN_GAP = Definition("every_column_gap", "utility", 0.0, 1.0, "mean over columns: " + SOURCE)
WORST_GAP = Definition("worst_column_gap", "utility", 0.0, 1.0, "largest over columns: " + SOURCE)
COLUMN_GAP = Definition("column_utility_gap", "utility", 0.0, 1.0, SOURCE)

MAX_ROWS = 4_000
MAX_COLUMNS = 50
"""Of wider tables, so many columns at random are predicted, each from all others."""
MAX_CLASSES = 8
MIN_CLASS_SHARE = 1 / 80
"""Of rarer classes, so few are in a sample that the macro average over classes would be theirs."""
ROLES = ("synthetic", "second", "floor")


@dataclass(frozen=True)
class ColumnGaps:
    """How much worse one column is predicted than after training on train, by what was trained on instead.

    `synthetic` and `floor` are as ever, `second` is a disjoint sample of train.
    """

    name: str
    n_rows: int
    gaps: Mapping[str, Estimate]

    def measured(self) -> Measurement:
        """Return the column's own measurement."""
        return _measured(COLUMN_GAP, self.gaps, self.n_rows)


def measure_every_column(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the loss in skill when each column is predicted from the others after training on synthetic rows.

    Skill is 2 AUC - 1 of classes, and R2 of a quantity's rank among train rows: 1 is perfect, 0 knows nothing. All
    models learn from one number of rows, at most 4,000 and half of train. Ceiling: trained on a disjoint sample of
    train. Floor: on train with its columns shuffled. No target need be declared. Intervals hold the chance of the
    holdout rows, and that of train and synthetic by models of random halves of these, as in `downstream`.
    """
    n_rows = min(MAX_ROWS, config.utility_rows, frames.train.n_rows // 2, frames.synthetic.n_rows)
    reason = _problem(frames, n_rows)
    if reason:
        return _unmeasured(reason)
    rng = numpy_rng(seed, "utility", "every column")
    tables = _tables(frames, n_rows, rng)
    columns = np.sort(rng.permutation(len(frames.features))[:MAX_COLUMNS])
    halves = [_halves(tables, rng) for _ in range(config.utility_replicates)]

    gaps_of = partial(_gaps, tables, halves, substream(seed, "utility", "column"))
    found = [column for column in in_processes(gaps_of, columns.tolist(), n_rows=frames.n_rows) if column]
    return _findings(found, n_rows) if found else _unmeasured("no column has two values and enough rows in train")


def _problem(frames: Frames, n_rows: int) -> str | None:
    if len(frames.features) < 2:
        return "fewer than two columns are modelled"
    small = n_rows < MIN_ROWS or frames.holdout.n_rows < MIN_ROWS
    return f"fewer than {MIN_ROWS} rows in synthetic, holdout or half of train" if small else None


def _unmeasured(reason: str) -> Findings:
    return Findings((MEAN_GAP.unmeasured(reason), WORST_GAP.unmeasured(reason)))


def _tables(frames: Frames, n_rows: int, rng: np.random.Generator) -> dict[str, Frame]:
    order = rng.permutation(frames.train.n_rows)
    train = frames.train.take(order[:n_rows])
    return {
        "train": train,
        "second": frames.train.take(order[n_rows : 2 * n_rows]),
        "synthetic": frames.synthetic.take(rng.permutation(frames.synthetic.n_rows)[:n_rows]),
        "holdout": frames.holdout.take(rng.permutation(frames.holdout.n_rows)[:MAX_ROWS]),
        "floor": shuffled(train, rng),
    }


def _halves(tables: Mapping[str, Frame], rng: np.random.Generator) -> dict[str, Frame]:
    """Return a random half of train and of synthetic, the same rows for all columns, and the whole holdout."""
    taken = {role: rng.permutation(tables[role].n_rows)[: tables[role].n_rows // 2] for role in ("train", "synthetic")}
    return {role: tables[role].take(rows) for role, rows in taken.items()} | {"holdout": tables["holdout"]}


def _gaps(
    tables: Mapping[str, Frame], halves: Sequence[Mapping[str, Frame]], seed: int, index: int
) -> ColumnGaps | None:
    """Return the column's gaps, or None where original rows leave nothing to learn or to test."""
    classes = classes_of(tables["train"], index, MAX_CLASSES, int(MIN_CLASS_SHARE * tables["train"].n_rows))
    task = _by_rank(task_of(tables, index, classes))
    if task.problem("train", "second", "holdout"):
        return None
    known = ~np.isnan(target_of(tables["holdout"], index, classes))
    best = _on_rows(_skill(task, "train", seed), known)
    gaps = {role: best - _on_rows(_skill(task, role, seed), known) for role in ROLES}
    again = [
        _skill(half, "train", seed + r, MIN_ROWS // 2).value - _skill(half, "synthetic", seed + r, MIN_ROWS // 2).value
        for r, half in enumerate(_by_rank(task_of(half, index, classes)) for half in halves)
    ]
    gaps["synthetic"] = gaps["synthetic"].replicated(np.array(again))
    return ColumnGaps(tables["train"].features[index].name, len(task.targets["synthetic"]), gaps)


def _by_rank(task: Task) -> Task:
    """Replace quantities by their mid-rank among train's, from 0 to 1, lest a few large ones decide."""
    if task.classes is not None:
        return task
    reference = np.sort(task.targets["train"])
    targets = {role: _mid_ranks(values, reference) for role, values in task.targets.items()}
    return replace(task, targets=targets)


def _mid_ranks(values: FloatArray, reference: FloatArray) -> FloatArray:
    below = np.searchsorted(reference, values) + np.searchsorted(reference, values, side="right")
    return np.asarray(below / (2 * max(len(reference), 1)))


def _skill(task: Task, role: str, seed: int, min_rows: int = MIN_ROWS) -> Estimate:
    """Return the skill of a model learned from `role`; rows of one value, or too few, teach nothing: skill 0."""
    if task.problem(role, min_rows=min_rows):
        return Estimate(0.0, np.zeros(len(task.targets["holdout"])))
    score = headline(task, SMALL_BOOSTED.learn(task, role, seed)(task.predictors["holdout"]))
    return score if task.classes is None else Estimate(2 * score.value - 1, 2 * score.influence)


def _on_rows(estimate: Estimate, known: BoolArray) -> Estimate:
    """Return the estimate with an influence for all holdout rows; those that lack the target have none."""
    influence = np.zeros(len(known))
    influence[known] = estimate.influence
    return replace(estimate, influence=influence)


def _findings(found: list[ColumnGaps], n_rows: int) -> Findings:
    mean = {role: average([column.gaps[role] for column in found]) for role in ROLES}
    worst = {role: max((column.gaps[role] for column in found), key=lambda gap: gap.value) for role in ROLES}
    overall = (_measured(MEAN_GAP, mean, n_rows), _measured(WORST_GAP, worst, n_rows))
    return Findings(overall, columns={column.name: (column.measured(),) for column in found})


def _measured(definition: Definition, gaps: Mapping[str, Estimate], n_rows: int) -> Measurement:
    gap = gaps["synthetic"]
    ceiling, floor = gaps["second"].value, gaps["floor"].value
    return definition.measured(gap.value, n_rows=n_rows, interval=gap.interval(), ceiling=ceiling, floor=floor)
