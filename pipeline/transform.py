"""The transform: a table to tokens and values, and back to a table of exactly the declared schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.codecs.boolean import BooleanCodec
from pipeline.codecs.categorical import CategoricalCodec
from pipeline.codecs.codec import MID, Codec
from pipeline.codecs.numeric import NumericCodec
from pipeline.codecs.parts import parts_of, put_together, take_apart
from pipeline.codecs.unmodelled import issue, refuse_issuable_keys
from pipeline.columns import Boolean, Categorical, Column, Constant, Identifier, Text
from pipeline.config import Config
from pipeline.encoded import BoolArray, Encoded, FloatArray, Layout
from pipeline.errors import ArtifactError, ConfigError, DataError, SchemaError
from pipeline.misfits import misfit
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng


class TransformConfig(Config):
    """How a table is encoded.

    Attributes:
        protect: a level, special value or extreme that fewer train rows carry is never reproduced; of a point
            in time, its date and its time of day, each on its own.
        n_bins: the largest number of bins of a numeric column; None: from its number of rows.
        max_repeated: the largest number of repeated values of a numeric column that get a token each; None: as many as
            suit the family of the generator, 512 where there is none.
    """

    protect: int = Field(default=5, ge=1)
    n_bins: int | None = Field(default=None, ge=1)
    max_repeated: int | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class TableTransform:
    """The two-way translation between tables of one schema and their encoded form, learned from train alone.

    Attributes:
        schema: the declared schema.
        codecs: one for each token column, by name, in table order.

    Example:
        >>> from pipeline.columns import Integer
        >>> table = pa.table({"age": [30, 41] * 10})
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64"),))
        >>> transform = TableTransform.fit(table, schema)
        >>> encoded = transform.encode(table)
        >>> encoded.tokens[:3].tolist()
        [[0], [1], [0]]
        >>> transform.decode(encoded, seed=0)["age"].to_pylist()[:3]
        [30, 41, 30]
    """

    schema: Schema
    codecs: dict[str, Codec]

    @classmethod
    def fit(cls, train: pa.Table, schema: Schema, config: TransformConfig | None = None) -> TableTransform:
        """Learn the vocabularies and edges of a train table.

        Raises:
            SchemaError: the table does not fit the schema.
            DataError: a column cannot be learned from.
        """
        schema.validate_table(train)
        config = config or TransformConfig()
        for column in schema.columns:
            if isinstance(column, Identifier):
                refuse_issuable_keys(column, column_of(train, column))
        codecs = {
            part.name: _fit_codec(part, array, config)
            for name, parts in parts_of(schema).items()
            for part, array in zip(parts, _part_arrays(train, schema.column(name)), strict=True)
        }
        if not codecs:
            remedy = "declare one that is neither identifier, text nor constant"
            raise DataError("a table needs a column to model", actual="none", remedy=remedy)
        return cls(schema, codecs)

    @cached_property
    def parts(self) -> dict[str, tuple[Column, ...]]:
        """What stands for each modelled column in encoded form, by the column's name, in the order of the layout."""
        return parts_of(self.schema)

    @cached_property
    def layout(self) -> Layout:
        """The form of the encoded table."""
        return Layout(tuple(codec.vocabulary for codec in self.codecs.values()))

    def encode(self, table: pa.Table) -> Encoded:
        """Return the encoded form; columns that are not modelled are not read and may be absent.

        Raises:
            SchemaError: a modelled column is missing or of another type.
            DataError: a cell cannot be encoded.
        """
        tokens = np.empty((len(table), self.layout.n_columns), np.int32)
        values = np.empty((len(table), len(self.layout.valued)))
        arrays = (array for name in self.parts for array in _part_arrays(table, self.schema.column(name)))
        for index, (codec, array) in enumerate(zip(self.codecs.values(), arrays, strict=True)):
            tokens[:, index], part_values = codec.encode(array)
            if index in self.layout.valued:
                values[:, self.layout.valued.index(index)] = part_values
        return Encoded(self.layout, tokens, values)

    def decode(self, encoded: Encoded, *, seed: int) -> pa.Table:
        """Return a table of exactly `schema.arrow()`; the seed draws what stands in for protected values.

        Raises:
            DataError: an issued key does not fit its column's type.
        """

        def cells(column: Column) -> pa.Array:
            if isinstance(column, Identifier | Text | Constant):
                return issue(column, len(encoded))
            return self._decode_column(column, encoded, numpy_rng(seed, "decode", column.name))

        target = self.schema.arrow()
        return pa.table([cells(self.schema.column(name)) for name in target.names], schema=target)

    def _decode_column(self, column: Column, encoded: Encoded, rng: np.random.Generator) -> pa.Array:
        parts = self.parts[column.name]
        first = self.layout.names.index(parts[0].name)
        cells = []
        for index, part in enumerate(parts, start=first):
            tokens = encoded.tokens[:, index]
            if column.nullable and index > first:
                lone = (tokens == 0) & (encoded.tokens[:, first] != 0)
                tokens = np.where(lone, self.layout.sizes[index] - 1, tokens)  # missing alone: like rare, drawn anew
            cells.append(self.codecs[part.name].decode(tokens, _values(encoded, index), rng))
        return put_together(column, tuple(cells))

    def encode_value(self, column: str, value: object) -> dict[int, tuple[int, float]]:
        """Return token and value of one cell, as a condition to draw under, for each token column of its column.

        Text is read as the column's type. The keys are places in `layout.columns`.

        Raises:
            SchemaError: there is no such column.
            DataError: the column is not modelled, or no drawn row could have this value.

        Example:
            >>> from pipeline.columns import Boolean
            >>> schema = Schema(columns=(Boolean(name="smoker", arrow="bool"),))
            >>> TableTransform.fit(pa.table({"smoker": [True, False]}), schema).encode_value("smoker", "true")
            {0: (1, 0.5)}
        """
        declared = self.schema.column(column)
        if column not in self.parts:
            rule = f'column "{column}" cannot be a condition, because it is not modelled'
            raise DataError(rule, actual=declared.kind, remedy="condition on another column")
        array = one_cell(declared, value)
        if not self.can_draw(column, array)[0]:
            rule = f'a condition on column "{column}" must be a value that can be drawn'
            remedy = "choose one that enough train rows carry, inside the range of the column"
            raise DataError(rule, actual=repr(value), remedy=remedy)
        condition = {}
        for part, cell in zip(self.parts[column], take_apart(declared, array), strict=True):
            tokens, values = self.codecs[part.name].encode(cell)
            condition[self.layout.names.index(part.name)] = int(tokens[0]), float(values[0])
        return condition

    def tokens_of(self, column: str, values: Iterable[object]) -> dict[int, BoolArray]:
        """Return which tokens some of the values have, for each token column of a column, by place in the layout.

        Raises:
            SchemaError, DataError: as `encode_value`.
        """
        places = self.places(column)
        found = {place: np.zeros(self.layout.sizes[place], np.bool_) for place in places}
        for value in values:
            for place, (token, _) in self.encode_value(column, value).items():
                found[place][token] = True
        return found

    def tokens_between(self, column: str, low: object, high: object) -> dict[int, BoolArray]:
        """Return which tokens have a value between two, ends included, by place in the layout; None leaves a side open.

        Of a point in time it is those of its date.

        Raises:
            SchemaError: there is no such column.
            ConfigError: its values have no order.
            DataError: an end is none of the column's type.
        """
        declared = self.schema.column(column)
        part = self.parts[column][0]
        codec = self.codecs[part.name]
        if not isinstance(codec, NumericCodec):
            rule, remedy = f'a range needs a column with an order, and "{column}" has none', "give a list of values"
            raise ConfigError(rule, actual=declared.kind, remedy=remedy)
        ends = (None if end is None else take_apart(declared, typed_cell(declared, end))[0] for end in (low, high))
        return {self.layout.names.index(part.name): codec.tokens_between(*ends)}

    def places(self, column: str) -> list[int]:
        """Return where the token columns of a modelled column are in the layout."""
        return [self.layout.names.index(part.name) for part in self.parts[column]]

    def encode_cells(self, table: pa.Table, known: Mapping[str, BoolArray]) -> tuple[Encoded, BoolArray]:
        """Encode the known cells of a table and nothing else.

        Args:
            table: of which only known cells are read.
            known: bool **(n_rows,)** by column; those without are not known.

        Returns:
            the encoded table, and bool **(n_rows, n_token_columns)**: where it has been set.

        Raises:
            SchemaError: a column with known cells is missing or of another type.
            DataError: a cell cannot be encoded.
        """
        tokens = np.zeros((len(table), self.layout.n_columns), np.int32)
        values = np.full((len(table), len(self.layout.valued)), MID)
        mask = np.zeros(tokens.shape, np.bool_)
        for name in (name for name in self.parts if name in known):
            rows = np.flatnonzero(known[name])
            declared = self.schema.column(name)
            cells = take_apart(declared, column_of(table, declared).take(pa.array(rows)))
            for place, part, array in zip(self.places(name), self.parts[name], cells, strict=True):
                tokens[rows, place], part_values = self.codecs[part.name].encode(array)
                mask[rows, place] = True
                if place in self.layout.valued:
                    values[rows, self.layout.valued.index(place)] = part_values
        return Encoded(self.layout, tokens, values), mask

    def levels(self, column: str) -> list[Any]:
        """Return the values that a categorical or boolean column can be drawn with, without missing; none for others.

        Raises:
            SchemaError: there is no such column.
        """
        match self.schema.column(column):
            case Categorical(name=name):
                codec = self.codecs[name]
                return codec.levels.to_pylist() if isinstance(codec, CategoricalCodec) else []
            case Boolean():
                drawable = self.can_draw(column, pa.array([False, True]))
                return [value for value in (False, True) if drawable[int(value)]]
            case _:
                return []

    def can_draw(self, column: str, array: pa.Array) -> BoolArray:
        """Say which cells of a modelled column have a value that `decode` can return.

        Raises:
            SchemaError: there is no such column, or its time zone is unknown.
        """
        declared = self.schema.column(column)
        cells = take_apart(declared, array)
        codecs = [self.codecs[part.name] for part in self.parts[column]]
        drawable = np.logical_and.reduce([codec.can_draw(part) for codec, part in zip(codecs, cells, strict=True)])
        if len(cells) > 1:  # the second pass through an hour that the clock repeats does not come back
            drawable &= pc.equal(put_together(declared, cells), array).fill_null(True).to_numpy(zero_copy_only=False)
        return np.asarray(drawable, np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Return the schema and the fitted state of every codec; no row of the table."""
        codecs = {name: codec.to_json() for name, codec in self.codecs.items()}
        return {"schema": self.schema.model_dump(mode="json"), "codecs": codecs}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> TableTransform:
        """Rebuild a transform from `to_json`; it encodes and decodes identically.

        Raises:
            ArtifactError: the state is damaged.
        """
        with damage_refused():
            schema = Schema.model_validate(state["schema"])
            parts = (part for parts in parts_of(schema).values() for part in parts)
            codecs = {part.name: _codec_from_json(part, state["codecs"][part.name]) for part in parts}
        return cls(schema, codecs)


@contextmanager
def damage_refused() -> Iterator[None]:
    """Refuse a saved state that cannot be read back.

    Raises:
        ArtifactError: what goes wrong inside is what a damaged state does.
    """
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        pa.ArrowException,
        SchemaError,
    ) as error:
        remedy = "restore the folder, or fit again"
        raise ArtifactError("a transform's state is damaged", actual=str(error), remedy=remedy) from error


def _fit_codec(column: Column, array: pa.Array, config: TransformConfig) -> Codec:
    codec = _learned(column, array, config)
    if not codec.vocabulary.drawable.any():
        rule, remedy = f'column "{column.name}" needs a value that may be drawn', "give more rows, or lower `protect`"
        raise DataError(rule, actual=f"{len(array)} rows, all protected", remedy=remedy)
    return codec


def _learned(column: Column, array: pa.Array, config: TransformConfig) -> Codec:
    match column:
        case Categorical():
            return CategoricalCodec.fit(column, array, protect=config.protect)
        case Boolean():
            return BooleanCodec.fit(column, array)
        case Identifier() | Text() | Constant():
            raise TypeError(f"{column.kind} columns are not modelled")
        case _:
            protect, n_bins, max_repeated = config.protect, config.n_bins, config.max_repeated
            return NumericCodec.fit(column, array, protect=protect, n_bins=n_bins, max_repeated=max_repeated)


def _codec_from_json(column: Column, state: dict[str, Any]) -> Codec:
    match column:
        case Categorical():
            return CategoricalCodec.from_json(column, state)
        case Boolean():
            return BooleanCodec.from_json(column, state)
        case Identifier() | Text() | Constant():
            raise TypeError(f"{column.kind} columns are not modelled")
        case _:
            return NumericCodec.from_json(column, state)


def _part_arrays(table: pa.Table, column: Column) -> tuple[pa.Array, ...]:
    return take_apart(column, column_of(table, column))


def _values(encoded: Encoded, index: int) -> FloatArray:
    """Return the values of a token column, those of rows without one where it has none."""
    if index not in encoded.layout.valued:
        return np.full(len(encoded), MID)
    values: FloatArray = encoded.values[:, encoded.layout.valued.index(index)]
    return values


def column_of(table: pa.Table, column: Column) -> pa.Array:
    """Return a column in one piece.

    Raises:
        SchemaError: it is missing or of another type.
    """
    found = table.schema.field(column.name).type if column.name in table.column_names else "no such column"
    if found != column.arrow_type:
        remedy = "cast the table to the schema, or infer the schema anew"
        raise SchemaError(f'column "{column.name}" must be {column.arrow}', actual=str(found), remedy=remedy)
    chunks = table[column.name]
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def typed_cell(column: Column, value: object) -> pa.Array:
    """Return a single cell of the column's type; text is read as that type.

    Raises:
        DataError: the value is none of the column's type.

    Example:
        >>> from pipeline.columns import Integer
        >>> typed_cell(Integer(name="age", arrow="int8"), "36").to_pylist()
        [36]
    """
    try:
        if isinstance(value, str):
            return pa.array([value]).cast(column.arrow_type)
        return pa.array([value], column.arrow_type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _unfit(column, value, str(error)) from error


def one_cell(column: Column, value: object) -> pa.Array:
    """Return a single cell of the column's type, which fits what the schema declares.

    Raises:
        DataError: it does not.
    """
    array = typed_cell(column, value)
    try:
        problem = misfit(column, pa.chunked_array([array]))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = str(error)
    if problem:
        raise _unfit(column, value, problem)
    return array


def _unfit(column: Column, value: object, problem: str) -> DataError:
    rule = f'a condition on column "{column.name}" must fit {column.arrow}'
    return DataError(rule, actual=f"{value!r} ({problem})", remedy="give a value of the column's type and bounds")
