"""Expressions over the columns of a table, in a small part of Python's grammar that cannot call anything.

Names are columns. There are numbers, texts, True and False; + - * /; comparisons, also chained and with `in (..)`;
`is None`; `and`, `or`, `not`. What a missing cell leaves unknown stays unknown: Kleene's three-valued logic, as in SQL.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import family
from pipeline.constraints.constraint import cells
from pipeline.constraints.range import scalar
from pipeline.errors import SchemaError

MOST_CHARACTERS = 2_000

_STAND_IN = "quoted_column_"
_QUOTED = re.compile(r"`([^`]*)`")
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], pa.Array]] = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], pa.Array]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
_REMEDY = "use columns, numbers, texts, + - * /, comparisons, in (..), is None, and, or, not"


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as it was written.
        tree: its syntax tree, of which every node is allowed.
        quoted: the columns in backticks, by the names that stand for them in the tree.

    Example:
        >>> expression = Expression.parse("0 < age < 120 and city in ('Oslo', 'Rome')")
        >>> expression.names
        ('age', 'city')
        >>> expression.evaluate(pa.table({"age": [7, 130, None], "city": ["Oslo", "Rome", "Rome"]})).to_pylist()
        [True, False, None]
    """

    text: str
    tree: ast.expr
    quoted: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse a text.

        Raises:
            SchemaError: it is no expression, or holds what is not allowed.
        """
        quoted: dict[str, str] = {}

        def stand_in(match: re.Match[str]) -> str:
            name = f"{_STAND_IN}{len(quoted)}_"
            quoted[name] = match[1]
            return name

        try:
            tree = ast.parse(_QUOTED.sub(stand_in, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _malformed(text, str(error)) from error
        found = cls(text, tree, quoted)
        for node in ast.walk(tree):
            found._refuse_foreign(node)
        if not found.names:
            raise _malformed(text, "no column")
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they are first named."""
        found = sorted(
            (node for node in ast.walk(self.tree) if isinstance(node, ast.Name)),
            key=lambda node: (node.lineno, node.col_offset),
        )
        return tuple(dict.fromkeys(self.quoted.get(node.id, node.id) for node in found))

    def renamed(self, names: Mapping[str, str]) -> str:
        """Return the text with columns by their new names, all in backticks.

        Example:
            >>> Expression.parse("age > 3 or `how old` > 3").renamed({"how old": "old"})
            '`age` > 3 or `old` > 3'
        """
        stand_ins = {name: f"{_STAND_IN}{place}_" for place, name in enumerate(self.names)}
        tree = ast.parse(ast.unparse(self.tree), mode="eval")
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Name)):
            node.id = stand_ins[self.quoted.get(node.id, node.id)]
        text = ast.unparse(tree)
        for name, stand_in in stand_ins.items():
            text = text.replace(stand_in, f"`{names.get(name, name)}`")
        return text

    @cached_property
    def asks_for_missing(self) -> bool:
        """Whether it holds `is None` or `is not None`."""
        return any(isinstance(node, ast.Is | ast.IsNot) for node in ast.walk(self.tree))

    def evaluate(self, table: pa.Table) -> pa.Array:
        """Return true, false or unknown for each row.

        Raises:
            SchemaError: types do not go together, or the expression is neither true nor false.
        """
        try:
            found = self._value(self.tree, table)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _malformed(self.text, str(error).split("\n")[0][:200]) from error
        if not isinstance(found, pa.Array) or not pa.types.is_boolean(found.type):
            raise _malformed(self.text, "no comparison")
        return found

    def _refuse_foreign(self, node: ast.AST) -> None:
        match node:
            case ast.Compare(left=left, ops=operators, comparators=comparators):
                if all(map(_comparable, operators, [left, *comparators], comparators)):
                    return
            case ast.Name(ctx=ast.Load()) | ast.Load() | ast.BoolOp() | ast.boolop() | ast.BinOp():
                return
            case ast.UnaryOp(op=ast.Not() | ast.USub()) | ast.Not() | ast.USub() | ast.Is() | ast.IsNot():
                return
            case ast.Constant(value=bool() | int() | float() | str() | None) | ast.Tuple() | ast.List():
                return
            case ast.cmpop() | ast.operator() if type(node) in {*_COMPARISONS, *_ARITHMETIC, ast.In, ast.NotIn}:
                return
        raise _malformed(self.text, f"{type(node).__name__}")

    def _value(self, node: ast.expr, table: pa.Table) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return cells(table, self.quoted.get(name, name))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self._value(operand, table))
            case ast.UnaryOp(operand=operand):
                value = self._value(operand, table)
                return pc.negate(_measure(value)) if isinstance(value, pa.Array) else -value
            case ast.BinOp(left=left, op=operator, right=right):
                operands = (self._value(side, table) for side in (left, right))
                return _ARITHMETIC[type(operator)](*(_measure(operand) for operand in operands))
            case ast.BoolOp(op=operator, values=values):
                combine = pc.and_kleene if isinstance(operator, ast.And) else pc.or_kleene
                return _reduced(combine, [self._value(value, table) for value in values])
            case ast.Compare(left=left, ops=operators, comparators=comparators):
                sides = [left, *comparators]
                links = zip(sides, operators, sides[1:], strict=False)
                return _reduced(pc.and_kleene, [self._compared(*link, table) for link in links])
        raise _malformed(self.text, type(node).__name__)

    def _compared(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, table: pa.Table) -> pa.Array:
        value = self._value(left, table)
        match operator, right:
            case ((ast.Is() | ast.IsNot()), _):
                missing = pc.is_null(value)
                return missing if isinstance(operator, ast.Is) else pc.invert(missing)
            case ((ast.In() | ast.NotIn()), (ast.Tuple(elts=elements) | ast.List(elts=elements))):
                found = _reduced(pc.or_kleene, [_equal(value, self._value(element, table)) for element in elements])
                return found if isinstance(operator, ast.In) else pc.invert(found)
        return _COMPARISONS[type(operator)](*_alike(value, self._value(right, table)))


def _comparable(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    """Say whether an operator compares such sides: `is` one with None, `in` one with a list, others two."""
    lists = [isinstance(side, ast.Tuple | ast.List) and bool(side.elts) for side in (left, right)]
    nothing = [isinstance(side, ast.Constant) and side.value is None for side in (left, right)]
    in_list, is_nothing = isinstance(operator, ast.In | ast.NotIn), isinstance(operator, ast.Is | ast.IsNot)
    return lists == [False, in_list] and nothing == [False, is_nothing]


def _malformed(text: str, actual: str) -> SchemaError:
    return SchemaError(f'the expression "{text}" must be one over columns', actual=actual, remedy=_REMEDY)


def _reduced(combine: Callable[[Any, Any], pa.Array], marks: list[pa.Array]) -> pa.Array:
    found = marks[0]
    for mark in marks[1:]:
        found = combine(found, mark)
    return found


def _equal(value: Any, other: Any) -> pa.Array:
    return pc.equal(*_alike(value, other))


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two sides that Arrow can compare: a text beside a point in time, date or decimal is read as one."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, pa.Array) and isinstance(other, str) and family(one.type) != "string":
            constant = scalar(other, one.type)
            return (left, constant) if one is left else (constant, right)
    pair = [
        side.cast(pa.float64()) if isinstance(side, pa.Array) and family(side.type) == "decimal" else side
        for side in (left, right)
    ]
    return pair[0], pair[1]


def _measure(operand: Any) -> Any:
    """Return a number in double precision, in which arithmetic neither overflows nor truncates."""
    if isinstance(operand, pa.Array):
        if family(operand.type) not in ("integer", "float", "decimal"):
            raise TypeError(f"arithmetic with {operand.type}")
        return operand.cast(pa.float64())
    if isinstance(operand, str | bool):
        raise TypeError(f"arithmetic with {operand!r}")
    return float(operand)
