from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from evaluation.config import EvaluationConfig
from evaluation.features import frames_of
from evaluation.fidelity.distances import category_coverage, range_coverage
from evaluation.fidelity.marginals import measure_marginals
from evaluation.fidelity.pairs import measure_pairs
from evaluation.measurement import Measured, Measurement, Unmeasured
from evaluation.metric import Findings
from evaluation.tables import Tables
from pipeline.columns import Categorical, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import SCHEMA, draw, frames, reorder, shuffle_columns, tables

CONFIG = EvaluationConfig()
MEASURES = {"marginals": measure_marginals, "pairs": measure_pairs}


def number(findings: Findings | tuple[Measurement, ...], metric: str) -> Measured:
    measurements = findings.measurements if isinstance(findings, Findings) else findings
    (found,) = [m for m in measurements if m.metric == metric]
    assert isinstance(found, Measured), found
    return found


def marginals(synthetic: pa.Table) -> Findings:
    return measure_marginals(frames(synthetic), CONFIG, seed=0)


def pairs(synthetic: pa.Table) -> Findings:
    return measure_pairs(frames(synthetic), CONFIG, seed=0)


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))


@pytest.mark.parametrize("family", MEASURES)
def test_train_itself_gets_the_best_value_everywhere(family: str) -> None:
    findings = MEASURES[family](frames(draw(2_000, 1)), CONFIG, seed=0)
    values = [m for group in (findings.measurements, *findings.columns.values()) for m in group]
    assert [m.value for m in values] == [m.best for m in values]


@pytest.mark.parametrize("family", MEASURES)
def test_row_order_does_not_matter(family: str) -> None:
    synthetic = draw(1_500, 3)
    first, second = (
        MEASURES[family](frames(table), CONFIG, seed=0).measurements for table in (synthetic, reorder(synthetic))
    )
    assert [m.value for m in first] == pytest.approx([m.value for m in second])
    assert [m.interval for m in first if m.interval] == [pytest.approx(m.interval) for m in second if m.interval]


@pytest.mark.parametrize("family", MEASURES)
def test_the_same_seed_gives_the_same_findings(family: str) -> None:
    first, second = (MEASURES[family](frames(draw(1_000, 3)), CONFIG, seed=7) for _ in range(2))
    assert first == second


def test_shape_error_grows_with_corruption() -> None:
    fresh = draw(2_000, 3)
    errors = []
    for share in (0.0, 0.2, 0.5, 1.0):
        kept = np.arange(2_000) >= share * 2_000
        income = np.where(kept, fresh["income"].to_numpy(), 3.0)
        errors.append(number(marginals(with_column(fresh, "income", income)), "shape_error").value)
    assert errors == sorted(errors)
    assert errors[-1] > errors[0] + 0.1


def test_column_distances_are_scipys_on_present_values() -> None:
    synthetic, train = draw(900, 3), draw(2_000, 1)
    columns = marginals(synthetic).columns
    ours, theirs = (t["spent"].drop_null().to_numpy() for t in (synthetic, train))
    spread = np.diff(np.quantile(theirs, [0.025, 0.975]))[0]
    assert number(columns["spent"], "ks").value == pytest.approx(scipy.stats.ks_2samp(ours, theirs).statistic)
    expected = scipy.stats.wasserstein_distance(ours, theirs) / spread
    assert number(columns["spent"], "wasserstein").value == pytest.approx(expected)
    missing = abs(synthetic["spent"].null_count / 900 - train["spent"].null_count / 2_000)
    assert number(columns["spent"], "missing_rate_error").value == pytest.approx(missing)


def test_a_row_is_worth_to_a_coverage_of_levels_what_it_loses_without_the_row() -> None:
    rng = np.random.default_rng(0)
    sides = [rng.zipf(1.5, n).clip(max=20) - 1 for n in (60, 80)]
    found = category_coverage(*sides, 20)
    lost = [
        found.value - category_coverage(*(np.delete(side, row) if side is own else side for side in sides), 20).value
        for own in sides
        for row in range(len(own))
    ]
    assert found.influence == pytest.approx(lost)
    assert np.ptp(lost) > 0


def test_an_end_that_several_rows_share_hangs_on_none_of_them_and_missing_cells_do_not_count() -> None:
    sure = range_coverage(np.array([1.0, 1.0, 5.0, 9.0, 9.0, np.nan]), np.array([0.0, 0.0, 4.0, 10.0, 10.0, np.nan]))
    assert sure.value == pytest.approx(0.8)
    assert not sure.influence.any()
    assert range_coverage(np.array([1.0, 5.0, 9.0, 9.0]), np.array([0.0, 0.0, 10.0, 10.0])).influence.any()


@pytest.mark.parametrize("n_rows", [30, 300])
def test_the_interval_of_a_coverage_covers_what_other_draws_have(n_rows: int) -> None:
    """Train is fixed, so that the truth is the mean over synthetic tables. Efron and Stein's bound is no narrower."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 101) / (1 / np.arange(1, 101)).sum()
    train = np.repeat(np.arange(100), 2), np.repeat([-4.5, 4.5], 2)  # no row of it is alone with what it holds
    draws = (
        [category_coverage(rng.choice(100, n_rows, p=shares), train[0], 100) for _ in range(400)],
        [range_coverage(rng.normal(size=n_rows), train[1]) for _ in range(400)],
    )
    for found in draws:
        truth = np.mean([one.value for one in found])
        covered = np.mean([low <= truth <= high for low, high in (one.interval(0.0, 1.0) for one in found)])
        assert covered > 0.92
        widths = [np.ptp(one.interval(0.0, 1.0)) for one in found]
        assert np.mean(widths) < 8 * np.std([one.value for one in found])  # a normal one has 3.9


def test_shape_error_is_the_mean_over_columns() -> None:
    found = marginals(draw(900, 3))
    parts = [number(own, "tvd" if own[0].metric == "tvd" else "ks").value for own in found.columns.values()]
    assert number(found, "shape_error").value == pytest.approx(np.mean(parts))


def test_missing_is_a_level_of_a_category() -> None:
    schema = Schema(columns=(Categorical(name="c", arrow="string", nullable=True),))
    train = pa.table({"c": ["a", "a", "b", None]})
    synthetic = pa.table({"c": ["a", None, None, None]})
    findings = measure_marginals(frames_of(Tables(schema, train, train, synthetic)), CONFIG, seed=0)
    assert number(findings, "shape_error").value == 0.5
    assert number(findings, "missing_rate_error").value == 0.5


def test_a_column_that_lost_every_value_is_as_wrong_as_can_be() -> None:
    empty = with_column(draw(500, 3), "spent", [None] * 500)
    assert number(marginals(empty).columns["spent"], "ks").value == 1.0


def test_without_nullable_columns_missing_rates_do_not_apply() -> None:
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    table = pa.table({"x": [1, 2, 3]})
    found = measure_marginals(frames_of(Tables(schema, table, table, table)), CONFIG, seed=0).measurements[1]
    assert isinstance(found, Unmeasured)
    assert not found.applicable


@pytest.mark.parametrize(("family", "metric"), [("marginals", "shape_error"), ("pairs", "trend_error")])
def test_honest_rows_come_to_the_ceiling_and_stay_far_from_the_floor(family: str, metric: str) -> None:
    rounds = [frames(draw(2_000, seed), seed=seed) for seed in range(3, 11)]
    found = [number(MEASURES[family](each, CONFIG, seed=0), metric) for each in rounds]
    values, ceilings = np.array([m.value for m in found]), np.array([m.ceiling for m in found])
    assert values.mean() == pytest.approx(ceilings.mean(), rel=0.25)
    assert values.max() < 0.5 * min(m.floor or 0 for m in found)


def test_a_distance_that_is_there_lies_in_its_interval() -> None:
    """At a known shift the intervals cover the true distance about 19 times in 20."""
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    rng, covered = np.random.default_rng(0), []
    for _ in range(100):
        train, synthetic = rng.integers(0, 10, 400), rng.integers(3, 13, 300)
        parts = [pa.table({"x": x}) for x in (train, train, synthetic)]
        low, high = number(measure_marginals(frames_of(Tables(schema, *parts)), CONFIG, seed=0), "shape_error").interval
        covered.append(low <= 0.3 <= high)
    assert np.mean(covered) > 0.88


def test_trend_error_grows_with_corruption_and_reaches_the_floor() -> None:
    found = [number(pairs(shuffle_columns(draw(2_000, 3), share)), "trend_error") for share in (0.0, 0.3, 0.6, 1.0)]
    values = [m.value for m in found]
    assert values == sorted(values)
    assert found[-1].value == pytest.approx(found[-1].floor, rel=0.1)
    assert found[-1].value > 4 * found[-1].ceiling


def test_trend_error_by_hand() -> None:
    """Two categories and a number that follow each other in train and not in the synthetic table."""
    columns = (
        Categorical(name="a", arrow="string"),
        Categorical(name="b", arrow="string"),
        Integer(name="x", arrow="int64"),
    )
    train = pa.table({"a": ["p", "p", "q", "q"], "b": ["p", "p", "q", "q"], "x": [0, 0, 9, 9]})
    synthetic = pa.table({"a": ["p", "p", "q", "q"], "b": ["p", "q", "p", "q"], "x": [0, 9, 9, 0]})
    found = measure_pairs(frames_of(Tables(Schema(columns=columns), train, train, synthetic)), CONFIG, seed=0)
    assert number(found, "trend_error").value == pytest.approx(0.5)  # each pair: half of the mass is misplaced
    assert number(found, "cramers_v_error").value == pytest.approx(1.0)
    assert number(found, "correlation_ratio_error").value == pytest.approx(1.0)


def test_two_numbers_count_by_half_their_difference_in_correlation() -> None:
    columns = (Integer(name="x", arrow="int64"), Integer(name="y", arrow="int64"))
    train, synthetic = pa.table({"x": [0, 1, 2], "y": [0, 1, 2]}), pa.table({"x": [0, 1, 2], "y": [2, 1, 0]})
    found = measure_pairs(frames_of(Tables(Schema(columns=columns), train, train, synthetic)), CONFIG, seed=0)
    assert number(found, "trend_error").value == pytest.approx(1.0)
    assert number(found, "pearson_error").value == pytest.approx(2.0)
    assert number(found, "spearman_error").value == pytest.approx(2.0)


NUMBERS = Schema(columns=tuple(Integer(name=name, arrow="int64", nullable=True) for name in "xyz"))
RISING = [0, 1, 2, 3]


def of_numbers(train: dict[str, list[int | None]], synthetic: dict[str, list[int | None]]) -> Findings:
    """Return what is found of tables of three numbers, where each of the four rows stands ten times."""
    one, other = (pa.table({name: column * 10 for name, column in given.items()}) for given in (train, synthetic))
    one, other = (table.cast(NUMBERS.arrow()) for table in (one, other))
    return measure_pairs(frames_of(Tables(NUMBERS, one, one, other)), CONFIG, seed=0)


@pytest.mark.parametrize("lost", [[7] * 4, [None] * 4, [None, None, 3, 3]])
def test_a_pair_that_train_leaves_undefined_does_not_count(lost: list[int | None]) -> None:
    train, synthetic = {"x": RISING, "y": RISING, "z": lost}, {"x": RISING, "y": [1, 0, 0, 1], "z": RISING}
    found, r = of_numbers(train, synthetic), 0.0
    for metric, expected in (("trend_error", (1 - r) / 2), ("pearson_error", 1 - r), ("spearman_error", 1 - r)):
        assert number(found, metric).value == pytest.approx(expected)
        low, high = number(found, metric).interval
        assert low <= expected <= high


@pytest.mark.parametrize("collapsed", [[7] * 4, [None] * 4])
def test_a_pair_that_only_the_synthetic_table_leaves_undefined_counts_as_unrelated(collapsed: list[int | None]) -> None:
    found = of_numbers(dict.fromkeys("xyz", RISING), {"x": RISING, "y": RISING, "z": collapsed})
    assert number(found, "trend_error").value == pytest.approx(2 / 3 / 2)  # two of three pairs fell from 1 to 0
    assert number(found, "pearson_error").value == pytest.approx(2 / 3)
    assert number(found, "spearman_error").value == pytest.approx(2 / 3)
    assert number(found, "mutual_information_error").value == pytest.approx(2 / 3)


def test_where_no_pair_is_defined_in_train_there_is_a_reason_and_the_trend_gate_has_no_number() -> None:
    found = of_numbers({"x": RISING, "y": [7] * 4, "z": [None] * 4}, dict.fromkeys("xyz", RISING))
    reasons = {m.metric: m for m in found.measurements if isinstance(m, Unmeasured)}
    undefined = {"trend_error", "pearson_error", "spearman_error", "mutual_information_error"}
    assert {metric for metric, m in reasons.items() if m.applicable and "undefined" in m.reason} == undefined


def test_columns_that_train_never_shows_together_have_no_correlation_to_compare() -> None:
    apart = {"x": [0, 1, None, None], "y": [None, None, 0, 1], "z": RISING}
    found = of_numbers(apart, dict.fromkeys("xyz", RISING))
    assert number(found, "pearson_error").value == pytest.approx(0.0)


def test_interval_of_the_trend_error_covers_its_resampled_spread() -> None:
    """The interval from influences is as wide as the spread over fresh synthetic tables, train held as it is."""
    found = [number(pairs(shuffle_columns(draw(1_000, seed), 0.5, seed)), "trend_error") for seed in range(20, 50)]
    spread = np.std([m.value for m in found])
    reach = np.mean([np.diff(m.interval)[0] / 2 / 1.96 for m in found])
    assert spread < reach < 2.5 * spread  # it holds the chance in train's rows, too


def test_many_levels_are_counted_without_a_dense_table() -> None:
    rng = np.random.default_rng(0)
    schema = Schema(columns=tuple(Categorical(name=name, arrow="string") for name in "ab"))
    parts = [pa.table({name: rng.integers(0, 3_000, 4_000).astype(str) for name in "ab"}) for _ in range(3)]
    assert number(measure_pairs(frames_of(Tables(schema, *parts)), CONFIG, seed=0), "trend_error").value > 0.99


def test_pair_profiles_are_worst_first_and_capped() -> None:
    config = EvaluationConfig(pair_profiles=4)
    found = measure_pairs(frames_of(tables(shuffle_columns(draw(500, 3)))), config, seed=0).pairs
    assert len(found) == 4
    assert [p.contingency_error for p in found] == sorted((p.contingency_error for p in found), reverse=True)


def test_ceiling_of_a_small_holdout_is_brought_to_the_size_of_the_synthetic_table() -> None:
    small = measure_marginals(frames(draw(2_000, 3), n_holdout=250), CONFIG, seed=0)
    large = measure_marginals(frames(draw(2_000, 3), n_holdout=2_000), CONFIG, seed=0)
    assert number(small, "shape_error").ceiling == pytest.approx(number(large, "shape_error").ceiling, rel=0.5)


def test_schema_of_the_mixed_table_is_what_the_tests_mean() -> None:
    assert {column.kind for column in SCHEMA.columns} == {"continuous", "integer", "categorical", "date", "boolean"}
