"""Imputation: the missing cells of a table, drawn given the observed cells of their own row.

A generator is trained on incomplete rows as they are, and learns a missing cell as a token of its own, or with the
settings of `imputer` not at all. When a table is imputed, its missing cells are unknown to the draw, rather than known
to be missing, and are drawn with that token forbidden. So a cell j comes from p(x_j | the row's observed cells, cell j
is observed too), the next one given this draw too, and so on. This is p(x_j | the row's observed cells), which is what
imputation needs, where a cell's being missing does not depend on its value once the row's observed cells are known:
where cells are missing completely at random, and where they are missing at random given columns that are never missing.
See Mohan, Pearl and Tian 2013, "Graphical models for inference with missing data" (NIPS 26), and on weaker readings of
the term Seaman et al. 2013, "What is meant by missing at random?", doi:10.1214/13-STS415. Where the missing values
themselves decide, as incomes that are withheld because they are high, no method that knows only the table can be right.

One draw for each missing cell makes a table in which every relation is as strong as it should be, but which looks more
certain than it is; several show by their spread what is not known. Analyse each and `pool` the results; Rubin 1987,
"Multiple imputation for nonresponse in surveys", section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.codecs.axis import Cells, NumericColumn, axis_of
from pipeline.columns import Column, Constant, Identifier, Text
from pipeline.conform import conform
from pipeline.encoded import BoolArray, FloatArray
from pipeline.errors import ConfigError, SchemaError
from pipeline.schema import Schema, quoted
from pipeline.seeds import substream
from pipeline.source import load

from .base import TabularGenerator
from .completion import read_incomplete
from .pooling import refuse_level
from .registry import generator_config
from .tokens_then_values import TokensThenValuesConfig

SETTINGS: dict[str, Any] = {"missing": "unobserved", "ordered_share": 0.0}
"""What suits imputation, for the families that have these settings."""
Table: TypeAlias = pa.Table | pd.DataFrame
Centre = Literal["median", "mean"]
Indices = npt.NDArray[np.int64]


def imputer(kind: str = "flow_matching", **settings: Any) -> TabularGenerator:
    """Return an unfitted generator with the settings that suit imputation.

    Flow matching and DDPM then learn complete rows from what is observed of them, and in all train rows what follows
    from a random set of known cells, rather than, in half of them, the order in which whole rows are drawn. Rows that
    it draws have no missing cells. Every other kind learns as it always does.

    Args:
        kind: of the family.
        **settings: of that kind, in place of what suits.

    Raises:
        ConfigError: as `generator_config`.

    Example:
        >>> imputer("ddpm", depth=1).config.missing
        'unobserved'
    """
    usual = generator_config(kind)
    own = SETTINGS if isinstance(usual, TokensThenValuesConfig) else {}
    return TabularGenerator(generator_config(kind, **(own | settings)))


def impute(
    generator: TabularGenerator,
    table: Table,
    *,
    n_imputations: int = 20,
    columns: Sequence[str] | None = None,
    seed: int = 0,
) -> Imputed:
    """Draw the missing cells of a table, several times, given the observed cells of their own row.

    Args:
        generator: fitted, on this table or on one like it; best one made by `imputer`.
        table: its columns are the generator's; those that are not modelled may be absent, and are left as they are.
            Cells may be missing in any column, whether train had missing cells there or not.
        n_imputations: how often each missing cell is drawn.
        columns: whose missing cells are filled; all that are modelled unless given.
        seed: of everything random; the same seed gives the same draws.

    Raises:
        ConfigError: there are less than one imputation, or a column is not modelled.
        SchemaError: the table does not fit the generator's schema.
        UnsupportedError: the family cannot be given single cells.

    Example:
        >>> from generators import generator_config
        >>> people = pd.DataFrame({"age": [20.0, 30.0, 40.0] * 40, "sick": [False, False, True] * 40})
        >>> generator = TabularGenerator(generator_config("independent")).fit(people, seed=0)
        >>> imputed = impute(generator, pd.DataFrame({"age": [None, 44.0], "sick": [True, None]}), seed=1)
        >>> imputed.counts
        {'age': 1, 'sick': 1}
        >>> imputed.single().age[1], bool(imputed.single().isna().any(axis=None)), len(imputed.tables)
        (np.float64(44.0), False, 20)
    """
    if n_imputations < 1:
        rule, remedy = "a missing cell must be drawn at least once", "give 1 imputation or more"
        raise ConfigError(rule, actual=str(n_imputations), remedy=remedy)
    order = table.column_names if isinstance(table, pa.Table) else list(table.columns)
    given = read_incomplete(table, generator.schema).select(order)
    modelled = _modelled(generator.schema)
    _refuse_absent(order, modelled)
    missing = {name: given[name].is_null().to_numpy() for name in _chosen(columns, modelled)}
    missing = {name: mask for name, mask in missing.items() if mask.any()}
    rows = np.flatnonzero(np.logical_or.reduce(list(missing.values()))) if missing else np.empty(0, np.int64)
    incomplete = given.select(modelled.names).take(rows)
    draws = _drawn(generator, incomplete, modelled, n_imputations, seed) if len(rows) else incomplete
    return Imputed(table, given, generator.schema, missing, rows, draws, n_imputations)


@dataclass(frozen=True)
class Imputed:
    """A table and draws of its missing cells.

    Attributes:
        original: the table as it was given; tables are returned as it is, Arrow or pandas.
        given: the same in the types of `schema`.
        schema: that of the generator.
        missing: bool **(n_rows,)** of each column that is filled: which of its cells were missing.
        rows: int64 **(n_incomplete,)**, the rows that have such a cell.
        draws: **n_imputations x n_incomplete** rows, one draw of all of them after the other.
        n_imputations: how many draws there are.
    """

    original: Table
    given: pa.Table
    schema: Schema
    missing: dict[str, BoolArray]
    rows: Indices
    draws: pa.Table
    n_imputations: int

    @property
    def counts(self) -> dict[str, int]:
        """How many cells of each column are filled."""
        return {name: int(mask.sum()) for name, mask in self.missing.items()}

    @property
    def left(self) -> dict[str, int]:
        """How many cells stay missing, in columns that are not modelled or were not chosen."""
        counts = {name: self.given[name].null_count for name in self.given.column_names if name not in self.missing}
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The completed tables, one for each imputation; observed cells are as they were."""
        n = len(self.rows)
        return tuple(
            self._filled({name: self.draws[name].combine_chunks().slice(i * n, n) for name in self.missing})
            for i in range(self.n_imputations)
        )

    def single(self, centre: Centre = "median") -> Table:
        """Return one completed table, each missing cell filled with the centre of its draws.

        It is the best guess at each cell, and no table to analyse: its cells vary less, and hang together more, than
        real ones, and constraints between columns, which hold in every draw, may not hold in it. A category is the one
        drawn most often; numbers and times are the median or the mean of the draws, rounded to the column's step or
        decimals. With an even number of draws the median is the lower of the two in the middle, so that it is a value
        that was drawn; NaN counts as larger than any number.

        Args:
            centre: the median has the least absolute error, the mean the least squared error.
        """
        return self._filled({name: self._centre(self.schema.column(name), centre) for name in self.missing})

    def intervals(self, level: float = 0.9) -> Table:
        """Return bounds for each missing number or time: the columns "x (low)" and "x (high)", null where observed.

        The bounds are draws: the k-th smallest and the k-th largest of m. Where a cell's draws come from the
        distribution of its unknown value, the value and the draws are exchangeable, and it lies between the bounds with
        probability 1 - 2 k / (m + 1), and more where values repeat; k is the largest that gives the level. So 90 %
        needs 19 draws, of which these are the smallest and the largest; of 99 they are the 5th from either end.

        Source: Wilks 1941, "Determination of sample sizes for setting tolerance limits", doi:10.1214/aoms/1177731788.

        Raises:
            ConfigError: the level does not lie between 0 and 1, or is more than so few draws can give.
        """
        k = place_of_bounds(level, self.n_imputations)
        found: dict[str, pa.Array] = {}
        for name in self.missing:
            column = self.schema.column(name)
            if isinstance(column, NumericColumn):
                places = self._places(name)
                where = pa.array(places, mask=places < 0)
                found[f"{name} (low)"] = self._ranked(column, k - 1).take(where)
                found[f"{name} (high)"] = self._ranked(column, self.n_imputations - k).take(where)
        return _like(self.original, pa.table(found))

    def _centre(self, column: Column, centre: Centre) -> pa.Array:
        """Return a value **(n_incomplete,)** from the draws of each cell."""
        if not isinstance(column, NumericColumn):
            return self._most_drawn(column.name)
        median = self._ranked(column, (self.n_imputations - 1) // 2)
        return median if centre == "median" else self._mean(column, median)

    def _ranked(self, column: NumericColumn, place: int) -> pa.Array:
        """Return the draw **(n_incomplete,)** at a place from the smallest on, from 0."""
        drawn = self.draws[column.name].combine_chunks()
        cells = axis_of(column, drawn).read(drawn)
        keys = np.where(cells.special == 0, cells.numbers, 0), np.array([0, 2, 1, -1])[cells.special]
        finite, special = (key.reshape(self.n_imputations, -1) for key in keys)
        order = np.lexsort((finite, special), axis=0)
        return drawn.take(pa.array(order[place] * len(self.rows) + np.arange(len(self.rows))))

    def _mean(self, column: NumericColumn, median: pa.Array) -> pa.Array:
        """Return the means of the draws, and the median where NaN or infinity was drawn."""
        drawn = self.draws[column.name].combine_chunks()
        axis = axis_of(column, drawn)
        cells, middle = axis.read(drawn), axis.read(median)
        numbers = cells.numbers.reshape(self.n_imputations, -1)
        means = middle.numbers + _rounded((numbers - middle.numbers).mean(axis=0), numbers.dtype)
        special = cells.special.reshape(self.n_imputations, -1).any(axis=0)
        return axis.write(Cells(np.where(special, middle.numbers, means), middle.missing, middle.special))

    def _most_drawn(self, name: str) -> pa.Array:
        """Return the level that was drawn most often **(n_incomplete,)**, of several the first in order."""
        drawn = self.draws[name].combine_chunks()
        words = drawn.dictionary_decode() if pa.types.is_dictionary(drawn.type) else drawn
        levels = words.unique().sort()
        codes = pc.index_in(words, levels).to_numpy(zero_copy_only=False).reshape(self.n_imputations, -1)
        codes = np.sort(codes, axis=0)
        runs = np.ones_like(codes)
        for i in range(1, len(codes)):
            runs[i] += np.where(codes[i] == codes[i - 1], runs[i - 1], 0)
        most = np.take_along_axis(codes, runs.argmax(axis=0)[None], axis=0)[0]
        return levels.take(pa.array(most)).cast(drawn.type)

    def _filled(self, cells: dict[str, pa.Array]) -> Table:
        """Return the table with cells **(n_incomplete,)** in the places of the missing ones."""
        table = self.given
        for name, found in cells.items():
            column = _filled_in(table[name].combine_chunks(), found, self._places(name))
            table = table.set_column(table.column_names.index(name), table.field(name), column)
        return _like(self.original, table)

    def _places(self, name: str) -> Indices:
        """Return int64 **(n_rows,)**: a missing cell's place among the incomplete rows, and -1 where it is observed."""
        mask = self.missing[name]
        places = np.full(len(mask), -1)
        places[mask] = np.searchsorted(self.rows, np.flatnonzero(mask))
        return places


def place_of_bounds(level: float, n_imputations: int) -> int:
    """Return the k for which the k-th smallest and the k-th largest of m draws are bounds of a level.

    Raises:
        ConfigError: the level does not lie between 0 and 1, or is more than so few draws can give.

    Example:
        >>> place_of_bounds(0.9, 19), place_of_bounds(0.9, 99), place_of_bounds(0.5, 19)
        (1, 5, 5)
    """
    refuse_level(level)
    k = math.floor((1 - level) / 2 * (n_imputations + 1) + 1e-9)
    if k < 1:
        fewest = math.ceil(2 / (1 - level) - 1 - 1e-9)
        rule = f"bounds of level {level:g} need {fewest} imputations or more"
        raise ConfigError(rule, actual=str(n_imputations), remedy="give more imputations, or a lower level")
    return k


def _modelled(schema: Schema) -> Schema:
    kept = (column for column in schema.columns if not isinstance(column, Identifier | Text | Constant))
    return Schema(columns=tuple(kept))


def _refuse_absent(names: Sequence[str], modelled: Schema) -> None:
    absent = [name for name in modelled.names if name not in names]
    if absent:
        rule, remedy = "a table to impute needs every modelled column", "add them, with missing cells if need be"
        raise SchemaError(rule, actual=f"none of {', '.join(quoted(absent))}", remedy=remedy)


def _chosen(columns: Sequence[str] | None, modelled: Schema) -> Sequence[str]:
    for name in columns or ():
        if name not in modelled.names:
            remedy = f"use some of {', '.join(quoted(modelled.names))}"
            raise ConfigError("only modelled columns can be imputed", actual=f'"{name}"', remedy=remedy)
    return modelled.names if columns is None else columns


def _drawn(generator: TabularGenerator, table: pa.Table, modelled: Schema, n: int, seed: int) -> pa.Table:
    """Return the rows of a table n times, their missing cells drawn.

    All at once, because what rows have in common is computed once; but under constraints, which may want rows to
    differ, one time after the other.
    """
    n_at_once = 1 if generator.schema.constraints else n
    copies = table.take(np.tile(np.arange(table.num_rows), n_at_once))
    known = {name: copies[name].is_valid().to_numpy() for name in modelled.names}
    seeds = [substream(seed, "imputation", str(first)) for first in range(0, n, n_at_once)]
    drawn = [generator.complete(copies, known, seed=one, missing="never") for one in seeds]
    return pa.concat_tables(conform(load(part).table.select(modelled.names), modelled) for part in drawn)


def _filled_in(column: pa.Array, cells: pa.Array, places: Indices) -> pa.Array:
    """Return a column in which the cells at `places` stand where these are not -1."""
    rows = np.where(places < 0, np.arange(len(column)), len(column) + places)
    if not pa.types.is_dictionary(column.type):
        return pa.concat_arrays([column, cells]).take(rows)
    levels = column.dictionary
    new = cells.dictionary.filter(pc.invert(pc.is_in(cells.dictionary, levels)))
    levels = pa.concat_arrays([levels, new])
    words = pa.concat_arrays([column.dictionary_decode(), cells.dictionary_decode()]).take(rows)
    indices = pc.index_in(words, levels).cast(column.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, levels, ordered=column.type.ordered)


def _rounded(numbers: FloatArray, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return whole numbers where the axis has only these."""
    return np.rint(numbers).astype(kind) if np.issubdtype(kind, np.integer) else numbers


def _like(original: Table, table: pa.Table) -> Table:
    """Return a table as the original is: an Arrow table, or a frame with its index and its extension types."""
    if isinstance(original, pa.Table):
        return table
    described = pa.Schema.from_pandas(original.head(0), preserve_index=False).metadata
    frame: pd.DataFrame = table.replace_schema_metadata(described).to_pandas()
    return frame.set_axis(original.index)
