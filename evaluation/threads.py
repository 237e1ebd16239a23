"""How many threads numeric work may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from pipeline.cores import n_workers

Item = TypeVar("Item")
Result = TypeVar("Result")
FEWEST_CELLS = 10_000
"""Operations on fewer are over before another thread can begin: taking turns would cost more than it gains."""


def one_thread() -> threadpool_limits:
    """Return a context in which boosting and matrix products use one thread; it restores what was before.

    Their threads wait for each other in busy loops: beside other work, two were measured to be a hundred times slower
    than one, and on tables of this size they gain little when alone.

    Example:
        >>> with one_thread():
        ...     pass
    """
    return threadpool_limits(limits=1)


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], *, length: int) -> list[Result]:
    """Return what `work` makes of each item, in their order, one thread for each core that OMP_NUM_THREADS allows.

    It gains time where the work is done in operations on arrays that are not short, which let other threads run.

    Args:
        work: what to do.
        items: what to do it with.
        length: how many cells the arrays have; where they are few, the work is done in this thread.

    Example:
        >>> in_threads(lambda x: x * x, [1, 2, 3], length=100_000)
        [1, 4, 9]

    """
    if (n_threads := n_workers()) == 1 or length < FEWEST_CELLS:
        return [work(item) for item in items]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, items))
