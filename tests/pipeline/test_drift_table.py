import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.drift import compare
from pipeline.drift_rules import DriftRules, refuse_drift
from pipeline.errors import DriftError
from pipeline.evolution import evolve
from pipeline.profile import profile_of
from pipeline.source import read
from tests.pipeline.drift_table import all_planted, baseline, detected, draw, false_alarms, found

PLANTED = all_planted()
SIZES = (300, 1_000, 20_000)
SEEDS = {300: range(40), 1_000: range(20), 20_000: range(2)}


def of_size(n_rows):
    return pytest.param(n_rows, marks=[pytest.mark.slow] if n_rows > 1_000 else [])


@pytest.mark.parametrize("planted", PLANTED, ids=[planted.name for planted in PLANTED])
@pytest.mark.parametrize("n_rows", [of_size(n_rows) for n_rows in SIZES])
def test_a_planted_change_is_found_alone_and_ends_as_its_rule_says(n_rows, planted):
    for rule in ("refuse", "warn", "accept"):
        table, changes = found(planted, n_rows, seed=1, rules=DriftRules(**{planted.kind: rule}))
        assert detected(planted, changes), changes
        assert changes[0].rule == rule
        if rule == "refuse":
            with pytest.raises(DriftError, match=rf"\(drift\.{planted.kind}\)"):
                refuse_drift(changes)
        else:
            refuse_drift(changes)
            assert_nothing_is_left_to_find(table, evolve(baseline(n_rows).schema, table, changes))


def assert_nothing_is_left_to_find(table, evolved):
    accepted = read(table, schema=evolved).table
    assert compare(table, evolved, profile_of(accepted, evolved), DriftRules()) == ()


@pytest.mark.parametrize("n_rows", [of_size(n_rows) for n_rows in SIZES])
def test_nothing_is_found_where_nothing_changed(n_rows):
    alarms = [false_alarms(n_rows, seed) for seed in SEEDS[n_rows]]
    assert [changes for tables in alarms for changes in tables.values() if changes] == []


def test_the_table_plants_every_kind_of_change_in_every_column_that_can_have_it():
    columns = baseline(300).table.column_names
    planted = {(change.kind, change.column) for change in PLANTED}
    assert {kind for kind, _ in planted} == {name for name in DriftRules.model_fields if "tolerance" not in name}
    assert {column for kind, column in planted if kind in ("dropped", "nulls")} == set(columns)


@pytest.mark.slow
def test_changes_well_below_the_tolerances_are_not_reported():
    """The table proves something only if a rule that reports every change would fail."""
    rng = np.random.default_rng(5)
    table = draw(20_000, rng)
    smoker = pc.or_(table["smoker"], pa.array(rng.random(20_000) < 0.03))
    score = pc.if_else(pa.array(rng.random(20_000) < 0.02), None, table["score"])
    table = table.set_column(4, "smoker", smoker).set_column(10, "score", score)
    last = baseline(20_000)
    assert compare(table, last.schema, last.profile, DriftRules()) == ()
