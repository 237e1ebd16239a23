from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.measurement import Measured, Measurement, Unmeasured
from evaluation.privacy.attacks import ATTACKS, Evidence
from evaluation.privacy.attacks.histograms import bins
from evaluation.privacy.boxes import Boxes
from evaluation.privacy.membership import (
    AUC_FAIL,
    AUC_PASS,
    LEVEL,
    TPR_FAIL,
    TPR_PASS,
    detection_limit,
    hits_at_fpr,
    membership_test,
    n_allowed,
    rate_interval,
)
from evaluation.privacy.neighbours import k_nearest
from evaluation.privacy.simultaneous import judged
from evaluation.privacy.space import Space
from evaluation.report import PrivacyTest
from evaluation.statistics import auc
from evaluation.tables import Tables
from pipeline.columns import Categorical, Continuous, Identifier, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import bootstrap, draw, frames, reorder

CONFIG = EvaluationConfig()
N = 600


def tables(synthetic: pa.Table) -> Frames:
    return frames(synthetic, n_train=N, n_holdout=N)


def leaking(share: float) -> pa.Table:
    """Return fresh rows of which a share is replaced by copies of train rows."""
    n_copies = int(share * N)
    return pa.concat_tables([draw(N - n_copies, 3), draw(N, 1).slice(0, n_copies)])


@cache
def judge(share: float) -> tuple[PrivacyTest, tuple[Measurement, ...]]:
    return membership_test(tables(leaking(share)), CONFIG, seed=0)


def test_fresh_rows_of_the_population_do_not_fail() -> None:
    test, measurements = judge(0.0)
    assert test.name == "g4_membership"
    assert test.verdict in ("PASS", "REVIEW")
    assert {m.metric for m in measurements} == {"membership_tpr", "membership_auc"}
    for measured in measurements:
        assert isinstance(measured, Measured)
        assert measured.interval[0] <= measured.ceiling <= measured.interval[1]


def test_copied_rows_fail_and_more_of_them_are_found_more_often() -> None:
    found = [judge(share) for share in (0.0, 0.3, 1.0)]
    assert [test.verdict for test, _ in found[1:]] == ["FAIL", "FAIL"]
    rates, areas = ([measurements[i].value for _, measurements in found] for i in (0, 1))
    assert rates == sorted(rates)
    assert areas == sorted(areas)
    assert rates[-1] > 0.9
    assert areas[-1] > 0.95


def test_the_floors_are_what_a_table_of_copies_shows() -> None:
    _, measurements = membership_test(tables(bootstrap(draw(N, 1), N)), CONFIG, seed=0)
    for measured in measurements:
        assert isinstance(measured, Measured)
        assert measured.floor == pytest.approx(measured.value, abs=0.05)


def test_every_attack_is_reported_and_the_worst_decides() -> None:
    test, _ = judge(0.3)
    assert {part.subject for part in test.parts} == set(ATTACKS)
    assert len(ATTACKS) >= 6
    assert len(test.parts) == 2 * len(ATTACKS)
    assert test.parts[0].verdict == test.verdict
    assert test.value == test.parts[0].value


def test_permuted_members_are_at_chance() -> None:
    """Rows copied from train and holdout alike betray nobody's membership."""
    half = N // 2
    both = pa.concat_tables([draw(N, 1).slice(0, half), draw(N, 2).slice(0, half)])
    original = pa.concat_tables([draw(N, 1), draw(N, 2)])
    order = np.random.default_rng(0).permutation(2 * N)
    shuffled = frames(both, n_train=N, n_holdout=N).tables
    assert shuffled is not None
    exchanged = Tables(shuffled.schema, original.take(order[:N]), original.take(order[N:]), both)
    test, measurements = membership_test(frames_of(exchanged), CONFIG, seed=0)
    assert test.verdict != "FAIL"
    assert measurements[1].value == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_test_and_row_order_only_its_chance() -> None:
    assert membership_test(tables(leaking(0.3)), CONFIG, seed=0) == judge(0.3)
    again, measurements = membership_test(tables(reorder(leaking(0.3))), CONFIG, seed=0)
    assert again.verdict == "FAIL"
    assert measurements[0].value == pytest.approx(judge(0.3)[1][0].value, abs=0.05)


def test_neither_a_score_nor_a_value_of_a_record_leaves() -> None:
    test, measurements = judge(0.3)
    told = test.model_dump_json() + json.dumps([m.model_dump() for m in measurements])
    assert len(told) < 15_000
    assert not any(city in told for city in ("Rome", "Oslo", "Lima", "Bern"))


@pytest.mark.parametrize(
    ("name", "strongest"),
    [("copies", "isolated neighbour"), ("columns", "value ratio")],
)
def test_each_kind_of_leak_has_an_attack_that_finds_it(name: str, strongest: str) -> None:
    train = draw(N, 1)
    rng = np.random.default_rng(0)
    columns = pa.table(
        [train[column].take(rng.integers(N, size=N)) for column in train.column_names], schema=train.schema
    )
    test, _ = membership_test(tables({"copies": leaking(0.3), "columns": columns}[name]), CONFIG, seed=0)
    assert any(part.subject == strongest and part.verdict == "FAIL" for part in test.parts)


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_finds_members_of_a_bootstrapped_table(attack: str) -> None:
    evidence, members = bootstrapped()
    scores = ATTACKS[attack](evidence, 0)
    assert scores.shape == members.shape
    assert np.isfinite(scores).all()
    assert auc(scores, members).interval()[0] > 0.5


@cache
def bootstrapped() -> tuple[Evidence, np.ndarray]:
    found = frames(bootstrap(draw(1_000, 1), 1_500), n_train=1_000, n_holdout=1_000)
    train, others = found.train.take(np.arange(500)), found.holdout.take(np.arange(500))
    reference = found.holdout.take(np.arange(500, 1_000))
    space = Space(found.train.join(found.holdout))
    cut = Boxes(space, space.place(found.synthetic))
    evidence = Evidence.gather(train.join(others), found.synthetic, reference, space, cut)
    return evidence, np.arange(1_000) < 500


def test_the_nearest_rows_are_those_of_a_full_sort() -> None:
    found = frames(draw(300, 3), n_train=200, n_holdout=100)
    space = Space(found.train)
    queries, references = space.place(found.train), space.place(found.synthetic)
    near = k_nearest(space, queries, references, 5)
    distances = space.distances(queries, references)
    assert np.array_equal(near.distances, np.sort(distances, axis=1)[:, :5])
    assert np.array_equal(np.take_along_axis(distances, near.rows, axis=1), near.distances)


def test_more_neighbours_than_rows_gives_all_rows() -> None:
    found = frames(draw(4, 3), n_train=20, n_holdout=10)
    space = Space(found.train)
    assert k_nearest(space, space.place(found.train), space.place(found.synthetic), 9).rows.shape == (20, 4)


def test_hits_are_counted_above_the_threshold_of_the_others() -> None:
    scores = np.concatenate([np.arange(1_000.0), np.array([995.0, 985.0, 2_000.0])])
    members = np.arange(1_003) >= 1_000
    assert hits_at_fpr(scores, members, np.random.default_rng(0)) == 2


def test_scores_that_know_nothing_find_one_in_a_hundred_even_when_all_tie() -> None:
    members = np.arange(40_000) < 20_000
    hits = hits_at_fpr(np.zeros(40_000), members, np.random.default_rng(0))
    assert 0.008 < hits / 20_000 < 0.012


@pytest.mark.parametrize(
    ("value", "reach", "verdict"),
    [
        (0.50, 0.01, "PASS"),
        (0.54, 0.009, "REVIEW"),  # enough rows to show that an attack is harmless, and they do not
        (0.58, 0.01, "FAIL"),
        (0.50, 0.05, "PASS"),  # too few rows to show it of any attack, and no sign of a leak
        (0.58, 0.05, "PASS"),
        (0.61, 0.05, "REVIEW"),  # surely better than guessing, but not surely above the bound
        (0.66, 0.05, "FAIL"),
    ],
)
def test_a_part_passes_by_its_own_interval_and_fails_by_the_corrected_one(
    value: float, reach: float, verdict: str
) -> None:
    def interval(level: float) -> tuple[float, float]:
        wider = reach if level == 0.95 else 2 * reach
        return value - wider, value + wider

    part = judged("a", "AUC", value, interval, n_comparisons=10, chance=0.5, passes=AUC_PASS, fails=AUC_FAIL)
    assert part.verdict == verdict
    assert TPR_FAIL < TPR_PASS


@pytest.mark.slow
def test_fresh_rows_of_a_small_table_pass_and_the_reason_says_how_little_that_shows() -> None:
    tests = [
        membership_test(frames(draw(1_200, seed), n_train=1_200, n_holdout=1_200), CONFIG, seed=0)[0]
        for seed in range(3, 9)
    ]
    assert sum(test.verdict == "PASS" for test in tests) >= 5
    assert all(test.interval[1] > AUC_PASS for test in tests if test.statistic.startswith("AUC"))
    doubtful = [test for test in tests if "as far as so few rows can show" in test.reason]
    assert doubtful and all("is refused with a chance of 95 %" in test.detection_limit for test in doubtful)


def test_bins_keep_missing_apart_and_pool_rare_levels() -> None:
    found = frames(draw(500, 3))
    spent = bins(found.train, 1, found.holdout, n_bins=8)
    assert set(np.unique(spent)) == set(range(9))
    assert np.array_equal(spent == 8, found.train.missing(1))
    assert set(np.unique(bins(found.train, 3, found.holdout, n_bins=2))) == {0, 1, 2}


@pytest.mark.parametrize("odds", [1.0, 1.5, 3.0])
def test_the_interval_of_a_rate_holds_though_the_threshold_is_drawn_too(odds: float) -> None:
    rng = np.random.default_rng(0)
    kept, n_draws = 0, 600
    for _ in range(n_draws):  # Lehmann's alternative: a member's chance to beat a threshold is odds times as large
        others, members = rng.exponential(size=2_400), rng.exponential(size=2_400) + np.log(odds)
        scores, labels = np.concatenate([others, members]), np.arange(4_800) >= 2_400
        low, high = rate_interval(hits_at_fpr(scores, labels, rng), n_allowed(2_400), 0.95)
        kept += low <= 0.01 * odds <= high
    assert 0.94 <= kept / n_draws <= 0.99


def test_what_the_limit_names_is_refused_as_often_as_it_says() -> None:
    rng, n = np.random.default_rng(0), 1_200
    odds = float(detection_limit(n).split("finds ")[1].split(" %")[0])
    hits = rng.negative_binomial(n_allowed(n), 1 / (1 + odds), size=4_000)
    refused = [rate_interval(int(found), n_allowed(n), LEVEL)[0] > TPR_FAIL for found in hits]
    assert 0.93 < np.mean(refused) < 0.97


def test_more_rows_see_smaller_leaks() -> None:
    found = [float(detection_limit(n).split("finds ")[1].split(" %")[0]) for n in (250, 1_000, 5_000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 3.5


# degenerate tables


def small(n_holdout: int = 600, n_synthetic: int = 600, *, modelled: bool = True) -> Frames:
    schema = Schema(columns=((Integer if modelled else Identifier)(name="x", arrow="int64"),))
    rng = np.random.default_rng(0)
    parts = [pa.table({"x": rng.integers(10**9, size=n)}) for n in (600, n_holdout, n_synthetic)]
    return frames_of(Tables(schema, *parts))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n_holdout": 499}, "499 rows"),
        ({"n_synthetic": 0}, "no row"),
        ({"n_synthetic": 50}, "50 rows"),
        ({"modelled": False}, "No column"),
    ],
)
def test_too_little_to_test_says_so(given: dict[str, Any], told: str) -> None:
    test, measurements = membership_test(small(**given), CONFIG, seed=0)
    assert test.verdict == "NOT TESTABLE"
    assert told in test.reason
    assert all(isinstance(m, Unmeasured) and m.reason == test.reason for m in measurements)


def test_records_that_many_share_are_not_attacked() -> None:
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    parts = [pa.table({"x": np.random.default_rng(i).integers(20, size=600)}) for i in range(3)]
    test, _ = membership_test(frames_of(Tables(schema, *parts)), CONFIG, seed=0)
    assert test.verdict == "NOT APPLICABLE"
    assert "0 records" in test.reason


def test_one_column_and_columns_without_a_value_are_judged() -> None:
    assert membership_test(small(), CONFIG, seed=0)[0].verdict in ("PASS", "REVIEW")
    schema = Schema(
        columns=(
            Continuous(name="x", arrow="double"),
            Continuous(name="empty", arrow="double", nullable=True),
            Categorical(name="none", arrow="string", nullable=True),
        )
    )
    rng = np.random.default_rng(0)
    parts = [
        pa.table({"x": rng.normal(size=600), "empty": pa.nulls(600, "double"), "none": pa.nulls(600, "string")})
        for _ in range(3)
    ]
    test, _ = membership_test(frames_of(Tables(schema, *parts)), CONFIG, seed=0)
    assert test.verdict in ("PASS", "REVIEW")
