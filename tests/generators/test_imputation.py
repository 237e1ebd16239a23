import datetime as dt
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from generators import TabularGenerator, generator_config
from generators.given import UNOBSERVED, Batch, Given
from generators.imputation import Imputed, impute, imputer, place_of_bounds
from generators.masked import MaskedTokens
from generators.pooling import pool
from pipeline.errors import ConfigError, SchemaError
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.source import read

from .tables import people, rng, token_layout

NEW_YEAR, HOUR = dt.datetime(2024, 1, 1), dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def generator():
    return TabularGenerator(generator_config("independent")).fit(people(), seed=0)


@pytest.fixture(scope="module")
def gaps():
    """Rows with missing cells everywhere, and observed ones of every awkward sort."""
    table = people(40)
    income = [math.nan, 1e12, 0.01, None, *table["income"].to_pylist()[4:]]
    city = ["Atlantis", "planted-village", None, *table["city"].to_pylist()[3:]]
    age = [None if i % 3 == 0 else 300 + i for i in range(40)]
    smoker = [None if i % 4 == 0 else i % 8 == 1 for i in range(40)]
    seen = [None if i % 5 == 0 else x for i, x in enumerate(table["seen"].to_pylist())]
    columns = {"income": pa.array(income), "city": city, "age": age, "smoker": smoker, "seen": seen}
    types = {name: table.schema.field(name).type for name in columns}
    made = {name: pa.array(cells, types[name]) for name, cells in columns.items()}
    return pa.table({name: made.get(name, table[name]) for name in table.column_names})


def observed(table):
    return {name: table[name].is_valid() for name in table.column_names}


def same_where(mask, first, second):
    return all(
        a.filter(mask[name]).cast(pa.string()).equals(b.filter(mask[name]).cast(pa.string()))
        for name, a, b in ((name, first[name], second[name]) for name in first.column_names)
    )


def test_observed_cells_stay_as_they_are_and_no_modelled_cell_stays_missing(generator, gaps):
    imputed = impute(generator, gaps, n_imputations=3, seed=1)
    assert imputed.counts == {name: gaps[name].null_count for name in ("age", "income", "city", "smoker", "seen")}
    for table in (*imputed.tables, imputed.single(), imputed.single("mean")):
        assert table.schema.equals(gaps.schema)
        assert same_where(observed(gaps), gaps, table)
        assert sum(table[name].null_count for name in table.column_names) == 0
    assert math.isnan(imputed.tables[0]["income"][0].as_py())


def test_the_seed_decides_and_the_imputations_differ(generator, gaps):
    first, same, other = (impute(generator, gaps, n_imputations=2, seed=seed) for seed in (1, 1, 2))
    assert fingerprint(first.draws) == fingerprint(same.draws) != fingerprint(other.draws)
    assert fingerprint(first.tables[0]) != fingerprint(first.tables[1])


def test_only_the_chosen_columns_are_filled(generator, gaps):
    filled = impute(generator, gaps, n_imputations=1, columns=["city"], seed=0).single()
    assert filled["city"].null_count == 0
    assert same_where(observed(gaps), gaps, filled)
    others = [name for name in gaps.column_names if name != "city"]
    assert [filled[name].null_count for name in others] == [gaps[name].null_count for name in others]


def test_columns_that_are_not_modelled_may_be_absent_and_come_in_any_order(generator, gaps):
    some = gaps.select(["seen", "smoker", "city", "age", "income"])
    filled = impute(generator, some, n_imputations=1).single()
    assert filled.column_names == some.column_names


def test_a_table_without_missing_cells_comes_back_as_it_is(generator):
    table = people(30)
    complete = table.filter(pc.and_(table["income"].is_valid(), table["city"].is_valid()))
    imputed = impute(generator, complete, n_imputations=19)
    assert imputed.counts == {} and imputed.single().equals(complete) and imputed.tables[4].equals(complete)
    assert imputed.intervals(0.9).num_columns == 0


def test_what_cannot_be_imputed_is_refused(generator, gaps):
    for wrong in ({"n_imputations": 0}, {"columns": ["note"]}, {"columns": ["nothing"]}):
        with pytest.raises(ConfigError):
            impute(generator, gaps, **wrong)
    with pytest.raises(SchemaError, match='"age"'):
        impute(generator, gaps.drop_columns(["age"]))
    with pytest.raises(SchemaError, match='"extra"'):
        impute(generator, gaps.append_column("extra", pa.array([1] * 40)))


def test_a_frame_comes_back_as_a_frame_with_its_index_and_its_types():
    frame = pd.DataFrame({"n": np.arange(60) % 7, "sex": pd.Categorical(["f", "m", "m"] * 20), "x": [0.5, 1.5] * 30})
    generator = TabularGenerator(generator_config("independent")).fit(frame, seed=0)
    index = pd.Index([f"row {i}" for i in range(60)])
    broken = frame.set_axis(index).mask(np.random.default_rng(0).random(frame.shape) < 0.3)
    filled = impute(generator, broken, n_imputations=3).single()
    assert filled.index.equals(index) and filled.dtypes.equals(frame.dtypes)
    for name in frame.columns:
        kept = broken[name].notna()
        assert (filled[name][kept] == broken[name][kept]).all() and filled[name].notna().all()


def test_constraints_hold_in_each_imputed_table_by_itself():
    frame = pd.DataFrame({"room": np.repeat(np.arange(20), 3), "bed": list("abc") * 20})
    schema = infer(read(frame).table).model_dump() | {"constraints": [{"kind": "unique", "columns": ["room", "bed"]}]}
    generator = TabularGenerator(generator_config("independent")).fit(frame, Schema.model_validate(schema), seed=0)
    gaps = frame.assign(bed=[None, "b", "c"] * 20)
    tables = impute(generator, gaps, n_imputations=5, seed=0).tables  # rows may be alike in different ones
    assert len(tables) == 5 and all(table.notna().all(axis=None) for table in tables)


# -- what is made of draws


def made(draws, schema=None, n_rows=1):
    """Return an imputation of `n_rows` missing rows of one column, of which the draws are given."""
    table = pa.table({"x": draws})
    schema = schema or infer(pa.table({"x": pa.array(draws.to_pylist() * 20, draws.type)}))
    given = pa.table({"x": pa.nulls(n_rows, draws.type)})
    missing, n = {"x": np.ones(n_rows, np.bool_)}, len(draws) // n_rows
    return Imputed(given, given, schema, missing, np.arange(n_rows), table, n)


@pytest.mark.parametrize(
    ("draws", "median", "mean"),
    [
        (pa.array([1, 2, 9, 30]), 2, 10),
        (pa.array([0.25, 1.0, 2.0, 0.5, 0.0]), 0.5, 0.75),
        (pa.array([2**62 + 1, 2**62 + 3, 2**62 + 8]), 2**62 + 3, 2**62 + 4),
        (pa.array([Decimal("1.10"), Decimal("1.20"), Decimal("1.90")]), Decimal("1.20"), Decimal("1.40")),
        (pa.array([dt.date(2024, 1, d) for d in (1, 2, 6)]), dt.date(2024, 1, 2), dt.date(2024, 1, 3)),
        (pa.array([NEW_YEAR + dt.timedelta(hours=h) for h in (0, 1, 5)]), NEW_YEAR + HOUR, NEW_YEAR + 2 * HOUR),
        (pa.array([dt.timedelta(hours=h) for h in (0, 1, 5)]), HOUR, 2 * HOUR),
    ],
)
def test_numbers_and_times_have_the_centre_of_their_draws(draws, median, mean):
    imputed = made(draws)
    assert imputed.single()["x"].to_pylist() == [median]
    assert imputed.single("mean")["x"].to_pylist() == [mean]
    assert imputed.single("mean")["x"].type == draws.type


def test_a_mean_keeps_to_the_step_of_its_column():
    schema = Schema.model_validate({"columns": [{"kind": "integer", "name": "x", "arrow": "int64", "step": 5}]})
    assert made(pa.array([5, 10, 20]), schema).single("mean")["x"].to_pylist() == [10]


def test_nan_counts_as_larger_than_any_number_and_no_mean_is_taken_of_it():
    imputed = made(pa.array([1.0, math.nan, 3.0, math.inf, -math.inf]))
    assert imputed.single()["x"].to_pylist() == imputed.single("mean")["x"].to_pylist() == [3.0]
    bounds = imputed.intervals(0.5)
    assert bounds["x (low)"].to_pylist() == [-math.inf] and math.isnan(bounds["x (high)"][0].as_py())


def test_the_category_drawn_most_often_stands_and_of_several_the_first_in_order():
    draws = pa.array(["b", "c", "b", "c", "a", "b"])  # row 0: b, b, a; row 1: c, c, b
    assert made(draws, n_rows=2).single()["x"].to_pylist() == ["b", "c"]
    assert made(draws.dictionary_encode(), n_rows=2).single()["x"].to_pylist() == ["b", "c"]
    assert made(pa.array(["d", "c", "e"])).single()["x"].to_pylist() == ["c"]
    assert made(pa.array([True, False, True])).single()["x"].to_pylist() == [True]


def test_bounds_are_the_draws_at_their_ends():
    draws = pa.array(np.random.default_rng(0).permutation(99) + 1)
    bounds = made(draws).intervals(0.9)
    assert (bounds["x (low)"].to_pylist(), bounds["x (high)"].to_pylist()) == ([5], [95])
    with pytest.raises(ConfigError, match="19 imputations"):
        made(draws.slice(0, 18)).intervals(0.9)
    assert place_of_bounds(0.9, 19) == place_of_bounds(0.9, 38) == 1
    for level in (0, 1, 1.5):
        with pytest.raises(ConfigError):
            made(draws).intervals(level)


def test_bounds_hold_their_level_where_draws_and_truth_are_alike():
    rng = np.random.default_rng(0)
    for m in (19, 39):
        draws, truth = np.sort(rng.normal(size=(m, 20_000)), axis=0), rng.normal(size=20_000)
        k = place_of_bounds(0.9, m)
        covered = np.mean((draws[k - 1] <= truth) & (truth <= draws[m - k]))
        assert abs(covered - 0.9) < 4 * math.sqrt(0.9 * 0.1 / 20_000)


# -- a joint distribution that is known


def test_a_linear_relation_is_recovered_with_intervals_that_hold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=3_000)
    frame = pd.DataFrame({"x": x, "y": 2 * x + 0.5 * rng.normal(size=3_000)})
    train, holdout = frame[:2_000].mask(rng.random((2_000, 2)) < 0.3), frame[2_000:].reset_index(drop=True)
    settings = {"dropout": 0.0, "members": 1, "training": {"steps": 300}}
    generator = TabularGenerator(generator_config("flow_matching", **settings)).fit(train, seed=0)
    imputed = impute(generator, holdout.assign(y=None), n_imputations=39, seed=0)
    bounds = imputed.intervals(0.9)
    covered = holdout.y.between(bounds["y (low)"], bounds["y (high)"]).mean()
    assert 0.85 < covered < 0.95
    error = imputed.single("mean").y - holdout.y
    assert math.sqrt((error**2).mean()) < 0.65  # knowing x leaves 0.5; knowing nothing leaves 2.1
    assert np.corrcoef(imputed.tables[0].x, imputed.tables[0].y)[0, 1] > 0.85


# -- what is missing is not learned


@pytest.mark.parametrize("kind", ["flow_matching", "ddpm"])
def test_an_imputer_learns_complete_rows_and_draws_no_missing_cell(kind):
    rng = np.random.default_rng(0)
    sex, number = rng.integers(0, 2, 400), rng.normal(size=400)
    frame = pd.DataFrame({"sex": np.array(["f", "m"])[sex], "x": sex * 10 + number, "y": number})
    train = frame.mask(rng.random(frame.shape) < 0.3)
    generator = imputer(kind, members=1, training={"steps": 20}).fit(train, seed=0)
    assert generator.sample(300, seed=0).notna().all(axis=None)
    assert np.isfinite(generator.log_density(train).values).all()
    kept = generator.complete(train, {name: np.ones(400, bool) for name in train}, seed=0)
    assert (kept.notna() == train.notna()).all(axis=None)


def test_a_cell_that_is_not_observed_is_not_learned_and_others_are_not_told_of_it():
    layout = token_layout(3, 4, 5)
    net = MaskedTokens(layout, 16, 1, 0.0, 0.5, rng())
    rows = torch.tensor([[1, 2, 3], [1, UNOBSERVED, 3]])
    rank = torch.tensor([[2, 0, 1]]).expand(2, 3)
    complete, gap = net.nats(rows, rank, None)
    assert gap[1] == 0 and (gap[[0, 2]] != complete[[0, 2]]).all()
    alone = net.nats(torch.tensor([[1, UNOBSERVED, 3]]), torch.tensor([[1, 2, 0]]), None)[0]
    assert torch.allclose(gap, alone)  # the place of an unobserved cell in the order changes nothing


def test_a_token_without_which_rows_are_drawn_is_neither_given_nor_drawn():
    tokens = torch.tensor([[0, 1], [1, 1]])
    given = Given.nothing(2, token_layout(2, 2))
    given = replace(given, batch=Batch(tokens, given.batch.values), mask=torch.ones(2, 2, dtype=torch.bool))
    left = given.without(torch.tensor([True, False, False, False]))
    assert left.mask.tolist() == [[False, True], [True, True]]
    assert left.allowed.tolist() == [False, True, True, True]


# -- pooling


def test_pooling_follows_rubins_rules():
    """Worked by hand: U = 2, B = 4, m = 5, so T = 2 + 1.2 x 4, r = 2.4 and df = 4 (1 + 1 / 2.4)^2."""
    pooled = pool([10 - math.sqrt(8), 10, 10, 10, 10 + math.sqrt(8)], [1, 2, 3, 2, 2])
    assert (pooled.estimate, pooled.variance) == (pytest.approx(10), pytest.approx(6.8))
    assert pooled.df == pytest.approx(4 * (1 + 1 / 2.4) ** 2)
    assert pooled.missing_information == pytest.approx(4.8 / 6.8)
    low, high = pooled.interval(0.95)
    assert (low + high) / 2 == pytest.approx(10) and high - low == pytest.approx(2 * 2.306 * math.sqrt(6.8), rel=0.01)


def test_pooling_has_no_more_degrees_of_freedom_than_the_complete_data():
    """Barnard and Rubin: 1 / (1 / df + 1 / observed), observed = (10 + 1) / (10 + 3) x 10 x (1 - 4.8 / 6.8)."""
    estimates, variances = [10 - math.sqrt(8), 10, 10, 10, 10 + math.sqrt(8)], [1, 2, 3, 2, 2]
    observed_df = 11 / 13 * 10 * (1 - 4.8 / 6.8)
    expected = 1 / (1 / (4 * (1 + 1 / 2.4) ** 2) + 1 / observed_df)
    assert pool(estimates, variances, complete_df=10).df == pytest.approx(expected)
    assert pool([1, 1], [2, 2]).df == math.inf
    assert pool([1, 1], [2, 2], complete_df=10).df == pytest.approx(11 / 13 * 10)


def test_pooling_refuses_what_it_cannot_pool():
    for estimates, variances in (([1], [1]), ([1, 2], [1]), ([1, 2], [1, 0]), ([1, 2], [1, math.nan])):
        with pytest.raises(ConfigError):
            pool(estimates, variances)
    with pytest.raises(ConfigError):
        pool([1, 2], [1, 1]).interval(1.0)
