"""Thirteen ways to leak train rows through a synthetic table, planted on purpose to test the privacy gate.

Each leaker is a pure function `(train, holdout, fresh, schema, strength, rng) -> table`. `fresh` are honest rows of the
same population and become the synthetic table once `strength`, a share in (0, 1], of them is replaced. `holdout` is
read only to know what is train's alone. `NothingToLeakError` says that a table cannot show a leak.

Distances here are Euclidean over standardised numbers and one-hot levels, on purpose another one than the gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.neighbors import NearestNeighbors
from sklearn.tree import DecisionTreeRegressor

from pipeline.columns import Column
from pipeline.schema import Schema
from tests.evaluation.leaker_cells import (
    NUMERIC,
    Floats,
    Rows,
    categorical,
    mean_of_known,
    numbers,
    numeric,
    step_of,
    with_cells,
    with_numbers,
    written,
)

Leak = Callable[[pa.Table, pa.Table, pa.Table, Schema, float, np.random.Generator], pa.Table]

N_NEIGHBOURS = 5
SMOOTHED_OVER = 3
BANDWIDTH = 0.02
"""Of the over-trained generator, in standard deviations."""
KEPT_LEVELS = 0.97
SMALLEST_LEAF = 2
RARE = 5
"""A level that fewer train rows carry is rare."""
FEWEST_LEVELS = 10
"""Fewer of them would all be train's, rather than holdout's, by chance in more than one honest table in a thousand."""
MOST_ECHOED = 0.05
"""Of the rows, where values of a numeric column come back: nearly all of its values may be rare."""
SMALLEST_CLASS = 20


class NothingToLeakError(ValueError):
    """The table has no numbers, no rare level or value, or no minority class to leak."""


@dataclass(frozen=True)
class Leaker:
    """A leak with its name and the strength at which the gate is tested."""

    name: str
    plant: Leak
    strength: float


def verbatim_copies(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by train rows as they are."""
    return _replaced(fresh, train.take(_some(train.num_rows, _count(fresh, strength), rng)), rng)


def outlier_copies(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by the train rows that lie furthest from their five nearest neighbours."""
    space = Coordinates(train, schema)
    return _replaced(fresh, train.take(space.loneliest(train)[: _count(fresh, strength)]), rng)


def nudged_copies(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by train rows whose numbers all go one step up or down."""
    _need_numbers(schema)
    copies = train.take(_some(train.num_rows, _count(fresh, strength), rng))
    steps = {column.name: step_of(column, train[column.name]) for column in numeric(schema)}
    nudged = with_numbers(copies, schema, lambda name, x: x + steps[name] * rng.choice([-1, 1], size=len(x)))
    return _replaced(fresh, nudged, rng)


def one_column_changed(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by train rows in which one cell, of a random column, is another row's."""
    copies = train.take(_some(train.num_rows, _count(fresh, strength), rng))
    changed = rng.integers(copies.num_columns, size=copies.num_rows)
    for index, name in enumerate(copies.column_names):
        other = train[name].take(rng.integers(train.num_rows, size=copies.num_rows))
        cells = pc.if_else(pa.array(changed == index), other.combine_chunks(), copies[name].combine_chunks())
        copies = copies.set_column(index, copies.schema.field(name), cells)
    return _replaced(fresh, copies, rng)


def column_bootstrap(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by cells drawn from the train columns, each column on its own."""
    n_rows = _count(fresh, strength)
    cells = [train[name].take(rng.integers(train.num_rows, size=n_rows)) for name in train.column_names]
    return _replaced(fresh, pa.table(cells, schema=train.schema), rng)


def reproduced_extremes(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Write the smallest and the largest train value of a share of the numeric columns into one row each."""
    columns = numeric(schema)
    _need_numbers(schema)
    chosen = rng.permutation(len(columns))[: max(1, round(strength * len(columns)))]
    table = fresh
    for name in (columns[i].name for i in chosen):
        extremes = pc.min_max(train[name]).values()
        rows = _some(fresh.num_rows, 2, rng)
        table = written(table, name, rows, pa.array([e.as_py() for e in extremes], train[name].type))
    return table


def smoothed_neighbours(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by train rows whose numbers are the means over their three nearest train rows."""
    _need_numbers(schema)
    rows = _some(train.num_rows, _count(fresh, strength), rng)
    near = Coordinates(train, schema).nearest(train.take(rows), SMOOTHED_OVER)
    known = {column.name: numbers(train[column.name]) for column in numeric(schema)}
    smoothed = with_numbers(train.take(rows), schema, lambda name, x: mean_of_known(known[name][near], x))
    return _replaced(fresh, smoothed, rng)


def smote(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by points between a train row and one of its five nearest.

    Levels are those of the majority of the neighbours. Source: Chawla et al. 2002, doi:10.1613/jair.953, SMOTE-NC.
    """
    _need_numbers(schema)
    rows = _some(train.num_rows, _count(fresh, strength), rng)
    near = Coordinates(train, schema).nearest(train.take(rows), N_NEIGHBOURS + 1)[:, 1:]
    partner, way = near[np.arange(len(rows)), rng.integers(N_NEIGHBOURS, size=len(rows))], rng.random(len(rows))
    known = {column.name: numbers(train[column.name]) for column in numeric(schema)}
    between = with_numbers(train.take(rows), schema, lambda name, x: x + way * (known[name][partner] - x))
    for column in categorical(schema):
        between = with_cells(between, column.name, train[column.name].take(_majority(train[column.name], near)))
    return _replaced(fresh, between, rng)


def overtrained(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by draws from a kernel density of far too small a bandwidth around train rows."""
    n_rows = _count(fresh, strength)
    rows = rng.integers(train.num_rows, size=n_rows)
    spread = {column.name: np.nanstd(numbers(train[column.name])) for column in numeric(schema)}
    drawn = with_numbers(
        train.take(rows), schema, lambda name, x: x + BANDWIDTH * spread[name] * rng.standard_normal(len(x))
    )
    for column in categorical(schema):
        kept = rng.random(n_rows) < KEPT_LEVELS
        drawn = with_cells(
            drawn, column.name, train[column.name].take(np.where(kept, rows, rng.integers(train.num_rows, size=n_rows)))
        )
    return _replaced(fresh, drawn, rng)


def overtrained_trees(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the rows by draws from a chain of trees that were grown down to two train rows a leaf.

    The first column is a bootstrap; each further cell is that of a train row in the leaf to which the cells before it
    lead. Source: Reiter 2005, "Using CART to generate partially synthetic public use microdata", Journal of Official
    Statistics 21(3).
    """
    n_rows, names = _count(fresh, strength), train.column_names
    known = np.column_stack([_ordered(train[name], column) for name, column in zip(names, schema.columns, strict=True)])
    rows = rng.integers(train.num_rows, size=n_rows)
    drawn, cells = known[rows], [train[names[0]].take(rows)]
    for j, name in enumerate(names[1:], start=1):
        tree = DecisionTreeRegressor(min_samples_leaf=SMALLEST_LEAF, random_state=int(rng.integers(1 << 32)))
        tree.fit(known[:, :j], known[:, j])
        rows = _one_of_each(tree.apply(known[:, :j]), tree.apply(drawn[:, :j]), rng)
        drawn[:, j] = known[rows, j]
        cells.append(train[name].take(rows))
    return _replaced(fresh, pa.table(cells, schema=train.schema), rng)


def rare_level_echo(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Write a share of the levels that fewer than five train rows, and no holdout row, carry into as many rows.

    Where there are not enough such levels, they are the values of the numeric column that has most of them, and come
    back in 5 % of the rows at most.
    """
    table, cells = fresh, _rare_cells(train, holdout, fresh, schema)
    chosen = rng.permutation(len(cells))[: max(1, round(strength * len(cells)))]
    for (name, level), row in zip([cells[i] for i in chosen], _some(fresh.num_rows, len(chosen), rng), strict=True):
        table = written(table, name, np.array([row]), pa.array([level], train[name].type))
    return table


def minority_copies(
    train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema, strength: float, rng: np.random.Generator
) -> pa.Table:
    """Replace a share of the smallest class's rows by train rows of that class.

    The class is the least frequent level that at least twenty train rows and one of the fresh rows carry.
    """
    name, level = _smallest_class(train, fresh, schema)
    own = _carriers(fresh[name], level)
    leaked = rng.permutation(own)[: max(1, round(strength * len(own)))]
    candidates = _carriers(train[name], level)
    copies = train.take(rng.permutation(candidates)[: len(leaked)])
    rest = np.setdiff1d(np.arange(fresh.num_rows), leaked[: copies.num_rows])
    return _shuffled(pa.concat_tables([copies, fresh.take(rest)]), rng)


LEAKERS = (
    Leaker("copies of 5 %", verbatim_copies, 0.05),
    Leaker("copies of 1 %", verbatim_copies, 0.01),
    Leaker("copies of outliers", outlier_copies, 0.01),
    Leaker("numbers one step off", nudged_copies, 0.05),
    Leaker("one column changed", one_column_changed, 0.05),
    Leaker("column bootstrap", column_bootstrap, 1.0),
    Leaker("reproduced extremes", reproduced_extremes, 1.0),
    Leaker("smoothed neighbours", smoothed_neighbours, 1.0),
    Leaker("SMOTE", smote, 1.0),
    Leaker("over-trained", overtrained, 1.0),
    Leaker("over-trained trees", overtrained_trees, 1.0),
    Leaker("rare-level echo", rare_level_echo, 1.0),
    Leaker("copied minority", minority_copies, 1.0),
)


class Coordinates:
    """Rows as points: standardised numbers and one-hot levels; a missing number is at the mean."""

    def __init__(self, train: pa.Table, schema: Schema) -> None:
        self._numeric, self._categorical = numeric(schema), categorical(schema)
        self._levels = {column.name: train[column.name].unique().drop_null() for column in self._categorical}
        columns = {column.name: numbers(train[column.name]) for column in self._numeric}
        self._scale = {name: (np.nanmean(x), np.nanstd(x) or 1.0) for name, x in columns.items()}
        self._index = NearestNeighbors(algorithm="brute").fit(self.of(train))

    def of(self, table: pa.Table) -> Floats:
        """Return the coordinates **(n_rows, n_dimensions)**."""
        parts = []
        for column in self._numeric:
            mean, spread = self._scale[column.name]
            parts.append(np.nan_to_num((numbers(table[column.name]) - mean) / spread)[:, None])
        for column in self._categorical:
            levels = self._levels[column.name]
            places = pc.index_in(table[column.name], levels).fill_null(len(levels)).to_numpy()
            parts.append(np.eye(len(levels) + 1)[places] / np.sqrt(2))
        return np.hstack(parts)

    def nearest(self, queries: pa.Table, k: int) -> Rows:
        """Return the places **(n_queries, k)** of the nearest train rows, the row itself among them."""
        return np.asarray(self._index.kneighbors(self.of(queries), k, return_distance=False), np.int64)

    def loneliest(self, train: pa.Table) -> Rows:
        """Return the places of the train rows, those furthest from their five nearest neighbours first."""
        distances, _ = self._index.kneighbors(self.of(train), N_NEIGHBOURS + 1)
        return np.argsort(-distances[:, 1:].mean(axis=1), kind="stable")


def _majority(cells: pa.ChunkedArray, near: Rows) -> Rows:
    """Return, for each row of `near`, the place of a neighbour that carries the level most of them carry."""
    codes = cells.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)[near]
    votes = (codes[:, :, None] == codes[:, None, :]).sum(axis=2)
    return near[np.arange(len(near)), votes.argmax(axis=1)]


def _rare_cells(train: pa.Table, holdout: pa.Table, fresh: pa.Table, schema: Schema) -> Sequence[tuple[str, object]]:
    """Return the cells that the echo may bring back, of all categorical columns or of one numeric one."""
    rare = {column.name: _rare_levels(train[column.name], holdout[column.name]) for column in schema.columns}
    levels = [(column.name, level) for column in categorical(schema) for level in rare[column.name]]
    if len(levels) >= FEWEST_LEVELS:
        return levels
    name = max((column.name for column in numeric(schema)), key=lambda name: len(rare[name]), default=None)
    if name is None or len(rare[name]) < FEWEST_LEVELS:
        raise NothingToLeakError(f"{len(levels)} levels are rare in train and absent from holdout")
    return [(name, value) for value in rare[name][: _count(fresh, MOST_ECHOED)]]


def _ordered(cells: pa.ChunkedArray, column: Column) -> Floats:
    """Return the cells as numbers, the levels by their place; -1 where missing."""
    if isinstance(column, NUMERIC):
        return np.nan_to_num(numbers(cells), nan=-1.0)
    return np.asarray(cells.combine_chunks().dictionary_encode().indices.fill_null(-1), np.float64)


def _one_of_each(own: Rows, wanted: Rows, rng: np.random.Generator) -> Rows:
    """Return, for each wanted leaf, the place of one of the rows whose own leaf it is."""
    order = np.argsort(own, kind="stable")
    first, last = (np.searchsorted(own[order], wanted, side=side) for side in ("left", "right"))
    return order[rng.integers(first, last)]


def _rare_levels(cells: pa.ChunkedArray, others: pa.ChunkedArray) -> Sequence[object]:
    counted = cells.drop_null().value_counts()
    few, levels = pc.less(counted.field("counts"), RARE), counted.field("values")
    return levels.filter(pc.and_(few, pc.invert(pc.is_in(levels, others.unique())))).to_pylist()


def _smallest_class(train: pa.Table, fresh: pa.Table, schema: Schema) -> tuple[str, object]:
    sizes = {}
    for column in categorical(schema):
        counted = train[column.name].drop_null().value_counts().to_pylist()
        met = set(fresh[column.name].unique().to_pylist())
        large = [entry for entry in counted if entry["counts"] >= SMALLEST_CLASS and entry["values"] in met]
        sizes |= {(column.name, entry["values"]): entry["counts"] for entry in large}
    if not sizes:
        raise NothingToLeakError(f"no level is carried by {SMALLEST_CLASS} train rows and a fresh one")
    return min(sizes, key=lambda key: (sizes[key], str(key)))


def _carriers(cells: pa.ChunkedArray, level: object) -> Rows:
    return np.flatnonzero(pc.equal(cells, pa.scalar(level, cells.type)).fill_null(False).to_numpy())


def _need_numbers(schema: Schema) -> None:
    if not numeric(schema):
        raise NothingToLeakError("no column is numeric")


def _count(fresh: pa.Table, strength: float) -> int:
    return max(1, round(strength * fresh.num_rows))


def _some(n_rows: int, n_drawn: int, rng: np.random.Generator) -> Rows:
    """Draw places without repetition while there are enough."""
    return rng.permutation(n_rows)[:n_drawn] if n_drawn <= n_rows else rng.integers(n_rows, size=n_drawn)


def _replaced(fresh: pa.Table, leaked: pa.Table, rng: np.random.Generator) -> pa.Table:
    kept = fresh.take(_some(fresh.num_rows, fresh.num_rows - leaked.num_rows, rng))
    return _shuffled(pa.concat_tables([leaked, kept]), rng)


def _shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.take(rng.permutation(table.num_rows)).combine_chunks()
