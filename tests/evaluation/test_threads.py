"""Work in threads: how many there are, and that the order of the results is that of the items."""

from __future__ import annotations

import threading

import pytest

import pipeline.cores
from evaluation.threads import FEWEST_CELLS, in_threads


@pytest.mark.parametrize(("allowed", "n_threads"), [("2", 2), ("9", 3), ("1", 1), ("0", 3), ("many", 3), (None, 3)])
def test_as_many_items_are_worked_on_at_a_time_as_cores_and_omp_num_threads_allow(
    allowed: str | None, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.cores, "n_cores", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if allowed is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    together = threading.Barrier(n_threads)  # passes only if so many threads wait at it

    def work(item: int) -> int:
        together.wait(timeout=30)
        return -item

    assert in_threads(work, range(2 * n_threads), length=FEWEST_CELLS) == [-item for item in range(2 * n_threads)]


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.cores, "n_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 / item, [1, 0], length=FEWEST_CELLS)


def test_work_on_short_arrays_stays_in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.cores, "n_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here = threading.get_ident()
    assert set(in_threads(lambda _: threading.get_ident(), range(4), length=FEWEST_CELLS - 1)) == {here}
    assert here not in in_threads(lambda _: threading.get_ident(), range(4), length=FEWEST_CELLS)
