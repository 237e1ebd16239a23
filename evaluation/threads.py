"""How many threads numeric libraries may use."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def one_thread() -> threadpool_limits:
    """Return a context in which boosting and matrix products use one thread; it restores what was before.

    Their threads wait for each other in busy loops: beside other work, two were measured to be a hundred times slower
    than one, and on tables of this size they gain little when alone.

    Example:
        >>> with one_thread():
        ...     pass
    """
    return threadpool_limits(limits=1)
