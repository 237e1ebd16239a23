"""What a generator with a density makes of train, holdout and synthetic rows, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evaluation.report import ColumnNats, Likelihood, Nats, NatsDifference, StepLoss
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
    scored = {
        role: _surprise(generator, table, seed, role)
        for role, table in (("train", tables.train), ("holdout", tables.holdout), ("synthetic", tables.synthetic))
    }
    diagnostics = _members(generator.describe()["diagnostics"])
    return Likelihood(
        kind=kind,
        nats=tuple(_nats(role, nats) for role, nats in scored.items()),
        overfitting=_difference(scored["holdout"], scored["train"]),
        overconfidence=_difference(scored["holdout"], scored["synthetic"]),
        columns=_columns(diagnostics),
        steps=_steps(diagnostics[0]),
        units=tuple(sorted(diagnostics[0].get("kl_per_dimension", ()), reverse=True)),
        n_active_units=diagnostics[0].get("active_units", 0),
    )


def _surprise(generator: TabularGenerator, table: pa.Table, seed: int, role: str) -> FloatArray:
    """Return the nats of a random part of the rows; infinite where a row is impossible."""
    rows = numpy_rng(seed, "likelihood", role).permutation(table.num_rows)[:MOST_ROWS]
    taken = load(table.take(pa.array(np.sort(rows)))).under(loosened(generator.schema))
    kept = _kept(taken, generator.schema)
    nats = np.full(len(taken), np.inf)
    if kept.any():
        nats[kept] = -generator.log_density(taken.filter(pa.array(kept)), seed=seed).values
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


def _variance_of_mean(nats: FloatArray) -> float:
    return float(nats.var(ddof=1) / len(nats)) if len(nats) > 1 else 0.0


def _nats(role: str, nats: FloatArray) -> Nats:
    found = _possible(nats)
    mean, reach = float(found.mean()), Z_95 * _variance_of_mean(found) ** 0.5
    impossible = int((~np.isfinite(nats)).sum())
    return Nats.model_validate(
        {"table": role, "mean": mean, "interval": (mean - reach, mean + reach), "n_rows": len(nats)}
        | {"n_impossible": impossible}
    )


def _difference(one: FloatArray, other: FloatArray) -> NatsDifference:
    one, other = _possible(one), _possible(other)
    value, reach = float(one.mean() - other.mean()), Z_95 * (_variance_of_mean(one) + _variance_of_mean(other)) ** 0.5
    return NatsDifference(value=value, interval=(value - reach, value + reach))


def _members(diagnostics: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the diagnostics of each member of a mixture, or those of the one model."""
    members: Sequence[Mapping[str, Any]] = diagnostics.get("members") or [diagnostics]
    return members


def _columns(diagnostics: Sequence[Mapping[str, Any]]) -> tuple[ColumnNats, ...]:
    """Return the held-out nats of the token columns, as the mean over the members."""
    found = [member["held_out_nats"] for member in diagnostics if "held_out_nats" in member]
    names = found[0] if found else {}
    return tuple(ColumnNats(column=name, nats=float(np.mean([one[name] for one in found]))) for name in names)


def _steps(diagnostics: Mapping[str, Any]) -> tuple[StepLoss, ...]:
    found = diagnostics.get("value_loss_by_timestep")
    if found is None:
        return ()
    rows = zip(found["first_k"], found["loss"], found["of_normal_data"], strict=True)
    return tuple(StepLoss(first_step=step, loss=loss, untrained=untrained) for step, loss, untrained in rows)
