"""Cells that train says little about: numbers beyond its range, levels too rare to be kept, gaps where there were none.

In encoded form such a cell looks like an ordinary one: a number beyond the edges is read as lying on the edge, an
unknown level as one of the rare ones. Whoever asks how odd a row is must know which cells these are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.codecs.codec import MID, Codec
from pipeline.codecs.numeric import NumericCodec
from pipeline.codecs.parts import take_apart
from pipeline.columns import Column, undeclared
from pipeline.conform import conform
from pipeline.constrained import ConstrainedTransform
from pipeline.constraints.joint import Joint
from pipeline.encoded import BoolArray, Encoded, FloatArray
from pipeline.errors import SchemaError
from pipeline.schema import Schema, quoted
from pipeline.source import load


@dataclass(frozen=True)
class ReadRows:
    """Rows to be judged.

    Attributes:
        table: what is encoded: the modelled columns, with stand-ins for those that constraints tie together.
        encoded: the same rows; where a cell lies outside, its value is the middle of its bin.
        outside: bool **(n_rows, n_columns)**, which cells, by token column, no drawn row could have.
        distance: float64 of the same shape: how far a number lies beyond the range of the numbers that can be drawn, in
            units of that range; 0 for all other cells.
    """

    table: pa.Table
    encoded: Encoded
    outside: BoolArray
    distance: FloatArray

    def least_nats(self, n_train: int, protect: int) -> FloatArray:
        """Return what each cell counts at least **(n_rows, n_columns)**, in nats; 0 for those that can be drawn.

        What lies outside is carried by fewer than `protect` rows of train, so it is at least as odd as one event in
        n_train / protect. A number d ranges beyond adds log(1 + d): the tail of a Pareto distribution of index 1, which
        has no mean, so that ten times as far is always odder and never by more than log(10).
        """
        floor = math.log(n_train / protect) + np.log1p(self.distance)
        return np.where(self.outside, np.maximum(floor, 0.0), 0.0)


def read_rows(transform: ConstrainedTransform, table: pa.Table | pd.DataFrame) -> ReadRows:
    """Read rows of any values that the columns' types can hold, whatever the schema says of ranges and missing cells.

    A row that breaks a constraint has a stand-in that train has not, such as a stay of negative length. Columns that
    are not modelled are left alone and may be absent.

    Raises:
        SchemaError: a modelled column is missing, or its values are of another type.
        DataError: a level is not declared, in a column that is declared to refuse such.

    Example:
        >>> from pipeline.columns import Integer
        >>> ages = pa.table({"age": list(range(20, 70)) * 4})
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64", minimum=0),))
        >>> transform = ConstrainedTransform.fit(ages, schema)
        >>> found = read_rows(transform, pa.table({"age": [30, 118, None]}))
        >>> found.outside[:, 0].tolist(), found.distance[:, 0].round(1).tolist()
        ([False, True, True], [0.0, 1.1, 0.0])
    """
    modelled, inner = transform.free(_modelled(transform, table)), transform.inner
    cells = [
        _Cells.of(inner.codecs[part.name], array, nullable=column.nullable)
        for column in map(inner.schema.column, inner.parts)
        for part, array in zip(inner.parts[column.name], _part_arrays(column, modelled), strict=True)
    ]
    tokens, outside, distance = (
        np.stack([getattr(cell, name) for cell in cells], axis=1) for name in ("tokens", "outside", "distance")
    )
    values = [np.where(cells[i].outside, MID, cells[i].values) for i in transform.layout.valued]
    positions = np.stack(values, axis=1) if values else np.empty((len(tokens), 0))
    return ReadRows(modelled, Encoded(transform.layout, tokens, positions), outside, distance)


def log_widths(codec: Codec) -> FloatArray:
    """Return the log width of each token's place on the column's own axis **(size,)**; over train it is 0 on average.

    Bins hold about equally many train rows, so that a density over train quantiles does not see whether a number lies
    where rows are dense or in a sparse tail. Added to its nats, the log width gives those of a density over the axis:
    the change of variables. A repeated number is as wide as the space between it and its neighbours, which may be
    the outer edges of the bins, and inside of these at most as wide as the bin around it. Other tokens have 0.

    Example:
        >>> from pipeline.codecs.numeric import NumericCodec
        >>> from pipeline.columns import Integer
        >>> codec = NumericCodec.fit(Integer(name="n", arrow="int64"), pa.array([0, 1, 2, 10] * 9), protect=5)
        >>> log_widths(codec).round(1).tolist()
        [-0.9, -0.9, 0.6, 1.2, 0.0]
    """
    if not isinstance(codec, NumericCodec) or not len(codec.atoms) + len(codec.bins.low):
        return np.zeros(codec.vocabulary.size)
    atoms, low, high = (np.asarray(x, np.float64) for x in (codec.atoms, codec.bins.low, codec.bins.high))
    bins = high / 2 - low / 2 + codec.axis.grid / 2  # halves, so that no difference overflows
    spacing = _spacing(atoms, np.concatenate([atoms, low[:1], high[-1:]]))
    widths = np.concatenate([np.minimum(spacing, _bin_around(atoms, low, high, bins)), bins])
    logs = np.log(np.clip(widths, np.finfo(np.float64).tiny, np.finfo(np.float64).max))
    found = np.zeros(codec.vocabulary.size)
    placed = slice(len(found) - 1 - len(logs), len(found) - 1)  # behind them only the token of what is rare
    found[placed] = logs - np.average(logs, weights=codec.vocabulary.counts[placed])
    return found


def _spacing(atoms: FloatArray, places: FloatArray) -> FloatArray:
    """Return half the distance between the middles of the gaps beside each atom, among places that it is one of.

    At an end there is one gap, which counts twice; a place that is alone is 1 wide.
    """
    places = np.unique(places)
    if len(places) < 2:
        return np.full(len(atoms), 0.5)
    gaps = np.diff(places / 2)
    spacing: FloatArray = (np.append(gaps[0], gaps) + np.append(gaps, gaps[-1])) / 2
    return spacing[np.searchsorted(places, atoms)]


def _bin_around(atoms: FloatArray, low: FloatArray, high: FloatArray, bins: FloatArray) -> FloatArray:
    """Return the width of the bin that each atom lies in; outside of all there is no limit."""
    if not len(low):
        return np.full(len(atoms), np.inf)
    inside = (low[0] <= atoms) & (atoms <= high[-1])
    return np.where(inside, bins[np.searchsorted(low[1:], atoms, side="right")], np.inf)


def texts_of(transform: ConstrainedTransform, name: str, cells: pa.Array | pa.ChunkedArray) -> list[str]:
    """Return the cells of an encoded column as text; a combination as the cells of its columns."""
    joint = next((step for step in transform.steps if isinstance(step, Joint) and step.stand_in.name == name), None)
    if joint is None:
        return ["missing" if cell is None else str(cell) for cell in cells.to_pylist()]
    kept = [
        ", ".join("missing" if cell is None else str(cell) for cell in row.values()) for row in joint.levels.to_pylist()
    ]
    return ["a combination too rare" if place is None or place < 0 else kept[place] for place in cells.to_pylist()]


def _modelled(transform: ConstrainedTransform, table: pa.Table | pd.DataFrame) -> pa.Table:
    """Return the modelled columns in their declared types."""
    names, loaded = list(transform.modelled), load(table).table
    if absent := [name for name in names if name not in loaded.column_names]:
        rule, remedy = "rows to be judged need every modelled column", "add them; cells may be missing"
        raise SchemaError(rule, actual=f"no {', '.join(quoted(absent))}", remedy=remedy)
    return conform(loaded.select(names), Schema(columns=tuple(map(undeclared, map(transform.schema.column, names)))))


def _part_arrays(column: Column, table: pa.Table) -> tuple[pa.Array, ...]:
    return take_apart(column, table[column.name].combine_chunks())


@dataclass(frozen=True)
class _Cells:
    """The cells of one token column, each an array **(n_rows,)**."""

    tokens: npt.NDArray[np.int32]
    values: FloatArray
    outside: BoolArray
    distance: FloatArray

    @classmethod
    def of(cls, codec: Codec, array: pa.Array, *, nullable: bool) -> _Cells:
        """Encode the cells; a gap in a column that has none in train is read as the column's rarest token."""
        n = len(array)
        there = np.ones(n, np.bool_) if nullable else array.is_valid().to_numpy(zero_copy_only=False)
        present = array.filter(pa.array(there))
        tokens, values = np.full(n, codec.vocabulary.counts.argmin(), np.int32), np.full(n, MID)
        outside, distance = np.ones(n, np.bool_), np.zeros(n)
        tokens[there], values[there] = codec.encode(present)
        outside[there], distance[there] = ~codec.can_draw(present), _beyond(codec, present)
        return cls(tokens, values, outside, distance)


def _beyond(codec: Codec, array: pa.Array) -> FloatArray:
    """Return how far each number lies beyond the numbers that can be drawn **(n_rows,)**, in units of their range."""
    distance = np.zeros(len(array))
    if not isinstance(codec, NumericCodec) or not len(codec.atoms) + len(codec.bins.low):
        return distance
    cells = codec.axis.read(array)
    reach = np.concatenate([codec.atoms, codec.bins.low[:1], codec.bins.high[-1:]]).astype(np.float64)
    low, high = reach.min() / 2, reach.max() / 2  # halves, so that no difference overflows
    halves = cells.numbers[cells.finite] / 2
    outside = np.maximum(np.maximum(low - halves, halves - high), 0.0)
    unit = high - low or max(abs(high), 0.5)
    with np.errstate(over="ignore"):
        distance[cells.finite] = np.minimum(outside / unit, np.finfo(np.float64).max)
    return distance
