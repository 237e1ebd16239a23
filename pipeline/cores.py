"""How many cores this process may use."""

from __future__ import annotations

import os


def n_cores() -> int:
    """Return how many cores this process may use.

    Example:
        >>> n_cores() >= 1
        True

    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
