from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.split import SplitConfig, holdout_size, split_table


def numbered(n_rows: int) -> pa.Table:
    return pa.table({"row": range(n_rows), "group": [f"g{i % 7}" for i in range(n_rows)]})


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [(20, 10), (3_999, 1_999), (4_000, 2_000), (10_000, 2_000), (20_000, 4_000), (300_000, 50_000)],
)
def test_the_holdout_has_the_size_of_the_rule(n_rows: int, expected: int) -> None:
    assert holdout_size(n_rows) == expected
    assert len(split_table(numbered(n_rows), seed=0).holdout) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats() | st.just(-0.0)), min_size=20, max_size=60))
@settings(max_examples=50, deadline=None)
def test_the_two_sides_are_the_table_in_its_own_order(rows: list[tuple[int, float | None]]) -> None:
    table = pa.table({"place": range(len(rows)), "a": [a for a, _ in rows], "b": pa.array([b for _, b in rows])})
    split = split_table(table, seed=0)
    sides = [side["place"].to_pylist() for side in (split.train, split.holdout)]
    assert sorted(sides[0] + sides[1]) == list(range(len(rows)))
    assert all(side == sorted(side) for side in sides)


def test_the_order_of_rows_and_columns_and_the_width_of_numbers_do_not_matter() -> None:
    table = pa.table({"a": [1.5, None, 1.5, 2.0] * 10, "b": pa.array(list("xxxy") * 10), "c": [0, 1] * 20})
    shuffled = table.take(np.random.default_rng(0).permutation(40)).select(["c", "a", "b"])
    shuffled = shuffled.set_column(0, "c", shuffled["c"].cast(pa.int8()))
    shuffled = shuffled.set_column(2, "b", shuffled["b"].dictionary_encode())

    def rows(side: pa.Table) -> Counter[tuple[object, ...]]:
        return Counter(tuple(row[name] for name in "abc") for row in side.to_pylist())

    first, second = split_table(table, seed=0), split_table(shuffled, seed=0)
    assert rows(first.holdout) == rows(second.holdout)


def test_a_split_is_the_same_on_every_machine() -> None:
    table = pa.table(
        {"n": [*range(19), None], "x": [0.5] * 20, "s": [chr(97 + i) for i in range(20)], "t": [True] * 20}
    )
    assert split_table(table, seed=0).holdout["n"].to_pylist() == [1, 2, 3, 8, 10, 13, 16, 17, 18, None]


def test_seeds_give_different_splits_of_the_same_size() -> None:
    first, second = (set(split_table(numbered(1000), seed=seed).holdout["row"].to_pylist()) for seed in (0, 1))
    assert 200 < len(first & second) < 300


def test_identical_rows_spread_over_both_sides() -> None:
    split = split_table(pa.table({"x": list(range(10)) * 100}), seed=0)
    assert all(25 < split.holdout["x"].to_pylist().count(value) < 75 for value in range(10))


def test_the_sign_of_zero_and_the_bits_of_nan_do_not_matter() -> None:
    def holdout(zero: float, nan: float) -> list[int]:
        table = pa.table({"x": np.array([zero, nan] * 30), "row": range(60)})
        return split_table(table, seed=0).holdout["row"].to_pylist()

    assert holdout(0.0, np.nan) == holdout(-0.0, -np.nan)


def test_sides_have_the_same_distribution() -> None:
    split = split_table(numbered(10_000), SplitConfig(holdout=0.5), seed=0)
    means = [np.mean(side["row"].to_numpy()) for side in (split.train, split.holdout)]
    assert abs(means[0] - means[1]) < 4 * 10_000 / np.sqrt(12) * np.sqrt(2 / 5_000)


@pytest.mark.parametrize("entity", [None, "group"])
def test_appended_rows_move_few_of_the_old_ones(entity: str | None) -> None:
    table = pa.table({"row": range(6_000), "group": [i // 3 for i in range(6_000)]})
    config = SplitConfig(holdout=0.2, entity=entity)
    before = set(split_table(table.slice(0, 5_400), config, seed=0).holdout["row"].to_pylist())
    after = {row for row in split_table(table, config, seed=0).holdout["row"].to_pylist() if row < 5_400}
    assert len(before ^ after) < 0.02 * 5_400


def test_an_entity_is_on_one_side_only() -> None:
    groups = np.random.default_rng(0).zipf(1.6, 3_000) % 200
    split = split_table(pa.table({"who": groups, "row": range(3_000)}), SplitConfig(holdout=0.3, entity="who"), seed=0)
    sides = [set(side["who"].to_pylist()) for side in (split.train, split.holdout)]
    assert not sides[0] & sides[1]
    assert 600 < len(split.holdout) <= 900


def test_rows_without_an_entity_stand_alone() -> None:
    table = pa.table({"who": pa.array([None] * 100, pa.string()), "row": range(100)})
    assert len(split_table(table, SplitConfig(entity="who"), seed=0).holdout) == 50


def test_the_holdout_has_at_least_one_entity() -> None:
    table = pa.table({"who": ["a"] * 12 + ["b"] * 13})
    assert set(split_table(table, SplitConfig(holdout=0.1, entity="who"), seed=0).holdout["who"].to_pylist()) == {"a"}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_lies_between_none_and_all(share: float) -> None:
    with pytest.raises(ValidationError):
        SplitConfig(holdout=share)


def test_a_tiny_share_still_takes_a_row() -> None:
    assert len(split_table(numbered(20), SplitConfig(holdout=0.001), seed=0).holdout) == 1
    assert len(split_table(numbered(20), SplitConfig(holdout=0.999), seed=0).train) == 1


def test_what_cannot_be_split_is_refused_with_a_remedy() -> None:
    with pytest.raises(DataError, match="at least 20 rows; found 19 rows"):
        split_table(numbered(19), seed=0)
    with pytest.raises(DataError, match="two entities; found 1 entity"):
        split_table(pa.table({"who": ["a"] * 30}), SplitConfig(entity="who"), seed=0)
    with pytest.raises(SchemaError, match=r'found "whom"; use one of row, group'):
        split_table(numbered(30), SplitConfig(entity="whom"), seed=0)


def grown(n_rows, seed=0):
    """The same first rows for every size."""
    values = np.random.default_rng(seed).normal(size=20_000)
    return pa.table({"row": np.arange(n_rows), "x": values[:n_rows]})


def rows(side):
    return set(side["row"].to_pylist())


@pytest.mark.parametrize(
    "sizes", [(300, 500, 4_500, 12_000), (12_000, 6_000, 300, 20_000), (1_000, 1_001, 1_002, 1_500)]
)
@pytest.mark.parametrize("config", [SplitConfig(), SplitConfig(holdout=0.3)])
def test_no_row_that_was_learned_from_is_held_out_later_whatever_becomes_of_the_table(sizes, config):
    boundary, learned = None, set()
    for n_rows in sizes:
        split = split_table(grown(n_rows), config, seed=0, boundary=boundary)
        assert not rows(split.holdout) & learned and len(split.holdout) > 0
        learned |= rows(split.train)
        boundary = split.boundary


def test_without_a_boundary_some_rows_do_cross():
    first, second = (split_table(grown(n_rows), seed=0) for n_rows in (12_000, 6_000))
    assert rows(second.holdout) & rows(first.train), "the boundary is what the test above is about"


@pytest.mark.parametrize("seed", range(5))
def test_no_entity_that_was_learned_from_is_held_out_later(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 200, 60)
    who, n_rows = np.repeat(np.arange(60), sizes), int(sizes.sum())
    table = pa.table({"who": who, "row": np.arange(n_rows)})
    boundary, learned = None, set()
    for share in (0.4, 1.0, 0.6, 0.9):
        part = table.slice(0, int(share * n_rows))
        split = split_table(part, SplitConfig(entity="who"), seed=seed, boundary=boundary)
        assert not set(split.holdout["who"].to_pylist()) & learned
        learned |= set(split.train["who"].to_pylist())
        boundary = split.boundary


def test_a_boundary_is_the_same_after_a_split_that_changes_nothing():
    first = split_table(grown(5_000), seed=0)
    again = split_table(grown(5_000), seed=0, boundary=first.boundary)
    assert again.boundary == first.boundary and rows(again.holdout) == rows(first.holdout)


def test_a_new_column_moves_no_row_and_a_lost_one_begins_anew():
    first = split_table(grown(5_000), seed=0)
    wider = grown(5_000).append_column("fee", pa.array(np.arange(5_000) % 7))
    later = split_table(wider, seed=0, boundary=first.boundary)
    assert rows(later.holdout) == rows(first.holdout) and later.boundary.scale == first.boundary.scale
    lost = split_table(grown(5_000).drop_columns(["x"]), seed=0, boundary=first.boundary)
    assert lost.boundary.scale != first.boundary.scale


def test_another_seed_or_entity_than_before_is_refused():
    boundary = split_table(grown(500), seed=0).boundary
    with pytest.raises(ConfigError, match="seed 1 and entity None, after seed 0"):
        split_table(grown(500), seed=1, boundary=boundary)
    with pytest.raises(ConfigError, match="entity x"):
        split_table(grown(500), SplitConfig(entity="x"), seed=0, boundary=boundary)


def test_where_every_row_was_learned_from_there_is_nothing_to_hold_out():
    boundary = split_table(grown(500), seed=0).boundary.model_copy(update={"ends_at": 0})
    with pytest.raises(DataError, match="never have been learned from"):
        split_table(grown(500), seed=0, boundary=boundary)
