import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipeline.columns import Categorical, Constant, Continuous, Integer
from pipeline.errors import SchemaError
from pipeline.inference import infer
from pipeline.profile import N_BINS, Profile, profile_of
from pipeline.schema import Schema
from tests import zoo


def profiled(values, **declared):
    table = pa.table({"x": values})
    column = declared.get("column") or infer(table).columns[0]
    return profile_of(table, Schema(columns=(column,))).column("x")


@pytest.mark.parametrize("draw", zoo.ACCEPTED, ids=lambda draw: draw.__name__)
def test_every_accepted_table_has_a_profile_that_survives_json_and_places_its_own_rows_alike(draw):
    table = draw()
    schema = infer(table)
    profile = profile_of(table, schema)
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    for column in profile.columns:
        if column.bins is not None:
            assert column.place(table[column.name]).tolist() == list(column.bins.counts)
            assert sum(column.bins.counts) == table.num_rows - table[column.name].null_count


def test_numbers_fall_into_about_equal_bins():
    bins = profiled(np.random.default_rng(0).normal(size=10_000)).bins
    assert len(bins.counts) == N_BINS + 1  # the last is of NaN
    assert min(bins.counts[:-1]) > 0.9 * 10_000 / N_BINS


def test_a_value_that_many_rows_share_has_a_bin_of_its_own():
    numbers = np.concatenate([np.zeros(600), np.random.default_rng(0).normal(0, 1, 400)])
    assert 600 in profiled(numbers).bins.counts


def test_a_small_table_has_few_bins():
    assert len(profiled(np.arange(90) + 0.5).bins.edges) == 2


def test_no_edge_lets_fewer_than_five_rows_be_told_apart():
    numbers = np.concatenate([[-1e6], np.zeros(500), np.ones(400), [77.25, 1e9]])
    bins = profiled(numbers).bins
    assert all(count >= 5 for count in bins.counts[:-1])
    assert bins.edges == (0.5,)


def test_nan_and_infinity_have_a_place():
    bins = profiled(np.array([np.nan] * 10 + [np.inf] * 10 + [-np.inf] * 10 + list(range(300)))).bins
    assert bins.counts[-1] == 10
    assert sum(bins.counts) == 330


def test_the_text_of_a_rare_level_is_nowhere_in_the_file():
    table = pa.table({"diagnosis": ["common"] * 50 + ["flu"] * 5 + ["disease of one person"] * 4})
    text = profile_of(table, infer(table)).model_dump_json()
    assert "common" in text
    assert "flu" in text
    assert "person" not in text


def test_a_rare_level_is_known_again_and_another_is_new():
    profile = profiled(["common"] * 50 + ["one person"])
    assert profile.knows(["common", "one person", "another person"]).tolist() == [True, True, False]


def test_neither_a_key_nor_free_text_nor_an_extreme_is_in_the_file():
    table = zoo.every_kind()
    text = profile_of(table, infer(table)).model_dump_json()
    assert "C-00001" not in text
    assert "nurse" not in text
    weights = table["weight"].to_numpy()
    assert all(str(extreme) not in text for extreme in (weights.min(), weights.max()))


def test_levels_beyond_the_common_ones_share_bins_and_still_tell_a_shift():
    levels = [f"zip-{number}" for number in range(400)]
    before = profiled(levels * 10)
    assert before.bins.levels == ()
    moved = before.place(pa.chunked_array([levels[:40] * 100]))
    assert np.abs(moved - np.array(before.bins.counts)).sum() / 2 > 0.1 * 4_000


def test_levels_of_whole_numbers_and_of_dictionaries_are_text():
    assert profiled([1, 2] * 10, column=Categorical(name="x", arrow="int64")).levels == ("1", "2")
    assert profiled(pa.array(["a", "b"] * 10).dictionary_encode()).levels == ("a", "b")


def test_times_far_apart_keep_their_order():
    days = [dt.date(1, 1, 1)] * 40 + [dt.date(9999, 12, 31)] * 40
    assert profiled(days).bins.counts[:-1] == (40, 40)


def test_a_column_without_a_present_cell_has_empty_bins():
    column = Continuous(name="x", arrow="float64", nullable=True)
    profile = profiled(pa.nulls(30, pa.float64()), column=column)
    assert (profile.n_missing, sum(profile.bins.counts)) == (30, 0)


def test_a_constant_has_no_bins():
    assert profiled([1] * 30).kind == Constant(name="x", arrow="int64", value=1).kind
    assert profiled([1] * 30).bins is None


def test_a_column_that_the_table_lacks_is_left_out_and_asked_for_in_vain():
    schema = Schema(columns=(Integer(name="x", arrow="int64"), Integer(name="y", arrow="int64")))
    profile = profile_of(pa.table({"x": [1, 2]}), schema)
    assert profile.names == ("x",)
    with pytest.raises(SchemaError, match='no "y"'):
        profile.column("y")
