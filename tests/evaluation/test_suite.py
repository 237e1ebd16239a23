from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import FAMILIES, EvaluationConfig, PrivacyConfig
from evaluation.features import frames_of
from evaluation.fidelity.profiles import profile_columns
from evaluation.gate import Gates
from evaluation.measurement import Measured, Unmeasured
from evaluation.report import MISSING_LABEL, OTHER_LABEL, ColumnProfile, Report
from evaluation.suite import METRICS, evaluate
from evaluation.tables import Tables
from pipeline.columns import Categorical, Continuous, Identifier, Integer, Text, Timestamp
from pipeline.errors import ConfigError, SchemaError
from pipeline.inference import infer
from pipeline.schema import Schema
from tests import zoo
from tests.evaluation.mixed_table import SCHEMA, bootstrap, draw, shuffle_columns, tables

NOISY = ("importance_agreement", "learner_agreement", "augmentation_gain", "exact_copies_p")
"""Of a few columns, learners and rows; and a p-value, which is small by chance now and then."""
QUICK = EvaluationConfig(
    detection_folds=2,
    detection_rows=300,
    utility_rows=300,
    utility_replicates=2,
    privacy=PrivacyConfig(permutations=99),
)


def thirds(table: pa.Table, schema: Schema, target: str | None = None) -> Tables:
    """Cut one table into train, holdout and synthetic rows."""
    n = max(1, table.num_rows // 3)
    parts = [table.slice(min(i * n, table.num_rows - n), n) for i in range(3)]
    return Tables(schema, *parts, target)


@pytest.fixture(scope="module")
def honest() -> Report:
    return evaluate(tables(draw(1_500, 3), target="member"), QUICK, seed=0)


def failed(report: Report) -> set[str]:
    return {gate.metric for gate in report.gates if gate.verdict == "FAIL"}


def test_an_honest_table_passes(honest: Report) -> None:
    assert honest.failures() == []
    assert honest.verdict in ("PASS", "REVIEW")  # 1,500 rows are few for the privacy tests
    assert {m.family for m in honest.measurements} == set(FAMILIES)
    assert not [m for m in honest.measurements if isinstance(m, Unmeasured) and m.applicable]


def test_every_overall_number_has_its_scale_and_source(honest: Report) -> None:
    for m in (m for m in honest.measurements if isinstance(m, Measured)):
        assert m.best != m.worst
        assert m.source
        assert m.n_rows > 0
        assert m.ceiling is not None, m.metric
        assert m.floor is not None, m.metric
        assert m.interval is not None, m.metric
        assert m.interval[0] <= m.value <= m.interval[1], m.metric
        if m.metric not in NOISY:
            assert abs(m.value - m.ceiling) < abs(m.value - m.floor), m.metric


def test_every_gate_has_a_statistic_with_an_interval_and_a_reason(honest: Report) -> None:
    keyed = Schema(columns=(*SCHEMA.columns, Identifier(name="key", arrow="string")))
    parts = [
        table.append_column("key", pa.array([f"{role}{i}" for i in range(len(table))]))
        for role, table in {"t": draw(1_500, 1), "h": draw(1_000, 2), "s": draw(1_500, 3)}.items()
    ]
    for report in (honest, evaluate(Tables(keyed, *parts, "member"), QUICK, seed=0)):
        judged = [gate for gate in report.gates if gate.verdict != "NOT APPLICABLE"]
        assert len(judged) >= 11
        for gate in judged:
            assert gate.statistic and gate.reason and gate.rule, gate.name
            assert gate.value is not None and gate.interval is not None, gate.name
            assert gate.interval[0] <= gate.value <= gate.interval[1], gate.name
        by_chance = {gate.name for gate in judged if gate.p_value is not None}
        assert by_chance == {"g1_copies", "g2_value_support", "g3_nearest_records", "g5_outliers"}
    assert "g0_identifiers" in {gate.name for gate in judged}


def test_copies_fail_on_privacy_and_shuffled_columns_on_quality() -> None:
    copies = evaluate(tables(bootstrap(draw(2_000, 1), 1_500), target="member"), QUICK, seed=0)
    shuffled = evaluate(tables(shuffle_columns(draw(1_500, 3)), target="member"), QUICK, seed=0)
    assert {"g1_copies", "g3_nearest_records", "g4_membership"} <= failed(copies)
    assert {"c2st_auc", "utility_gap"} <= failed(shuffled)
    assert not failed(shuffled) & {"g1_copies", "shape_error"}


def test_the_same_seed_gives_the_same_report(honest: Report) -> None:
    assert evaluate(tables(draw(1_500, 3), target="member"), QUICK, seed=0) == honest


def test_a_report_survives_json(honest: Report) -> None:
    assert Report.model_validate_json(honest.model_dump_json()) == honest


def test_stages_are_announced_and_families_may_be_left_out() -> None:
    stages: list[str] = []
    config = EvaluationConfig(families=("marginals",))
    report = evaluate(tables(draw(300, 3)), config, seed=0, on_progress=stages.append)
    assert stages == ["tables", "marginals", "report"]
    assert {m.family for m in report.measurements} == {"marginals"}
    assert report.verdict == "FAIL"  # the other gates have no evidence
    assert tuple(METRICS) == FAMILIES


def test_report_repeats_what_it_is_given() -> None:
    config, gates = EvaluationConfig(families=()), Gates.model_validate({name: "off" for name, _ in Gates().named()})
    report = evaluate(tables(draw(20, 3)), config, gates, seed=3, notes=["a note"])
    assert report.notes == ("a note",)
    assert (report.run.n_train, report.run.n_holdout, report.run.n_synthetic, report.run.seed) == (2_000, 1_000, 20, 3)
    assert [c.name for c in report.schema_columns] == list(SCHEMA.names)
    assert report.verdict == "PASS"


@pytest.mark.parametrize("make", zoo.ACCEPTED, ids=lambda make: make.__name__)
def test_hard_tables_give_numbers_or_reasons(make: Callable[[], pa.Table]) -> None:
    table = make()
    schema = infer(table)
    modelled = [c.name for c in schema.columns if c.kind not in ("identifier", "text", "constant")]
    report = evaluate(thirds(table, schema, modelled[0] if modelled else None), QUICK, seed=0)
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert all(m.reason for m in report.measurements if isinstance(m, Unmeasured))
    assert len(report.columns) == len(modelled)
    assert all(sum(s.shares) == pytest.approx(1.0) for profile in report.columns for s in profile.series)


@pytest.mark.parametrize("n_rows", [0, 1, 2])
def test_next_to_no_rows_give_reasons_not_numbers(n_rows: int) -> None:
    tiny = Tables(SCHEMA, *[draw(n_rows, seed) for seed in (1, 2, 3)], "member")
    report = evaluate(tiny, QUICK, seed=0)
    assert {m.metric for m in report.measurements if isinstance(m, Unmeasured)} >= {
        "c2st_auc",
        "utility_gap",
        "dcr_share",
    }
    assert report.verdict == "FAIL"


def test_a_table_without_a_modelled_column_gives_reasons() -> None:
    schema = Schema(
        columns=(Identifier(name="id", arrow="int64", start=9), Text(name="t", arrow="string", policy="drop"))
    )
    original = pa.table({"id": [1, 2, 3], "t": ["a", "b", "c"]})
    report = evaluate(Tables(schema, original, original, pa.table({"id": [9, 10]})), QUICK, seed=0)
    assert all(isinstance(m, Unmeasured) for m in report.measurements)


def profile(columns: dict[str, pa.Array], schema: Schema, n_train: int = 1_000) -> tuple[ColumnProfile, ...]:
    table = pa.table(columns, schema=schema.arrow())
    return profile_columns(frames_of(Tables(schema, table.slice(0, n_train), table, table)), {})


def test_a_report_shows_no_rare_level_and_no_extreme() -> None:
    rng = np.random.default_rng(0)
    schema = Schema(
        columns=(
            Categorical(name="level", arrow="string"),
            Continuous(name="amount", arrow="double"),
            Integer(name="count", arrow="int64"),
            Integer(name="wide", arrow="int64"),
        )
    )
    table = pa.table(
        {
            "level": ["of one person"] + ["of four"] * 4 + ["common"] * 995,
            "amount": np.append(rng.normal(size=998), [987_654.25, -987_654.25]),
            "count": np.append(rng.integers(0, 5, 999), [4_711]),
            "wide": np.append(rng.integers(0, 5_000, 999), [7_654_321]),
        }
    )
    config = EvaluationConfig(families=("marginals", "pairs"))
    text = evaluate(Tables(schema, table, table, table), config, seed=0).model_dump_json()
    for secret in ("of one person", "of four", "98765", "4711", "76543"):
        assert secret not in text
    assert "common" in text


def test_bins_of_a_level_a_count_and_a_time() -> None:
    schema = Schema(
        columns=(
            Categorical(name="level", arrow="string", nullable=True),
            Integer(name="count", arrow="int64"),
            Timestamp(name="seen", arrow="timestamp[us, tz=UTC]"),
        )
    )
    columns = {
        "level": pa.array((["a"] * 6 + ["b"] * 3 + [None]) * 100),
        "count": pa.array([0, 1, 2, 3, 4] * 200),
        "seen": pa.array((np.arange(1_000) * 86_400_000_000).tolist(), pa.timestamp("us", "UTC")),
    }
    profiles = {p.column: p for p in profile(columns, schema)}
    assert profiles["level"].labels == ("a", "b", MISSING_LABEL)
    assert profiles["level"].series[0].shares == pytest.approx((0.6, 0.3, 0.1))
    assert profiles["count"].labels == ("0", "1", "2", "3", "4")
    assert profiles["seen"].labels[0] == "< 1970-01-10"
    assert profiles["seen"].labels[-1] == "≥ 1972-09-16"
    assert [s.table for s in profiles["seen"].series] == ["train", "holdout", "synthetic"]


def test_long_categories_show_their_most_frequent_levels() -> None:
    levels = np.repeat([f"l{k:02d}" for k in range(40)], np.arange(40, 0, -1) + 5)
    schema = Schema(columns=(Categorical(name="level", arrow="string"),))
    (found,) = profile({"level": pa.array(levels.tolist())}, schema, n_train=len(levels))
    assert found.labels == (*(f"l{k:02d}" for k in range(20)), OTHER_LABEL)


def test_columns_come_worst_first(honest: Report) -> None:
    values = [profile.measurements[0].value for profile in honest.columns]
    assert values == sorted(values, reverse=True)


def test_levels_mean_the_same_in_all_three_tables_whatever_their_dictionaries() -> None:
    schema = Schema(columns=(Categorical(name="c", arrow="dictionary<values=string, indices=int8>", nullable=True),))
    parts = [
        pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(names))})
        for names in (["x", "y"], ["y", "x"], ["z", "x"])
    ]
    frames = frames_of(Tables(schema, *parts))
    assert frames.features[0].labels == ("x", "y", "z")
    assert [frame.columns[0].tolist() for frame in (frames.train, frames.holdout, frames.synthetic)] == [
        [0, 1, -1],
        [1, 0, -1],
        [2, 0, -1],
    ]


def test_levels_are_ordered_by_their_frequency_in_train_and_never_by_the_order_of_rows() -> None:
    schema = Schema(columns=(Categorical(name="c", arrow="string"),))
    train, holdout = pa.table({"c": list("zzyx")}), pa.table({"c": list("wwww")})
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        frames = frames_of(Tables(schema, train.take(order), holdout, holdout))
        assert frames.features[0].labels == ("z", "x", "y", "w")


def test_tables_that_do_not_belong_together_are_refused() -> None:
    whole = draw(10, 1)
    with pytest.raises(SchemaError, match=r'synthetic table needs every .* no "city"'):
        Tables(SCHEMA, whole, whole, whole.drop_columns(["city"]))
    with pytest.raises(ConfigError, match='"shoe size"'):
        Tables(SCHEMA, whole, whole, whole, "shoe size")
    words = whole.set_column(0, "income", pa.array(["high"] * 10))
    with pytest.raises(SchemaError, match='column "income"'):
        frames_of(Tables(SCHEMA, whole, whole, words))


def test_quantiles_are_told_as_ranks_of_train_and_are_zero_for_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 12, 4_000) * 1.0 + rng.random(4_000) * (rng.random(4_000) < 0.5)
    table, shifted = pa.table({"x": x}), pa.table({"x": np.quantile(x, np.clip(rng.random(4_000) + 0.1, 0, 1))})
    (found,) = profile_columns(frames_of(Tables(infer(table), table, table, shifted)), {})
    shifts = {one.table: np.array(one.shifts) for one in found.quantiles}
    assert (shifts["holdout"] == 0).all()
    assert shifts["synthetic"][:17] == pytest.approx(0.1, abs=0.05)  # an atom has a share of 0.04


def test_whole_numbers_of_few_values_have_no_quantiles() -> None:
    table = pa.table({"few": [1, 2] * 100, "many": list(range(200))})
    schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in table.column_names))
    found = {one.column: one.quantiles for one in profile_columns(frames_of(Tables(schema, table, table, table)), {})}
    assert not found["few"] and len(found["many"]) == 2
