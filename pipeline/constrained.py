"""The transform of a table whose schema declares constraints: tied columns are learned as others that are free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.columns import Boolean, Categorical, Column, Constant, Identifier, Text
from pipeline.constraints import Constraint, Predicate
from pipeline.constraints.constraint import Codes, as_marks, quoted_list
from pipeline.constraints.constraint import cells as cells_of
from pipeline.constraints.gap import Gap
from pipeline.constraints.joint import Joint
from pipeline.constraints.plan import is_kept_by, step_from_json, steps_for
from pipeline.constraints.step import Cells, Known, Step, marks_of
from pipeline.constraints.total import Total
from pipeline.encoded import BoolArray, Encoded, Layout
from pipeline.errors import ConfigError, DataError
from pipeline.misfits import misfit_rows
from pipeline.schema import Schema
from pipeline.transform import TableTransform, TransformConfig, column_of, damage_refused, one_cell, typed_cell


@dataclass(frozen=True)
class ConstrainedTransform:
    """The two-way translation between tables of one schema and their encoded form, which keeps what it can of the
    schema's constraints whatever is drawn; `broken` says which rows break the rest.

    Without a constraint it does what `TableTransform` does.

    Attributes:
        schema: the declared schema.
        steps: what takes the place of columns that constraints tie together, in the order in which columns come back.
        inner: the transform of the table with the stand-ins.

    Example:
        >>> from pipeline.columns import Integer
        >>> from pipeline.constraints import Inequality
        >>> columns = tuple(Integer(name=name, arrow="int64") for name in ("low", "high"))
        >>> schema = Schema(columns=columns, constraints=(Inequality(columns=("low", "high")),))
        >>> table = pa.table({"low": [1, 5] * 10, "high": [3, 5] * 10}, schema=schema.arrow())
        >>> transform = ConstrainedTransform.fit(table, schema)
        >>> transform.layout.names
        ('low', 'high above low')
        >>> transform.decode(transform.encode(table), seed=0).equals(table)
        True
    """

    schema: Schema
    steps: tuple[Step, ...]
    inner: TableTransform

    @classmethod
    def fit(cls, train: pa.Table, schema: Schema, config: TransformConfig | None = None) -> ConstrainedTransform:
        """Learn the combinations, vocabularies and edges of a train table.

        Raises:
            SchemaError: the table does not fit the schema, or breaks one of its constraints.
            DataError: a column, or the combinations of several, cannot be learned from.
        """
        schema.validate_table(train)
        config = config or TransformConfig()
        steps = steps_for(schema, train, protect=config.protect)
        inner = _inner_schema(schema, steps)
        free = _free(steps, _cells(train))
        free = {name: free[name] for name in inner.names if name in free}
        return cls(schema, steps, TableTransform.fit(pa.table(free), inner, config))

    @property
    def layout(self) -> Layout:
        """The form of the encoded table."""
        return self.inner.layout

    @cached_property
    def modelled(self) -> tuple[str, ...]:
        """The declared columns that are learned, in table order."""
        return tuple(c.name for c in self.schema.columns if not isinstance(c, Identifier | Text | Constant))

    @cached_property
    def _step_of(self) -> dict[str, Step]:
        return {column.name: step for step in self.steps for column in step.replaced}

    def encode(self, table: pa.Table) -> Encoded:
        """Return the encoded form; columns that are not modelled are not read and may be absent.

        Raises:
            SchemaError: a modelled column is missing or of another type.
            DataError: a cell cannot be encoded.
        """
        return self.inner.encode(self.free(table))

    def free(self, table: pa.Table) -> pa.Table:
        """Return the modelled columns of a table with the stand-ins in place of those that leave: what `inner` encodes.

        Raises:
            SchemaError: a modelled column is missing or of another type.
        """
        return pa.table(_free(self.steps, {name: column_of(table, self.schema.column(name)) for name in self.modelled}))

    def decode(self, encoded: Encoded, *, seed: int) -> pa.Table:
        """Return a table of exactly `schema.arrow()`; the seed draws what stands in for protected values.

        Raises:
            DataError: an issued key does not fit its column's type.
        """
        cells = _cells(self.inner.decode(encoded, seed=seed))
        for step in self.steps:
            cells |= step.back(cells)
        target = self.schema.arrow()
        return pa.table([cells[name] for name in target.names], schema=target)

    def broken(self, table: pa.Table) -> dict[str, BoolArray]:
        """Say which rows of a decoded table break what no step ensures, bool **(n_rows,)** by the rule's words.

        These are all constraints, because a sum may leave its column's type and a difference of floats is rounded, and
        the bounds of columns that are computed.
        """
        rules = {constraint.text: constraint.broken(table) for constraint in self.schema.constraints}
        for name in self._step_of:
            marks = misfit_rows(self.schema.column(name), table[name])
            if marks.any():
                rules[f'the bounds of column "{name}"'] = marks
        return rules

    def kept(self) -> dict[str, bool]:
        """Return for each constraint, by its text, whether the steps keep it; the others cost rows drawn anew."""
        return {constraint.text: is_kept_by(constraint, self.steps) for constraint in self.schema.constraints}

    def encode_cells(self, table: pa.Table, known: Known) -> tuple[Encoded, BoolArray]:
        """Encode the known cells of a table and nothing else; see `narrowed` for what they say beyond that.

        Args:
            table: of which only known cells are read.
            known: bool **(n_rows,)** by column; those without are not known.

        Returns:
            the encoded table, and bool **(n_rows, n_token_columns)**: where it has been set.

        Raises:
            SchemaError: a column with known cells is missing or of another type.
            DataError: a cell cannot be encoded.
            UnsupportedError: a column is known that is learned relative to others which are not.
        """
        inner = {name: marks for name, marks in known.items() if name not in self._step_of}
        for step in self.steps:
            inner |= step.known(known, len(table))
        return self.inner.encode_cells(pa.table(self._free_cells(table, known)), inner)

    def narrowed(self, table: pa.Table, known: Known) -> Narrowed:
        """Return what known cells leave of the combinations of their columns where the others are not known.

        Raises:
            DataError: no combination that may be drawn agrees with the known cells of a row.

        Example:
            >>> from pipeline.columns import Categorical
            >>> from pipeline.constraints import FixedCombinations
            >>> columns = tuple(Categorical(name=name, arrow="string") for name in ("country", "city"))
            >>> schema = Schema(columns=columns, constraints=(FixedCombinations(columns=("country", "city")),))
            >>> train = pa.table({"country": ["it", "no", "no"] * 5, "city": ["Rome", "Oslo", "Lom"] * 5})
            >>> transform = ConstrainedTransform.fit(train.cast(schema.arrow()), schema)
            >>> table = pa.table({"country": ["no", "it"]})
            >>> found = transform.narrowed(table, {"country": np.array([True, True])})
            >>> found.group.tolist(), [{place: t.tolist() for place, t in each.items()} for each in found.tokens]
            ([1, 0], [{0: [True, False, False, False]}, {0: [False, True, True, False]}])
        """
        cells = self._only_known(table, known)
        group, tokens = np.zeros(len(table), np.int64), [dict[int, BoolArray]()]
        for step in (step for step in self.steps if isinstance(step, Joint)):
            names = [column.name for column in step.columns]
            marks = np.stack(marks_of(known, names, len(table)))
            for pattern in np.unique(marks[:, marks.any(axis=0) & ~marks.all(axis=0)], axis=1).T:
                rows = np.flatnonzero((marks == pattern[:, None]).all(axis=0))
                some = [name for name, is_known in zip(names, pattern, strict=True) if is_known]
                places, levels = step.fitting({name: cells[name].take(pa.array(rows)) for name in some})
                kept = [self._tokens(step, each, some) for each in levels]
                group, tokens = _split(group, tokens, rows, places, kept)
        return Narrowed(group, tokens)

    def encode_values(self, values: Mapping[str, object]) -> dict[int, tuple[int, float]]:
        """Return token and value, by place in the layout, of cells that all drawn rows are to have.

        Text is read as the column's type. Columns of which combinations are fixed are to be left to `tokens_of`, unless
        they are there with all the others.

        Raises:
            SchemaError: there is no such column.
            DataError: a column is not modelled, or no drawn row could have this value.
            UnsupportedError: a column is given that is learned relative to others which are not.
        """
        if not values:
            return {}
        cells = {name: one_cell(self.schema.column(name), value) for name, value in values.items()}
        table, known = self.deduced(pa.table(cells), {name: np.ones(1, np.bool_) for name in cells})
        self.refuse_contradictions(table, known)
        free, found = self._free_cells(table, known), dict[int, tuple[int, float]]()
        for name in (name for name in known if name not in self._step_of):
            found |= self.inner.encode_value(name, values.get(name, free[name][0].as_py()))
        for step in self.steps:
            for name in (name for name, marks in step.known(known, 1).items() if marks.all()):
                if isinstance(step, Joint):
                    self._refuse_unknown_combination(step, table)
                found |= self.inner.encode_value(name, free[name][0].as_py())
        return found

    def check_value(self, column: str, value: object) -> None:
        """Refuse a value of which it is known that no drawn row could have it.

        Raises:
            SchemaError, DataError: as `encode_values`.
        """
        if column in self._step_of:
            self.tokens_of(column, [value])
        else:
            self.inner.encode_value(column, value)

    def tokens_of(self, column: str, values: Iterable[object]) -> dict[int, BoolArray]:
        """Return which tokens some of the values have, by place in the layout; nothing where a token cannot say that.

        Raises:
            SchemaError, DataError: as `encode_values`.
        """
        step = self._step_of.get(column)
        if step is None:
            return self.inner.tokens_of(column, values)
        given = pa.table({column: pa.chunked_array([one_cell(self.schema.column(column), value) for value in values])})
        return self._tokens_where(step, lambda levels: pc.is_in(levels, cells_of(given, column)), column)

    def tokens_between(self, column: str, low: object, high: object) -> dict[int, BoolArray]:
        """Return which tokens have a value between two, ends included; nothing where a token cannot say that.

        Raises:
            SchemaError: there is no such column.
            ConfigError: its values have no order.
            DataError: an end is none of the column's type.
        """
        step = self._step_of.get(column)
        if step is None:
            return self.inner.tokens_between(column, low, high)
        declared = self.schema.column(column)
        _refuse_unordered(declared)
        ends = [None if end is None else typed_cell(declared, end)[0] for end in (low, high)]

        def inside(levels: pa.Array) -> pa.Array:
            marks = [levels.is_valid()]
            marks += [pc.greater_equal(levels, ends[0])] if ends[0] is not None else []
            marks += [pc.less_equal(levels, ends[1])] if ends[1] is not None else []
            return reduce(pc.and_, marks)

        return self._tokens_where(step, inside, column)

    def is_tied(self, column: str) -> bool:
        """Say whether a column is one of several of which only combinations are learned."""
        return isinstance(self._step_of.get(column), Joint)

    def levels(self, column: str) -> list[Any]:
        """Return the values that a categorical or boolean column can be drawn with, without missing; none for others.

        Raises:
            SchemaError: there is no such column.
        """
        step = self._step_of.get(column)
        if not isinstance(step, Joint):
            return self.inner.levels(column) if step is None else []
        if self.schema.column(column).kind not in ("categorical", "boolean"):
            return []
        levels: list[Any] = sorted(set(cells_of(step.levels, column).drop_null().to_pylist()))
        return levels

    @cached_property
    def missing_tokens(self) -> BoolArray:
        """The tokens of missing cells, bool **(n_tokens,)**."""
        found = [np.zeros(size, np.bool_) for size in self.layout.sizes]
        hold_alone = {
            step.alone.name for step in self.steps if isinstance(step, Gap | Total) and step.alone is not None
        }
        for column in self.inner.schema.columns:
            if column.nullable and column.name in self.inner.parts and column.name not in hold_alone:
                for place in self.inner.places(column.name):
                    found[place][0] = True
        for step in self.steps:
            if isinstance(step, Joint):
                (place,) = self.inner.places(step.stand_in.name)
                missing = [step.levels[column.name].is_null().to_numpy() for column in step.columns]
                found[place][: len(step.levels)] = np.logical_or.reduce(missing)
            if isinstance(step, Total) and step.there is not None:
                found[self.inner.places(step.there.name)[0]][0] = True  # that of False
        return np.concatenate(found)

    def deduced(self, table: pa.Table, known: Known) -> tuple[pa.Table, Known]:
        """Return the table with the parts that follow from known totals and all other parts, and with these as known.

        Raises:
            SchemaError: a column with known cells is missing or of another type.
            DataError: what is left of a total is no value that the part may have.

        Example:
            >>> from pipeline.columns import Integer
            >>> from pipeline.constraints import Sum
            >>> columns = tuple(Integer(name=name, arrow="int64", minimum=0) for name in ("cost", "rent", "food"))
            >>> schema = Schema(columns=columns, constraints=(Sum(total="cost", parts=("rent", "food")),))
            >>> train = pa.table({"cost": [3, 5] * 10, "rent": [1, 2] * 10, "food": [2, 3] * 10}, schema=schema.arrow())
            >>> transform = ConstrainedTransform.fit(train, schema)
            >>> known = {"cost": np.array([True]), "rent": np.array([True])}
            >>> transform.deduced(pa.table({"cost": [9], "rent": [4]}), known)[0]["food"].to_pylist()
            [5]
        """
        known = dict(known)
        for step in (step for step in self.steps if isinstance(step, Total)):
            for name, (cells, rows) in step.deduced(self._only_known(table, known), known, len(table)).items():
                column = self.schema.column(name)
                if misfit_rows(column.model_copy(update={"nullable": True}), pa.chunked_array([cells])).any():
                    rule = f'column "{name}" must be able to hold what is left of column "{step.total.name}"'
                    raise DataError(rule, actual="values that it may not have", remedy="give other values, or fewer")
                place = table.column_names.index(name) if name in table.column_names else None
                if place is None:
                    table = table.append_column(name, cells)
                else:
                    kept = pc.if_else(pa.array(rows), cells, column_of(table, column))
                    table = table.set_column(place, name, kept)
                known[name] = known.get(name, np.zeros(len(table), np.bool_)) | rows
        return table, known

    def refuse_contradictions(self, table: pa.Table, known: Known) -> None:
        """Refuse rows that break a constraint by their known cells alone.

        Raises:
            SchemaError: a column with known cells is missing or of another type.
            DataError: names the constraints, with how many rows break each.
        """
        judged = tuple(each for each in self.schema.constraints if not _is_open(each, known))
        schema = self.schema.model_copy(update={"constraints": judged})
        broken = schema.broken_constraints(pa.table(self._only_known(table, known)))
        if broken:
            rule, remedy = "what is given must hold the constraints of the schema", "give other values, or fewer"
            raise DataError(rule, actual="; ".join(broken), remedy=remedy)

    def to_json(self) -> dict[str, Any]:
        """Return both schemas, the steps and the fitted state of every codec; no row of the table."""
        state = {"schema": self.schema.model_dump(mode="json"), "steps": [step.to_json() for step in self.steps]}
        return {**state, "inner": self.inner.to_json()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> ConstrainedTransform:
        """Rebuild a transform from `to_json`; it encodes and decodes identically.

        Raises:
            ArtifactError: the state is damaged.
        """
        with damage_refused():
            schema = Schema.model_validate(state["schema"])
            steps = tuple(step_from_json(each, schema) for each in state["steps"])
            inner = TableTransform.from_json(state["inner"])
        return cls(schema, steps, inner)

    def _free_cells(self, table: pa.Table, known: Known) -> dict[str, pa.Array]:
        return _free(self.steps, self._only_known(table, known))

    def _refuse_unknown_combination(self, step: Joint, table: pa.Table) -> None:
        names = [column.name for column in step.columns]
        _, (levels,) = step.fitting({name: column_of(table, self.schema.column(name)) for name in names})
        self._tokens(step, levels, names)

    def _only_known(self, table: pa.Table, known: Known) -> dict[str, pa.Array]:
        """Return the modelled columns, their cells missing where they are not known."""
        found = {}
        for name in self.modelled:
            column = self.schema.column(name)
            nothing = pa.nulls(len(table), column.arrow_type)
            found[name] = (
                pc.if_else(pa.array(known[name]), column_of(table, column), nothing) if name in known else nothing
            )
        return found

    def _tokens(self, step: Joint, levels: Codes, names: list[str]) -> dict[int, BoolArray]:
        if not len(levels):
            rule = f"known cells of columns {quoted_list(names)} must belong to a combination that may be drawn"
            remedy = "give cells of combinations that enough train rows carry, or all columns of the combination"
            raise DataError(rule, actual="cells of another one", remedy=remedy)
        (place,) = self.inner.places(step.stand_in.name)
        tokens = np.zeros(self.layout.sizes[place], np.bool_)
        tokens[levels] = True
        return {place: tokens}

    def _tokens_where(self, step: Step, holds: Callable[[pa.Array], pa.Array], column: str) -> dict[int, BoolArray]:
        """Return the tokens of the combinations in which a column's level holds; nothing for other steps."""
        if not isinstance(step, Joint):
            return {}
        return self._tokens(step, np.flatnonzero(as_marks(holds(cells_of(step.levels, column)))), [column])


@dataclass(frozen=True)
class Narrowed:
    """What is left of the tokens where cells of a row are known that do not decide a token by themselves.

    Attributes:
        group: int64 **(n_rows,)**, the group of each row.
        tokens: for each group, by place in the layout, bool **(size,)**: which tokens may be drawn there.
    """

    group: npt.NDArray[np.int64]
    tokens: list[dict[int, BoolArray]]


def _is_open(constraint: Constraint, known: Known) -> bool:
    """Say whether a constraint asks for missing cells of columns of which some are unknown, which is not missing."""
    if not (isinstance(constraint, Predicate) and constraint.asks_for_missing):
        return False
    return not all(name in known and known[name].all() for name in constraint.names)


def _split(
    group: Codes, tokens: list[dict[int, BoolArray]], rows: Codes, places: Codes, kept: list[dict[int, BoolArray]]
) -> tuple[Codes, list[dict[int, BoolArray]]]:
    """Return groups in which rows of different places are apart, each with what its place keeps added."""
    pairs, number = np.unique(np.stack([group[rows], places]), axis=1, return_inverse=True)
    group = group.copy()
    group[rows] = len(tokens) + number
    tokens = [*tokens, *(tokens[old] | kept[place] for old, place in pairs.T)]
    used, group = np.unique(group, return_inverse=True)
    return group, [tokens[each] for each in used]


def _inner_schema(schema: Schema, steps: tuple[Step, ...]) -> Schema:
    """Return the schema without what is replaced, with the stand-ins at the place of the first column that leaves."""
    step_of = {column.name: step for step in steps for column in step.replaced}
    columns: list[Column] = []
    for column in schema.columns:
        step = step_of.get(column.name)
        if step is None:
            columns.append(column)
        elif column.name == step.replaced[0].name:
            columns += step.stand_ins
    return Schema(columns=tuple(columns))


def _cells(table: pa.Table) -> dict[str, pa.Array]:
    return {name: table[name].combine_chunks() for name in table.column_names}


def _free(steps: tuple[Step, ...], cells: Cells) -> dict[str, pa.Array]:
    """Return the columns that stay, and the stand-ins of those that leave."""
    replaced = {column.name for step in steps for column in step.replaced}
    free = {name: array for name, array in cells.items() if name not in replaced}
    for step in steps:
        free |= step.forward(cells)
    return free


def _refuse_unordered(column: Column) -> None:
    if isinstance(column, Categorical | Boolean):
        rule, remedy = f'a range needs a column with an order, and "{column.name}" has none', "give a list of values"
        raise ConfigError(rule, actual=column.kind, remedy=remedy)
