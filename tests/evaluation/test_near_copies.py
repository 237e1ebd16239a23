"""Copies whose numbers are a little off: when rows count as near, and that chance makes train's no more frequent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import fisher_exact, kstest

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.privacy.decisions import excess_p
from evaluation.privacy.near_copies import TOLERANCES, Tolerance, near_singles
from evaluation.privacy.records import RowKeys, Singles
from evaluation.privacy.repeated_records import judge_copies
from evaluation.tables import Tables
from pipeline.columns import Categorical, Continuous, Integer
from pipeline.schema import Schema
from tests.evaluation.simulated import POPULATIONS

POPULATION = POPULATIONS["simulated_network"]
SCHEMA = Schema(
    columns=(
        Continuous(name="x", arrow="double", nullable=True),
        Integer(name="n", arrow="int64"),
        Categorical(name="level", arrow="string", nullable=True),
    )
)


def table(*rows: tuple[float | None, int, str | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(("x", "n", "level"), row, strict=True)) for row in rows],
        schema=pa.schema([("x", pa.float64()), ("n", pa.int64()), ("level", pa.string())]),
    )


def near(frames: Frames, tolerance: Tolerance) -> Singles:
    keys = RowKeys(frames)
    return near_singles(frames, keys, keys.singles(keys.over(range(len(keys.names)))), tolerance)


TRAIN = table((0.0, 0, "a"), (50.0, 50, "a"), (None, 90, "b"))
HOLDOUT = table((100.0, 100, "a"), (50.2, 51, "a"), (20.0, 20, None))


@pytest.mark.parametrize(
    ("synthetic", "is_near"),
    [
        ((0.9, 1, "a"), True),
        ((0.9, 2, "a"), False),  # two steps of whole numbers
        ((1.2, 0, "a"), False),  # more than 1 % of the range
        ((0.9, 1, "b"), False),
        ((None, 1, "a"), False),
        ((None, 90, "b"), True),
        ((0.0, 90, "b"), False),  # a value is not near to a missing one
        ((20.5, 20, None), True),
        ((20.5, 20, "a"), False),
        ((50.0, 50, "a"), False),  # two original rows lie there: it points to neither
    ],
)
def test_a_row_is_near_where_levels_are_the_same_and_each_number_is_within_the_tolerance(
    synthetic: Any, is_near: bool
) -> None:
    found = near(frames_of(Tables(SCHEMA, TRAIN, HOLDOUT, table(synthetic))), "1 % of the range")
    assert sorted(found.rows) == [0, 2, 3, 5]
    assert found.repeated.sum() == is_near


def test_one_step_is_the_smallest_difference_of_original_values() -> None:
    synthetic = table((0.1, 1, "a"), (100.3, 100, "a"))
    found = near(frames_of(Tables(SCHEMA, TRAIN, HOLDOUT, synthetic)), "one step")
    assert found.rows[found.repeated].tolist() == [0]  # x has steps of .2


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e99])
def test_columns_of_one_value_and_of_extreme_numbers_are_compared_all_the_same(
    tolerance: Tolerance, scale: float
) -> None:
    rng = np.random.default_rng(0)
    rows = [
        table(*((scale * (1 + x), 7, "a") for x in rng.random(50))),
        table(*((-scale * (1 + x), 7, "a") for x in rng.random(50))),
    ]
    found = near(frames_of(Tables(SCHEMA, *rows, rows[0])), tolerance)
    assert (found.train_hits, found.holdout_hits) == (found.n_train, 0)
    assert found.n_train > 0


def test_train_is_hit_no_more_often_than_holdout_by_fresh_rows() -> None:
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frames = frames_of(Tables(POPULATION.schema, *(POPULATION.draw(n, rng) for n in (300, 300, 6_000))))
        found = near(frames, "1 % of the range")
        p_values.append(excess_p(found.train_hits, found.holdout_hits, found.n_train, found.n_holdout))
    assert min(p_values) > 0.001
    assert kstest(p_values, "uniform", alternative="greater").pvalue > 0.01  # exact tests are no smaller than uniform


@pytest.mark.parametrize("off", [0.002, 0.005])
def test_copies_with_every_number_a_little_off_are_refused(off: float) -> None:
    rng = np.random.default_rng(0)
    columns = tuple(Continuous(name=name, arrow="double") for name in "xyz")
    train, holdout, fresh = (rng.normal(size=(2_000, 3)) for _ in range(3))
    fresh[:40] = train[:40] + off * rng.choice([-1, 1], (40, 3))
    parts = [pa.table(dict(zip("xyz", part.T, strict=True))) for part in (train, holdout, fresh)]
    test = judge_copies(frames_of(Tables(Schema(columns=columns), *parts)), EvaluationConfig())
    assert (test.verdict, test.parts[0].subject) == ("FAIL", "whole rows, numbers within 1 % of the range")


def test_odds_move_the_exact_test_as_the_noncentral_law_says() -> None:
    assert excess_p(30, 20, 400, 300) == pytest.approx(
        fisher_exact([[30, 370], [20, 280]], alternative="greater").pvalue, rel=1e-6
    )
    found = [excess_p(30, 10, 400, 300, odds) for odds in (1.0, 1.1, 2.0)]
    assert found == sorted(found)
