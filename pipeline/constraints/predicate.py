"""The last resort: an expression over the columns of a row that must not be false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from pipeline.constraints.constraint import BetweenColumns, Columns, as_marks
from pipeline.constraints.expression import MOST_CHARACTERS, Expression
from pipeline.encoded import BoolArray


class Predicate(BetweenColumns):
    """An expression that is true in every row, or unknown because a cell is missing.

    Attributes:
        expression: as Python writes it, see `Expression` for what it may hold; a column whose name is no Python name
            stands in backticks.

    Example:
        >>> adult = Predicate(expression="age >= 18 or `yearly income` == 0")
        >>> adult.broken(pa.table({"age": [17, 17, 18], "yearly income": [0, 9, 9]})).tolist()
        [False, True, False]
    """

    kind: Literal["predicate"] = "predicate"
    expression: str = Field(max_length=MOST_CHARACTERS)

    @field_validator("expression")
    @classmethod
    def _check_expression(cls, expression: str) -> str:
        Expression.parse(expression)
        return expression

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in the expression, in their order."""
        return Expression.parse(self.expression).names

    @property
    def text(self) -> str:
        """The expression."""
        return self.expression

    @property
    def asks_for_missing(self) -> bool:
        """Whether the expression asks if a cell is missing, so that a missing one can break it."""
        return Expression.parse(self.expression).asks_for_missing

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the constraint with columns by their new names."""
        return self.model_copy(update={"expression": Expression.parse(self.expression).renamed(names)})

    def _check_types(self, columns: Columns) -> None:
        fields = [pa.field(name, columns[name].arrow_type) for name in self.names]
        Expression.parse(self.expression).evaluate(pa.schema(fields).empty_table())

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  says it all itself
        """Say in which rows the expression is false."""
        return as_marks(pc.invert(Expression.parse(self.expression).evaluate(table)))
