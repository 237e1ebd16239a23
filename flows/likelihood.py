"""What a generator with a density makes of train, holdout and synthetic rows, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evaluation.measurement import Interval
from evaluation.privacy.membership import hits_at_fpr, n_allowed, rate_interval
from evaluation.report import ColumnNats, Likelihood, LossAttack, LossCurve, Nats, NatsDifference
from evaluation.statistics import Z_95, BoolArray, FloatArray, IntArray, auc
from evaluation.tables import Tables
from generators import TabularGenerator
from pipeline.errors import UnsupportedError
from pipeline.misfits import misfit_rows
from pipeline.row_hashes import content_hashes
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from pipeline.source import load

from .inputs import loosened

MOST_ROWS = 500
"""Of each table; the interval says what that is worth. A flow scores some 100 rows per second and core."""

FEWEST_CELLS = 20
"""Of a column. A mean of fewer comes near to telling of single records, and its normal interval does not hold."""

FEWEST_ATTACKED = 100
"""Records of either table; with fewer, one other record is more than the 1 % of false positives."""


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
    all_rows = {"train": tables.train, "holdout": tables.holdout, "synthetic": tables.synthetic}
    drawn = {role: _drawn(table, seed, role) for role, table in all_rows.items()}
    rows = {role: _loaded(generator, table.take(pa.array(drawn[role]))) for role, table in all_rows.items()}
    scored = {role: _surprise(generator, some, seed) for role, some in rows.items()}
    alone = _alone(tables)
    accused, others = (scored[role][alone[role][drawn[role]]] for role in ("train", "holdout"))
    diagnostics = _members(generator.describe()["diagnostics"])
    return Likelihood(
        kind=kind,
        nats=tuple(_nats(role, nats) for role, nats in scored.items()),
        overfitting=_difference(scored["holdout"], scored["train"]),
        overconfidence=_difference(scored["holdout"], scored["synthetic"]),
        loss_attack=_loss_attack(accused, others, seed),
        columns=_columns(generator, rows["holdout"]),
        curves=_curves(diagnostics[0]),
        units=tuple(sorted(diagnostics[0].get("kl_per_dimension", ()), reverse=True)),
        n_active_units=diagnostics[0].get("active_units", 0),
    )


def _drawn(table: pa.Table, seed: int, role: str) -> IntArray:
    """Return the places of a random part of the rows, in order."""
    return np.sort(numpy_rng(seed, "likelihood", role).permutation(table.num_rows)[:MOST_ROWS])


def _loaded(generator: TabularGenerator, rows: pa.Table) -> pa.Table:
    """Return the rows with the columns' types but any values."""
    return load(rows).under(loosened(generator.schema))


def _alone(tables: Tables) -> dict[str, BoolArray]:
    """Say which rows of train and holdout are unlike every other row of both: only they can be accused."""
    names = [column.name for column in tables.modelled]
    hashes = [content_hashes(table.select(names), 0) for table in (tables.train, tables.holdout)]
    _, member, counts = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    alone = counts[member] == 1
    return {"train": alone[: len(tables.train)], "holdout": alone[len(tables.train) :]}


def _loss_attack(train: FloatArray, holdout: FloatArray, seed: int) -> LossAttack | None:
    """Take the records with the fewest nats for members.

    Source: Yeom et al. 2018, doi:10.1109/CSF.2018.00027.
    """
    n, rng = min(len(train), len(holdout)), numpy_rng(seed, "likelihood", "attack")
    if n < FEWEST_ATTACKED:
        return None
    scores = -np.concatenate([rng.permutation(nats)[:n] for nats in (train, holdout)])
    members = np.arange(2 * n) < n
    area, hits = auc(scores, members), hits_at_fpr(scores, members, rng)
    return LossAttack(
        auc=area.value,
        auc_interval=area.interval(0.0, 1.0),
        tpr=hits / n,
        tpr_interval=rate_interval(hits, n_allowed(n), 0.95),
        n_rows=2 * n,
    )


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
