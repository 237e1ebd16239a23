from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from evaluation.config import EvaluationConfig
from evaluation.features import frames_of
from evaluation.fidelity.subgroups import MIN_CARRIERS, measure_subgroups
from evaluation.measurement import Measured, Unmeasured
from evaluation.metric import Findings
from evaluation.report import MISSING_LABEL, OTHER_LABEL, Subgroup
from evaluation.tables import Tables
from pipeline.columns import Categorical, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import draw, frames, shuffle_columns

SCHEMA = Schema(columns=(Categorical(name="site", arrow="string", nullable=True), Integer(name="x", arrow="int64")))


def measure(synthetic: pa.Table, **settings: object) -> Findings:
    return measure_subgroups(frames(synthetic, **settings), EvaluationConfig(), seed=0)


def worst(findings: Findings) -> Measured:
    (found,) = findings.measurements
    assert isinstance(found, Measured)
    return found


def of(group: Subgroup, metric: str) -> Measured:
    (found,) = [m for m in group.measurements if m.metric == metric]
    assert isinstance(found, Measured)
    return found


def sites(sizes: dict[str | None, int], shifts: dict[str | None, int], seed: int) -> pa.Table:
    """Return rows of each site with x around its shift."""
    rng = np.random.default_rng(seed)
    site = [name for name, size in sizes.items() for _ in range(size)]
    x = np.round(rng.normal(50, 20, len(site)) + [shifts.get(name, 0) for name in site]).astype(np.int64)
    return pa.table({"site": pa.array(site, pa.string()), "x": x})


def compare(train: pa.Table, holdout: pa.Table, synthetic: pa.Table) -> Findings:
    return measure_subgroups(frames_of(Tables(SCHEMA, train, holdout, synthetic)), EvaluationConfig(), seed=0)


SHIFTED = 2 * scipy.stats.norm.cdf(0.5) - 1  # KS of a normal distribution against itself, one deviation further
SIZES: dict[str | None, int] = {"Rome": 500, "Oslo": 300, "Lima": 100}


def test_the_group_that_is_wrong_comes_first_and_decides() -> None:
    train, holdout = (sites(SIZES, {}, seed) for seed in (1, 2))
    found = compare(train, holdout, sites(SIZES, {"Oslo": 20}, 3))
    first = found.subgroups[0]
    assert (first.column, first.level) == ("site", "Oslo")
    assert of(first, "subgroup_error").value == pytest.approx(SHIFTED, abs=0.07)
    assert worst(found).value == of(first, "subgroup_error").value
    assert worst(found).interval[0] > worst(found).ceiling
    others = [of(group, "subgroup_error") for group in found.subgroups[1:]]
    assert all(m.interval[0] < m.ceiling + 0.05 for m in others)


def test_shares_are_those_of_the_tables() -> None:
    train, holdout = (sites(SIZES, {}, seed) for seed in (1, 2))
    found = compare(train, holdout, sites({"Rome": 500, "Oslo": 390, "Lima": 10}, {}, 3))
    (lima,) = [group for group in found.subgroups if group.level == "Lima"]
    assert (lima.share_train, lima.share_synthetic) == (pytest.approx(100 / 900), pytest.approx(10 / 900))
    share = of(lima, "subgroup_share_error")
    assert share.value == pytest.approx(90 / 900)
    assert (share.ceiling, share.floor) == (0.0, pytest.approx(100 / 900))


def test_a_level_that_the_synthetic_table_lost_is_as_wrong_as_can_be() -> None:
    train, holdout = (sites(SIZES, {}, seed) for seed in (1, 2))
    found = compare(train, holdout, sites({"Rome": 500, "Oslo": 400}, {}, 3))
    assert found.subgroups[0].level == "Lima"
    assert worst(found).value == 1.0


def test_rare_levels_are_pooled_and_never_named() -> None:
    rare = {f"rare {k}": MIN_CARRIERS - 1 for k in range(3)}
    train, holdout, synthetic = (sites(SIZES | rare | {None: 60}, {}, seed) for seed in (1, 2, 3))
    found = compare(train, holdout, synthetic)
    named = {group.level: group.share_train for group in found.subgroups}
    assert set(named) == {"Rome", "Oslo", "Lima", OTHER_LABEL, MISSING_LABEL}
    assert named[OTHER_LABEL] == pytest.approx(3 * (MIN_CARRIERS - 1) / train.num_rows)
    assert "rare" not in repr(found)


def test_too_small_a_pool_is_not_shown() -> None:
    train, holdout, synthetic = (sites(SIZES | {"rare": 3}, {}, seed) for seed in (1, 2, 3))
    assert OTHER_LABEL not in {group.level for group in compare(train, holdout, synthetic).subgroups}


def test_intervals_cover_the_error_of_a_known_shift() -> None:
    covered = []
    for seed in range(100):
        train, holdout = (sites({"Rome": 400}, {}, 100 * seed + k) for k in (1, 2))
        low, high = worst(compare(train, holdout, sites({"Rome": 300}, {"Rome": 20}, 100 * seed + 3))).interval
        covered.append(low <= SHIFTED <= high)
    assert np.mean(covered) > 0.85


def test_fresh_rows_are_near_the_ceiling_and_shuffled_rows_near_the_floor() -> None:
    fresh, shuffled = worst(measure(draw(2_000, 3))), worst(measure(shuffle_columns(draw(2_000, 3))))
    assert fresh.interval[0] < fresh.ceiling + 0.05
    assert abs(shuffled.value - shuffled.floor) < 0.1 < shuffled.value - shuffled.ceiling


def test_tables_without_groups_have_a_reason() -> None:
    numbers = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in "xy"))
    table = pa.table({"x": np.arange(50), "y": np.arange(50)})
    small = sites({"Rome": 5, "Oslo": 5}, {}, 0)
    without = measure_subgroups(frames_of(Tables(numbers, table, table, table)), EvaluationConfig(), seed=0)
    for found, applicable in ((without, False), (compare(small, small, small), True)):
        (reason,) = found.measurements
        assert isinstance(reason, Unmeasured)
        assert reason.applicable is applicable
        assert found.subgroups == ()
