"""All releases of one output together: small leaks add up, honest releases do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig, PrivacyConfig
from evaluation.features import Frames, frames_of
from evaluation.privacy.decisions import counted
from evaluation.privacy.gate_tests import measure_inference, measure_membership, measure_records
from evaluation.privacy.repeated_records import judge_copies
from evaluation.privacy.together import ALONE, Together
from evaluation.report import GateVerdict, PrivacyTest
from evaluation.tables import Tables
from pipeline.columns import Identifier, Integer
from pipeline.errors import SchemaError
from pipeline.schema import Schema
from tests.evaluation.mixed_table import SCHEMA, draw, tables

CONFIG = EvaluationConfig(privacy=PrivacyConfig(permutations=99))
N_TRAIN, N_ROWS, N_NIGHTS = 2_000, 1_000, 8
ALL = f"all {N_NIGHTS} published releases together"
TRAIN = draw(N_TRAIN, 1)  # what `tables()` holds


def leaking(night: int, n_copies: int = 6) -> pa.Table:
    """Return fresh rows, of which some are train rows: other ones each night."""
    copied = TRAIN.take(np.random.default_rng(night).permutation(N_TRAIN)[:n_copies])
    return pa.concat_tables([copied, draw(N_ROWS - n_copies, 100 + night)])


def honest(seed: int, n_releases: int = N_NIGHTS) -> list[pa.Table]:
    return [draw(N_ROWS, 1_000 * seed + 10 + night) for night in range(n_releases)]


def released(nights: list[pa.Table]) -> Tables:
    """Return the last table beside those published before it."""
    return replace(tables(nights[-1], target="member"), published=tuple(nights[:-1]))


def judged(nights: list[pa.Table], config: EvaluationConfig = CONFIG) -> dict[str, PrivacyTest]:
    return {test.name: test for test in measure_records(frames_of(released(nights)), config, seed=0).tests}


def test_a_small_leak_repeated_nightly_passes_alone_and_fails_together() -> None:
    nights = [leaking(night) for night in range(N_NIGHTS)]
    alone = [judge_copies(frames_of(tables(night)), CONFIG) for night in nights]
    assert {test.verdict for test in alone} <= {"PASS", "REVIEW"}
    together = judged(nights)["g1_copies"]
    assert together.verdict == "FAIL"
    assert together.reason.startswith(f"All {N_NIGHTS} published releases together: ")
    assert together.reason.endswith(f"This release alone would be {alone[-1].verdict}.")
    assert together.detection_limit.startswith(f"All {N_NIGHTS} published releases together: Verbatim copies")
    assert together.p_value is not None
    assert together.p_value < 1e-6


def test_a_leak_fails_on_the_night_that_makes_it_visible_and_on_every_later_one() -> None:
    nights = [leaking(night) for night in range(N_NIGHTS)]
    tested = [frames_of(released(nights[:n])) for n in range(1, N_NIGHTS + 1)]
    verdicts = [judge_copies(frames.together or frames, CONFIG).verdict == "FAIL" for frames in tested]
    assert verdicts == sorted(verdicts)
    assert (verdicts[0], verdicts[-1]) == (False, True)


@pytest.mark.parametrize("seed", range(1, 6))
def test_honest_releases_together_do_not_fail(seed: int) -> None:
    assert "FAIL" not in {test.verdict for test in judged(honest(seed)).values()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_no_attack_refuses_honest_releases_together(seed: int) -> None:
    frames = frames_of(released(honest(seed)))
    for measure in (measure_membership, measure_inference):
        (test,) = measure(frames, CONFIG, seed=seed).tests
        assert test.verdict != "FAIL"
        assert {part.of for part in test.parts} == {ALONE, ALL}


def test_parts_say_which_releases_they_are_of() -> None:
    alone, together = (judged(nights) for nights in (honest(1)[-1:], honest(1)))
    for name in ("g1_copies", "g2_value_support", "g3_nearest_records", "g5_outliers"):
        assert {part.of for part in alone[name].parts} == {""}
        assert {part.of for part in together[name].parts} == {ALONE, ALL}
        own = [part.model_copy(update={"of": ""}) for part in together[name].parts if part.of == ALONE]
        assert sorted(own, key=str) == sorted(alone[name].parts, key=str)


def test_a_test_that_passes_says_that_it_does_so_together() -> None:
    found = judged(honest(2))["g1_copies"]
    assert found.verdict == "PASS"
    assert found.reason.endswith(f"All {N_NIGHTS} published releases together: PASS.")


@pytest.mark.slow
def test_numbers_and_what_was_not_published_before_are_those_of_this_release() -> None:
    nights = honest(3)
    for measure in (measure_records, measure_membership, measure_inference):
        one, many = (measure(frames_of(released(n)), CONFIG, seed=0) for n in (nights[-1:], nights))
        assert one.measurements == many.measurements


def test_exact_tests_see_every_row_and_searches_say_how_many_they_saw() -> None:
    few = CONFIG.model_copy(update={"privacy": PrivacyConfig(permutations=99, queries=2_000)})
    nights = [leaking(night) for night in range(N_NIGHTS)]
    found = judged(nights, few)
    n_copied = len({tuple(row.values()) for night in nights for row in night.slice(0, 6).to_pylist()})
    whole = next(part for part in found["g1_copies"].parts if part.subject == "whole rows" and part.of == ALL)
    assert whole.note.startswith(f"{n_copied} of")
    assert {part.of for part in found["g3_nearest_records"].parts} == {ALONE, f"{ALL} (2,000 of 8,000 rows)"}
    assert any(counted(n_rows, "synthetic row") in part.note
               for n_rows in range(1_900, 2_001) for part in found["g3_nearest_records"].parts)  # fmt: skip


def test_a_search_never_has_fewer_rows_than_the_release_itself() -> None:
    few = CONFIG.model_copy(update={"privacy": PrivacyConfig(queries=100)})
    found = Together.of(frames_of(released(honest(1, 3))), few, seed=0)
    assert found is not None
    assert (found.searched.synthetic.n_rows, found.every.synthetic.n_rows) == (N_ROWS, 3 * N_ROWS)


@pytest.mark.parametrize(
    ("alone", "together", "decided"),
    [
        ("PASS", "FAIL", "FAIL"),
        ("FAIL", "PASS", "FAIL"),
        ("PASS", "REVIEW", "REVIEW"),
        ("NOT TESTABLE", "REVIEW", "NOT TESTABLE"),  # many earlier rows help no new table over want of evidence
        ("NOT TESTABLE", "PASS", "NOT TESTABLE"),
        ("NOT APPLICABLE", "PASS", "PASS"),
    ],
)
def test_the_graver_result_decides(alone: GateVerdict, together: GateVerdict, decided: GateVerdict) -> None:
    one, many = (
        PrivacyTest(name="g1_copies", verdict=verdict, statistic="", rule="", reason=f"It is {verdict}.")
        for verdict in (alone, together)
    )
    frames = _frames()
    found = Together(frames, frames, 3).judged(one, many)
    assert found.verdict == decided
    assert f"It is {decided}." in found.reason


def _frames() -> Frames:
    return frames_of(tables(draw(5, 3), n_train=5, n_holdout=5))


def test_keys_that_were_issued_before_are_not_held_against_todays() -> None:
    """An earlier release issued key 4, which the source issued as well since then: nobody's key was given away."""
    schema = Schema(columns=(Identifier(name="id", arrow="int64", start=9), Integer(name="n", arrow="int64")))

    def table(*ids: int) -> pa.Table:
        return pa.table({"id": pa.array(ids, pa.int64()), "n": pa.array(ids, pa.int64())})

    parts = Tables(schema, table(1, 2, 3, 4), table(5, 6), table(9, 10), None, (table(4, 5),))
    (test, *_) = measure_records(frames_of(parts), CONFIG, seed=0).tests
    assert (test.name, test.verdict) == ("g0_identifiers", "PASS")


def test_a_published_table_of_another_schema_is_refused_by_its_place() -> None:
    new, old = draw(20, 3), draw(20, 4)
    with pytest.raises(SchemaError, match=r'published \(number 2, oldest first\) table .* no "city"'):
        replace(tables(new), published=(old, old.drop_columns(["city"])))
    retyped = old.set_column(2, "visits", old["visits"].cast(pa.int32()))
    with pytest.raises(SchemaError, match=r'"visits" .*int32 in published table number 1'):
        replace(tables(new), published=(retyped,))


def test_dictionaries_order_of_columns_and_columns_beside_the_schema_make_no_difference() -> None:
    nights = honest(1, 2)
    old = nights[0].select(SCHEMA.names[::-1]).append_column("extra", pa.array([0] * N_ROWS))
    coded = old.set_column(old.column_names.index("city"), "city", old["city"].dictionary_encode())
    plain, other = (frames_of(released([table, nights[1]])).together for table in (nights[0], coded))
    assert plain is not None
    assert other is not None
    for one, two in zip(plain.synthetic.columns, other.synthetic.columns, strict=True):
        np.testing.assert_array_equal(one, two)
