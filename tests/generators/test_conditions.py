"""Rows under conditions: rebalanced shares of a column, and how strongly guidance follows what is given."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators import FlowMatchingConfig, TabularGenerator, TrainingConfig, generator_config
from generators.margins import apportion
from pipeline.errors import ConfigError, DataError, NotFittedError, UnsupportedError
from pipeline.source import fingerprint

from .broken import FLOW
from .tables import PLANTED_TEXT, people, people_frame, twins

LEARNS = FlowMatchingConfig(
    members=2, width=32, depth=1, dropout=0.0, training=TrainingConfig(steps=150, n_validations=3, learning_rate=0.01)
)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_rows_are_apportioned_by_largest_remainder(n, weights):
    counts = apportion(n, dict(enumerate(weights)))
    exact = [Fraction(n * weight, sum(weights)) for weight in weights]
    rounded_up = [count - math.floor(share) for count, share in zip(counts.values(), exact, strict=True)]
    assert list(counts) == list(range(len(weights)))
    assert sum(counts.values()) == n
    assert set(rounded_up) <= {0, 1}
    remainders = [share - math.floor(share) for share in exact]
    up = [remainder for remainder, extra in zip(remainders, rounded_up, strict=True) if extra]
    down = [remainder for remainder, extra in zip(remainders, rounded_up, strict=True) if not extra]
    assert not up or not down or float(min(up)) >= float(max(down)) - 1e-9


@pytest.mark.parametrize("share", [0, -1.0, math.nan, math.inf])
def test_a_share_that_is_not_positive_is_refused(share):
    with pytest.raises(ConfigError, match=f"shares must be positive numbers; found 'a': 1, 'b': {share}"):
        apportion(10, {"a": 1, "b": share})
    with pytest.raises(ConfigError, match="shares must be positive numbers; found none"):
        apportion(10, {})


@pytest.fixture(scope="module")
def independent():
    return TabularGenerator(generator_config("independent")).fit(people())


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ({"Oslo": 1, "Rome": 2}, {"Oslo": 3, "Rome": 7}),
        ({"Oslo": 0.2, "Rome": 0.2, None: 0.2}, {"Oslo": 4, "Rome": 3, None: 3}),
        ({"Lima": 7}, {"Lima": 10}),
        (None, {"Lima": 4, "Oslo": 3, "Rome": 3}),  # neither missing nor the level of one row
    ],
)
def test_the_shares_of_a_categorical_column_are_met(independent, shares, counts):
    drawn = independent.rebalance(10, "city", shares)["city"].to_pylist()
    assert {value: drawn.count(value) for value in set(drawn)} == counts


def test_a_numeric_column_is_rebalanced_to_values_that_are_given(independent):
    drawn = independent.rebalance(30, "age", {20: 2, 40: 1})["age"].to_pylist()
    assert sorted(drawn) == [20] * 20 + [40] * 10


def test_a_boolean_column_that_train_met_as_true_only_is_drawn_as_true():
    table = pa.table({"sick": [True, None] * 50, "age": list(range(100))})
    generator = TabularGenerator(generator_config("independent")).fit(table)
    assert generator.rebalance(6, "sick")["sick"].to_pylist() == [True] * 6


@pytest.mark.parametrize("n", [0, 1, 2])
def test_there_may_be_fewer_rows_than_shares(independent, n):
    drawn = independent.rebalance(n, "city")["city"].to_pylist()
    assert len(set(drawn)) == len(drawn) == n


def test_a_frame_is_rebalanced_to_a_frame_of_its_dtypes():
    frame = TabularGenerator(generator_config("independent")).fit(people_frame()).rebalance(9, "city")
    assert frame.dtypes.equals(people_frame().dtypes)
    assert frame.city.value_counts().tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("column", "shares", "error", "words"),
    [
        ("age", None, ConfigError, 'shares must be given for column "age", which has no levels'),
        ("seen", None, ConfigError, 'shares must be given for column "seen"'),
        ("city", {"Oslo": 1, "Atlantis": 1}, DataError, "\"city\" must be a value that can be drawn; found 'Atlantis'"),
        ("city", {PLANTED_TEXT: 1}, DataError, '"city" must be a value that can be drawn'),
        ("city", {"Oslo": 0}, ConfigError, "shares must be positive numbers; found 'Oslo': 0"),
        ("person", {"planted-key-0001": 1}, ConfigError, 'must name a modelled column; found "person"'),
        ("colour", {"red": 1}, ConfigError, 'must name a modelled column; found "colour"'),
    ],
)
def test_what_cannot_be_rebalanced_is_refused(independent, column, shares, error, words):
    with pytest.raises(error, match=words):
        independent.rebalance(10, column, shares)


def test_a_negative_number_of_rows_is_not_rebalanced(independent):
    with pytest.raises(ConfigError, match="must not be negative; found -1"):
        independent.rebalance(-1, "city")


def test_an_unfitted_generator_is_not_rebalanced():
    with pytest.raises(NotFittedError):
        TabularGenerator(FLOW).rebalance(3, "city", {"Oslo": 1})


@pytest.fixture(scope="module")
def twin():
    return TabularGenerator(LEARNS).fit(twins())


def test_the_other_columns_follow_the_rebalanced_one(twin):
    table = twin.rebalance(200, "mother", {"west": 3, "north": 1})
    assert table["mother"].to_pylist().count("west") == 150
    agreeing = np.mean([mother == child for mother, child in zip(*table.to_pydict().values(), strict=True)])
    assert agreeing > 0.9


def cousins(n=2000):
    """Return two columns that agree in 55 % of the rows, where chance is 25 %."""
    rng = np.random.default_rng(0)
    mother, other = rng.integers(4, size=(2, n))
    levels = np.array(["north", "east", "south", "west"])
    return pa.table({"mother": levels[mother], "child": levels[np.where(rng.random(n) < 0.4, mother, other)]})


@pytest.fixture(scope="module")
def cousin():
    return TabularGenerator(LEARNS).fit(cousins())


def rate(table, column):
    return np.mean([value == "west" for value in table[column].to_pylist()])


@pytest.mark.parametrize(("column", "follower"), [("mother", "child"), ("child", "mother")])
def test_the_rate_of_a_dependent_class_rises_with_guidance(cousin, column, follower):
    rates = [
        rate(cousin.sample(1000, conditions={column: "west"}, guidance=guidance), follower)
        for guidance in (0.0, 0.5, 1.0, 3.0)
    ]
    assert rates[0] == pytest.approx(0.55, abs=0.07)
    assert rates[1] > rates[0] + 0.05
    assert rates[2] > rates[1] + 0.03
    assert rates[3] > rates[2] + 0.03


def test_rebalanced_rows_are_guided_too(cousin):
    plain, guided = (cousin.rebalance(500, "mother", {"west": 1}, guidance=guidance) for guidance in (0.0, 2.0))
    assert rate(guided, "child") > rate(plain, "child") + 0.2


def test_without_guidance_or_without_a_condition_the_bytes_are_the_same(cousin):
    west = {"mother": "west"}
    plain = cousin.sample(100, conditions=west)
    assert fingerprint(cousin.sample(100, conditions=west, guidance=0.0)) == fingerprint(plain)
    assert fingerprint(cousin.sample(100, conditions=west, guidance=1.0)) != fingerprint(plain)
    assert fingerprint(cousin.sample(100, guidance=1.0)) == fingerprint(cousin.sample(100))


@pytest.mark.parametrize("guidance", [-0.1, math.nan, math.inf])
def test_guidance_that_is_negative_or_not_finite_is_refused(cousin, guidance):
    for draw in (cousin.sample, lambda n, **options: cousin.rebalance(n, "mother", **options)):
        with pytest.raises(ConfigError, match=f"guidance must be finite and not negative; found {guidance}"):
            draw(3, guidance=guidance)


def test_a_family_that_cannot_be_guided_says_so(independent):
    assert independent.sample(3, guidance=0.0).num_rows == 3
    for draw in (independent.sample, lambda n, **options: independent.rebalance(n, "city", **options)):
        with pytest.raises(UnsupportedError, match=r"independent cannot be guided; found 1\.0; leave guidance at 0"):
            draw(3, guidance=1.0)
