"""The densities of the families on tables whose law is known: a network, a mixture of normals, and a mixed one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import multivariate_normal, norm

from generators import (
    DDPMConfig,
    FlowMatchingConfig,
    TabularGenerator,
    TrainingConfig,
    VAEConfig,
    VAETraining,
)
from pipeline.transform import TransformConfig

QUICK = TrainingConfig(steps=500, n_validations=4, learning_rate=0.005, precision="fp32")
FAMILIES = {
    "flow_matching": FlowMatchingConfig(members=1, width=32, depth=1, dropout=0.0, value_width=32, training=QUICK),
    "ddpm": DDPMConfig(members=1, width=32, depth=1, dropout=0.0, value_width=32, training=QUICK),
    "vae": VAEConfig(
        members=1,
        latent_size=4,
        width=32,
        depth=1,
        dropout=0.0,
        training=VAETraining(steps=500, n_validations=4, learning_rate=0.005, precision="fp32"),
    ),
}
N_TRAIN, N_TEST = 8_000, 4_000
Drawn = tuple[pa.Table, np.ndarray]
"""Rows and the log of the density of each."""


def network(n: int, rng: np.random.Generator) -> Drawn:
    """A chain of three columns of three levels."""
    follows = np.array([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]])
    columns, log_p = [rng.choice(3, n, p=[0.5, 0.3, 0.2])], np.zeros(n)
    log_p += np.log([0.5, 0.3, 0.2])[columns[0]]
    for _ in range(2):
        columns.append((rng.random((n, 1)) > follows[columns[-1]].cumsum(1)).sum(1).clip(max=2))
        log_p += np.log(follows[columns[-2], columns[-1]])
    return pa.table({name: np.array(list("xyz"))[c] for name, c in zip("abc", columns, strict=True)}), log_p


def mixture_of_normals(n: int, rng: np.random.Generator) -> Drawn:
    """Two correlated normal distributions in the plane."""
    parts = [
        multivariate_normal([-1.5, -1.0], [[1.0, 0.7], [0.7, 1.0]]),
        multivariate_normal([1.5, 1.0], [[1.0, -0.7], [-0.7, 1.0]]),
    ]
    first = rng.random(n) < 0.4
    rows = np.where(first[:, None], *(part.rvs(n, random_state=rng) for part in parts))
    density = 0.4 * parts[0].pdf(rows) + 0.6 * parts[1].pdf(rows)
    return pa.table({"x": rows[:, 0], "y": rows[:, 1]}), np.log(density)


def mixed(n: int, rng: np.random.Generator) -> Drawn:
    """A class, and a number that it moves and spreads."""
    share, place, spread = np.array([0.6, 0.3, 0.1]), np.array([0.0, 3.0, -2.0]), np.array([1.0, 0.3, 2.0])
    group = rng.choice(3, n, p=share)
    x = rng.normal(place[group], spread[group])
    log_density = np.log(share)[group] + norm(place[group], spread[group]).logpdf(x)
    return pa.table({"group": np.array(list("uvw"))[group], "x": x}), log_density


LAWS: dict[str, Callable[[int, np.random.Generator], Drawn]] = {
    "network": network,
    "mixture of normals": mixture_of_normals,
    "mixed": mixed,
}


def placed(generator: TabularGenerator, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the volume of each row's bins, in which encoded form counts, and which rows lie inside them."""
    transform = generator.fitted.transform.inner
    encoded, total, inside = transform.encode(rows), np.zeros(len(rows)), np.ones(len(rows), dtype=np.bool_)
    for place in encoded.layout.valued:
        column = encoded.layout.columns[place]
        bins = transform.codecs[column.name].bins
        total += np.log(bins.high - bins.low)[np.cumsum(column.valued)[encoded.tokens[:, place]] - 1]
        inside &= (rows[column.name].to_numpy() >= bins.low[0]) & (rows[column.name].to_numpy() <= bins.high[-1])
    return total, inside


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_entropy_is_right_within_two_percent_and_no_mean_density_exceeds_the_truth(
    kind: str, law: Callable[..., Drawn]
) -> None:
    train, _ = law(N_TRAIN, np.random.default_rng(0))
    generator = TabularGenerator(FAMILIES[kind], transform=TransformConfig(n_bins=8, max_repeated=0)).fit(train, seed=0)
    rows, log_density = law(N_TEST, np.random.default_rng(1))
    volume, inside = placed(generator, rows)
    found, truth = generator.log_density(rows, seed=0).values[inside], (log_density + volume)[inside]
    gap = truth - found
    assert inside.mean() > 0.99  # numbers beyond the outer bins are clipped
    assert found.mean() == pytest.approx(truth.mean(), rel=0.02)
    assert gap.mean() > -3 * gap.std() / math.sqrt(len(gap))
