"""Two populations of known structure, from which any number of rows can be drawn: train, holdout and fresh rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from pipeline.columns import Boolean, Categorical, Continuous, Date, Integer
from pipeline.schema import Schema

Floats = npt.NDArray[np.float64]

NETWORK = Schema(
    columns=(
        Categorical(name="region", arrow="string"),
        Categorical(name="trade", arrow="string"),
        Integer(name="age", arrow="int64", minimum=18),
        Continuous(name="income", arrow="double", decimals=2),
        Boolean(name="smoker", arrow="bool"),
        Integer(name="visits", arrow="int64", minimum=0),
        Continuous(name="premium", arrow="double", decimals=2, nullable=True),
        Date(name="since", arrow="date32[day]"),
    )
)
REGIONS = ("north", "east", "south", "west", "coast", "isles")
REGION_SHARES = (0.40, 0.25, 0.20, 0.118, 0.03, 0.002)
TRADES_BY_REGION = np.array(
    [
        [0.4, 0.3, 0.2, 0.1],
        [0.1, 0.5, 0.3, 0.1],
        [0.25, 0.25, 0.25, 0.25],
        [0.1, 0.1, 0.3, 0.5],
        [0.7, 0.1, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0.7],
    ]
)
TRADES = ("farm", "office", "school", "sea")
LOG_INCOME_BY_TRADE = np.array([7.2, 8.0, 7.7, 7.5])

COPULA = Schema(
    columns=(
        Continuous(name="height", arrow="double"),
        Continuous(name="wealth", arrow="double"),
        Continuous(name="shock", arrow="double"),
        Integer(name="score", arrow="int64", minimum=0, maximum=100),
        Integer(name="events", arrow="int64", minimum=0),
        Categorical(name="surname", arrow="string"),
        Categorical(name="band", arrow="string"),
        Boolean(name="member", arrow="bool"),
    )
)
CORRELATION = 0.6
"""Of neighbouring columns; it falls off with their distance, as in an autoregressive process."""
N_SURNAMES = 1_500


@dataclass(frozen=True)
class Population:
    """A schema, and the way to draw rows of it."""

    schema: Schema
    draw: Callable[[int, np.random.Generator], pa.Table]


def draw_network(n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Draw from a mixed Bayesian network: region -> trade -> income <- age -> smoker -> visits -> premium."""
    region = rng.choice(len(REGIONS), size=n_rows, p=REGION_SHARES)
    trade = _choose(TRADES_BY_REGION[region], rng)
    age = 18 + np.minimum(rng.gamma(4.0, 7.0, n_rows), 80).astype(np.int64)
    income = np.exp(LOG_INCOME_BY_TRADE[trade] + 0.012 * (age - 40) + 0.35 * rng.standard_normal(n_rows))
    smoker = rng.random(n_rows) < 1 / (1 + np.exp(0.05 * (age - 20)))
    visits = rng.poisson(1.0 + 0.03 * age + 2.0 * smoker)
    premium = 40 + 0.01 * income + 12 * visits + 15 * rng.standard_normal(n_rows)
    return pa.table(
        {
            "region": np.array(REGIONS)[region],
            "trade": np.array(TRADES)[trade],
            "age": age,
            "income": income.round(2),
            "smoker": smoker,
            "visits": visits,
            "premium": pa.array(premium.round(2), mask=rng.random(n_rows) < 0.05 + 0.1 * smoker),
            "since": pa.array((12_000 + 90 * (age - 18) + rng.integers(0, 900, n_rows)).astype(np.int32), pa.date32()),
        },
        schema=NETWORK.arrow(),
    )


def draw_copula(n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Draw from a Gaussian copula: light, skewed and heavy tails, counts, and a column of mostly rare levels."""
    size = len(COPULA.columns)
    lag = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    normal = rng.standard_normal((n_rows, size)) @ np.linalg.cholesky(CORRELATION**lag).T
    uniform = stats.norm.cdf(normal)
    return pa.table(
        {
            "height": 170 + 9 * normal[:, 0],
            "wealth": np.exp(10 + 1.2 * normal[:, 1]),
            "shock": stats.t.ppf(uniform[:, 2], df=3),
            "score": stats.binom.ppf(uniform[:, 3], 100, 0.6).astype(np.int64),
            "events": stats.nbinom.ppf(uniform[:, 4], 2, 0.3).astype(np.int64),
            "surname": np.array([f"name-{i:04d}" for i in range(N_SURNAMES)])[_zipf(uniform[:, 5])],
            "band": np.array(["low", "middle", "high"])[np.digitize(uniform[:, 6], [0.5, 0.95])],
            "member": uniform[:, 7] > 0.8,
        },
        schema=COPULA.arrow(),
    )


def _choose(shares: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw one place per row of `shares` **(n_rows, n_places)**."""
    return (shares.cumsum(axis=1) < rng.random((len(shares), 1))).sum(axis=1).clip(max=shares.shape[1] - 1)


def _zipf(uniform: Floats) -> npt.NDArray[np.int64]:
    """Map uniform numbers to ranks of which the k-th has a share proportional to 1/k."""
    shares = 1 / np.arange(1, N_SURNAMES + 1)
    ranks = np.searchsorted(np.cumsum(shares) / shares.sum(), uniform)
    return ranks.clip(max=N_SURNAMES - 1)


POPULATIONS = {
    "simulated_network": Population(NETWORK, draw_network),
    "simulated_copula": Population(COPULA, draw_copula),
}
