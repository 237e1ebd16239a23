from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, f1_score, root_mean_squared_error

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.measurement import Measured, Measurement, Unmeasured
from evaluation.metric import Findings
from evaluation.statistics import Estimate, mean
from evaluation.tables import Tables
from evaluation.utility.agreement import rank_agreement
from evaluation.utility.downstream import Course, Trained, measure_utility, trained_on
from evaluation.utility.every_column import measure_every_column
from evaluation.utility.learners import BOOSTED, LINEAR, NEURAL, TREE, Learner
from evaluation.utility.scores import average_precision, best_threshold, calibration_error, f1, headline, rmse
from evaluation.utility.tasks import Task, classes_of, subsampled, task_of
from pipeline.columns import Continuous, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import draw, frames, reorder, shuffle_columns

CONFIG = EvaluationConfig(utility_replicates=2)


def number(findings: Findings, metric: str, subject: str = "") -> Measured:
    (found,) = [m for m in findings.measurements if (m.metric, m.subject) == (metric, subject)]
    assert isinstance(found, Measured), found
    return found


def badness(found: Measured) -> float:
    return abs(found.value - found.best)


def scored(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rare positives and their chances, many of them tied."""
    rng = np.random.default_rng(seed)
    chances = np.round(rng.beta(1, 5, n_rows), 2)
    return chances, rng.random(n_rows) < chances


# scores


def test_scores_are_those_of_the_field() -> None:
    chances, positive = scored(500, 0)
    assert average_precision(chances, positive).value == pytest.approx(average_precision_score(positive, chances))
    assert f1(chances > 0.3, positive).value == pytest.approx(f1_score(positive, chances > 0.3))
    assert rmse(chances, 2 * chances).value == pytest.approx(root_mean_squared_error(chances, 2 * chances))


@pytest.mark.parametrize(
    "score",
    [
        average_precision,
        lambda chances, positive: f1(chances >= 0.25, positive),
        lambda chances, positive: calibration_error(np.minimum(2 * chances, 1.0), positive),
        lambda chances, positive: rmse(positive.astype(float), chances),
    ],
    ids=["average precision", "f1", "calibration error", "rmse"],
)
def test_the_interval_is_that_of_a_bootstrap_over_rows(score) -> None:
    chances, positive = scored(2_000, 1)
    estimate, rng = score(chances, positive), np.random.default_rng(2)
    draws = [score(chances[rows], positive[rows]).value for rows in rng.integers(2_000, size=(300, 2_000))]
    assert estimate.influence.sum() == pytest.approx(0.0, abs=1e-9)
    assert np.sqrt(np.square(estimate.influence).sum()) == pytest.approx(np.std(draws), rel=0.2)


def test_the_best_threshold_is_best() -> None:
    chances, positive = scored(400, 3)
    best = f1(chances >= best_threshold(chances, positive), positive).value
    assert best == max(f1(chances >= at, positive).value for at in np.unique(chances))
    assert best_threshold(chances, np.zeros(400, dtype=bool)) == np.inf


def test_calibration_error_by_hand() -> None:
    positive = np.arange(100) < 80
    assert calibration_error(np.full(100, 0.8), positive).value == pytest.approx(0.0)
    assert calibration_error(np.full(100, 0.5), positive).value == pytest.approx(0.3)


# learners


@pytest.mark.parametrize("learner", [BOOSTED, LINEAR, NEURAL, TREE], ids=lambda learner: learner.name)
@pytest.mark.parametrize("target", ["member", "city", "spent"])
def test_every_learner_learns_every_kind_of_target(learner: Learner, target: str) -> None:
    parts = frames(draw(10, 3), target=target)
    task = task_of(
        {"train": parts.train, "holdout": parts.holdout}, parts.target, classes_of(parts.train, parts.target)
    )
    predicted = learner.learn(task, "train", 0)(task.predictors["holdout"])
    assert headline(task, predicted).value > 0.75
    assert np.array_equal(predicted, learner.learn(task, "train", 0)(task.predictors["holdout"]))
    if task.n_classes and learner.knows_chances:
        assert predicted.sum(axis=1) == pytest.approx(1.0)


# the declared target


@pytest.fixture(scope="module")
def classified() -> list[Findings]:
    """Return what is found of ever more corrupted tables: train itself, a half shuffled, all shuffled."""
    return [
        measure_utility(frames(shuffle_columns(draw(1_500, 1), share), n_train=1_500, target="member"), CONFIG, seed=0)
        for share in (0.0, 0.7, 1.0)
    ]


@pytest.mark.parametrize(
    "metric", ["tstr_pr_auc", "tstr_f1", "tstr_brier", "tstr_neural_auc", "tstr_tree_auc", "tstr_auc"]
)
def test_scores_grow_worse_with_corruption(classified: list[Findings], metric: str) -> None:
    same, _, shuffled = (number(found, metric) for found in classified)
    assert same.value == pytest.approx(same.ceiling, abs=0.03)
    assert badness(shuffled) > badness(same) + 0.04
    assert badness(same) <= abs(same.floor - same.best)
    assert same.interval[0] <= same.value <= same.interval[1]


def test_agreement_falls_with_corruption(classified: list[Findings]) -> None:
    same, _, shuffled = (number(found, "importance_agreement").value for found in classified)
    assert same > 0.85
    assert shuffled < same
    assert number(classified[0], "learner_agreement").value > 0.7


def test_neither_train_again_nor_shuffled_rows_add_what_original_rows_do(classified: list[Findings]) -> None:
    for gain in (number(found, "augmentation_gain") for found in classified):
        assert gain.value < gain.ceiling
        assert gain.n_rows == 3_000


def test_shuffled_rows_beside_train_harm_a_linear_model(classified: list[Findings]) -> None:
    same, _, shuffled = (number(found, "augmentation_gain", "linear model") for found in classified)
    assert shuffled.value < same.value
    assert shuffled.value == pytest.approx(shuffled.floor, abs=0.1)


def test_one_number_per_metric_and_subject(classified: list[Findings]) -> None:
    names = [(m.metric, m.subject) for m in classified[0].measurements]
    assert len(set(names)) == len(names)
    assert ("tstr_brier", "linear model") not in names  # its scores are no probabilities
    assert {subject for metric, subject in names if metric == "tstr_f1"} == {"", "linear model", "neural network"}
    gaining = {subject for metric, subject in names if metric == "augmentation_gain"}
    assert gaining == {"", "linear model", "decision tree"}


def test_a_regressed_target_has_an_error_in_its_own_unit() -> None:
    found = measure_utility(frames(draw(600, 1), n_train=600, target="since"), CONFIG, seed=0)
    error = number(found, "tstr_rmse")
    assert error.worst == pytest.approx(100, rel=0.15)  # days
    assert error.value == pytest.approx(error.worst * np.sqrt(1 - number(found, "tstr_r2").value))
    assert not any(m.metric == "tstr_auc" for m in found.measurements)


def test_a_table_of_one_predictor_has_no_importances_to_rank() -> None:
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Continuous(name="y", arrow="double")))
    parts = []
    for seed in range(3):
        x, noise = np.random.default_rng(seed).normal(size=(2, 300))
        parts.append(pa.table({"x": x, "y": x + noise}))
    found = measure_utility(frames_of(Tables(schema, *parts, target="y")), CONFIG, seed=0)
    (agreement,) = [m for m in found.measurements if m.metric == "importance_agreement"]
    assert isinstance(agreement, Unmeasured)
    assert not agreement.applicable
    assert number(found, "tstr_r2").value > 0.2


def imbalanced(synthetic_has_rare: bool) -> Frames:
    """Return tables of three classes, the last of which 3 % carry; it may be absent from synthetic."""
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Integer(name="y", arrow="int64")))
    parts = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y = rng.choice(3, size=1_000, p=[0.6, 0.37, 0.03])
        y = y if synthetic_has_rare or seed < 2 else np.minimum(y, 1)
        parts.append(pa.table({"x": y + 0.4 * rng.normal(size=1_000), "y": y}))
    return frames_of(Tables(schema, *parts, target="y"))


def test_a_rare_class_that_synthetic_lacks_is_missed_most_by_precision_and_recall() -> None:
    whole, lacking = (measure_utility(imbalanced(has), CONFIG, seed=0) for has in (True, False))
    for metric in ("tstr_pr_auc", "tstr_f1"):
        assert number(lacking, metric).value < number(whole, metric).value - 0.15


# every column


def every_column(table: pa.Table, **settings) -> Findings:
    return measure_every_column(frames(table, **settings), CONFIG, seed=0)


def test_fresh_rows_teach_every_column_as_well_as_train() -> None:
    found = every_column(draw(1_000, 3))
    mean_gap = number(found, "every_column_gap")
    assert abs(mean_gap.value) < 0.04
    assert mean_gap.floor > 0.3
    assert number(found, "worst_column_gap").value < 0.15
    assert set(found.columns) == {"income", "spent", "visits", "city", "since", "member"}
    assert found == every_column(draw(1_000, 3))
    assert number(every_column(reorder(draw(1_000, 3))), "every_column_gap").value == pytest.approx(
        mean_gap.value, abs=0.03
    )


def test_it_sees_a_column_that_the_declared_target_misses() -> None:
    table = draw(1_000, 3)
    broken = table.set_column(2, table.schema.field("visits"), shuffle_columns(table)["visits"])
    found, declared = every_column(broken), measure_utility(frames(broken, target="spent"), CONFIG, seed=0)
    (visits,) = found.columns["visits"]
    assert number(declared, "utility_gap").value < 0.05
    assert number(found, "worst_column_gap").value == visits.value > 0.3


def test_the_gap_grows_with_corruption() -> None:
    gaps = [number(every_column(shuffle_columns(draw(1_000, 3), s)), "every_column_gap").value for s in (0, 0.6, 1)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 0.3


def test_a_constant_synthetic_column_teaches_nothing() -> None:
    table = draw(1_000, 3)
    same = table.set_column(5, table.schema.field("member"), pa.array([True] * 1_000))
    member = measured(every_column(same).columns["member"])
    assert member.value == pytest.approx(member.floor, abs=0.15)
    assert member.value > 0.3


def measured(found: tuple[Measurement, ...]) -> Measured:
    (one,) = found
    assert isinstance(one, Measured)
    return one


@pytest.mark.parametrize("n_rows", [0, 1, 50])
def test_too_few_rows_give_reasons(n_rows: int) -> None:
    found = every_column(draw(n_rows, 3), n_train=n_rows, n_holdout=n_rows)
    assert [m.metric for m in found.measurements] == ["every_column_gap", "worst_column_gap"]
    assert all(isinstance(m, Unmeasured) for m in found.measurements)


# agreement


def ordered(values: list[float]) -> list[Estimate]:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 200))
    return [mean(value + row) for value, row in zip(values, noise - noise.mean(axis=1, keepdims=True), strict=True)]


def test_rank_agreement_by_hand() -> None:
    far, reverse = ordered([0.0, 10.0, 20.0, 30.0]), ordered([30.0, 20.0, 10.0, 0.0])
    assert rank_agreement(far, far, np.random.default_rng(0)) == (1.0, (1.0, 1.0))
    assert rank_agreement(far, reverse, np.random.default_rng(0))[0] == -1.0


def test_learners_that_train_scores_alike_have_no_order_to_agree_with() -> None:
    """The target is one column told outright: every learner is perfect on train, and on the synthetic table."""
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Integer(name="y", arrow="int64")))
    x = np.repeat([-1.0, 1.0], 150)
    table = pa.table({"x": x, "y": (x > 0).astype(np.int64)})
    found = measure_utility(frames_of(Tables(schema, table, table, table, target="y")), CONFIG, seed=0)
    (agreement,) = [m for m in found.measurements if m.metric == "learner_agreement"]
    assert isinstance(agreement, Unmeasured)
    assert "no order" in agreement.reason


def test_an_order_that_chance_decides_has_a_wide_interval() -> None:
    near = ordered([0.0, 0.01, 0.02, 0.03])
    low, high = rank_agreement(near, ordered([0.0, 10.0, 20.0, 30.0]), np.random.default_rng(0))[1]
    assert high - low > 0.5


# the chance of the rows that were learned from


def with_replicates(learner: Learner, task: Task, parts: list[Task]) -> Trained:
    courses = [Course(task, 9, ("synthetic",)), *(Course(part, r, ("synthetic",)) for r, part in enumerate(parts))]
    whole, *again = trained_on([(learner, course) for course in courses], 0, n_rows=0)
    return replace(whole, replicates=tuple(again))


def test_replicates_vary_as_scores_of_independent_tables_do() -> None:
    """Every table is a fresh draw and holdout the same, so that what varies is what the replicates are for."""

    def draw_task(rng: np.random.Generator) -> Task:
        schema = Schema(columns=(Continuous(name="x", arrow="double"), Continuous(name="y", arrow="double")))
        parts = []
        for source in (rng, np.random.default_rng(0), rng):  # train, holdout, synthetic
            x, noise = source.normal(size=(2, 400))
            parts.append(pa.table({"x": x, "y": x + noise}))
        parsed = frames_of(Tables(schema, *parts, target="y"))
        tables = {"train": parsed.train, "synthetic": parsed.synthetic, "holdout": parsed.holdout}
        return task_of(tables, 1, None)

    def ratio(learner: Learner) -> float:
        values, variances = [], []
        for seed in range(60):
            rng = np.random.default_rng((1, seed))
            task = draw_task(rng)
            score = with_replicates(learner, task, [subsampled(task, rng) for _ in range(4)]).headlines["synthetic"]
            values.append(score.value)
            variances.append(np.var(score.replicates, ddof=1))
        return float(np.mean(variances) / np.var(values, ddof=1))

    # At least what it is, and somewhat more: half of the rows more than double the variance near the best model.
    assert 0.8 < ratio(LINEAR) < 4.0
    assert 0.8 < ratio(TREE) < 4.0


def test_a_part_of_a_large_table_is_scaled_to_all_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40_000)
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Continuous(name="y", arrow="double")))
    table = pa.table({"x": x, "y": x + rng.normal(size=40_000)})
    parsed = frames_of(Tables(schema, table, table.slice(0, 500), table, target="y"))
    task = task_of({"train": parsed.train, "synthetic": parsed.synthetic, "holdout": parsed.holdout}, 1, None)
    parts = [subsampled(task, np.random.default_rng(r)) for r in range(4)]
    assert [len(part.targets["synthetic"]) for part in parts] == [8_000] * 4
    assert [len(part.targets["both"]) for part in parts] == [16_000] * 4
    trained = with_replicates(TREE, task, parts)
    score = trained.headlines["synthetic"]
    of_parts = np.std([each.headlines["synthetic"].value for each in trained.replicates])
    assert np.std(score.replicates) == pytest.approx(of_parts / 2)  # 8,000 of 40,000 rows: a fourth of the variance
    assert score.replicates.mean() == pytest.approx(score.value)


def test_a_part_keeps_every_class() -> None:
    task = task_of({"train": (parsed := imbalanced(True)).train, "synthetic": parsed.synthetic}, 1, np.arange(3.0))
    rare = np.flatnonzero(task.targets["synthetic"] == 2)[1:]
    one_rare = np.delete(np.arange(len(task.targets["synthetic"])), rare)
    task = replace(
        task,
        predictors={**task.predictors, "synthetic": task.predictors["synthetic"].take(one_rare), "holdout": None},
        targets={**task.targets, "synthetic": task.targets["synthetic"][one_rare], "holdout": None},
    )
    for seed in range(5):
        part = subsampled(task, np.random.default_rng(seed))
        assert set(part.targets["synthetic"]) == {0.0, 1.0, 2.0}
        assert len(part.targets["synthetic"]) == pytest.approx(len(one_rare) / 2, abs=2)


def test_without_replicates_intervals_hold_the_holdout_rows_alone(classified: list[Findings]) -> None:
    settings = EvaluationConfig(utility_replicates=0)
    parts = frames(shuffle_columns(draw(1_500, 1), 0.7), n_train=1_500, target="member")
    alone = measure_utility(parts, settings, seed=0)
    task = task_of(
        {"train": parts.train, "synthetic": parts.synthetic, "holdout": parts.holdout},
        parts.target,
        classes_of(parts.train, parts.target),
    )
    of_rows = headline(task, LINEAR.learn(task, "synthetic", 0)(task.predictors["holdout"]))
    assert number(alone, "tstr_linear_auc").interval == pytest.approx(of_rows.interval())
    for one, other in zip(alone.measurements, classified[1].measurements, strict=True):
        assert (one.metric, one.value) == (other.metric, other.value)
        assert other.interval[0] <= one.interval[0] and one.interval[1] <= other.interval[1]
    for metric in ("utility_gap", "augmentation_gain", "tstr_linear_auc", "tstr_neural_auc", "tstr_f1", "tstr_brier"):
        wide, narrow = (number(found, metric).interval for found in (classified[1], alone))
        assert wide[1] - wide[0] > narrow[1] - narrow[0], metric


def test_the_gap_over_every_column_holds_the_rows_that_were_learned_from() -> None:
    parts = frames(draw(1_000, 3))
    alone, with_rows = (
        number(measure_every_column(parts, EvaluationConfig(utility_replicates=n), seed=0), "every_column_gap")
        for n in (0, 2)
    )
    assert with_rows.value == alone.value
    assert with_rows.interval[0] < alone.interval[0] < alone.interval[1] < with_rows.interval[1]
