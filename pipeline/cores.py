"""How much may be done at a time."""

from __future__ import annotations

import os

FEWEST_ROWS_FOR_PROCESSES = 10_000
"""Of a smaller table everything is evaluated in about the time that processes take to start."""
MOST_PROCESSES = 4
"""With more, what is done in one place takes most of an evaluation's time."""


def n_cores() -> int:
    """Return how many cores this process may use.

    Example:
        >>> n_cores() >= 1
        True

    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_workers() -> int:
    """Return how much may be computed at a time: as much as there are cores, or as OMP_NUM_THREADS allows.

    Example:
        >>> n_workers() >= 1
        True

    """
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(n_cores(), int(allowed)) if allowed.isdecimal() and int(allowed) else n_cores()


def n_processes(n_rows: int) -> int:
    """Return in how many processes the models that judge a table of so many rows are learned.

    Example:
        >>> n_processes(1_000)
        1

    """
    return min(n_workers(), MOST_PROCESSES) if n_rows >= FEWEST_ROWS_FOR_PROCESSES else 1
