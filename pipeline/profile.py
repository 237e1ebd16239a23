"""What a source table looked like: the counts that a later table is compared with.

A profile is private state and never published. Even so it tells no rare text and no extreme: a level that fewer than 5
rows carry is kept as a hash, and every edge has at least 5 rows on either side.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.arrow_types import family
from pipeline.columns import Boolean, Categorical, Column, Constant
from pipeline.config import Config
from pipeline.errors import SchemaError
from pipeline.inference import WIDELY
from pipeline.schema import Schema

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

VERSION: Literal[1] = 1
N_BINS = 20
ROWS_PER_BIN = 30
"""A small table has fewer bins, of so many rows on average: with more, chance alone moves rows between them."""


class Ranges(Config):
    """Bins of numbers, of about equal numbers of rows; a value that many rows share has one of its own.

    Attributes:
        edges: between neighbouring bins, ascending; a number on an edge belongs below it.
        counts: the rows of each bin, and last those that hold no number (NaN).
    """

    kind: Literal["ranges"] = "ranges"
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Groups(Config):
    """Bins of levels: each common one has its own, and the others share a few by their hash, new ones too.

    Attributes:
        levels: those that have a bin of their own.
        counts: the rows of each of them, and then of each shared bin.
    """

    kind: Literal["groups"] = "groups"
    levels: tuple[str, ...]
    counts: tuple[int, ...]


Bins = Annotated[Ranges | Groups, Field(discriminator="kind")]


class ColumnProfile(Config):
    """What one column looked like.

    Attributes:
        name: of the column.
        arrow: the text of its Arrow type.
        kind: as which it was declared.
        n_missing: how many cells were missing.
        levels: of a categorical or boolean column, those that 5 rows or more carried.
        rare_levels: the hashes of the others.
        bins: the rows in each range of numbers, or at each level; of text and text keys, in each range of lengths.
            None where there is nothing to compare: the column is constant.
    """

    name: str
    arrow: str
    kind: str
    n_missing: int
    levels: tuple[str, ...] = ()
    rare_levels: tuple[str, ...] = ()
    bins: Bins | None = None

    def place(self, values: pa.ChunkedArray) -> Counts:
        """Return how many of the values lie in each bin; they are of the column's Arrow type.

        Example:
            >>> from pipeline.columns import Integer
            >>> age = Integer(name="age", arrow="int64")
            >>> profile = profile_of(pa.table({"age": range(60)}), Schema(columns=(age,))).column("age")
            >>> profile.place(pa.chunked_array([[3, 4, 59]])).tolist()
            [2, 1, 0]
        """
        match self.bins:
            case Ranges(edges=edges):
                return _in_ranges(_numbers(values), edges)
            case Groups(levels=levels):
                return _in_groups(*level_counts(values), self.name, levels)
            case _:
                return np.zeros(0, np.int64)

    def knows(self, levels: list[str]) -> npt.NDArray[np.bool_]:
        """Say which of the levels the column had."""
        known, rare = set(self.levels), set(self.rare_levels)
        return np.array([level in known or level_hash(self.name, level) in rare for level in levels], np.bool_)


class Profile(Config):
    """What a source table looked like.

    Attributes:
        version: of the format.
        n_rows: how many rows it had.
        columns: in the order of the schema.
    """

    version: Literal[1] = VERSION
    n_rows: int
    columns: tuple[ColumnProfile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that the table had."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> ColumnProfile:
        """Return the profile of the column of that name.

        Raises:
            SchemaError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        remedy = "use the profile that was kept with this schema"
        raise SchemaError("a profile must know every column of its schema", actual=f'no "{name}"', remedy=remedy)


def profile_of(table: pa.Table, schema: Schema) -> Profile:
    """Return the profile of a table that fits `schema`; columns that the table lacks are left out.

    Example:
        >>> schema = Schema(columns=(Boolean(name="smoker", arrow="bool", nullable=True),))
        >>> profile = profile_of(pa.table({"smoker": [True] * 6 + [False] * 5 + [None]}), schema)
        >>> profile.column("smoker").levels, profile.column("smoker").n_missing
        (('true', 'false'), 1)
    """
    present = [column for column in schema.columns if column.name in table.column_names]
    columns = tuple(profile_column(column, table[column.name]) for column in present)
    return Profile(n_rows=table.num_rows, columns=columns)


def profile_column(column: Column, values: pa.ChunkedArray) -> ColumnProfile:
    """Return the profile of one column, whose values are of its declared Arrow type."""
    base = ColumnProfile(name=column.name, arrow=column.arrow, kind=column.kind, n_missing=values.null_count)
    if isinstance(column, Constant):
        return base
    if not isinstance(column, Categorical | Boolean):
        return base.model_copy(update={"bins": _ranges(_numbers(values))})
    levels, counts = level_counts(values)
    rare = sorted(level_hash(column.name, level) for level in _chosen(levels, counts < WIDELY))
    return base.model_copy(
        update={
            "levels": tuple(_chosen(levels, counts >= WIDELY)),
            "rare_levels": tuple(rare),
            "bins": _groups(levels, counts, column.name),
        }
    )


def level_hash(column: str, level: str) -> str:
    """Return the 16 hexadecimal digits that stand for a level in a profile.

    Example:
        >>> level_hash("city", "Oslo") == level_hash("city", "Oslo") != level_hash("town", "Oslo")
        True
    """
    return hashlib.sha256(f"{column}\x1f{level}".encode()).hexdigest()[:16]


def level_counts(values: pa.ChunkedArray) -> tuple[list[str], Counts]:
    """Return the levels of a column as text, and the number of rows of each.

    Example:
        >>> level_counts(pa.chunked_array([[2, 1, None, 2]]))
        (['2', '1'], array([2, 1]))
    """
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    found = plain.drop_null().value_counts()
    levels = found.field("values").cast(pa.string()).to_pylist()
    return levels, found.field("counts").to_numpy().astype(np.int64)


def _chosen(levels: list[str], marks: npt.NDArray[np.bool_]) -> list[str]:
    return [level for level, mark in zip(levels, marks.tolist(), strict=True) if mark]


def _numbers(values: pa.ChunkedArray) -> Floats:
    """Return the present cells as numbers; of text, its lengths."""
    present = values.drop_null()
    match family(values.type):
        case "string":
            present = pc.utf8_length(present)
        case "dictionary":
            present = pc.utf8_length(present.cast(values.type.value_type))
        case "date":
            present = present.cast(pa.date32()).cast(pa.int32())
        case "timestamp" | "duration":
            present = present.cast(pa.int64())
        case _:
            pass
    numbers: Floats = present.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _ranges(numbers: Floats) -> Ranges:
    finite = numbers[np.isfinite(numbers)]
    distinct, rows = np.unique(finite, return_counts=True)
    below = _cuts(rows, int(np.clip(len(finite) // ROWS_PER_BIN, 2, N_BINS)))
    edges = tuple((distinct[below] * 0.5 + distinct[[cut + 1 for cut in below]] * 0.5).tolist())
    return Ranges(edges=edges, counts=tuple(_in_ranges(numbers, edges).tolist()))


def _cuts(counts: Counts, n_bins: int) -> list[int]:
    """Return after which of the sorted numbers to cut; either side of a cut keeps enough rows to hide each of them."""
    ends = np.cumsum(counts)
    n_rows = int(counts.sum())
    group = np.ceil((ends - counts / 2) * n_bins / max(n_rows, 1))
    shared = counts >= max(n_rows / n_bins, WIDELY)
    cuts: list[int] = []
    begun = 0
    for cut in np.flatnonzero((np.diff(group) > 0) | shared[1:] | shared[:-1]).tolist():
        if ends[cut] - begun >= WIDELY and n_rows - ends[cut] >= WIDELY:
            cuts.append(cut)
            begun = ends[cut]
    return cuts


def _in_ranges(numbers: Floats, edges: tuple[float, ...]) -> Counts:
    ordered = np.sort(numbers)  # NaN comes last, and searching the few edges is faster than the many numbers
    ends = np.searchsorted(ordered, np.append(np.array(edges), np.inf), side="right")
    return np.diff(np.concatenate([[0], ends, [len(numbers)]]))


def _groups(levels: list[str], counts: Counts, name: str) -> Groups:
    common = _chosen(levels, counts >= max(counts.sum() / N_BINS, WIDELY))
    return Groups(levels=tuple(common), counts=tuple(_in_groups(levels, counts, name, tuple(common)).tolist()))


def _in_groups(levels: list[str], counts: Counts, name: str, common: tuple[str, ...]) -> Counts:
    own = {level: place for place, level in enumerate(common)}
    places = [own[level] if level in own else len(own) + _group(name, level) for level in levels]
    rows = np.bincount(np.array(places, np.int64), weights=counts, minlength=len(own) + N_BINS)
    return rows.astype(np.int64)


def _group(name: str, level: str) -> int:
    return int(level_hash(name, level), 16) % N_BINS
