from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.features import Frame, Frames, frames_of
from evaluation.measurement import Measured, Measurement, Unmeasured
from evaluation.privacy.attribute_inference import chosen_secrets, guesses, tells
from evaluation.privacy.inference import LIMIT, inference_test
from evaluation.privacy.linkability import linked
from evaluation.privacy.simultaneous import excess_risk
from evaluation.privacy.singling_out import by_one_column, by_several_columns
from evaluation.privacy.space import Space
from evaluation.report import PrivacyTest
from evaluation.tables import Tables
from pipeline.columns import Continuous, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import bootstrap, draw, frames, reorder

N = 1_000
GROUPS = (("income", "spent", "visits"), ("city", "since", "member"))
CONFIG = EvaluationConfig.model_validate({"privacy": {"linkable": GROUPS}})


def tables(synthetic: pa.Table) -> Frames:
    return frames(synthetic, n_train=N, n_holdout=N)


def leaking(share: float) -> pa.Table:
    n_copies = int(share * N)
    return pa.concat_tables([draw(N - n_copies, 3), draw(N, 1).slice(0, n_copies)])


@cache
def judge(share: float) -> tuple[PrivacyTest, tuple[Measurement, ...]]:
    return inference_test(tables(leaking(share)), CONFIG, seed=0)


def with_privacy(**settings: Any) -> EvaluationConfig:
    return EvaluationConfig.model_validate({"privacy": settings})


def test_fresh_rows_do_not_fail_and_take_nothing() -> None:
    test, measurements = judge(0.0)
    assert test.name == "g7_inference"
    assert test.verdict in ("PASS", "REVIEW")
    for measured in measurements:
        assert isinstance(measured, Measured)
        assert measured.value == pytest.approx(0.0, abs=0.08)
        assert measured.ceiling == 0.0


def test_all_three_risks_grow_with_the_share_of_copies() -> None:
    found = [judge(share) for share in (0.0, 0.3, 1.0)]
    assert [test.verdict for test, _ in found[1:]] == ["FAIL", "FAIL"]
    for i, metric in enumerate(("attribute_inference_risk", "singling_out_risk", "linkability_risk")):
        values = [measurements[i].value for _, measurements in found]
        assert found[0][1][i].metric == metric
        assert values == sorted(values)
        assert values[-1] > 0.5


def test_the_floor_of_each_risk_is_what_a_table_of_copies_shows() -> None:
    _, measurements = inference_test(tables(bootstrap(draw(N, 1), N)), CONFIG, seed=0)
    for measured in measurements:
        assert isinstance(measured, Measured)
        assert measured.floor == pytest.approx(measured.value, abs=0.06)
        assert measured.value > 0.3


def test_a_table_made_of_holdout_rows_tells_nothing_about_train() -> None:
    test, _ = inference_test(tables(draw(N, 2)), CONFIG, seed=0)
    assert test.verdict == "PASS"
    assert all(part.value < -LIMIT for part in test.parts)


def test_every_risk_is_reported_and_the_worst_decides() -> None:
    test, _ = judge(0.3)
    subjects = [part.subject for part in test.parts]
    assert sum(subject.startswith("inference of") for subject in subjects) == 3
    assert {"linkability", "singling out by one column", "singling out by several columns"} < set(subjects)
    assert test.parts[0].verdict == test.verdict
    assert test.value == test.parts[0].value
    assert all(subject in test.detection_limit for subject in subjects)


def test_declared_secrets_are_attacked_and_no_others() -> None:
    test, _ = inference_test(tables(leaking(0.3)), with_privacy(secrets=("city", "member")), seed=0)
    attacked = {part.subject for part in test.parts if part.subject.startswith("inference")}
    assert attacked == {"inference of city", "inference of member"}


def test_without_declared_groups_linkability_does_not_apply() -> None:
    _, measurements = inference_test(tables(leaking(0.3)), EvaluationConfig(), seed=0)
    assert isinstance(measurements[2], Unmeasured)
    assert not measurements[2].applicable


@pytest.mark.parametrize("settings", [{"secrets": ("salary",)}, {"linkable": (("income",), ("salary",))}])
def test_a_declaration_of_an_unknown_column_is_not_testable(settings: dict[str, Any]) -> None:
    test, _ = inference_test(tables(draw(N, 3)), with_privacy(**settings), seed=0)
    assert test.verdict == "NOT TESTABLE"
    assert '"salary"' in test.reason


def test_the_same_seed_gives_the_same_test_and_row_order_only_its_chance() -> None:
    assert inference_test(tables(leaking(0.3)), CONFIG, seed=0) == judge(0.3)
    _, again = inference_test(tables(reorder(leaking(0.3))), CONFIG, seed=0)
    assert again[0].value == pytest.approx(judge(0.3)[1][0].value, abs=0.02)
    assert again[2].value == pytest.approx(judge(0.3)[1][2].value, abs=0.02)


def test_no_value_of_a_record_leaves() -> None:
    told = judge(1.0)[0].model_dump_json()
    assert not any(city in told for city in ("Rome", "Oslo", "Lima", "Bern"))


@pytest.mark.parametrize(
    ("holdout", "synthetic", "told"), [(499, 600, "499 rows"), (600, 0, "no row"), (600, 20, "20 rows")]
)
def test_too_little_to_test_says_so(holdout: int, synthetic: int, told: str) -> None:
    found = frames_of(Tables(frames(draw(5, 3)).tables.schema, draw(600, 1), draw(holdout, 2), draw(synthetic, 3)))
    test, measurements = inference_test(found, CONFIG, seed=0)
    assert test.verdict == "NOT TESTABLE"
    assert told in test.reason
    assert all(isinstance(m, Unmeasured) for m in measurements)


def test_one_column_and_rows_that_all_share_are_judged_as_far_as_they_go() -> None:
    number = Schema(columns=(Continuous(name="x", arrow="double"),))
    few = Schema(columns=(Integer(name="x", arrow="int64"),))
    rng = np.random.default_rng(0)
    fresh = [pa.table({"x": rng.normal(size=600)}) for _ in range(3)]
    common = [pa.table({"x": rng.integers(20, size=600)}) for _ in range(3)]
    test, measurements = inference_test(frames_of(Tables(number, *fresh)), EvaluationConfig(), seed=0)
    assert test.verdict in ("PASS", "REVIEW")
    assert isinstance(measurements[0], Unmeasured)
    assert inference_test(frames_of(Tables(few, *common)), EvaluationConfig(), seed=0)[0].verdict == "NOT APPLICABLE"


# the attacks one by one


def frame_of(**columns: list[float]) -> Frame:
    schema = Schema(columns=tuple(Continuous(name=name, arrow="double", nullable=True) for name in columns))
    table = pa.table({name: pa.array(values, "double", from_pandas=True) for name, values in columns.items()})
    return frames_of(Tables(schema, table, table, table)).train


def test_the_guess_is_the_row_nearest_in_the_other_columns() -> None:
    found = frames(draw(300, 3), n_train=200, n_holdout=200)
    told = guesses(found.train, found.synthetic, [0, 3], Space(found.train))
    for secret, success in zip((0, 3), told, strict=True):
        space = Space(found.train.without(secret))
        distances = space.distances(
            space.place(found.train.without(secret)), space.place(found.synthetic.without(secret))
        )
        expected = tells(found.train, found.synthetic.take(distances.argmin(axis=1)), secret)
        assert np.mean(success == expected) > 0.98  # near ties may be rounded either way


def test_a_number_is_told_within_a_fortieth_of_its_range() -> None:
    truth = frame_of(x=[0.0, *range(1, 100), 100.0, np.nan, np.nan])
    guess = frame_of(x=[2.0, *range(1, 100), 103.0, np.nan, 1.0])
    assert tells(truth, guess, 0)[[0, 1, -3, -2, -1]].tolist() == [True, True, False, True, False]


def test_columns_that_are_hard_to_guess_are_chosen() -> None:
    rng = np.random.default_rng(0)
    frame = frame_of(
        constant=[1.0] * 500, even=rng.uniform(size=500).tolist(), skewed=rng.exponential(size=500).tolist(),
        two=rng.integers(2, size=500).astype(float).tolist(),
    )  # fmt: skip
    assert chosen_secrets(frame) == [1, 2, 3]


def test_a_value_is_singled_out_where_one_row_has_it() -> None:
    synthetic = frame_of(x=[1.0, 2.0, 3.0, 3.0, np.nan])
    train, holdout = frame_of(x=[1.0, 2.0, 2.0, 3.0, 9.0]), frame_of(x=[1.0, 2.0, 8.0, 3.0, 9.0])
    found = by_one_column(train, holdout, synthetic)
    assert (found.train, found.holdout, found.n_conditions) == (1, 2, 2)


def test_conditions_on_several_columns_hold_for_one_synthetic_row_and_find_its_copy() -> None:
    rng = np.random.default_rng(0)
    train, holdout = (frame_of(**{name: rng.normal(size=400).tolist() for name in "abc"}) for _ in range(2))
    found = by_several_columns(train, holdout, train, np.random.default_rng(0))
    assert found.train == found.n_conditions > 390
    assert found.holdout < 200
    other = by_several_columns(train, holdout, holdout, np.random.default_rng(0))
    assert other.holdout == other.n_conditions > other.train


def test_rows_that_equal_each_other_make_no_condition() -> None:
    same = frame_of(a=[1.0] * 50, b=[2.0] * 50)
    assert by_several_columns(same, same, same, np.random.default_rng(0)).n_conditions == 0


def test_a_record_is_linked_where_one_row_is_near_by_either_group() -> None:
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=300) for name in "abcd"}
    records = frame_of(**{name: column.tolist() for name, column in rows.items()})
    torn = frame_of(
        **{name: (column if name in "ab" else np.roll(column, 1)).tolist() for name, column in rows.items()}
    )
    assert linked(records, records, [0, 1], [2, 3], records).all()
    assert linked(records, torn, [0, 1], [2, 3], records).mean() < 0.3


@pytest.mark.parametrize(("hits", "control", "expected"), [(50, 50, 0.0), (100, 50, 1.0), (75, 50, 0.5), (0, 50, -1.0)])
def test_the_excess_is_the_share_of_what_the_control_leaves_open(hits: int, control: int, expected: float) -> None:
    value, (low, high) = excess_risk(hits, 100, control, 100)
    assert value == pytest.approx(expected, abs=0.02)
    assert low < value < high


def test_the_interval_of_the_excess_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    attack, control = rng.binomial(500, 0.44, size=2_000), rng.binomial(500, 0.3, size=2_000)
    intervals = [excess_risk(int(a), 500, int(c), 500)[1] for a, c in zip(attack, control, strict=True)]
    covered = np.mean([low <= 0.2 <= high for low, high in intervals])
    assert 0.93 < covered < 0.97
