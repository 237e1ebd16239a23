"""The latent space of a variational autoencoder, on tables: rows to vectors and back, and what each unit does.

A row is encoded into a normal distribution over latent vectors, of which the mean stands for the row. A latent vector
is decoded into a row of exactly the table's schema, so everything that is drawn on the way between two rows is a valid
row as well. Every member of a mixture has a latent space of its own; one of them is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from sklearn.neighbors import NearestNeighbors

from pipeline.codecs.codec import MID
from pipeline.encoded import Encoded, TokenColumn
from pipeline.errors import ConfigError, DataError, UnsupportedError
from pipeline.seeds import substream

from .base import TabularGenerator
from .device import arithmetic
from .drawing import in_parts
from .given import Batch
from .mixture import Mixture
from .odd_cells import read_rows, texts_of
from .prior import kl_divergence
from .registry import training_config
from .vae import ACTIVE_VARIANCE, VAE

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

HARDLY_USED_NATS = 0.01
EDGE = 0.025


@dataclass(frozen=True)
class Unit:
    """One entry of the latent vector, as rows use it.

    Attributes:
        number: its place, from 0.
        nats: the mean divergence of its posterior from the standard normal prior: what it says about a row, at most.
        spread: the variance between rows of its posterior mean.
        active: whether the spread is above 0.01, by Burda et al. 2016, arXiv:1509.00519, section 5.
        low: below it lie 2.5 % of the rows.
        high: above it lie as many.
    """

    number: int
    nats: float
    spread: float
    active: bool
    low: float
    high: float

    @property
    def state(self) -> str:
        """What became of it, in words."""
        if self.active:
            return "active: it differs between rows"
        if self.nats < HARDLY_USED_NATS:
            return "collapsed: it is the prior for every row"
        return "idle: it costs nats, but is nearly the same for every row"


@dataclass(frozen=True)
class Usage:
    """How much of a latent vector is used: the report on posterior collapse.

    Attributes:
        units: all of them.
        n_rows: rows that were encoded.
    """

    units: tuple[Unit, ...]
    n_rows: int

    @property
    def active(self) -> tuple[Unit, ...]:
        """The active units, the one that says most first."""
        return tuple(sorted((unit for unit in self.units if unit.active), key=lambda unit: -unit.nats))

    @property
    def nats(self) -> float:
        """What the whole vector says about a row, at most."""
        return sum(unit.nats for unit in self.units)

    @property
    def verdict(self) -> str:
        """The report in a sentence or two."""
        n, of = len(self.active), len(self.units)
        if n == 0:
            return (
                "The latent vector has collapsed: no unit differs between rows, and the decoder draws rows without it."
            )
        dead = "" if n == of else f" {of - n} of {of} units are not used."
        return f"{n} of {of} units are active and say {self.nats:.1f} nats about a row, at most.{dead}"


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows in latent space.

    Attributes:
        rows: int64 **(n_queries, k)**, places in the table that was searched, the nearest first.
        distances: Euclidean, between posterior means **(n_queries, k)**.
    """

    rows: Rows
    distances: FloatArray


@dataclass(frozen=True)
class Response:
    """What a column does while one unit moves.

    Attributes:
        column: the token column's name.
        strength: the largest change along the way, in [0, 1]: of the mean train quantile of an ordered column, or half
            the summed change of shares (total variation), whichever is more.
        quantiles: of an ordered column the mean train quantile at each step **(n_steps,)**; else None.
        ends: of an ordered column a typical value at the first and at the last step, as text.
        shares: the share of each level at each step **(n_steps,)**, by level as text; of an ordered column only of what
            has no place in the order, such as missing cells.
    """

    column: str
    strength: float
    quantiles: FloatArray | None
    ends: tuple[str, str] | None
    shares: dict[str, FloatArray]


@dataclass(frozen=True)
class Traversal:
    """Rows that are decoded while one unit moves and all others stay.

    Attributes:
        unit: its place.
        at: its values **(n_steps,)**.
        tables: the rows at each step, of the same latent vectors but for the unit.
        responses: what each token column did, the strongest first.
    """

    unit: int
    at: FloatArray
    tables: tuple[pa.Table | pd.DataFrame, ...]
    responses: tuple[Response, ...]


class LatentSpace:
    """The latent space of a fitted generator of kind "vae".

    Args:
        generator: the generator.
        member: which of a mixture's members; each has a space of its own, and their vectors cannot be compared.

    Raises:
        NotFittedError: the generator was not fitted.
        UnsupportedError: its family has no latent vector that a row can be encoded into.
        ConfigError: there is no such member.

    Example:
        >>> from generators import generator_config
        >>> rows = pd.DataFrame({"sex": ["f", "m"] * 60, "height": [160.5, 175.25, 168.0] * 40})
        >>> quick = generator_config("vae", latent_size=2, members=1, training={"steps": 5})
        >>> space = LatentSpace(TabularGenerator(quick).fit(rows, seed=0))
        >>> vectors = space.encode(rows)
        >>> vectors.shape, space.decode(vectors[:3]).dtypes.equals(rows.dtypes)
        ((120, 2), True)
    """

    def __init__(self, generator: TabularGenerator, *, member: int = 0) -> None:
        fitted = generator.fitted
        all_members = fitted.model.members if isinstance(fitted.model, Mixture) else [fitted.model]
        members = [model for model in all_members if isinstance(model, VAE)]
        if not members:
            rule = f"{generator.config.kind} has no latent vector that a row can be encoded into"
            raise UnsupportedError(rule, actual=generator.config.kind, remedy='fit a generator of kind "vae"')
        if not 0 <= member < len(members):
            remedy = f"give one from 0 to {len(members) - 1}"
            raise ConfigError("a latent space is that of one member", actual=str(member), remedy=remedy)
        self.generator, self.member, self.n_members = generator, member, len(members)
        self.transform, self.device = fitted.transform, fitted.device
        self.model = members[member]
        self._arithmetic = training_config(generator.config).model_copy(update={"precision": "fp32"})

    @property
    def size(self) -> int:
        """How many units a latent vector has."""
        return self.model.config.latent_size

    def encode(self, table: pa.Table | pd.DataFrame) -> FloatArray:
        """Return the posterior mean of each row **(n_rows, size)**.

        Raises:
            SchemaError: a modelled column is missing, or its values are of another type.
        """
        return self._posterior(table)[0]

    def decode(self, z: FloatArray, *, seed: int | None = None) -> pa.Table | pd.DataFrame:
        """Return a row for each latent vector **(n, size)**, of exactly the generator's schema.

        Args:
            z: the latent vectors.
            seed: draws the cells; None takes the likeliest of each cell, one after the other.

        Raises:
            DataError: the vectors are of another size, or not finite.
        """
        return self._table(self._decoded(z, seed), 0 if seed is None else seed)

    def interpolate(
        self, first: pa.Table | pd.DataFrame, last: pa.Table | pd.DataFrame, n: int = 7
    ) -> pa.Table | pd.DataFrame:
        """Return `n` likeliest rows on the straight line between the vectors of two rows, ends included.

        The ends are what the decoder makes of the two vectors, which need not be the two rows.

        Args:
            first: a table of one row.
            last: another.
            n: rows to return, at least two.

        Raises:
            ConfigError: `n` is below 2.
            DataError: a table has not one row.
        """
        if n < 2:
            raise ConfigError("a line has two ends", actual=f"n = {n}", remedy="give 2 or more")
        for table in (first, last):
            if len(table) != 1:
                remedy = "give tables of one row"
                raise DataError("one row is interpolated with one other", actual=f"{len(table)} rows", remedy=remedy)
        start, end = self.encode(first)[0], self.encode(last)[0]
        return self.decode(start + np.linspace(0, 1, n)[:, None] * (end - start))

    def neighbours(self, query: pa.Table | pd.DataFrame, table: pa.Table | pd.DataFrame, k: int = 5) -> Neighbours:
        """Return for each row of `query` the `k` rows of `table` whose latent vectors are nearest.

        Units that are not active are nearly the same for every row and hardly count.

        Raises:
            ConfigError: `k` is not from 1 to the rows of the table.
        """
        if not 1 <= k <= len(table):
            remedy = f"give 1 to {len(table)}"
            raise ConfigError("neighbours are rows of the table that is searched", actual=f"k = {k}", remedy=remedy)
        found = NearestNeighbors(n_neighbors=k).fit(self.encode(table))
        distances, rows = found.kneighbors(self.encode(query))
        return Neighbours(rows.astype(np.int64), distances.astype(np.float64))

    def usage(self, table: pa.Table | pd.DataFrame) -> Usage:
        """Return what each unit says about the rows of a table, and which have collapsed.

        Raises:
            DataError: the table has a single row, which differs from none.
        """
        if len(table) < 2:
            raise DataError("whether rows differ is seen from two on", actual=f"{len(table)} rows")
        mean, log_variance = self._posterior(table)
        nats = kl_divergence(torch.from_numpy(mean), torch.from_numpy(log_variance)).mean(0).tolist()
        spread, low, high = mean.var(0, ddof=1), np.quantile(mean, EDGE, 0), np.quantile(mean, 1 - EDGE, 0)
        units = [
            Unit(i, nats[i], float(spread[i]), bool(spread[i] > ACTIVE_VARIANCE), float(low[i]), float(high[i]))
            for i in range(self.size)
        ]
        return Usage(tuple(units), len(table))

    def traverse(self, unit: Unit, table: pa.Table | pd.DataFrame, *, n_steps: int = 9, seed: int = 0) -> Traversal:
        """Move one unit from its low to its high end in the vector of every row, and decode at each step.

        All steps draw the cells from the same random numbers, so that what changes is the unit's doing.

        Args:
            unit: one of `usage`.
            table: the rows whose vectors give the other units.
            n_steps: at least two.
            seed: of the cells.

        Raises:
            ConfigError: there are fewer than two steps.
        """
        if n_steps < 2:
            raise ConfigError("a traversal has two ends", actual=f"n_steps = {n_steps}", remedy="give 2 or more")
        at, vectors = np.linspace(unit.low, unit.high, n_steps), self.encode(table)
        steps = []
        for value in at:
            vectors[:, unit.number] = value
            steps.append(self._decoded(vectors, seed))
        responses = [self._response(i, steps) for i in range(self.transform.layout.n_columns)]
        responses.sort(key=lambda response: -response.strength)
        tables = tuple(self._table(step, seed) for step in steps)
        return Traversal(unit.number, at, tables, tuple(responses))

    def _response(self, i: int, steps: list[Encoded]) -> Response:
        column = self.transform.layout.columns[i]
        shares = np.stack([np.bincount(step.tokens[:, i], minlength=column.size) / len(step) for step in steps])
        ordered = np.isfinite(column.coordinate)
        in_order, others = shares[:, ordered], np.where(ordered, 0.0, shares)
        kinds = np.column_stack([in_order.sum(1), others])
        moved = float(np.abs(kinds[:, None] - kinds[None]).sum(2).max() / 2)
        named = self._named(column, others)
        if not ordered.any():
            return Response(column.name, moved, None, None, named)
        quantiles = in_order @ column.coordinate[ordered] / np.maximum(in_order.sum(1), 1e-12)
        ends = self._typical(column, quantiles[0]), self._typical(column, quantiles[-1])
        return Response(column.name, max(moved, float(np.ptp(quantiles))), quantiles, ends, named)

    def _typical(self, column: TokenColumn, quantile: float) -> str:
        """Return the value that lies at a train quantile, as text."""
        return self._texts(column, np.array([np.nanargmin(np.abs(column.coordinate - quantile))]))[0]

    def _named(self, column: TokenColumn, shares: FloatArray) -> dict[str, FloatArray]:
        """Return the shares of the tokens that were met, by level."""
        met = np.flatnonzero(shares.sum(0))
        return dict(zip(self._texts(column, met), shares[:, met].T, strict=True))

    def _texts(self, column: TokenColumn, tokens: Rows) -> list[str]:
        middle = np.full(len(tokens), MID)
        codec, rng = self.transform.inner.codecs[column.name], np.random.default_rng(0)
        return texts_of(self.transform, column.name, codec.decode(tokens.astype(np.int32), middle, rng))

    def _posterior(self, table: pa.Table | pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Return mean and log variance of the posterior of each row, both **(n_rows, size)**."""
        batch = Batch.of(read_rows(self.transform, table).encoded)

        def part(start: int, stop: int) -> torch.Tensor:
            some = batch.take(torch.arange(start, stop)).to(self.device)
            with torch.no_grad(), arithmetic(self._arithmetic, self.device):
                return torch.cat(self.model.encode(some), dim=1)

        found = torch.cat(in_parts(len(batch), part, self.device)).double().cpu().numpy()
        return found[:, : self.size], found[:, self.size :]

    def _decoded(self, z: FloatArray, seed: int | None) -> Encoded:
        if z.ndim != 2 or z.shape[1] != self.size or not np.isfinite(z).all():
            rule = f"latent vectors are finite and of {self.size} units"
            raise DataError(rule, actual=f"an array of shape {z.shape}", remedy="such as `encode` returns")
        vectors = torch.from_numpy(z).float()

        def part(start: int, stop: int) -> Encoded:
            rng = torch.Generator(self.device)
            rng.manual_seed(substream(seed or 0, "latent", str(start)))
            with arithmetic(self._arithmetic, self.device):
                return self.model.decode(vectors[start:stop].to(self.device), None if seed is None else rng)

        return Encoded.concat(in_parts(len(vectors), part, self.device))

    def _table(self, encoded: Encoded, seed: int) -> pa.Table | pd.DataFrame:
        return self.generator._returned(self.transform.decode(encoded, seed=substream(seed, "decode")))
