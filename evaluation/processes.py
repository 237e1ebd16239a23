"""Learners in processes: many small models hold Python's lock, so that threads would wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from typing import TypeVar

from joblib import Parallel, delayed

from pipeline.cores import n_processes
from pipeline.errors import PreflightError

from .threads import one_thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], *, n_rows: int) -> list[Result]:
    """Return what `work` makes of each item, in their order, one process for each core that OMP_NUM_THREADS allows.

    There are four processes at most. Where one core is allowed, or the evaluated tables are small, the work is done
    here. The results are the same. Items and results go through pipes and never through files, because they hold
    original rows.

    Args:
        work: uses one thread for each item; functions of a module, and `functools.partial` of them, can be sent.
        items: what to work on; they are taken as they are needed.
        n_rows: rows of the largest evaluated table.

    Raises:
        PreflightError: the system ended a process, as it does where memory runs out.

    Example:
        >>> in_processes(abs, [-1, 2], n_rows=2)
        [1, 2]

    """
    if (n := n_processes(n_rows)) == 1:
        return [_alone(work, item) for item in items]
    try:
        found: list[Result] = Parallel(n_jobs=n, batch_size=1, max_nbytes=None)(
            delayed(_alone)(work, item) for item in items
        )
    except BrokenExecutor as error:
        actual, remedy = "the system ended one", "give the job more memory, or one process only: OMP_NUM_THREADS=1"
        raise PreflightError("processes that learn must live", actual=actual, remedy=remedy) from error
    return found


def _alone(work: Callable[[Item], Result], item: Item) -> Result:
    with one_thread():
        return work(item)
