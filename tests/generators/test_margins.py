"""Several columns with given shares at once, and the weights behind it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators import TabularGenerator, generator_config
from generators.margins import rake, systematic
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
    assert share(table, "city", "Oslo") == pytest.approx(0.25, abs=0.01)
    assert share(table, "smoker", True) == pytest.approx(0.9, abs=0.01)
    assert table.schema == generator.schema.arrow() and len(set(table["person"].to_pylist())) == 400


def test_the_other_columns_follow(twin):
    table = twin.meet_margins(400, {"mother": {"west": 3, "north": 1}})
    assert share(table, "mother", "west") == pytest.approx(0.75, abs=0.01)
    assert np.mean([mother == child for mother, child in zip(*table.to_pydict().values(), strict=True)]) > 0.9


def test_margins_that_the_model_cannot_have_together_are_refused(twin):
    with pytest.raises(DataError, match="margins must be possible together"):
        rake([np.array([[True, False], [False, True]])] * 2, [[1, 1], [3, 1]])
    with pytest.raises(DataError, match="must be a value that can be drawn"):
        twin.meet_margins(10, {"mother": {"up": 1}})
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


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(any), st.integers(0, 200))
def test_rows_are_chosen_as_often_as_their_weights_to_within_one(weights, n):
    w = np.array(weights, np.float64)
    chosen = systematic(w / w.sum(), n, np.arange(len(w)), np.random.default_rng(0))
    assert len(chosen) == n
    assert np.abs(np.bincount(chosen, minlength=len(w)) - n * w / w.sum()).max() <= 1 + 1e-6


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
