"""The three tables in numeric form, converted once and used by every metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.columns import Column
from pipeline.errors import SchemaError

from .statistics import BoolArray, FloatArray, IntArray
from .tables import Tables

CATEGORICAL = ("categorical", "boolean")
LARGEST, SMALLEST = 1e100, 1e-100
"""Squares of larger numbers overflow, of smaller ones vanish; columns of such numbers are expressed in another unit."""

Role = Literal["train", "holdout", "synthetic"]
ROLES: tuple[Role, ...] = ("train", "holdout", "synthetic")
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Feature:
    """How one column became numbers.

    Attributes:
        name: the column's name.
        column: its declaration.
        labels: the levels of a categorical column as text, most frequent in train first; code k stands for `labels[k]`.
        unit: what a numeric value must be multiplied with to be as in the table; 1 but for enormous or tiny numbers.

    """

    name: str
    column: Column
    labels: tuple[str, ...] = ()
    unit: float = 1.0

    @property
    def categorical(self) -> bool:
        """Whether the values are codes of levels without an order."""
        return self.column.kind in CATEGORICAL


@dataclass(frozen=True)
class Frame:
    """One table in numeric form.

    Attributes:
        features: what the columns are.
        columns: one array **(n_rows,)** per feature: int64 codes with -1 for missing, or float64 with NaN for missing.
            Times count in their own Arrow unit; infinity and not-a-number count as missing.
        n_rows: the number of rows.

    """

    features: tuple[Feature, ...]
    columns: tuple[Values, ...]
    n_rows: int

    def take(self, rows: npt.NDArray[np.intp] | BoolArray) -> Frame:
        """Return the given rows, in the given order."""
        columns = tuple(column[rows] for column in self.columns)
        return Frame(self.features, columns, len(rows) if rows.dtype != np.bool_ else int(rows.sum()))

    def missing(self, index: int) -> BoolArray:
        """Return where the column `index` is missing."""
        column = self.columns[index]
        return column < 0 if self.features[index].categorical else np.isnan(column)

    def codes(self, index: int) -> IntArray:
        """Return the codes of the categorical column `index`; missing is the level after the last label."""
        codes = np.asarray(self.columns[index], dtype=np.int64)
        return np.where(codes < 0, len(self.features[index].labels), codes)

    def numbers(self, index: int) -> FloatArray:
        """Return the column `index` as float64; missing is NaN, also for codes."""
        numbers = np.asarray(self.columns[index], dtype=np.float64)
        return np.where(self.missing(index), np.nan, numbers)

    def join(self, other: Frame) -> Frame:
        """Return the rows of this frame, then those of the other."""
        columns = tuple(np.concatenate(pair) for pair in zip(self.columns, other.columns, strict=True))
        return Frame(self.features, columns, self.n_rows + other.n_rows)

    def without(self, index: int) -> Frame:
        """Return the frame without the column `index`."""
        keep = [i for i in range(len(self.features)) if i != index]
        return Frame(tuple(self.features[i] for i in keep), tuple(self.columns[i] for i in keep), self.n_rows)


@dataclass(frozen=True)
class Frames:
    """The three tables in numeric form. `target` is the index of the target among the features, or None.

    `tables` are the tables as they were given, with identifiers and text, which are no features. `together` has the
    rows of all releases in place of the synthetic ones; None where none was published before.
    """

    train: Frame
    holdout: Frame
    synthetic: Frame
    target: int | None = None
    tables: Tables | None = None
    together: Frames | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features that all three share."""
        return self.train.features

    @property
    def n_rows(self) -> int:
        """The rows of the largest table."""
        return max(frame.n_rows for frame in (self.train, self.holdout, self.synthetic))


def frames_of(tables: Tables) -> Frames:
    """Convert the three tables; codes mean the same level in all of them.

    Raises:
        SchemaError: the same column has types in the three tables that cannot be reconciled.

    Example:
        >>> from pipeline.columns import Boolean
        >>> from pipeline.schema import Schema
        >>> table = pa.table({"smoker": [True, False, None, True]})
        >>> tables = Tables(Schema(columns=(Boolean(name="smoker", arrow="bool", nullable=True),)), table, table, table)
        >>> frames_of(tables).train.columns[0], frames_of(tables).features[0].labels
        (array([ 0,  1, -1,  0]), ('true', 'false'))

    """
    converted = [_converted(column, tables) for column in tables.modelled]
    features = tuple(feature for feature, _ in converted)
    train, holdout, synthetic = (
        Frame(features, tuple(columns[i] for _, columns in converted), getattr(tables, role).num_rows)
        for i, role in enumerate(ROLES)
    )
    names = [feature.name for feature in features]
    target = None if tables.target is None else names.index(tables.target)
    together = frames_of(tables.together()) if tables.published else None
    return Frames(train, holdout, synthetic, target, tables, together)


def _converted(column: Column, tables: Tables) -> tuple[Feature, list[Values]]:
    cells = [getattr(tables, role)[column.name] for role in ROLES]
    together = pa.concat_arrays([chunk for part in cells for chunk in _plain(part, cells[0].type, column)])
    ends = np.cumsum([len(part) for part in cells])[:-1]
    if column.kind in CATEGORICAL:
        feature, codes = _coded(column, together, n_train=len(cells[0]))
        return feature, list(np.split(codes, ends))
    feature, numbers = _numeric(column, together)
    return feature, list(np.split(numbers, ends))


def _plain(cells: pa.ChunkedArray, like: pa.DataType, column: Column) -> list[pa.Array]:
    """Return the chunks in train's type, dictionaries decoded; one empty chunk rather than none."""
    wanted = like.value_type if pa.types.is_dictionary(like) else like
    try:
        return cells.cast(wanted).chunks or [pa.array([], wanted)]
    except pa.ArrowException as error:
        rule = f'column "{column.name}" must have the same type in train, holdout and synthetic'
        raise SchemaError(rule, actual=f"{cells.type} and {like}", remedy="read all three with one schema") from error


def _coded(column: Column, cells: pa.Array, n_train: int) -> tuple[Feature, IntArray]:
    encoded = cells.dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
    labels = np.asarray(encoded.dictionary.cast(pa.string()).to_pylist(), dtype=object)
    in_train = codes[:n_train]
    frequency = np.bincount(in_train[in_train >= 0], minlength=len(labels))
    order = sorted(range(len(labels)), key=lambda k: (-frequency[k], labels[k]))
    rank = np.append(np.argsort(order), -1).astype(np.int64)  # code -1, missing, looks up the last entry
    return Feature(column.name, column, tuple(labels[order])), rank[codes]


def _numeric(column: Column, cells: pa.Array) -> tuple[Feature, FloatArray]:
    if pa.types.is_temporal(cells.type):
        cells = cells.cast(pa.int32() if pa.types.is_date32(cells.type) else pa.int64())
    floats = pc.cast(cells, pa.float64(), safe=False).fill_null(np.nan)
    numbers = np.where(np.isfinite(floats), floats, np.nan)
    largest = float(np.nanmax(np.abs(numbers), initial=0.0))
    unit = 1.0 if SMALLEST < largest < LARGEST or largest == 0 else 10.0 ** np.floor(np.log10(largest))
    return Feature(column.name, column, unit=float(unit)), numbers / unit
