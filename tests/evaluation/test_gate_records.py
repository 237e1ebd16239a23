"""The record-level tests of the privacy gate: what they catch, what they let pass, and what they cannot test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest, kstest, norm

from evaluation.config import EvaluationConfig, PrivacyConfig
from evaluation.features import Frames, frames_of
from evaluation.privacy.closest_records import judge_nearest_records, verdict_of_share
from evaluation.privacy.copies import row_keys
from evaluation.privacy.decisions import (
    clopper_pearson,
    combined,
    detectable_excess,
    excess_p,
    relabelled_p,
    verdict_of,
    worst,
)
from evaluation.privacy.gate_tests import measure_records
from evaluation.privacy.identifiers import judge_identifiers
from evaluation.privacy.neighbours import nearest_distance
from evaluation.privacy.outliers import judge_outliers
from evaluation.privacy.records import RowKeys
from evaluation.privacy.repeated_records import WHOLE, judge_copies
from evaluation.privacy.space import Space
from evaluation.privacy.value_support import judge_value_support
from evaluation.report import PrivacyTest, TestPart
from evaluation.tables import Tables
from pipeline.columns import Categorical, Column, Continuous, Identifier, Integer, Text
from pipeline.errors import ConfigError
from pipeline.schema import Schema
from tests.evaluation.mixed_table import bootstrap, draw, frames, reorder, shuffle_columns

CONFIG = EvaluationConfig(privacy=PrivacyConfig(permutations=99))
TRAIN = draw(1_000, 1)  # what `frames(..., n_train=1_000)` holds
SIZES: dict[str, Any] = {"n_train": 1_000, "n_holdout": 1_000}


Judge = Callable[[Frames], TestPart]


def judge_copies_of_whole_rows(tables: Frames) -> TestPart:
    (part,) = [part for part in judge_copies(tables, CONFIG).parts if part.subject == WHOLE]
    return part


def judge_single_values(tables: Frames) -> TestPart:
    (part,) = [part for part in judge_value_support(tables).parts if part.subject == "spent"]
    return part


def mixed_in(rows: pa.Table, n_rows: int = 1_000, seed: int = 3) -> Frames:
    """Return a synthetic table of the given rows and of fresh ones."""
    return frames(pa.concat_tables([rows, draw(n_rows, seed).slice(rows.num_rows)]), **SIZES)


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), field, pa.array(values, field.type))


def changed(table: pa.Table, seed: int = 0) -> pa.Table:
    """Change each number by a little, and nothing else."""
    rng = np.random.default_rng(seed)
    for name in ("income", "spent"):
        numbers = table[name].to_numpy(zero_copy_only=False) + 1e-3 * rng.choice([-1, 1], table.num_rows)
        table = with_column(table, name, pa.array(numbers, mask=np.isnan(numbers)))
    return table


def outliers(table: pa.Table, n_rows: int) -> pa.Table:
    """Return the rows that lie furthest from their five nearest neighbours."""
    rows = frames(table, **SIZES).synthetic
    space = Space(rows, ranks=False)
    points = space.place(rows)
    return table.take(np.argsort(-nearest_distance(space, points, points, k=6))[:n_rows])


def part(test: PrivacyTest, subject: str) -> TestPart:
    (found,) = [part for part in test.parts if part.subject == subject]
    return found


def tables_of(columns: tuple[Column, ...], *parts: pa.Table) -> Frames:
    return frames_of(Tables(Schema(columns=columns), *parts))


# decisions


def test_the_exact_p_value_is_that_of_relabelling() -> None:
    rng = np.random.default_rng(0)
    hit, labels = np.arange(60) < 12, np.arange(60) < 40
    relabelled = [int((hit & rng.permutation(labels)).sum()) for _ in range(6_000)]
    for train in (8, 10, 12):
        assert excess_p(train, 12 - train, 40, 20) == pytest.approx(np.mean(np.array(relabelled) >= train), abs=0.02)


@pytest.mark.parametrize(("train", "holdout"), [(5, 5), (9, 2), (15, 4)])
def test_relabelling_of_equal_weights_is_the_exact_test(train: int, holdout: int) -> None:
    p = relabelled_p(np.ones(train), np.ones(holdout), 700, 300, 50_000, np.random.default_rng(0))
    assert p == pytest.approx(excess_p(train, holdout, 700, 300), abs=0.01)


def test_many_rows_near_one_record_are_one_event() -> None:
    rng = np.random.default_rng(0)
    assert relabelled_p(np.array([1_000.0]), np.ones(10), 500, 500, 9_999, rng) == pytest.approx(0.5, abs=0.02)


def test_the_combination_keeps_its_level_over_independent_and_over_equal_p_values() -> None:
    draws = np.random.default_rng(0).random((8_000, 12))
    independent = np.array([combined(row) for row in draws])
    assert 0.006 < np.mean(independent < 0.01) < 0.014
    assert kstest([combined([p] * 5) for p in draws[:2_000, 0] / 2], "uniform", args=(0, 0.5)).pvalue > 0.01


def test_the_combination_weighs() -> None:
    assert combined([1e-4, 0.5], [9, 1]) < combined([1e-4, 0.5], [1, 9]) < 0.01


def test_clopper_pearson_is_the_exact_binomial_interval() -> None:
    for hits, n in ((0, 40), (7, 40), (40, 40)):
        exact = binomtest(hits, n).proportion_ci(0.99, method="exact")
        assert clopper_pearson(hits, n, 0.99) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("holdout", [0, 3, 50])
def test_the_detectable_excess_is_the_first_to_refuse(holdout: int) -> None:
    fewest = detectable_excess(holdout, 400, 300)
    assert fewest is not None
    assert verdict_of(excess_p(fewest, holdout, 400, 300)) == "FAIL"
    assert verdict_of(excess_p(fewest - 1, holdout, 400, 300)) != "FAIL"


def test_the_worst_part_decides() -> None:
    assert worst(["PASS", "FAIL", "REVIEW"]) == "FAIL"
    assert worst(["PASS", "NOT TESTABLE"]) == "NOT TESTABLE"
    assert worst([]) == "NOT APPLICABLE"


# records


def test_row_numbers_are_equal_exactly_where_rows_are() -> None:
    table = draw(400, 3)
    parts = frames(pa.concat_tables([table, table]), n_train=400, n_holdout=300)
    keys, exact = RowKeys(parts), row_keys(parts)
    ours = keys.over(range(6))
    theirs = np.concatenate([exact["train"], exact["holdout"], exact["synthetic"]])
    assert (
        len(np.unique(ours))
        == len(np.unique(theirs))
        == len(np.unique(np.stack([ours, theirs.view(np.uint64)], 1), axis=0))
    )
    assert np.array_equal(ours - keys.cells(2), keys.over([0, 1, 3, 4, 5]))


def test_zeros_of_either_sign_and_missing_numbers_are_equal() -> None:
    table = pa.table({"x": [0.0, -0.0, None, float("nan")]})
    keys = RowKeys(tables_of((Continuous(name="x", arrow="double", nullable=True),), table, table, table)).cells(0)
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_singles_by_hand() -> None:
    """Of a b b c | c d e, only a, d and e are held by one row."""
    parts = [pa.table({"x": list(text)}) for text in ("abbc", "cde", "aaabcd")]
    keys = RowKeys(tables_of((Categorical(name="x", arrow="string"),), *parts))
    singles = keys.singles(keys.cells(0))
    assert sorted(singles.rows.tolist()) == [0, 5, 6]
    assert (singles.n_train, singles.n_holdout, singles.train_hits, singles.holdout_hits) == (1, 2, 1, 1)


# G0

KEYED = (
    Identifier(name="id", arrow="int64"),
    Text(name="note", arrow="string", nullable=True),
    Integer(name="x", arrow="int64"),
)


def keyed(first: int, notes: list[str | None]) -> pa.Table:
    return pa.table(
        {"id": range(first, first + len(notes)), "note": pa.array(notes, pa.string()), "x": range(len(notes))}
    )


def test_a_repeated_identifier_or_text_is_refused() -> None:
    train, holdout = keyed(0, ["seen Ann", "ok", None]), keyed(10, ["ok", "seen Bob", None])
    for synthetic, n_equal in (
        (keyed(20, ["[text]", None, None]), 0),
        (keyed(20, ["ok", "ok", None]), 0),  # both sides hold it
        (keyed(20, ["seen Ann", "seen Ann", None]), 2),
        (keyed(2, [None, None]), 1),
        (keyed(10, [None, None]), 2),
        (keyed(20, ["a"]).drop_columns(["id"]), 0),
    ):
        found = judge_identifiers(tables_of(KEYED, train, holdout, synthetic))
        assert (found.value, found.verdict) == (n_equal, "FAIL" if n_equal else "PASS")
        assert "Ann" not in found.model_dump_json()


def test_identifiers_are_compared_whatever_their_type() -> None:
    parts = [keyed(first, ["a", "b"]) for first in (0, 10, 1)]
    parts[2] = parts[2].set_column(0, "id", parts[2]["id"].cast(pa.string()))
    assert judge_identifiers(tables_of(KEYED, *parts)).verdict == "FAIL"


def test_a_table_without_identifiers_has_nothing_to_repeat() -> None:
    assert judge_identifiers(frames(draw(50, 3), **SIZES)).verdict == "NOT APPLICABLE"


# G1


def test_copies_are_refused_and_fresh_rows_are_not() -> None:
    assert judge_copies(frames(draw(1_000, 3), **SIZES), CONFIG).verdict == "PASS"
    assert judge_copies(mixed_in(TRAIN.slice(0, 15)), CONFIG).verdict == "FAIL"


def test_a_single_copy_is_looked_at() -> None:
    found = judge_copies(mixed_in(TRAIN.slice(0, 1)), CONFIG)
    assert (found.verdict, part(found, WHOLE).value) == ("REVIEW", 1.0)


def test_as_many_copies_as_the_detection_limit_names_are_refused_and_half_are_not() -> None:
    honest = judge_copies(frames(draw(1_000, 3), **SIZES), CONFIG)
    fewest = int(honest.detection_limit.split("copies of ")[1].split(" ")[0])
    assert judge_copies(mixed_in(TRAIN.slice(0, fewest)), CONFIG).verdict == "FAIL"
    assert judge_copies(mixed_in(TRAIN.slice(0, fewest // 2)), CONFIG).verdict == "REVIEW"


def test_copies_with_one_changed_column_are_refused() -> None:
    rows = TRAIN.slice(0, 40)
    found = judge_copies(mixed_in(with_column(rows, "income", np.zeros(40))), CONFIG)
    assert found.verdict == "FAIL"
    assert part(found, WHOLE).verdict == "PASS"
    assert found.parts[0].subject == 'all columns but "income"' or found.parts[1].subject == 'all columns but "income"'


def test_declared_quasi_identifiers_are_tested() -> None:
    synthetic = draw(1_000, 3)
    for name in ("spent", "since"):
        synthetic = with_column(synthetic, name, [*TRAIN[name].to_pylist()[:60], *synthetic[name].to_pylist()[60:]])
    parts = frames(synthetic, **SIZES)
    declared = EvaluationConfig(privacy=PrivacyConfig(quasi_identifiers=(("spent", "since"),)))
    assert judge_copies(parts, CONFIG).verdict == "PASS"
    assert part(judge_copies(parts, declared), '"spent" and "since"').verdict == "FAIL"


def test_an_unknown_quasi_identifier_is_an_error() -> None:
    declared = EvaluationConfig(privacy=PrivacyConfig(quasi_identifiers=(("income", "zip"),)))
    with pytest.raises(ConfigError, match='"zip"'):
        judge_copies(frames(draw(50, 3), **SIZES), declared)


def discrete(n_rows: int, seed: int) -> pa.Table:
    """Draw rows of which many repeat by nature."""
    rng = np.random.default_rng(seed)
    return pa.table({name: np.minimum(rng.geometric(0.25, n_rows), 25) for name in "abc"})


DISCRETE: tuple[Column, ...] = tuple(Integer(name=name, arrow="int64") for name in "abc")


@pytest.mark.parametrize("n_train", [600, 1_800])
def test_records_that_repeat_by_nature_are_no_copies(n_train: int) -> None:
    """Sizes need not be equal; p-values of fresh rows are at least uniform."""
    found = [
        judge_copies(
            tables_of(DISCRETE, discrete(n_train, s), discrete(600, 10_000 + s), discrete(900, 20_000 + s)), CONFIG
        )
        for s in range(30)
    ]
    assert sum(test.verdict == "FAIL" for test in found) == 0
    p_values = [part(test, WHOLE).p_value or 0.0 for test in found]
    assert np.mean([p < 0.1 for p in p_values]) <= 0.25
    assert 0.35 < np.mean(p_values) < 0.75
    assert np.mean([part(test, WHOLE).value for test in found]) > 3


def test_copies_among_natural_repetitions_are_refused() -> None:
    train = discrete(1_800, 0)
    synthetic = pa.concat_tables([bootstrap(train, 450), discrete(450, 200)])
    assert judge_copies(tables_of(DISCRETE, train, discrete(600, 100), synthetic), CONFIG).verdict == "FAIL"


def test_a_table_of_common_records_has_nobody_to_single_out() -> None:
    parts = [pa.table({"x": list("ab" * 500)}) for _ in range(3)]
    common = tables_of((Categorical(name="x", arrow="string"),), *parts)
    found = measure_records(common, CONFIG, seed=0).tests
    assert {test.verdict for test in found} == {"NOT APPLICABLE"}
    assert "no record can be singled out" in found[1].reason


# G2


def test_columns_drawn_from_train_one_by_one_are_refused() -> None:
    found = judge_value_support(frames(shuffle_columns(bootstrap(TRAIN, 1_000)), **SIZES))
    assert (found.verdict, part(found, "income").verdict) == ("FAIL", "FAIL")
    assert judge_value_support(frames(draw(1_000, 3), **SIZES)).verdict == "PASS"


WHOLE_NUMBER: tuple[Column, ...] = (Integer(name="x", arrow="int64"),)


def numbers(values: Any) -> pa.Table:
    return pa.table({"x": np.asarray(values, dtype=np.int64)})


def test_repeated_values_of_train_may_be_learned() -> None:
    """Values that several train rows share come back, those of one row alone do not: that is no leak."""
    rng = np.random.default_rng(0)
    shared = np.repeat(2 * np.arange(200), 3)
    train, holdout = (
        numbers(np.concatenate([shared + offset, 10_000 + 7 * rng.permutation(10_000)[:400] + offset]))
        for offset in (0, 1)
    )
    learned = judge_value_support(tables_of(WHOLE_NUMBER, train, holdout, numbers(rng.choice(shared, 1_000))))
    taken = judge_value_support(tables_of(WHOLE_NUMBER, train, holdout, train))
    assert (learned.verdict, taken.verdict) == ("PASS", "FAIL")


def test_single_values_of_a_dense_grid_come_back_by_chance() -> None:
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        parts = [numbers(np.rint(rng.normal(0, 300, 1_000))) for _ in range(3)]
        found.append(judge_value_support(tables_of(WHOLE_NUMBER, *parts)))
    assert sum(test.verdict == "FAIL" for test in found) <= 1
    assert np.mean([part(test, "x").value for test in found]) > 50


def with_extreme(scale: float, extreme: float, seed: int = 0) -> tuple[pa.Table, pa.Table, pa.Table]:
    rng = np.random.default_rng(seed)
    train, holdout, synthetic = (np.rint(scale * np.abs(rng.normal(size=1_000))) for _ in range(3))
    train[0] = synthetic[0] = extreme
    return numbers(train), numbers(holdout), numbers(synthetic)


def test_a_single_extreme_that_comes_back_is_refused_on_a_fine_grid_only() -> None:
    fine = judge_value_support(tables_of(WHOLE_NUMBER, *with_extreme(1e6, 5_000_001)))
    coarse = judge_value_support(tables_of(WHOLE_NUMBER, *with_extreme(3.0, 13)))
    assert (fine.verdict, part(fine, "all extremes together").value) == ("FAIL", 1.0)
    assert coarse.verdict == "PASS"
    told = fine.model_dump_json()
    assert not any(secret in told for secret in ("5000001", "maximum", "minimum"))


def test_several_extremes_that_come_back_are_refused() -> None:
    columns = tuple(Continuous(name=name, arrow="double") for name in "abc")
    rng = np.random.default_rng(0)
    train, holdout, synthetic = (rng.normal(size=(3, 1_000)) for _ in range(3))
    synthetic[:, 0] = train.max(axis=1)
    parts = [pa.table(dict(zip("abc", each, strict=True))) for each in (train, holdout, synthetic)]
    found = judge_value_support(tables_of(columns, *parts))
    assert (found.verdict, part(found, "all extremes together").value) == ("FAIL", 3.0)
    assert "6 extremes of train would be telling, and a repetition of 1 or more is refused" in str(
        found.detection_limit
    )
    synthetic[:, 0] = holdout.max(axis=1)
    honest = [*parts[:2], pa.table(dict(zip("abc", synthetic, strict=True)))]
    assert judge_value_support(tables_of(columns, *honest)).verdict == "PASS"


def test_a_capped_end_is_no_leak() -> None:
    """Few rows of the population share the cap: now and then train has one of them, and holdout none."""
    verdicts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        parts = [numbers(100 * np.maximum(np.rint(rng.normal(300, 100, 1_000)), 16)) for _ in range(3)]
        verdicts.append(judge_value_support(tables_of(WHOLE_NUMBER, *parts)).verdict)
    assert "FAIL" not in verdicts


def test_an_extreme_of_several_rows_or_of_the_declaration_is_public() -> None:
    train, holdout, synthetic = with_extreme(1e6, 5_000_001)
    declared = (Integer(name="x", arrow="int64", maximum=5_000_001),)
    assert judge_value_support(tables_of(declared, train, holdout, synthetic)).verdict == "PASS"
    twice = numbers([*train["x"].to_pylist(), 5_000_001])
    assert judge_value_support(tables_of(WHOLE_NUMBER, twice, holdout, synthetic)).verdict == "PASS"


def test_declared_levels_are_public_and_others_are_not() -> None:
    levels = [f"v{i}" for i in range(3_000)]
    train, holdout = pa.table({"x": levels[:1_000]}), pa.table({"x": levels[1_000:2_000]})
    for declared, verdict in ((None, "FAIL"), (tuple(levels), "NOT APPLICABLE")):
        column = Categorical(name="x", arrow="string", levels=declared)
        assert judge_value_support(tables_of((column,), train, holdout, train.slice(0, 50))).verdict == verdict


# G3


def test_nearness_refuses_near_copies_and_passes_fresh_rows() -> None:
    near = judge_nearest_records(mixed_in(changed(TRAIN.slice(0, 150))), CONFIG, seed=0)
    fresh = judge_nearest_records(frames(draw(1_000, 3), **SIZES), CONFIG, seed=0)
    assert (near.verdict, fresh.verdict) == ("FAIL", "PASS")
    assert part(near, "rows as close as one holdout row in 100").value > 0.8
    assert fresh.interval[0] < 0.5 < fresh.interval[1]


def test_the_closest_rows_show_what_the_share_of_all_rows_hides() -> None:
    found = judge_nearest_records(mixed_in(changed(TRAIN.slice(0, 40))), CONFIG, seed=0)
    assert part(found, "all synthetic rows").verdict != "FAIL"
    assert part(found, "rows as close as one holdout row in 100").verdict == "FAIL"


def test_nearness_of_fresh_rows_is_seldom_refused() -> None:
    found = [
        judge_nearest_records(frames(draw(500, seed), n_train=600, n_holdout=600, seed=seed), CONFIG, seed=0)
        for seed in range(3, 15)
    ]
    assert sum(test.verdict == "FAIL" for test in found) <= 1
    assert np.mean([test.value for test in found]) == pytest.approx(0.5, abs=0.02)
    assert 0.25 < np.mean([part(test, "all synthetic rows").p_value for test in found]) < 0.75


@pytest.mark.parametrize("deviation", [0.001, 0.003, 0.0044, 0.0046, 0.0077, 0.02])
def test_honest_shares_are_seldom_for_review_however_many_rows_there_are(deviation: float) -> None:
    away = np.random.default_rng(0).normal(size=4_000)
    found = [verdict_of_share(0.5 + deviation * z, deviation, float(norm.sf(z))) for z in away]
    assert found.count("REVIEW") <= 0.02 * len(found) and not found.count("FAIL")


# G5


def test_outliers_that_come_back_are_refused() -> None:
    for rows in (outliers(TRAIN, 20), changed(outliers(TRAIN, 30))):
        found = judge_outliers(mixed_in(rows), seed=0)
        assert (found.verdict, part(found, "outliers").verdict) == ("FAIL", "FAIL")
    assert judge_outliers(frames(draw(1_000, 3), **SIZES), seed=0).verdict == "PASS"


def test_a_copied_class_is_refused_by_place_and_not_by_label() -> None:
    lima = TRAIN.filter(pa.compute.equal(TRAIN["city"], "Bern"))
    synthetic = pa.concat_tables([changed(lima), draw(1_000 - lima.num_rows, 3)])
    found = judge_outliers(frames(synthetic, target="city", **SIZES), seed=0)
    assert found.verdict == "FAIL"
    assert sum(each.subject.startswith("class ") and each.verdict == "FAIL" for each in found.parts) == 1
    assert "Bern" not in found.model_dump_json()


def test_fresh_outliers_are_seldom_refused() -> None:
    found = [
        judge_outliers(frames(draw(600, s), n_train=900, n_holdout=600, seed=s, target="member"), seed=0)
        for s in range(3, 15)
    ]
    assert sum(test.verdict == "FAIL" for test in found) <= 1
    assert np.mean([(test.p_value or 0.0) < 0.1 for test in found]) <= 0.4


# the family


@pytest.fixture(scope="module")
def leaking() -> tuple[PrivacyTest, ...]:
    return measure_records(mixed_in(TRAIN.slice(0, 100)), CONFIG, seed=0).tests


def test_the_family_has_every_record_test_with_its_limit(leaking: tuple[PrivacyTest, ...]) -> None:
    names = ["g0_identifiers", "g1_copies", "g2_value_support", "g3_nearest_records", "g5_outliers"]
    assert [test.name for test in leaking] == names
    assert all(test.rule and test.reason and test.statistic for test in leaking)
    assert all(test.detection_limit and test.source and test.parts for test in leaking[1:])
    assert [test.verdict for test in leaking[1:4]] == ["FAIL"] * 3
    assert leaking[4].verdict != "PASS"
    for test in leaking[1:]:
        assert test.verdict == worst([each.verdict for each in test.parts]) == test.parts[0].verdict


def test_the_family_is_the_same_at_the_same_seed_and_in_any_row_order(leaking: tuple[PrivacyTest, ...]) -> None:
    assert measure_records(mixed_in(TRAIN.slice(0, 100)), CONFIG, seed=0).tests == leaking
    mixed = pa.concat_tables([TRAIN.slice(0, 100), draw(1_000, 3).slice(100)])
    again = measure_records(frames(reorder(mixed), **SIZES), CONFIG, seed=0).tests
    assert [test.verdict for test in again] == [test.verdict for test in leaking]
    assert again[1:3] == leaking[1:3]  # nothing is drawn there


def test_the_holdout_itself_passes_as_a_synthetic_table() -> None:
    parts = frames(draw(1_000, 2), **SIZES)
    found = measure_records(parts, CONFIG, seed=0).tests
    assert {test.verdict for test in found} <= {"PASS", "NOT APPLICABLE"}


@pytest.mark.parametrize(("n_train", "n_holdout"), [(1_000, 499), (499, 1_000)])
def test_small_tables_are_not_testable(n_train: int, n_holdout: int) -> None:
    found = measure_records(frames(draw(300, 3), n_train=n_train, n_holdout=n_holdout), CONFIG, seed=0).tests
    assert [test.verdict for test in found] == ["NOT APPLICABLE", *["NOT TESTABLE"] * 4]
    assert all("499 rows; 500 are needed" in test.reason for test in found[1:])


def test_degenerate_tables_raise_nothing() -> None:
    columns = (
        Continuous(name="x", arrow="double", nullable=True),
        Categorical(name="c", arrow="string", nullable=True),
    )
    empty = pa.table({"x": pa.nulls(600, pa.float64()), "c": pa.nulls(600, pa.string())})
    single = pa.table({"x": [1.0] * 600, "c": ["a"] * 600})
    varied = pa.table({"x": np.arange(600.0), "c": [f"c{i}" for i in range(600)]})
    for train, holdout, synthetic in (
        (empty, empty, empty),
        (single, single, varied),
        (varied, single, varied.slice(0, 0)),
        (varied, empty, single),
        (single, varied, single),
    ):
        assert len(measure_records(tables_of(columns, train, holdout, synthetic), CONFIG, seed=0).tests) == 5


def test_a_table_of_identifiers_alone_is_still_searched_for_them() -> None:
    table = keyed(0, ["a"]).select(["id"])
    found = measure_records(tables_of(KEYED[:1], table, table, table), CONFIG, seed=0).tests
    assert [test.verdict for test in found] == ["FAIL", *["NOT TESTABLE"] * 4]


@pytest.mark.parametrize("judge", [judge_copies_of_whole_rows, judge_single_values], ids=["G1", "G2"])
def test_a_count_of_repeated_records_has_an_exact_interval(judge: Judge) -> None:
    one, more = (judge(mixed_in(TRAIN.slice(0, n))) for n in (1, 100))
    for part in (one, more):
        assert part.interval is not None
        assert part.interval[0] <= part.value <= part.interval[1]
    assert one.interval and more.interval
    assert one.interval[1] < more.interval[0]
    assert np.ptp(one.interval) < np.ptp(more.interval)
