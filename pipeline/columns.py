"""The kinds of column a table may have: what each one promises about its values."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from pipeline.arrow_types import FAMILIES, arrow_text, family, parse_arrow_type, remedy_for
from pipeline.config import Config
from pipeline.errors import SchemaError

Resolution = Literal["day", "h", "min", "s", "ms", "us", "ns"]
Finite = Annotated[float, Field(allow_inf_nan=False)]

NANOSECONDS: dict[str, int] = {
    "day": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "min": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""The length of each resolution and of each Arrow time unit, longest first."""


class _Column(Config):
    """What every kind of column declares.

    Attributes:
        name: the column's name in the table.
        arrow: the text of the column's Arrow type, see `parse_arrow_type`.
        nullable: whether a cell may be missing.
        reason: why the column was taken for this kind; for people, never read by the program.
    """

    families: ClassVar[tuple[str, ...]]

    name: str
    arrow: str
    nullable: bool = False
    reason: str = ""

    @field_validator("arrow")
    @classmethod
    def _canonical(cls, text: str) -> str:
        return arrow_text(parse_arrow_type(text))

    @model_validator(mode="after")
    def _check(self) -> Any:
        if family(self.arrow_type) is None:
            self._refuse("has an Arrow type that is not supported", self.arrow, remedy_for(self.arrow_type))
        if family(self.arrow_type) not in self.families:
            rule = f"is declared {self.model_dump()['kind']}, which needs one of {', '.join(self.families)}"
            self._refuse(rule, self.arrow, "change its kind or its arrow type")
        self._check_settings()
        return self

    def _check_settings(self) -> None:
        """Refuse settings that contradict each other."""

    def _refuse(self, rule: str, actual: str, remedy: str) -> None:
        raise SchemaError(f'column "{self.name}" {rule}', actual=actual, remedy=remedy)

    def _check_bounds(self, minimum: float | None, maximum: float | None) -> None:
        if minimum is not None and maximum is not None and minimum > maximum:
            self._refuse("has its minimum above its maximum", f"{minimum} and {maximum}", "swap them")

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's Arrow type."""
        return parse_arrow_type(self.arrow)


class Continuous(_Column):
    """Numbers that are measured: float or decimal. NaN and infinity are values, different from a missing cell.

    Attributes:
        decimals: every finite value is a multiple of 10^-decimals; None: any value.
        minimum: declared lower bound, inclusive.
        maximum: declared upper bound, inclusive.
    """

    families: ClassVar[tuple[str, ...]] = ("float", "decimal")

    kind: Literal["continuous"] = "continuous"
    decimals: Annotated[int, Field(ge=0, le=18)] | None = None
    minimum: Finite | None = None
    maximum: Finite | None = None

    def _check_settings(self) -> None:
        self._check_bounds(self.minimum, self.maximum)
        if family(self.arrow_type) == "decimal" and (self.decimals or 0) > self.arrow_type.scale:
            self._refuse(f"declares more decimals than {self.arrow} holds", f"{self.decimals}", "lower decimals")


class Integer(_Column):
    """Whole numbers: counts, codes, years, amounts.

    Attributes:
        step: every value is a multiple of it.
        minimum: declared lower bound, inclusive.
        maximum: declared upper bound, inclusive.
    """

    families: ClassVar[tuple[str, ...]] = ("integer",)

    kind: Literal["integer"] = "integer"
    step: int = Field(default=1, ge=1)
    minimum: int | None = None
    maximum: int | None = None

    def _check_settings(self) -> None:
        self._check_bounds(self.minimum, self.maximum)


class Categorical(_Column):
    """Levels without an order: text or whole numbers.

    Attributes:
        levels: the levels that may occur; None: those met in train.
        unseen: what becomes of a level that was not met in train: refused, or treated like a rare one.
    """

    families: ClassVar[tuple[str, ...]] = ("string", "dictionary", "integer")

    kind: Literal["categorical"] = "categorical"
    levels: tuple[str | int, ...] | None = None
    unseen: Literal["refuse", "rare"] = "rare"

    def _check_settings(self) -> None:
        wanted = int if family(self.arrow_type) == "integer" else str
        for level in self.levels or ():
            if not isinstance(level, wanted):
                self._refuse(f"is {self.arrow}, and its levels must be too", repr(level), "mend its levels")
        if self.levels is not None and len(set(self.levels)) < len(self.levels):
            self._refuse("declares a level twice", f"{len(self.levels)} levels", "remove the repeated level")


class Boolean(_Column):
    """True or false."""

    families: ClassVar[tuple[str, ...]] = ("boolean",)

    kind: Literal["boolean"] = "boolean"


class Timestamp(_Column):
    """Points in time; the unit and the time zone are in `arrow`.

    Attributes:
        resolution: every value is a whole number of these since 1970-01-01 UTC.
    """

    families: ClassVar[tuple[str, ...]] = ("timestamp",)

    kind: Literal["timestamp"] = "timestamp"
    resolution: Resolution = "ns"


class Date(_Column):
    """Calendar days."""

    families: ClassVar[tuple[str, ...]] = ("date",)

    kind: Literal["date"] = "date"


class Duration(_Column):
    """Lengths of time; the unit is in `arrow`.

    Attributes:
        resolution: every value is a whole number of these.
    """

    families: ClassVar[tuple[str, ...]] = ("duration",)

    kind: Literal["duration"] = "duration"
    resolution: Resolution = "ns"


class Identifier(_Column):
    """Unique keys. They are not modelled: new ones are issued, never equal to one of the table.

    Attributes:
        prefix: text keys are issued as f"{prefix}{i}"; `infer` takes one that no key of the table starts with.
        start: whole-number keys are issued as start + i; `infer` takes one above every key of the table.
    """

    families: ClassVar[tuple[str, ...]] = ("integer", "string", "dictionary")

    kind: Literal["identifier"] = "identifier"
    prefix: str = "syn-"
    start: int = 0


class Text(_Column):
    """Free text. It is not modelled, because a single line of it can name a person.

    Attributes:
        policy: "drop" leaves the column out of the synthetic table, "replace" fills it with the placeholder.
        placeholder: the text that stands in every cell under "replace".
    """

    families: ClassVar[tuple[str, ...]] = ("string", "dictionary")

    kind: Literal["text"] = "text"
    policy: Literal["drop", "replace"] = "replace"
    placeholder: str = "[text]"


class Constant(_Column):
    """One value in every row, or nothing but missing cells.

    Attributes:
        value: the value; None: every cell is missing. Decimals, dates, timestamps and non-finite numbers are written as
            text, durations as a whole number of their unit.
    """

    families: ClassVar[tuple[str, ...]] = FAMILIES

    kind: Literal["constant"] = "constant"
    value: bool | int | Finite | str | None = None

    def _check_settings(self) -> None:
        if self.value is None and not self.nullable:
            self._refuse("is constantly missing, so it must be nullable", "nullable: false", "set nullable to true")
        try:
            self.array(1)
        except pa.ArrowException as error:
            rule = f'column "{self.name}" is {self.arrow}, and its constant value must be too'
            raise SchemaError(rule, actual=repr(self.value), remedy="mend its value") from error

    def array(self, n_rows: int) -> pa.Array:
        """Return the column with `n_rows` rows.

        Example:
            >>> Constant(name="site", arrow="date32[day]", value="2024-02-29").array(1)[0].as_py()
            datetime.date(2024, 2, 29)
        """
        return pa.array([self.value] * n_rows).cast(self.arrow_type)


Column = Annotated[
    Continuous | Integer | Categorical | Boolean | Timestamp | Date | Duration | Identifier | Text | Constant,
    Field(discriminator="kind"),
]

UNDECLARED = {
    "nullable": True, "minimum": None, "maximum": None, "decimals": None, "step": 1, "levels": None, "resolution": "ns",
}  # fmt: skip
"""What a column must not declare for its odd values to be read rather than refused."""


def undeclared(column: Column) -> Column:
    """Return a column of the same kind and type that promises nothing about its values.

    Example:
        >>> undeclared(Integer(name="age", arrow="int64", minimum=0)).minimum is None
        True
    """
    allowed = {name: value for name, value in UNDECLARED.items() if name in type(column).model_fields}
    return column.model_copy(update=allowed)
