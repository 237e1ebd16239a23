"""What a command ends with, and how errors become exit codes: the one place that knows both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cyclopts import CycloptsError

from flows.interruption import is_interrupt
from pipeline.errors import InputError, RefusedError, TabmintError

Status = Literal["published", "skipped", "done", "refused", "error"]


@dataclass(frozen=True)
class Outcome:
    """The end of a command.

    Attributes:
        lines: for a person.
        facts: for a machine, beside status and exit code; the values are JSON.
    """

    status: Status
    lines: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0

    def to_json(self) -> str:
        """Return one line of JSON.

        Example:
            >>> Outcome("done", facts={"rows": 3}).to_json()
            '{"status": "done", "exit_code": 0, "rows": 3}'
        """
        return json.dumps({"status": self.status, "exit_code": self.exit_code, **self.facts}, ensure_ascii=False)


def shown(path: Path) -> Path:
    """Return a path as a person sees it: from where they stand, if it lies below.

    Example:
        >>> print(shown(Path.cwd() / "out" / "report.html"))
        out/report.html
    """
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of a command that ended with an error.

    Example:
        >>> outcome_of(InputError("a table needs rows")).exit_code
        2
    """
    code = _exit_code(error)
    status: Status = "refused" if isinstance(error, RefusedError) else "error"
    facts = {"error": type(error).__name__, "message": _message(error), **getattr(error, "facts", {})}
    notes = tuple(getattr(error, "__notes__", ()))
    hint = ("run it again with --traceback to see where it happened",) if code == 1 else ()
    return Outcome(status, (f"tabmint: {_message(error)}", *notes, *hint), facts, code)


def _exit_code(error: BaseException) -> int:
    if is_interrupt(error):
        return 130
    match error:
        case RefusedError():
            return 3
        case InputError() | CycloptsError():
            return 2
        case _:
            return 1


def _message(error: BaseException) -> str:
    if is_interrupt(error):
        return "interrupted"
    known = isinstance(error, TabmintError | CycloptsError)
    return str(error) if known else f"unforeseen {type(error).__name__}: {error}"
