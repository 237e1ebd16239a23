"""What a generator makes of train, holdout and synthetic rows."""

import copy
import math

import numpy as np
import pyarrow as pa
import pytest

from evaluation.tables import Tables
from flows.likelihood import likelihood_of
from generators import (
    DDPMConfig,
    FlowMatchingConfig,
    TabularGenerator,
    TrainingConfig,
    VAEConfig,
    VAETraining,
    WGANGPConfig,
    WGANGPTraining,
    generator_config,
)
from pipeline.columns import Integer
from pipeline.constraints import Inequality
from pipeline.inference import infer
from pipeline.schema import Schema


def coins(n, seed, heads=0.75):
    rng = np.random.default_rng(seed)
    return pa.table({"coin": np.where(rng.random(n) < heads, "head", "tail"), "x": rng.standard_normal(n)})


def likelihood(config, train, holdout, synthetic):
    generator = TabularGenerator(config).fit(train)
    return likelihood_of(generator, Tables(infer(train), train, holdout, synthetic), seed=0)


def test_the_nats_of_a_known_law_are_its_entropy_and_the_intervals_hold_it():
    table = coins(2000, 0).select(["coin"])
    found = likelihood(generator_config("independent"), table, coins(2000, 1).select(["coin"]), table)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found.kind == "exact"
    for nats in found.nats:
        assert nats.interval[0] < entropy < nats.interval[1] and nats.n_rows == 500
    assert found.overfitting.interval[0] < 0 < found.overfitting.interval[1]


def test_rows_of_another_law_show_as_overconfidence():
    table, other = coins(2000, 0).select(["coin"]), coins(2000, 1, heads=0.3).select(["coin"])
    found = likelihood(generator_config("independent"), table, other, table)
    assert found.overconfidence.interval[0] > 0 and found.overfitting.interval[0] > 0


def test_the_loss_attack_guesses_where_the_model_owes_nothing_to_single_rows():
    train, holdout = coins(3000, 0), coins(3000, 1)
    attack = likelihood(generator_config("independent"), train, holdout, train).loss_attack
    assert attack.n_rows == 1000
    assert attack.auc_interval[0] < 0.5 < attack.auc_interval[1]
    assert attack.tpr_interval[0] < 0.01 < attack.tpr_interval[1]


def test_the_loss_attack_finds_the_rows_that_a_model_has_learned_by_heart():
    train, holdout = coins(150, 0), coins(3000, 1)
    learned = FlowMatchingConfig(
        members=1,
        width=64,
        dropout=0.0,
        training=TrainingConfig(steps=400, learning_rate=0.01, validation_fraction=0.1, n_validations=1, ema_decay=0.9),
    )
    attack = likelihood(learned, train, holdout, train).loss_attack
    assert attack.n_rows == 300
    assert attack.auc_interval[0] > 0.5


def test_only_records_unlike_all_others_are_attacked():
    train = coins(2000, 0)
    shared = pa.concat_tables([train.slice(0, 1850), coins(150, 1)])
    attack = likelihood(generator_config("independent"), train, shared, train).loss_attack
    assert attack is None  # of 500 drawn rows of either table, some 40 are its own alone
    table = train.select(["coin"])
    assert likelihood(generator_config("independent"), table, table, table).loss_attack is None


def test_rows_that_the_model_takes_for_impossible_are_counted_and_left_out():
    train = pa.table({"coin": ["head", "tail"] * 100})
    edge = pa.table({"coin": ["head"] * 150 + ["edge"] * 50})
    found = likelihood(generator_config("independent"), train, edge, train)
    assert [nats.n_impossible for nats in found.nats] == [0, 50, 0]
    assert all(math.isfinite(nats.mean) for nats in found.nats)


def test_rows_that_break_the_schema_of_the_model_are_impossible_rows():
    schema = Schema(
        columns=tuple(Integer(name=name, arrow="int64", minimum=0) for name in ("low", "high")),
        constraints=(Inequality(columns=("low", "high")),),
    )
    low = np.random.default_rng(0).integers(0, 5, 200)
    train = pa.table({"low": low, "high": low + 1})
    odd = pa.table({"low": [-1] * 10 + [3] * 20 + [2] * 70, "high": [1] * 30 + [3] * 70})
    generator = TabularGenerator(generator_config("independent")).fit(train, schema)
    found = likelihood_of(generator, Tables(schema, train, train, odd), seed=0)
    assert [nats.n_impossible for nats in found.nats] == [0, 0, 30]
    none = likelihood_of(generator, Tables(schema, train, train, odd.slice(0, 30)), seed=0)
    assert none.nats[2].n_impossible == none.nats[2].n_rows == 30


VAE = VAEConfig(members=2, latent_size=4, width=16, depth=1, prior_depth=2, training=VAETraining(steps=4))
CHAINS = [
    DDPMConfig(width=16, depth=1, value_width=16, training=TrainingConfig(steps=4)),
    FlowMatchingConfig(members=2, width=16, depth=1, value_width=16, training=TrainingConfig(steps=4)),
]


def test_latent_units_are_passed_on_and_a_family_without_a_chain_has_neither_columns_nor_curves():
    table = coins(300, 0)
    found = likelihood(VAE, table, table, table)
    assert found.units
    assert (found.columns, found.curves) == ((), ())


@pytest.mark.parametrize("config", CHAINS, ids=["ddpm", "flow_matching"])
def test_a_family_with_a_chain_has_its_columns_in_the_order_of_drawing_and_a_curve_of_each_part(config):
    table = coins(300, 0).select(["x", "coin"])
    found = likelihood(config, table, table, table)
    assert [column.column for column in found.columns] == ["coin", "x"]  # two tokens, and some dozen
    assert [len(curve.points) for curve in found.curves] == [2, 16]


def throws(n, seed):
    """A biased coin, and one that is thrown again where the first shows tail: 0.61 and 0.15 nats."""
    rng = np.random.default_rng(seed)
    first, again = rng.random(n) < 0.7, rng.random(n) < 0.2
    return pa.table({"first": np.where(first, "head", "tail"), "second": np.where(first | again, "head", "tail")})


ENTROPIES = {
    "first": -(0.7 * math.log(0.7) + 0.3 * math.log(0.3)),
    "second": -0.3 * (0.2 * math.log(0.2) + 0.8 * math.log(0.8)),
}


@pytest.fixture(scope="module")
def thrower():
    training = TrainingConfig(steps=300, n_validations=3, learning_rate=0.01)
    config = FlowMatchingConfig(members=1, width=16, depth=1, dropout=0.0, training=training)
    return TabularGenerator(config).fit(throws(8000, 0))


def sharpened(generator, factor):
    """Return the generator with the logits of every token times a factor."""
    other = copy.deepcopy(generator)
    head = other.fitted.model.tokens.head
    logits = head.logits
    head.logits = lambda hidden: [factor * each for each in logits(hidden)]
    return other


def columns_of(generator, holdout):
    train = throws(100, 5)
    found = likelihood_of(generator, Tables(infer(train), train, holdout, train), seed=0)
    return {column.column: column for column in found.columns}


def test_a_calibrated_model_costs_what_it_expects_which_is_the_entropy(thrower):
    for name, column in columns_of(thrower, throws(500, 1)).items():
        low, high = column.overconfidence.interval
        assert low < 0 < high < 0.2
        assert column.expected == pytest.approx(ENTROPIES[name], abs=0.06)


def test_a_model_that_is_too_sure_is_above_zero_and_one_that_doubts_too_much_below(thrower):
    for column in columns_of(sharpened(thrower, 2.5), throws(500, 1)).values():
        assert column.overconfidence.interval[0] > 0
    for column in columns_of(sharpened(thrower, 0.3), throws(500, 1)).values():
        assert column.overconfidence.interval[1] < 0


def test_the_difference_is_paired_and_its_interval_is_that_of_the_rows_differences(thrower):
    holdout = throws(400, 1)
    nats, found = thrower.token_nats(holdout), columns_of(thrower, holdout)
    for i, name in enumerate(nats.columns):
        difference, column = nats.realised[:, i] - nats.expected[:, i], found[name]
        assert column.overconfidence.value == pytest.approx(column.nats - column.expected)
        reach = 1.96 * difference.std(ddof=1) / 20
        assert column.overconfidence.interval == pytest.approx(
            (difference.mean() - reach, difference.mean() + reach), abs=1e-4
        )


def test_nothing_is_told_of_the_columns_of_so_few_rows_that_single_ones_would_show(thrower):
    assert set(columns_of(thrower, throws(20, 1))) == {"first", "second"}
    assert columns_of(thrower, throws(19, 1)) == {}


def test_rows_that_the_schema_rules_out_are_not_in_the_columns():
    schema = Schema(columns=(Integer(name="n", arrow="int64", minimum=0),))
    train = pa.table({"n": np.arange(200) % 5})
    generator = TabularGenerator(CHAINS[1]).fit(train, schema)
    some = np.arange(60) % 3
    clean, soiled = (
        likelihood_of(generator, Tables(schema, train, pa.table({"n": n}), train), seed=0).columns
        for n in (some, np.concatenate([[-1, -7], some]))
    )
    assert clean == soiled != ()
    assert likelihood_of(generator, Tables(schema, train, pa.table({"n": [-1] * 60}), train), seed=0).columns == ()


def test_cells_that_are_not_observed_are_not_in_the_mean_of_their_column():
    coin = np.where(np.random.default_rng(0).random(400) < 0.5, "head", "tail")

    def observed(places):
        return pa.table({"coin": coin, "rare": [side if i in places else None for i, side in enumerate(coin)]})

    config = CHAINS[1].model_copy(update={"missing": "unobserved", "dropout": 0.0})
    generator = TabularGenerator(config).fit(observed(range(200)))
    found, too_few = (
        {
            column.column: column.nats
            for column in likelihood_of(generator, Tables(generator.schema, *[table] * 3), seed=0).columns
        }
        for table in (observed(range(200)), observed(range(19)))
    )
    assert found["rare"] == pytest.approx(math.log(4), abs=0.2)  # half of it over all rows; a fresh model knows shares
    assert set(too_few) == {"coin"}


def test_a_family_without_a_density_has_no_section():
    config = WGANGPConfig(members=1, width=16, critic_width=16, training=WGANGPTraining(steps=2, n_validations=1))
    table = coins(300, 0)
    assert likelihood(config, table, table, table) is None
