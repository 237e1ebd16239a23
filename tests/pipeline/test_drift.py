from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from pipeline.columns import Boolean, Categorical, Constant, Continuous, Integer, Text
from pipeline.drift import compare, distances
from pipeline.drift_rules import Change, DriftRules, refuse_drift
from pipeline.errors import DriftError, InputError, SchemaError
from pipeline.evolution import evolve
from pipeline.inference import infer
from pipeline.profile import profile_of
from pipeline.schema import Schema
from pipeline.source import read
from tests import zoo

N_ROWS = 400
ROWS = np.arange(N_ROWS)


def patients():
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "patient_id": [f"P-{row:05d}" for row in ROWS],
            "age": rng.integers(18, 90, N_ROWS),
            "ward": rng.choice(["north", "south", "east"], N_ROWS),
            "smoker": rng.random(N_ROWS) < 0.3,
        }
    )


def later(now, before=None, schema=None, **rules):
    before = patients() if before is None else before
    schema = schema or infer(before)
    return compare(now, schema, profile_of(before, schema), DriftRules(**rules))


def found(changes):
    return [(change.kind, change.column) for change in changes]


def put(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def with_cells(table, name, rows, cell):
    values = table[name].to_pylist()
    for row in rows:
        values[row] = cell
    return put(table, name, values)


# What is a change, and what is none


def test_the_order_of_columns_and_rows_is_no_change():
    table = patients()
    assert later(table.select(table.column_names[::-1]).take(pa.array(ROWS[::-1]))) == ()


@pytest.mark.parametrize("arrow", [pa.int8(), pa.int16(), pa.uint64(), pa.int64()], ids=str)
def test_a_wider_or_narrower_whole_number_is_no_change(arrow):
    assert later(put(patients(), "age", patients()["age"].cast(arrow))) == ()


def test_measured_numbers_that_happen_to_be_whole_are_no_change():
    before = pa.table({"x": ROWS + 0.5, "y": ROWS % 3})
    whole = before.set_column(0, "x", pa.array(ROWS))
    assert later(whole, before) == ()


def test_a_dictionary_for_text_is_no_change():
    table = patients()
    assert later(put(table, "ward", table["ward"].combine_chunks().dictionary_encode())) == ()


def test_a_dropped_and_an_added_column_of_other_content_are_no_renamed_one():
    table = patients()
    table = table.drop_columns(["age"]).append_column("weight", pa.array(ROWS + 200))
    assert found(later(table)) == [("dropped", "age"), ("added", "weight")]


def test_two_columns_that_could_both_be_the_renamed_one_are_added():
    table = patients()
    table = table.append_column("years", table["age"]).append_column("age_now", table["age"]).drop_columns(["age"])
    assert found(later(table)) == [("dropped", "age"), ("added", "years"), ("added", "age_now")]


def test_a_new_column_that_could_be_either_of_two_is_added():
    before = patients().append_column("years", patients()["age"])
    now = before.drop_columns(["years"]).rename_columns({"age": "lived"})
    assert found(later(now, before)) == [("dropped", "age"), ("dropped", "years"), ("added", "lived")]


def test_columns_of_like_content_that_are_spelt_otherwise_are_renamed():
    rng = np.random.default_rng(0)
    before = pa.table({f"flag_{name}": rng.random(N_ROWS) < 0.5 for name in "abcd"})
    changes = later(before.rename_columns(["Flag A", "Flag B", "Flag C", "FLAG-D"]), before)
    assert [(change.was, change.column) for change in changes] == [
        ("flag_a", "Flag A"), ("flag_b", "Flag B"), ("flag_c", "Flag C"), ("flag_d", "FLAG-D"),
    ]  # fmt: skip


def test_a_renamed_column_is_known_by_a_sample_of_a_large_table_and_looked_at_whole():
    rng = np.random.default_rng(0)
    before = pa.table({"x": rng.normal(size=50_000), "y": rng.integers(5, size=50_000)})
    now = pa.table({"z": pa.array([None, *before["x"].to_pylist()[1:]]), "y": before["y"]})
    assert found(later(now, before)) == [("renamed", "z"), ("nulls", "z")]


def test_a_renamed_column_with_a_first_missing_cell_is_both():
    table = with_cells(patients(), "age", [3], None).rename_columns({"age": "years"})
    changes = later(table, renamed="accept", nulls="accept")
    assert found(changes) == [("renamed", "years"), ("nulls", "years")]
    assert evolve(infer(patients()), table, changes).column("years").nullable


@pytest.mark.parametrize("name", ["age", "ward", "smoker", "patient_id", "site"])
def test_a_column_of_missing_cells_only_is_no_renamed_one(name):
    before = patients().append_column("site", pa.array(["here"] * N_ROWS))
    now = put(before, name, pa.nulls(N_ROWS, before[name].type)).rename_columns({name: "empty"})
    assert found(later(now, before)) == [("dropped", name), ("added", "empty")]


def test_several_renamed_columns_are_told_apart():
    table = patients().rename_columns({"age": "years", "ward": "unit", "smoker": "smokes"})
    changes = later(table)
    assert {(change.was, change.column) for change in changes} == {
        ("age", "years"),
        ("ward", "unit"),
        ("smoker", "smokes"),
    }


def test_a_retyped_column_is_told_with_the_first_row_that_does_not_pass():
    ages = [*map(str, patients()["age"].to_pylist()[:-1]), "a secret"]
    (change,) = later(put(patients(), "age", ages))
    assert change.detail == 'column "age" must be int64, and in 1 rows is not, first in row 400'


def test_every_change_is_found_where_many_columns_changed_at_once():
    table = with_cells(with_cells(patients(), "patient_id", [1], "P-00000"), "age", [5], None)
    table = with_cells(table.drop_columns(["smoker"]), "ward", range(9), "west").append_column(
        "fee", pa.array(ROWS / 8)
    )
    in_cells = [("repeated_keys", "patient_id"), ("nulls", "age"), ("levels", "ward")]
    expected = [("dropped", "smoker"), ("added", "fee"), *in_cells]
    assert found(later(table)) == expected


def test_a_column_of_which_every_cell_is_missing_is_found_whatever_its_type():
    for arrow in (pa.null(), pa.int64(), pa.string()):
        assert found(later(put(patients(), "age", pa.nulls(N_ROWS, arrow)))) == [("nulls", "age")]


def test_a_text_column_that_may_be_dropped_is_found_when_it_comes_back():
    schema = Schema(columns=(Boolean(name="x", arrow="bool"), Text(name="note", arrow="string", policy="drop")))
    before = pa.table({"x": ROWS % 2 == 0})
    now = before.append_column("note", pa.array([f"note {row}" for row in ROWS]))
    changes = later(now, before, schema, added="accept")
    assert found(changes) == [("added", "note")]
    assert evolve(schema, now, changes) == schema


def test_a_repeated_name_is_refused():
    with pytest.raises(SchemaError, match="column names must differ"):
        later(pa.table([pa.array([1]), pa.array([2])], names=["age", "age"]))


# New levels


def test_a_new_level_is_named_only_where_five_rows_carry_it():
    table = with_cells(with_cells(patients(), "ward", range(5), "west"), "ward", [7], "a person's own")
    (change,) = later(table)
    assert change.detail == 'column "ward" has 2 new levels: "west" in 5 rows, 1 in fewer than 5 rows each'


def test_many_new_levels_are_counted():
    table = put(patients(), "ward", [f"w{row % 7}" for row in ROWS])
    details = [change.detail for change in later(table) if change.kind == "levels"]
    assert details == ['column "ward" has 7 new levels: "w0" in 58 rows, "w1" in 57 rows, "w2" in 57 rows, 4 more']


def test_a_long_level_is_cut():
    table = with_cells(patients(), "ward", range(6), "w" * 10_000)
    assert len(later(table)[0].detail) < 200


def test_a_rare_level_that_was_there_is_not_new():
    before = with_cells(patients(), "ward", [0], "attic")
    assert later(before, before) == ()


def test_a_declared_level_that_was_not_there_is_not_new():
    levels = ("north", "south", "east", "west")
    schema = declared_ward(levels=levels, unseen="refuse")
    assert later(with_cells(patients(), "ward", [0], "west"), schema=schema) == ()


def declared_ward(**settings):
    columns = infer(patients()).columns
    ward = Categorical(name="ward", arrow="string", **settings)
    return Schema(columns=(*columns[:2], ward, *columns[3:]))


@pytest.mark.parametrize(("rule", "ends_as"), [("refuse", "refuse"), ("warn", "refuse"), ("accept", "accept")])
def test_a_column_that_refuses_unseen_levels_has_its_way_unless_they_are_accepted(rule, ends_as):
    schema = declared_ward(levels=("north", "south", "east"), unseen="refuse")
    (change,) = later(with_cells(patients(), "ward", [0], "west"), schema=schema, levels=rule)
    assert change.rule == ends_as


def test_accepted_levels_are_declared_and_a_rare_one_is_not_written_down():
    schema = declared_ward(levels=("north", "south", "east"), unseen="refuse")
    often = with_cells(patients(), "ward", range(8), "west")
    rarely = with_cells(often, "ward", [9], "a person's own")
    for table, unseen in ((often, "refuse"), (rarely, "rare")):
        evolved = evolve(schema, table, later(table, schema=schema, levels="accept"))
        assert evolved.column("ward").levels == ("north", "south", "east", "west")
        assert evolved.column("ward").unseen == unseen
        assert read(table, schema=evolved).table.num_rows == N_ROWS


def test_a_column_that_takes_unseen_levels_as_rare_keeps_its_declaration():
    schema = declared_ward(levels=("north", "south", "east"))
    table = with_cells(patients(), "ward", range(8), "west")
    assert evolve(schema, table, later(table, schema=schema)) == schema


def test_new_levels_of_whole_numbers_are_declared_as_whole_numbers():
    before = pa.table({"code": ROWS % 2, "x": ROWS % 3})
    code = Categorical(name="code", arrow="int64", levels=(0, 1), unseen="refuse")
    schema = Schema(columns=(code, Integer(name="x", arrow="int64")))
    now = put(before, "code", ROWS % 3)
    changes = later(now, before, schema, levels="accept", distribution="accept")
    assert evolve(schema, now, changes).column("code").levels == (0, 1, 2)


# Refusals


def test_a_refusal_names_every_refused_change_its_rule_and_how_to_accept_it():
    table = patients().drop_columns(["age"]).append_column("fee", pa.array(ROWS / 8))
    with pytest.raises(DriftError) as refusal:
        refuse_drift(later(table))
    assert str(refusal.value) == (
        'the source must be like that of the last accepted release; found column "age" is gone (drift.dropped); '
        'column "fee" is new, double (drift.added); mend the source, or accept with drift.dropped = "accept", '
        'drift.added = "accept"'
    )


def test_a_refusal_tells_no_cell():
    table = with_cells(with_cells(patients(), "patient_id", [1], "P-00000"), "smoker", [5], None)
    table = put(table, "age", [*map(str, patients()["age"].to_pylist()[:-1]), "secret"])
    with pytest.raises(InputError) as refusal:
        refuse_drift(later(with_cells(table, "ward", [3], "secret"), levels="refuse"))
    assert "secret" not in str(refusal.value)
    assert "P-0" not in str(refusal.value)


def test_what_is_warned_of_or_accepted_is_not_refused():
    for rule in ("warn", "accept"):
        refuse_drift((Change(kind="added", column="x", detail="", rule=rule),))


# Distances


def test_distances_are_the_share_of_rows_that_moved_the_worst_first():
    before = pa.table({"a": [True, False] * 500, "b": ["x", "y", "z", "z"] * 250})
    now = pa.table({"a": [True] * 600 + [False] * 400, "b": ["x"] * 500 + ["y"] * 250 + ["z"] * 250})
    schema = infer(before)
    found = distances(now, schema, profile_of(before, schema))
    assert [(drift.column, round(drift.value, 6)) for drift in found] == [("b", 0.25), ("a", 0.1)]
    assert [drift.drifted for drift in found] == [True, False]


def test_missing_cells_are_no_distance():
    before = pa.table({"a": pa.array([True, False, None, None] * 200)})
    now = pa.table({"a": pa.array([True, False] * 400)})
    schema = infer(before)
    assert distances(now, schema, profile_of(before, schema))[0].value == 0


def test_keys_text_constants_and_what_cannot_be_compared_have_no_distance():
    before = patients().append_column("site", pa.array(["here"] * N_ROWS))
    schema = infer(before)
    now = put(before.drop_columns(["smoker"]), "age", ["text"] * N_ROWS)
    assert [drift.column for drift in distances(now, schema, profile_of(before, schema))] == ["ward"]


def test_a_renamed_column_has_its_distance_under_the_new_name():
    schema, profile = infer(patients()), profile_of(patients(), infer(patients()))
    names = {drift.column for drift in distances(patients().rename_columns({"age": "years"}), schema, profile)}
    assert names == {"years", "ward", "smoker"}


# The schema afterwards, read from a file


def as_csv(table, path):
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(quoting_style="needed"))
    return path


CHANGED = {
    "added": lambda table: table.append_column("fee", pa.array(ROWS / 8)),
    "dropped": lambda table: table.drop_columns(["age"]),
    "renamed": lambda table: table.rename_columns({"ward": "unit"}),
    "retyped": lambda table: put(table, "age", [f"{age} years" for age in table["age"].to_pylist()]),
    "levels": lambda table: with_cells(table, "ward", range(9), "west"),
    "nulls": lambda table: with_cells(table, "age", range(9), None),
    "repeated_keys": lambda table: with_cells(table, "patient_id", range(9), "P-00000"),
    "distribution": lambda table: put(table, "smoker", [True] * N_ROWS),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_changed_file_is_read_under_the_evolved_schema_and_what_did_not_change_keeps_its_declaration(kind, tmp_path):
    first = read(as_csv(patients(), tmp_path / "first.csv")).table
    schema = infer(first)
    second = read(as_csv(CHANGED[kind](patients()), tmp_path / "second.csv"))
    changes = later(second.table, first, schema, **{kind: "warn"})
    assert {change.kind for change in changes} == {kind}
    refuse_drift(changes)
    evolved = evolve(schema, second.table, changes)
    assert read(tmp_path / "second.csv", schema=evolved).table.num_rows == N_ROWS
    touched = {change.column for change in changes} | {change.was for change in changes}
    assert [c for c in evolved.columns if c.name not in touched] == [c for c in schema.columns if c.name not in touched]


def test_a_table_without_accepted_changes_keeps_its_schema():
    schema = infer(patients())
    table = patients().drop_columns(["age"])
    assert evolve(schema, table, later(table)) == schema


def test_added_columns_come_last_in_table_order():
    table = patients().add_column(0, "b", pa.array(ROWS / 8)).add_column(3, "a", pa.array(ROWS / 9))
    evolved = evolve(infer(patients()), table, later(table, added="accept"))
    assert evolved.names == (*patients().column_names, "b", "a")


def test_a_renamed_column_keeps_its_declaration_and_its_place():
    schema = declared_ward(levels=("north", "south", "east"), unseen="refuse")
    table = patients().rename_columns({"ward": "unit"})
    evolved = evolve(schema, table, later(table, schema=schema, renamed="accept"))
    assert evolved.columns[2] == schema.columns[2].model_copy(update={"name": "unit"})


def test_a_column_that_was_renamed_and_has_new_levels_gets_both():
    schema = declared_ward(levels=("north", "south", "east"), unseen="refuse")
    table = with_cells(patients(), "ward", range(6), "west").rename_columns({"ward": "unit"})
    changes = later(table, schema=schema, renamed="accept", levels="accept")
    assert found(changes) == [("renamed", "unit"), ("levels", "unit")]
    assert evolve(schema, table, changes).column("unit").levels == ("north", "south", "east", "west")


def test_a_constant_that_varies_or_goes_missing_is_inferred_anew():
    before = pa.table({"site": ["here"] * N_ROWS, "x": ROWS % 3})
    assert isinstance(infer(before).column("site"), Constant)
    for kind, cell in (("retyped", "there"), ("nulls", None)):
        now = with_cells(before, "site", range(40), cell)
        changes = later(now, before, **{kind: "accept"})
        assert found(changes) == [(kind, "site")]
        assert isinstance(evolve(infer(before), now, changes).column("site"), Categorical)


def test_a_number_below_its_declared_bound_is_refused_and_can_be_accepted():
    schema = Schema(columns=(Continuous(name="x", arrow="float64", minimum=0.0),))
    before, now = pa.table({"x": ROWS + 0.5}), pa.table({"x": ROWS - 0.5})
    changes = later(now, before, schema, retyped="accept")
    assert changes[0].detail == (
        'column "x" no longer is what it is declared, continuous: 1 value below the minimum 0.0, first in row 1'
    )
    assert evolve(schema, now, changes).column("x").minimum is None


# Hard tables


@pytest.mark.parametrize("draw", zoo.ACCEPTED, ids=lambda draw: draw.__name__)
def test_a_hard_table_is_like_itself(draw):
    table = draw()
    assert later(table, table) == ()
    schema = infer(table)
    assert all(drift.value == 0 for drift in distances(table, schema, profile_of(table, schema)))


@cache
def hard_columns():
    return [values for draw in zoo.ACCEPTED for values in draw().slice(0, zoo.N_ROWS).itercolumns()]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_column_becomes_can_be_accepted_and_read(seed):
    columns = hard_columns()
    before, now = (columns[place] for place in np.random.default_rng(seed).integers(len(columns), size=2))
    before, now = pa.table({"x": before, "row": zoo.ROWS % 3}), pa.table({"x": now, "row": zoo.ROWS % 3})
    everything = dict.fromkeys(CHANGED, "accept")
    changes = later(now, before, **everything)
    evolved = evolve(infer(before), now, changes)
    accepted = read(now, schema=evolved).table
    assert compare(now, evolved, profile_of(accepted, evolved), DriftRules()) == ()
