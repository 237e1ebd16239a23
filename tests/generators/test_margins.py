"""Several columns with given shares at once, and the weights behind it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import TabularGenerator, generator_config
from generators.margins import drawn_counts, rake
from generators.redraw import redraw
from pipeline.errors import ConfigError, DataError

from .tables import people, twins
from .test_completion import LEARNS


@pytest.fixture(scope="module")
def twin():
    return TabularGenerator(LEARNS).fit(twins())


def share(table, column, value):
    return np.mean([cell == value for cell in table[column].to_pylist()])


def test_every_margin_is_met():
    generator = TabularGenerator(generator_config("independent")).fit(people())
    table = generator.meet_margins(400, {"city": {"Oslo": 1, "Rome": 3}, "smoker": {True: 0.9, False: 0.1}})
    assert share(table, "city", "Oslo") == 0.25 and share(table, "smoker", True) == 0.9
    assert table.schema == generator.schema.arrow() and len(set(table["person"].to_pylist())) == 400


def test_the_other_columns_follow(twin):
    table = twin.meet_margins(400, {"mother": {"west": 3, "north": 1}})
    assert share(table, "mother", "west") == 0.75
    assert np.mean([mother == child for mother, child in zip(*table.to_pydict().values(), strict=True)]) > 0.9


def test_margins_that_the_model_cannot_have_together_are_refused(twin):
    with pytest.raises(DataError, match="margins must be possible together"):
        rake([np.array([[True, False], [False, True]])] * 2, [[1, 1], [3, 1]])
    with pytest.raises(DataError, match="must be a value that can be drawn"):
        twin.meet_margins(10, {"mother": {"up": 1}})
    with pytest.raises(ConfigError, match="margins must name a column"):
        twin.meet_margins(10, {})
    with pytest.raises(ConfigError, match="shares must be positive"):
        twin.meet_margins(10, {"mother": {"west": 0}})


def test_raking_is_the_nearest_distribution_with_the_margins():
    """Where columns have other margins, their odds ratio stays what it was."""
    joint = np.array([[40, 10], [20, 30]])
    cells = np.repeat(np.arange(4), joint.ravel())
    first, second = cells // 2, cells % 2
    weights = rake([np.stack([x == 0, x == 1]) for x in (first, second)], [[0.3, 0.7], [0.2, 0.8]])
    table = np.bincount(cells, weights).reshape(2, 2)
    np.testing.assert_allclose(table.sum(1), [0.3, 0.7], atol=1e-5)
    np.testing.assert_allclose(table.sum(0), [0.2, 0.8], atol=1e-5)
    assert table[0, 0] * table[1, 1] / table[0, 1] / table[1, 0] == pytest.approx(6.0, rel=1e-3)


def grouped(codes):
    return [np.equal.outer(np.arange(code.max() + 1), code) for code in codes]


@settings(deadline=None)
@given(st.integers(2, 4), st.integers(2, 4), st.integers(0, 300), st.integers(0, 10_000))
def test_two_columns_have_their_shares_to_the_row(n_first, n_second, n, seed):
    """A count is its share of the rows rounded up or down, in both columns and in every cell, whatever the shares."""
    rng = np.random.default_rng(seed)
    codes = [np.concatenate([np.arange(n_first).repeat(n_second), rng.integers(n_first, size=100)])]
    codes += [np.concatenate([np.tile(np.arange(n_second), n_first), rng.integers(n_second, size=100)])]
    groups, shares = grouped(codes), [rng.integers(1, 9, size=k).tolist() for k in (n_first, n_second)]
    counts, weights = drawn_counts(n, groups, shares, rng), rake(groups, shares)
    assert counts.sum() == n and counts.min() >= 0
    for group, share in zip(groups, shares, strict=True):
        assert np.abs(group @ counts - n * np.array(share) / sum(share)).max() < 1
    cell = codes[0] * n_second + codes[1]
    assert np.abs(np.bincount(cell, counts) - n * np.bincount(cell, weights)).max() < 1 + n * 1e-5


def test_whole_counts_are_met_exactly_by_three_columns():
    rng = np.random.default_rng(0)
    groups = grouped([rng.integers(k, size=500) for k in (2, 3, 4)])
    counts = drawn_counts(240, groups, [[3, 1], [1, 1, 2], [1, 1, 1, 1]], rng)
    assert [(group @ counts).tolist() for group in groups] == [[180, 60], [60, 60, 120], [60] * 4]


def test_counts_that_no_whole_rows_have_are_met_as_nearly_as_can_be():
    """Each of three columns has its share in an odd number of rows, which the only rows there are cannot do."""
    codes = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 0]]).T
    counts = drawn_counts(1, grouped(codes), [[1, 1]] * 3, np.random.default_rng(0))
    assert counts.sum() == 1
    counts = drawn_counts(2, grouped(codes), [[1, 1]] * 3, np.random.default_rng(0))
    errors = [abs(int((group @ counts)[0]) - 1) for group in grouped(codes)]
    assert counts.sum() == 2 and sorted(errors) == [0, 0, 1]


def test_rounding_prefers_no_cell():
    groups = grouped([np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])])
    found = [drawn_counts(2, groups, [[1, 1], [1, 1]], np.random.default_rng(seed)) for seed in range(200)]
    assert np.abs(np.mean(found, axis=0) - 0.5).max() < 0.12


def numbers(high):
    rng = np.random.default_rng(0)
    return lambda rows, _: pa.table({"row": rows, "x": rng.integers(high, size=len(rows))})


def test_rows_are_redrawn_until_they_fit_each_in_its_place_and_the_acceptance_is_told():
    found = redraw(500, numbers(10), lambda table, _: {"small": table["x"].to_numpy() >= 2})
    assert found.table["row"].to_pylist() == list(range(500))
    assert set(found.table["x"].to_pylist()) == {0, 1}
    assert found.acceptance == pytest.approx(0.2, abs=0.03)


def test_rejection_does_not_prefer_what_comes_first():
    found = redraw(4000, numbers(30), lambda table, _: {"small": table["x"].to_numpy() >= 3})
    assert np.bincount(found.table["x"].to_numpy()).min() > 1200


def test_rows_that_never_fit_are_refused():
    def broken(table, _):
        return {"odd": table["x"].to_numpy() % 2 == 0, "large": table["x"].to_numpy() < 5}

    with pytest.raises(DataError, match=r"found 0 of 3,000 that do, and 3 rows are missing: 100.0% .* break large"):
        redraw(3, numbers(2), broken)
    with pytest.raises(DataError, match=r"found 0 of 50,000 that do"):  # it does not try a thousand times as often
        redraw(50_000, numbers(2), broken)
    assert redraw(0, numbers(2), broken).table.num_rows == 0


def test_a_rule_may_compare_rows_with_those_that_fitted_before():
    def repeated(table, _):
        cells = table["x"].to_numpy()
        return {"unique": np.array([x in cells[:i] for i, x in enumerate(cells)])}

    assert sorted(redraw(30, numbers(32), repeated).table["x"].to_pylist()) != sorted(range(30))
    assert len(set(redraw(30, numbers(32), repeated).table["x"].to_pylist())) == 30


def test_a_rule_may_depend_on_the_number_of_the_row():
    found = redraw(200, numbers(4), lambda table, rows: {"its own": table["x"].to_numpy() != rows % 4})
    assert found.table["x"].to_pylist() == [row % 4 for row in range(200)]
