"""Telling a person's Ctrl-C from an error."""

from __future__ import annotations


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is at the root; prefect, whose server it ends too, raises other errors on the way out.

    Example:
        >>> is_interrupt(KeyboardInterrupt()), is_interrupt(ValueError())
        (True, False)
    """
    return error is not None and (isinstance(error, KeyboardInterrupt) or is_interrupt(error.__context__))
