"""What a generator makes of train, holdout and synthetic rows."""

import math

import numpy as np
import pyarrow as pa
import pytest

from evaluation.tables import Tables
from flows.likelihood import likelihood_of
from generators import (
    DDPMConfig,
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


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (DDPMConfig(width=16, depth=1, value_width=16, training=TrainingConfig(steps=4)), "steps"),
        (VAEConfig(members=2, latent_size=4, width=16, depth=1, prior_depth=2, training=VAETraining(steps=4)), "units"),
    ],
)
def test_what_a_family_says_of_itself_is_passed_on(config, field):
    table = coins(300, 0)
    assert getattr(likelihood(config, table, table, table), field)


def test_a_family_without_a_density_has_no_section():
    config = WGANGPConfig(members=1, width=16, critic_width=16, training=WGANGPTraining(steps=2, n_validations=1))
    table = coins(300, 0)
    assert likelihood(config, table, table, table) is None
