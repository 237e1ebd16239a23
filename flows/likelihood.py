"""What a generator with a density makes of train, holdout and synthetic rows, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evaluation.measurement import Interval
from evaluation.report import ColumnNats, Likelihood, LossCurve, Nats, NatsDifference
from evaluation.statistics import Z_95
from evaluation.tables import Tables
from generators import TabularGenerator
from pipeline.errors import UnsupportedError
from pipeline.misfits import misfit_rows
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from pipeline.source import load

from .inputs import loosened

MOST_ROWS = 500
"""Of each table; the interval says what that is worth. A flow scores some 100 rows per second and core."""

FEWEST_CELLS = 20
"""Of a column. A mean of fewer comes near to telling of single records, and its normal interval does not hold."""

FloatArray = npt.NDArray[np.float64]


def likelihood_of(generator: TabularGenerator, tables: Tables, *, seed: int) -> Likelihood | None:
    """Return how likely a model takes the rows of each table to be; None for a family without a density.

    Args:
        generator: fitted.
        tables: of which at most 500 rows each are scored.
        seed: chooses the rows, and serves the families that estimate their density.
    """
    try:
        kind = generator.fitted.model.density_kind
    except UnsupportedError:
        return None
    rows = {
        role: _some_rows(generator, table, seed, role)
        for role, table in (("train", tables.train), ("holdout", tables.holdout), ("synthetic", tables.synthetic))
    }
    scored = {role: _surprise(generator, some, seed) for role, some in rows.items()}
    diagnostics = _members(generator.describe()["diagnostics"])
    return Likelihood(
        kind=kind,
        nats=tuple(_nats(role, nats) for role, nats in scored.items()),
        overfitting=_difference(scored["holdout"], scored["train"]),
        overconfidence=_difference(scored["holdout"], scored["synthetic"]),
        columns=_columns(generator, rows["holdout"]),
        curves=_curves(diagnostics[0]),
        units=tuple(sorted(diagnostics[0].get("kl_per_dimension", ()), reverse=True)),
        n_active_units=diagnostics[0].get("active_units", 0),
    )


def _some_rows(generator: TabularGenerator, table: pa.Table, seed: int, role: str) -> pa.Table:
    """Return a random part of the rows, with the columns' types but any values."""
    rows = numpy_rng(seed, "likelihood", role).permutation(table.num_rows)[:MOST_ROWS]
    return load(table.take(pa.array(np.sort(rows)))).under(loosened(generator.schema))


def _surprise(generator: TabularGenerator, rows: pa.Table, seed: int) -> FloatArray:
    """Return the nats of the rows; infinite where a row is impossible."""
    kept = _kept(rows, generator.schema)
    nats = np.full(len(rows), np.inf)
    if kept.any():
        nats[kept] = -generator.log_density(rows.filter(pa.array(kept)), seed=seed).values
    return nats


def _kept(table: pa.Table, schema: Schema) -> npt.NDArray[np.bool_]:
    """Say which rows keep the schema; no model of it draws another."""
    kept = np.ones(len(table), np.bool_)
    for column in schema.columns:
        if column.name in table.column_names:
            kept &= ~misfit_rows(column, table[column.name])
    for constraint in schema.constraints:
        if set(constraint.names) <= set(table.column_names):
            kept &= ~constraint.broken(table)
    return kept


def _possible(nats: FloatArray) -> FloatArray:
    """Return the finite ones, or one zero where there is none."""
    found = nats[np.isfinite(nats)]
    return found if len(found) else np.zeros(1)


def _mean(nats: FloatArray) -> tuple[float, Interval]:
    """Return the mean and its 95 % interval, from the normal distribution."""
    mean, reach = float(nats.mean()), Z_95 * _variance_of_mean(nats) ** 0.5
    return mean, (mean - reach, mean + reach)


def _variance_of_mean(nats: FloatArray) -> float:
    return float(nats.var(ddof=1) / len(nats)) if len(nats) > 1 else 0.0


def _nats(role: str, nats: FloatArray) -> Nats:
    mean, interval = _mean(_possible(nats))
    impossible = int((~np.isfinite(nats)).sum())
    return Nats.model_validate(
        {"table": role, "mean": mean, "interval": interval, "n_rows": len(nats), "n_impossible": impossible}
    )


def _difference(one: FloatArray, other: FloatArray) -> NatsDifference:
    one, other = _possible(one), _possible(other)
    value, reach = float(one.mean() - other.mean()), Z_95 * (_variance_of_mean(one) + _variance_of_mean(other)) ** 0.5
    return NatsDifference(value=value, interval=(value - reach, value + reach))


def _members(diagnostics: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the diagnostics of each member of a mixture, or those of the one model."""
    members: Sequence[Mapping[str, Any]] = diagnostics.get("members") or [diagnostics]
    return members


def _columns(generator: TabularGenerator, rows: pa.Table) -> tuple[ColumnNats, ...]:
    """Return what the possible rows cost by token column; nothing for a family without a chain of tokens."""
    possible = rows.filter(pa.array(_kept(rows, generator.schema)))
    if len(possible) < FEWEST_CELLS:
        return ()
    try:
        found = generator.token_nats(possible)
    except UnsupportedError:
        return ()
    columns = zip(found.columns, found.realised.T, found.expected.T, strict=True)
    return tuple(
        _column(name, realised[there], expected[there])
        for name, realised, expected in columns
        if (there := np.isfinite(realised)).sum() >= FEWEST_CELLS
    )


def _column(name: str, realised: FloatArray, expected: FloatArray) -> ColumnNats:
    value, interval = _mean(realised - expected)
    return ColumnNats(
        column=name,
        nats=float(realised.mean()),
        expected=float(expected.mean()),
        overconfidence=NatsDifference(value=value, interval=interval),
    )


def _curves(diagnostics: Mapping[str, Any]) -> tuple[LossCurve, ...]:
    curves = map(LossCurve.model_validate, diagnostics.get("loss_by_time", ()))
    return tuple(curve for curve in curves if curve.points)
