"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from flows.duration import parse_seconds


def _to_seconds(type_: type, tokens: Sequence[Token]) -> float:  # noqa: ARG001 - cyclopts' signature
    return parse_seconds(tokens[0].value)


Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
Root = Annotated[Path, Parameter(name="--root")]
Seed = Annotated[int, Parameter(validator=Number(gte=0))]
Budget = Annotated[float, Parameter(converter=_to_seconds, show_default=lambda seconds: f"{seconds:g}s")]
Settings = Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)]
