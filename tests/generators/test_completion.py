"""Rows of which some cells are known: they come back, and the others follow them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from generators import FlowMatchingConfig, Range, TabularGenerator, TrainingConfig, generator_config
from generators.scenarios import what_if
from pipeline.errors import ConfigError, DataError, SchemaError, UnsupportedError
from pipeline.source import fingerprint

from .tables import PLANTED_TEXT, people, people_frame, twins

LEARNS = FlowMatchingConfig(
    members=2, width=32, depth=1, dropout=0.0, training=TrainingConfig(steps=150, n_validations=3, learning_rate=0.01)
)


@pytest.fixture(scope="module")
def independent():
    return TabularGenerator(generator_config("independent")).fit(people())


@pytest.fixture(scope="module")
def twin():
    return TabularGenerator(LEARNS).fit(twins())


def masks(table, seed=0):
    """Which cells are known: about half of those that are there."""
    rng = np.random.default_rng(seed)
    return {name: (rng.random(len(table)) < 0.5) & table[name].is_valid().to_numpy() for name in table.column_names}


@pytest.mark.parametrize("missing", ["draw", "never"])
def test_known_cells_come_back_whatever_they_are_and_the_schema_is_kept(independent, missing):
    table, known = people(), masks(people())
    done = independent.complete(table, known, missing=missing)
    assert done.schema == independent.schema.arrow() and PLANTED_TEXT in table["city"].to_pylist()
    for name in table.column_names:
        kept = pa.array(known[name])
        assert done[name].filter(kept).equals(table[name].filter(kept).cast(done[name].type)), name


def test_cells_are_never_drawn_as_missing_if_that_is_asked(independent):
    table = people()
    nothing = {"smoker": np.ones(len(table), np.bool_)}
    drawn, present = (independent.complete(table, nothing, missing=missing) for missing in ("draw", "never"))
    assert drawn["income"].null_count and drawn["city"].null_count
    assert present["income"].null_count == present["city"].null_count == 0


def test_each_row_follows_its_own_cells(twin):
    places = ["north", "east", "south", "west"] * 50
    done = twin.complete(pa.table({"mother": places}), ["mother"])
    assert done["mother"].to_pylist() == places
    assert np.mean([mother == child for mother, child in zip(places, done["child"].to_pylist(), strict=True)]) > 0.9
    known = np.arange(200) % 2 == 0
    half = twin.complete(pa.table({"mother": places, "child": places}), {"mother": known, "child": ~known})
    assert np.mean(np.array(half["mother"].to_pylist()) == np.array(half["child"].to_pylist())) > 0.9


def test_a_frame_comes_back_as_a_frame_of_its_dtypes():
    frame = people_frame()
    generator = TabularGenerator(generator_config("independent")).fit(frame)
    known = frame.notna()
    done = generator.complete(frame, known)
    assert done.dtypes.equals(frame.dtypes)
    for name in frame:
        pd.testing.assert_series_equal(done[name][known[name]], frame[name][known[name]])


def test_the_seed_decides_what_is_drawn(independent):
    one, again, other = (fingerprint(independent.complete(people(), ["person"], seed=seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_keys_are_kept_where_they_are_known_and_issued_elsewhere(independent):
    table = people()
    kept = independent.complete(table, ["person"])
    assert kept["person"].equals(table["person"].cast(kept["person"].type))
    assert not set(independent.complete(table, ["smoker"])["person"].to_pylist()) & set(table["person"].to_pylist())


@pytest.mark.parametrize(
    ("known", "error", "words"),
    [
        (["colour"], ConfigError, 'a known column must be in the table; found "colour"'),
        ({"age": np.ones(3, np.bool_)}, ConfigError, r"one truth value per row; found bool of shape \(3,\)"),
        ({"age": np.ones(200)}, ConfigError, "one truth value per row; found float64"),
    ],
)
def test_what_is_known_must_be_of_the_table(independent, known, error, words):
    with pytest.raises(error, match=words):
        independent.complete(people(), known)


def test_a_known_cell_is_not_missing_where_none_may_be(twin):
    table = pa.table({"mother": pa.array(["north", None]), "child": ["east", "east"]})
    with pytest.raises(DataError, match='"mother" is declared never missing; found 1 known cells'):
        twin.complete(table, ["mother"])
    assert twin.complete(table, ["child"])["mother"].null_count == 0


def test_a_table_of_other_columns_is_refused(twin):
    with pytest.raises(SchemaError, match='"colour" is not in the schema'):
        twin.complete(pa.table({"colour": ["red"]}), [])


def test_a_what_if_table_changes_keeps_and_redraws(twin):
    start = pa.table({"mother": ["north", "east"], "child": ["north", "east"]})
    table = what_if(twin, start, changes={"mother": "west"}, redraw=["child"], n_draws=100)
    assert table["mother"].to_pylist() == ["west"] * 200
    assert np.mean([child == "west" for child in table["child"].to_pylist()]) > 0.9
    plain = what_if(twin, start, redraw=["child"], n_draws=100)
    assert plain["mother"].to_pylist() == ["north"] * 100 + ["east"] * 100


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"redraw": []}, ConfigError, "redraws a column; found none"),
        ({"redraw": ["colour"]}, ConfigError, 'must name a modelled column; found "colour"'),
        ({"redraw": ["child"], "changes": {"child": "west"}}, ConfigError, 'changed or redrawn; found "child" both'),
        ({"redraw": ["child"], "changes": {"mother": "up"}}, DataError, "must be a value that can be drawn"),
        ({"redraw": ["child"], "n_draws": 0}, ConfigError, "must be positive; found 0"),
    ],
)
def test_a_what_if_that_contradicts_itself_is_refused(twin, options, error, words):
    with pytest.raises(error, match=words):
        what_if(twin, pa.table({"mother": ["north"], "child": ["north"]}), **options)


def test_ranges_and_collections_hold_together_in_every_row(independent):
    conditions = {"age": Range(30, 40), "city": ["Oslo", "Rome"], "smoker": True}
    drawn = independent.sample(200, conditions=conditions)
    assert all(30 <= age <= 40 for age in drawn["age"].to_pylist())
    assert set(drawn["city"].to_pylist()) == {"Oslo", "Rome"} and set(drawn["smoker"].to_pylist()) == {True}
    assert len(set(drawn["person"].to_pylist())) == 200


def test_under_a_collection_the_column_keeps_its_frequencies_and_the_others_follow(twin):
    drawn = twin.sample(400, conditions={"mother": ["west", "north"]})
    mothers, children = (np.array(drawn[name].to_pylist()) for name in ("mother", "child"))
    train = np.array(twins()["mother"].to_pylist())
    share = (train == "west").sum() / np.isin(train, ["west", "north"]).sum()
    assert set(mothers) == {"west", "north"} and np.mean(mothers == "west") == pytest.approx(share, abs=0.08)
    assert np.mean(mothers == children) > 0.9


@pytest.mark.parametrize(
    ("conditions", "error", "words"),
    [
        ({"city": Range("A", "Z")}, ConfigError, 'a range needs a column with an order, and "city" has none'),
        ({"age": Range(1_000, None)}, DataError, "must leave a value that can be drawn; found none is left"),
        ({"age": Range("old", None)}, DataError, "must fit int"),
        ({"city": ["Oslo", "Atlantis"]}, DataError, "must be a value that can be drawn; found 'Atlantis'"),
        ({"city": []}, DataError, "must leave a value that can be drawn"),
    ],
)
def test_a_range_or_collection_that_cannot_be_met_is_refused(independent, conditions, error, words):
    with pytest.raises(error, match=words):
        independent.sample(10, conditions=conditions)


@pytest.mark.parametrize("wanted", [None, ["Oslo", None]])
def test_a_model_that_does_not_learn_missing_cells_is_not_asked_for_them(wanted):
    config = FlowMatchingConfig(members=1, width=16, depth=1, missing="unobserved", training=TrainingConfig(steps=2))
    generator = TabularGenerator(config).fit(people())
    with pytest.raises(UnsupportedError, match='draws no missing cell, so "city" cannot be missing'):
        generator.sample(5, conditions={"city": wanted})
    assert generator.sample(5, conditions={"city": "Oslo"})["city"].to_pylist() == ["Oslo"] * 5
