"""What every family must learn of small tables whose law is known: modes in the plane, and conditional frequencies."""

import numpy as np
import pandas as pd
import pytest

from generators import (
    DDPMConfig,
    FlowMatchingConfig,
    TabularGenerator,
    TrainingConfig,
    VAEConfig,
    VAETraining,
    WGANGPConfig,
    WGANGPTraining,
)

N_ROWS = 2_000
QUICK = TrainingConfig(epochs=12, n_validations=5, precision="fp32")
FAMILIES = {
    "flow_matching": FlowMatchingConfig(members=1, width=48, depth=1, value_width=32, training=QUICK),
    "ddpm": DDPMConfig(members=1, width=48, depth=1, value_width=32, training=QUICK),
    "vae": VAEConfig(
        members=1,
        latent_size=8,
        width=32,
        depth=1,
        dropout=0.0,
        training=VAETraining(epochs=12, n_validations=5, learning_rate=0.01, precision="fp32"),
    ),
    "wgan_gp": WGANGPConfig(
        members=1,
        width=64,
        critic_width=64,
        training=WGANGPTraining(steps=300, n_validations=6, learning_rate=1e-3, batch_size=256, precision="fp32"),
    ),
}
# Any column may be a condition: one that the sampling order does not begin with is learned from random known cells.
CONDITIONED = FAMILIES | {
    "vae": FAMILIES["vae"].model_copy(
        update={
            "ordered_share": 0.0,
            "training": VAETraining(epochs=24, n_validations=3, learning_rate=0.01, precision="fp32"),
        }
    ),
    "wgan_gp": WGANGPConfig(
        members=1,
        width=32,
        critic_width=64,
        condition_share=0.8,
        training=WGANGPTraining(steps=500, n_validations=1, learning_rate=3e-3, batch_size=128, precision="fp32"),
    ),
}


def each(families):
    """Run a test with each family; the game takes several seconds."""
    marks = {"wgan_gp": [pytest.mark.slow]}
    cases = [pytest.param(config, id=kind, marks=marks.get(kind, [])) for kind, config in families.items()]
    return pytest.mark.parametrize("config", cases)


def grid():
    """The centres of 25 modes."""
    return np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)


def ring():
    """The centres of 8 modes on a circle of radius 2, none of which shares a coordinate with another."""
    angle = np.arange(8) * np.pi / 4 + 0.2
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1)


def moons():
    """Points along two half circles that reach into each other, close enough to stand for the curves."""
    angle = np.linspace(0, np.pi, 40)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([upper, [1.0, 0.5] - upper])


def around(centres, noise, seed=0):
    """Rows near centres of the same weight."""
    random = np.random.default_rng(seed)
    x = centres[random.integers(0, len(centres), N_ROWS)] + noise * random.standard_normal((N_ROWS, 2))
    return pd.DataFrame(x, columns=["x", "y"])


def nearest(frame, centres):
    """The distance of each row from its nearest centre, and which it is."""
    distances = np.linalg.norm(frame.to_numpy()[:, None] - centres, axis=2)
    return distances.min(1), distances.argmin(1)


@each(FAMILIES)
@pytest.mark.parametrize("centres", [grid(), ring()], ids=["grid", "ring"])
def test_all_modes_are_covered_and_little_lies_between_them(config, centres):
    drawn = TabularGenerator(config).fit(around(centres, 0.05)).sample(N_ROWS)
    distance, mode = nearest(drawn, centres)
    near = distance < 0.25
    shares = np.bincount(mode[near], minlength=len(centres)) / N_ROWS
    assert near.mean() > 0.7, f"{near.mean()}"
    assert shares.min() > 1 / 3 / len(centres), f"{shares}"


@each(FAMILIES)
def test_two_moons_are_covered_and_little_lies_between_them(config):
    centres = moons()
    drawn = TabularGenerator(config).fit(around(centres, 0.05)).sample(N_ROWS)
    distance, place = nearest(drawn, centres)
    near = distance < 0.2
    shares = np.bincount(place[near] // 8, minlength=10) / N_ROWS  # tenths of the curves
    assert near.mean() > 0.7, f"{near.mean()}"
    assert shares.min() > 0.1 / 3, f"{shares}"


def survey(n, seed):
    """Rows of three columns of which each depends on those before it."""
    random = np.random.default_rng(seed)
    region = random.choice(3, n, p=[0.5, 0.3, 0.2])
    trade = np.where(random.random(n) < 0.7, region, random.choice(3, n))
    owner = random.random(n) < np.array([[0.1, 0.4, 0.6], [0.3, 0.8, 0.5], [0.7, 0.2, 0.9]])[region, trade]
    levels = np.array(["north", "south", "west"]), np.array(["farm", "mill", "port"]), np.array(["no", "yes"])
    return pd.DataFrame({"region": levels[0][region], "trade": levels[1][trade], "owner": levels[2][owner * 1]})


def shares(frame):
    """The share of each combination of a table's levels."""
    return frame.value_counts(normalize=True)


def distance(one, other):
    """The total variation distance of two tables' combinations, from 0 to 1."""
    return shares(one).sub(shares(other), fill_value=0).abs().sum() / 2


@each(CONDITIONED)
def test_conditional_rows_are_as_frequent_as_among_untouched_rows(config):
    generator, holdout = TabularGenerator(config).fit(survey(N_ROWS, 0)), survey(20_000, 1)
    conditions = [{"region": "west"}, {"trade": "mill"}, {"owner": "yes"}, {"region": "south", "owner": "no"}]
    for condition in conditions:
        free = [name for name in holdout if name not in condition]
        fits = (holdout[list(condition)] == pd.Series(condition)).all(axis=1)
        drawn = generator.sample(3_000, conditions=condition)[free]
        assert distance(drawn, holdout.loc[fits, free]) < 0.12, f"{condition}"
        assert distance(holdout[free], holdout.loc[fits, free]) > 0.25  # what a model that ignores it has
