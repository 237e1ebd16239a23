"""A mixed table whose columns depend on each other, and ways to make it worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from evaluation.features import Frames, frames_of
from evaluation.tables import Tables
from pipeline.columns import Boolean, Categorical, Continuous, Date, Integer
from pipeline.schema import Schema

SCHEMA = Schema(
    columns=(
        Continuous(name="income", arrow="double"),
        Continuous(name="spent", arrow="double", nullable=True),
        Integer(name="visits", arrow="int64"),
        Categorical(name="city", arrow="string", nullable=True),
        Date(name="since", arrow="date32[day]"),
        Boolean(name="member", arrow="bool"),
    )
)


def draw(n_rows: int, seed: int) -> pa.Table:
    """Draw fresh rows of one population."""
    rng = np.random.default_rng(seed)
    income = rng.normal(size=n_rows)
    spent = income + 0.3 * rng.normal(size=n_rows)
    city = np.array(["Rome", "Oslo", "Lima", "Bern"])[np.digitize(income + 0.5 * rng.normal(size=n_rows), [-1, 0, 1])]
    member = rng.random(n_rows) < 1 / (1 + np.exp(-2 * income))
    return pa.table(
        {
            "income": income,
            "spent": pa.array(spent, mask=rng.random(n_rows) < 0.1 + 0.2 * member),
            "visits": rng.poisson(np.exp(income)),
            "city": pa.array(city.tolist(), mask=rng.random(n_rows) < 0.05),
            "since": pa.array((18_000 + 100 * spent).astype(np.int32), pa.date32()),
            "member": member,
        },
        schema=SCHEMA.arrow(),
    )


def shuffle_columns(table: pa.Table, share: float = 1.0, seed: int = 0) -> pa.Table:
    """Shuffle every column on its own, within a share of the rows."""
    rng, n_shuffled = np.random.default_rng(seed), int(share * table.num_rows)
    columns = [pa.concat_arrays([*table[name].slice(n_shuffled).chunks]) for name in table.column_names]
    mixed = [table[name].slice(0, n_shuffled).take(rng.permutation(n_shuffled)) for name in table.column_names]
    parts = [pa.chunked_array([*m.chunks, c], m.type) for m, c in zip(mixed, columns, strict=True)]
    return pa.table(parts, schema=table.schema)


def bootstrap(table: pa.Table, n_rows: int, seed: int = 0) -> pa.Table:
    """Draw rows of the table with replacement: the perfect memoriser."""
    return table.take(np.random.default_rng(seed).integers(table.num_rows, size=n_rows))


def reorder(table: pa.Table, seed: int = 0) -> pa.Table:
    """Return the same rows in another order."""
    return table.take(np.random.default_rng(seed).permutation(table.num_rows))


def tables(
    synthetic: pa.Table, *, n_train: int = 2_000, n_holdout: int = 1_000, target: str | None = None, seed: int = 0
) -> Tables:
    """Return the synthetic table beside train, which is `draw(n_train, 1)` at seed 0, and holdout."""
    return Tables(SCHEMA, draw(n_train, 1000 * seed + 1), draw(n_holdout, 1000 * seed + 2), synthetic, target)


def frames(synthetic: pa.Table, **settings: Any) -> Frames:
    """Return the same in numeric form."""
    return frames_of(tables(synthetic, **settings))
