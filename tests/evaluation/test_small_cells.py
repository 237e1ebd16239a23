"""Tables of few distinct rows: nobody can be attacked alone, and small combinations must not tell of train."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.gate import Gates, judge
from evaluation.measurement import Unmeasured
from evaluation.privacy.decisions import FAIL_BELOW, verdict_of
from evaluation.privacy.gate_tests import measure_inference, measure_membership, measure_records
from evaluation.privacy.records import RowKeys
from evaluation.privacy.repeated_records import FEW, WHOLE, judge_copies
from evaluation.privacy.small_cells import SMALL, SmallCells
from evaluation.report import PrivacyTest
from evaluation.tables import Tables
from pipeline.columns import Categorical, Integer
from pipeline.schema import Schema

CONFIG = EvaluationConfig()
NAMES, LEVELS = ("a", "b", "c"), "wxyz"
SCHEMA = Schema(columns=tuple(Categorical(name=name, arrow="string") for name in NAMES))


def draw(seed: int, n_rows: int = 3_000, shares: tuple[float, ...] = (0.72, 0.2, 0.06, 0.02)) -> pa.Table:
    """Draw rows of 64 combinations, of which some are rare."""
    rng = np.random.default_rng(seed)
    return pa.table({name: rng.choice(list(LEVELS), n_rows, p=shares) for name in NAMES})


def three(seed: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    return draw(seed), draw(seed + 1_000), draw(seed + 2_000)


def frames(train: pa.Table, holdout: pa.Table, synthetic: pa.Table) -> Frames:
    return frames_of(Tables(SCHEMA, train, holdout, synthetic))


def beside(few: pa.Table, many: pa.Table) -> pa.Table:
    """Return `few` with the last rows of `many`, as many rows as those."""
    return pa.concat_tables([few, many.slice(few.num_rows)])


def combinations(table: pa.Table) -> list[tuple[str, ...]]:
    return list(zip(*(table[name].to_pylist() for name in NAMES), strict=True))


def table_of(rows: list[tuple[str, ...]]) -> pa.Table:
    return pa.table({name: pa.array(cells) for name, cells in zip(NAMES, zip(*rows, strict=True), strict=True)})


def planted(seed: int, n_rows: int) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Give four combinations that nobody has to five train rows each; return copies of these rows as well."""
    train, holdout, synthetic = three(seed)
    met = {row for table in (train, holdout, synthetic) for row in combinations(table)}
    free = [(a, b, c) for a in LEVELS for b in LEVELS for c in LEVELS if (a, b, c) not in met][:4]
    assert len(free) == 4
    return beside(table_of(free * 5), train), holdout, synthetic, table_of((free * n_rows)[:n_rows])


def every_test(given: Frames) -> tuple[PrivacyTest, ...]:
    families = (measure_records, measure_membership, measure_inference)
    return tuple(test for measure in families for test in measure(given, CONFIG, seed=0).tests)


# the whole gate


@pytest.mark.parametrize("seed", range(6))
def test_an_honest_table_of_few_distinct_rows_can_pass(seed: int) -> None:
    found = every_test(frames(*three(seed)))
    assert {test.verdict for test in found} == {"PASS", "NOT APPLICABLE"}
    assert found[1].name == "g1_copies" and found[1].verdict == "PASS"
    bounds = dict.fromkeys((name for name, gate in Gates().named() if gate != "on"), "off")
    assert judge([], found, Gates.model_validate(bounds))[1] == "PASS"


@pytest.mark.parametrize("seed", range(4))
def test_repeated_combinations_that_only_train_has_are_refused(seed: int) -> None:
    train, holdout, fresh, copies = planted(seed, 40)
    assert judge_copies(frames(train, holdout, fresh), CONFIG).verdict == "PASS"
    leaking = judge_copies(frames(train, holdout, beside(copies, fresh)), CONFIG)
    assert (leaking.verdict, leaking.parts[0].subject) == ("FAIL", FEW)
    assert FEW in leaking.reason
    assert judge_copies(frames(holdout, train, beside(copies, fresh)), CONFIG).verdict == "PASS"


def test_a_table_without_a_small_combination_has_nobody_to_single_out() -> None:
    parts = [draw(seed, shares=(0.25,) * 4) for seed in range(3)]
    assert {test.verdict for test in every_test(frames(*parts))} == {"NOT APPLICABLE"}


@pytest.mark.parametrize(("n_train", "n_holdout"), [(3_000, 499), (499, 3_000)])
def test_few_rows_stay_untestable_however_alike_they_are(n_train: int, n_holdout: int) -> None:
    found = every_test(frames(draw(0, n_train), draw(1, n_holdout), draw(2)))
    assert [test.verdict for test in found] == ["NOT APPLICABLE", *["NOT TESTABLE"] * 6]


def test_a_holdout_too_small_for_the_records_at_risk_stays_untestable() -> None:
    """Many train rows are unique, so there is a risk; of the holdout too few are, so nobody can tell."""
    rng = np.random.default_rng(0)
    alone = [pa.table({"x": rng.integers(10**9, size=n)}) for n in (3_000, 100, 3_000)]
    same = pa.table({"x": np.zeros(900, dtype=np.int64)})
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    given = frames_of(Tables(schema, alone[0], pa.concat_tables([alone[1], same]), alone[2]))
    test = measure_membership(given, CONFIG, seed=0).tests[0]
    assert test.verdict == "NOT TESTABLE"
    assert "holdout is too small" in test.reason


def test_numbers_that_do_not_apply_are_declared_so() -> None:
    given = frames(*three(0))
    for measure in (measure_membership, measure_inference):
        for found in measure(given, CONFIG, seed=0).measurements:
            assert isinstance(found, Unmeasured)
            assert not found.applicable


def test_singling_out_is_still_tried_where_synthetic_rows_stand_alone() -> None:
    """No original row is unique, but a column of the synthetic table gives conditions."""
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    common = pa.table({"x": np.repeat(np.arange(300), 10)})
    spread = pa.table({"x": np.arange(1_000)})
    found = measure_inference(frames_of(Tables(schema, common, common, spread)), CONFIG, seed=0).tests[0]
    assert found.verdict == "PASS"
    assert {part.subject for part in found.parts} <= {f"singling out by {n}" for n in ("one column", "several columns")}


# the small combinations


def test_only_tables_with_few_records_at_risk_are_asked_about_small_combinations() -> None:
    rng = np.random.default_rng(0)
    schema = Schema(columns=(Integer(name="x", arrow="int64"),))
    for n_values, few in ((2_000, False), (700, True)):
        parts = [pa.table({"x": rng.integers(n_values, size=1_000)}) for _ in range(3)]
        subjects = {part.subject for part in judge_copies(frames_of(Tables(schema, *parts)), CONFIG).parts}
        assert (FEW in subjects, WHOLE in subjects) == (few, True)


def test_shares_by_hand() -> None:
    """Train has x three times, holdout w once and y ten times; x is repeated six times, w once."""
    parts = [pa.table({"a": list(text)}) for text in ("xxx", "wyyyyyyyyyy", "wxxxxxxyz")]
    schema = Schema(columns=(Categorical(name="a", arrow="string"),))
    keys = RowKeys(frames_of(Tables(schema, *parts)))
    few = SmallCells.of(keys, keys.cells(0), 999)
    assert SMALL == 10
    assert (few.n_train, few.n_holdout) == (3, 1)
    assert few.train_hits == 6.0
    # of four rows that weigh 2, 2, 2 and 1, the one that is not train's weighs 1 in one of four cases
    assert few.p_value() == pytest.approx(0.25, abs=0.01)
    assert "6.0 synthetic rows fall to 3 rows of train, 1.0 to 1 of holdout" in few.counts()


def test_p_values_of_honest_tables_are_uniform_at_unequal_sizes_too() -> None:
    p_values = []
    for seed in range(60):
        given = frames(draw(seed, 2_000), draw(seed + 100, 900), draw(seed + 200, 1_500))
        keys = RowKeys(given)
        p_values.append(SmallCells.of(keys, keys.over(range(3)), 99).p_value())
    assert 0.4 < np.mean(p_values) < 0.62
    assert np.mean([p < 0.1 for p in p_values]) <= 0.2


@pytest.mark.parametrize("seed", range(3))
def test_as_many_copies_as_the_limit_names_are_refused_and_half_are_not(seed: int) -> None:
    given = frames(*three(seed))
    keys = RowKeys(given)
    few = SmallCells.of(keys, keys.over(range(3)), 999)
    fewest = few.detectable(FAIL_BELOW)
    assert fewest is not None
    for n_copies, refused in ((round(1.3 * fewest), True), (fewest // 2, False)):
        copied = np.bincount(few.combination[np.arange(n_copies) % few.n_train], minlength=len(few.synthetic))
        leaking = SmallCells(few.combination, few.synthetic + copied, few.n_train, few.n_draws)
        assert (verdict_of(leaking.p_value()) == "FAIL") == refused
