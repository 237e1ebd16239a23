"""The pinned description of a table: its columns, their kinds, and what a table must satisfy to fit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.arrow_types import family, parse_arrow_type, remedy_for
from pipeline.columns import (
    Boolean,
    Categorical,
    Column,
    Constant,
    Continuous,
    Date,
    Duration,
    Identifier,
    Integer,
    Text,
    Timestamp,
)
from pipeline.config import Config
from pipeline.constraints import Constraint
from pipeline.constraints.contradictions import refuse_contradictions
from pipeline.errors import SchemaError
from pipeline.misfits import INT64_MAX, misfit

__all__ = [
    "Boolean", "Categorical", "Column", "Constant", "Continuous", "Date", "Duration", "Identifier", "Integer",
    "Schema", "Text", "Timestamp", "parse_arrow_type",
]  # fmt: skip

VERSION = 1


class Schema(Config):
    """The columns of a table, in order; a JSON file that a person may edit.

    Attributes:
        version: the version of the file's format.
        columns: the columns, in table order; names are unique.
        constraints: what holds between columns in every row, of train and of what is drawn; see docs/constraints.md.

    Raises:
        SchemaError: no column, a name used twice, a format of another version, or a constraint that its columns do not
            fit or that contradicts another.

    Example:
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64", minimum=0),))
        >>> schema.arrow()
        age: int64 not null
        >>> schema.validate_table(pa.table({"age": [3, -1]}))
        Traceback (most recent call last):
            ...
        pipeline.errors.SchemaError: the table does not fit its schema; found column "age": 1 value below the minimum \
0, first in row 2; mend the table, or edit the schema
    """

    version: int = VERSION
    columns: tuple[Column, ...] = Field(default=())
    constraints: tuple[Constraint, ...] = ()

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: int) -> int:
        if version != VERSION:
            remedy = "infer the schema anew, or use the tabmint that wrote it"
            raise SchemaError(f"a schema must be of version {VERSION}", actual=f"version {version}", remedy=remedy)
        return version

    @field_validator("columns")
    @classmethod
    def _check_names(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        if not columns:
            raise SchemaError("a schema needs at least one column", actual="none", remedy="declare the columns")
        refuse_repeated_names([column.name for column in columns])
        return columns

    @model_validator(mode="after")
    def _check_constraints(self) -> Schema:
        columns = {column.name: column for column in self.columns}
        for constraint in self.constraints:
            constraint.check(columns)
        refuse_contradictions(self.constraints)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in table order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name.

        Raises:
            SchemaError: there is none.

        Example:
            >>> Schema(columns=(Boolean(name="smoker", arrow="bool"),)).column("smoker").kind
            'boolean'
        """
        for column in self.columns:
            if column.name == name:
                return column
        remedy = f"use one of {', '.join(quoted(self.names))}"
        raise SchemaError("the schema has no such column", actual=f'"{name}"', remedy=remedy)

    def arrow(self) -> pa.Schema:
        """Return the Arrow schema of the tables that are drawn; text columns with policy "drop" are left out.

        Example:
            >>> note = Text(name="note", arrow="string", policy="drop")
            >>> Schema(columns=(note, Boolean(name="smoker", arrow="bool", nullable=True))).arrow()
            smoker: bool
        """
        kept = (column for column in self.columns if not (isinstance(column, Text) and column.policy == "drop"))
        return pa.schema([pa.field(column.name, column.arrow_type, column.nullable) for column in kept])

    def validate_table(self, table: pa.Table) -> None:
        """Refuse a table that does not fit, naming every column that does not, or every constraint that rows break.

        A text column with policy "drop" may be absent, so that a synthetic table fits the schema it was drawn for.

        Raises:
            SchemaError: a column is missing, extra, out of order, of another type, or holds a value it must not.
        """
        problems = [*self._misplaced(table), *self._misfitting(table)] or self.broken_constraints(table)
        if problems:
            rule, remedy = "the table does not fit its schema", "mend the table, or edit the schema"
            raise SchemaError(rule, actual="; ".join(problems), remedy=remedy)

    def broken_constraints(self, table: pa.Table, train: pa.Table | None = None) -> list[str]:
        """Return a sentence for each constraint that rows break: how many, and the first; no value is told.

        Constraints of which a column is absent are passed over.

        Args:
            table: of the schema's columns and types.
            train: the rows that it was learned from, which say what may occur where a constraint does not.
        """
        there = (each for each in self.constraints if set(each.names) <= set(table.column_names))
        found = ((each.text, np.flatnonzero(each.broken(table, train))) for each in there)
        return [
            f"{len(rows):,} row{'s break' if len(rows) > 1 else ' breaks'} {text}, first row {rows[0] + 1}"
            for text, rows in found
            if len(rows)
        ]

    def _misplaced(self, table: pa.Table) -> list[str]:
        refuse_repeated_names(table.column_names)
        dropped = {column.name for column in self.columns if isinstance(column, Text) and column.policy == "drop"}
        absent = set(self.names) - set(table.column_names)
        missing = [f"column {name} is missing" for name in quoted(absent - dropped)]
        extra = [f"column {name} is not in the schema" for name in quoted(set(table.column_names) - set(self.names))]
        in_order = [name for name in self.names if name not in absent]
        if missing or extra or table.column_names == in_order:
            return missing + extra
        first = next(got for got, wanted in zip(table.column_names, in_order, strict=True) if got != wanted)
        return [f'the columns are in another order, from "{first}" on']

    def _misfitting(self, table: pa.Table) -> list[str]:
        present = [column for column in self.columns if column.name in table.column_names]
        found = {column.name: misfit(column, table[column.name]) for column in present}
        return [f'column "{name}": {problem}' for name, problem in found.items() if problem]

    def write(self, path: str | Path) -> None:
        """Write the schema as a JSON file for people to read and edit.

        Example:
            >>> import tempfile
            >>> schema = Schema(columns=(Boolean(name="smoker", arrow="bool"),))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     schema.write(Path(folder) / "schema.json")
            ...     Schema.read_file(Path(folder) / "schema.json") == schema
            True
        """
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read_file(cls, path: str | Path) -> Schema:
        """Read a schema from its JSON file.

        Raises:
            SchemaError: the file is missing, is not JSON, or declares something that cannot be; says where.
        """
        state = _read_json(Path(path))
        try:
            return cls.model_validate(state)
        except ValidationError as error:
            actual = "; ".join(_explain(problem, state) for problem in error.errors(include_url=False))
            remedy = "mend the file, or infer the schema anew"
            raise SchemaError(f'the schema file "{path}" is malformed', actual=actual, remedy=remedy) from None
        except SchemaError as error:
            rule = f'in the schema file "{path}", {error.rule}'
            raise SchemaError(rule, actual=error.actual, remedy=error.remedy) from None


def quoted(names: set[str] | tuple[str, ...] | list[str]) -> list[str]:
    """Return the names in quotes; a set is sorted, so that messages do not change between runs.

    Example:
        >>> quoted({"b", "a"})
        ['"a"', '"b"']
    """
    return [f'"{name}"' for name in (sorted(names) if isinstance(names, set) else names)]


def refuse_unsupported(table: pa.Table) -> None:
    """Refuse columns of types that no table may have.

    Raises:
        SchemaError: such a column, unsigned numbers beyond int64, or times in seconds that Parquet cannot hold; all are
            named, each with its remedy.
    """
    wrong = [field for field in table.schema if family(field.type) is None]
    problems = [f'column "{field.name}" is {field.type}: {remedy_for(field.type)}' for field in wrong]
    problems += [
        f'column "{name}" holds numbers above 2^63-1: cast it to text'
        for name in table.column_names
        if table[name].type == pa.uint64() and (pc.max(table[name]).as_py() or 0) > INT64_MAX
    ]
    problems += [
        f'column "{field.name}" holds times beyond the year 292 million: cast it to text, or drop them'
        for field in table.schema
        if pa.types.is_timestamp(field.type) and field.type.unit == "s" and _beyond_milliseconds(table[field.name])
    ]
    if problems:
        raise SchemaError("a column's values must be of a supported type", actual="; ".join(problems))


def _beyond_milliseconds(values: pa.ChunkedArray) -> bool:
    """Say whether a time in seconds does not fit a count of milliseconds, the coarsest unit of Parquet."""
    low, high = pc.min_max(values.cast(pa.int64())).as_py().values()
    return low is not None and not -INT64_MAX <= low * 1000 <= high * 1000 <= INT64_MAX


def refuse_repeated_names(names: list[str]) -> None:
    """Refuse a table in which two columns have the same name.

    Raises:
        SchemaError: names the repeated ones.
    """
    repeated = {name for name, count in Counter(names).items() if count > 1}
    if repeated:
        actual = f"{', '.join(quoted(repeated))} more than once"
        raise SchemaError("column names must differ", actual=actual, remedy="rename or drop the repeated columns")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "check the path, or write one with `tabmint init`"
        rule = f'the schema file "{path}" cannot be read'
        raise SchemaError(rule, actual=str(error.strerror), remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            f'the schema file "{path}" must be JSON', actual=str(error), remedy="mend the file"
        ) from error


def _explain(problem: Any, state: Any) -> str:
    """Say in words where in the file a pydantic error lies, and what it is."""
    where = list(problem["loc"])
    message = str(problem["msg"])
    if len(where) > 1 and where[0] == "constraints":
        setting = ".".join(map(str, where[3:]))  # where[2] is the kind
        return f"constraint {where[1] + 1}{', ' + setting if setting else ''}: {message}"
    if len(where) < 2 or where[0] != "columns":
        return f"{'.'.join(map(str, where)) or 'the file'}: {message}"
    column = state["columns"][where[1]]
    name = f'column "{column["name"]}"' if isinstance(column, dict) and "name" in column else f"column {where[1] + 1}"
    setting = ".".join(map(str, where[3:]))  # where[2] is the kind
    return f"{name}{', ' + setting if setting else ''}: {message}"
