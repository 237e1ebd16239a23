"""What a person is told of the constraints that a generator keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kept_constraints(diagnostics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how each constraint is kept, a line each, from a fitted generator's diagnostics.

    Example:
        >>> kept_constraints({"constraints": [{"constraint": "age > 3", "by": "drawing anew", "acceptance": 0.987}]})
        ('age > 3: by drawing anew; 98.7 % of drawn rows hold it at once',)
    """
    return tuple(
        _line(each["constraint"], each["by"], each["acceptance"]) for each in diagnostics.get("constraints", ())
    )


def _line(constraint: str, by: str, acceptance: float) -> str:
    if by == "construction" and acceptance == 1:
        return f"{constraint}: by construction"
    return f"{constraint}: by {by}; {100 * acceptance:.1f} % of drawn rows hold it at once"


def accepted(acceptance: float) -> tuple[str, ...]:
    """Return a line on the rows that were drawn for those that fit, none where all did.

    Example:
        >>> accepted(0.25), accepted(1.0)
        (('Fitting    25.0 % of all drawn rows; the others broke a constraint or condition and were drawn anew',), ())
    """
    if acceptance == 1:
        return ()
    words = "of all drawn rows; the others broke a constraint or condition and were drawn anew"
    return (f"Fitting    {100 * acceptance:.1f} % {words}",)
