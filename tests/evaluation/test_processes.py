"""Work in processes: where it is done, that nothing depends on where, and that errors come back."""

from __future__ import annotations

import os
import signal
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

import pipeline.cores
from evaluation import EvaluationConfig, Tables, evaluate
from evaluation.processes import in_processes
from pipeline.columns import Boolean, Continuous
from pipeline.cores import FEWEST_ROWS_FOR_PROCESSES
from pipeline.errors import PreflightError
from pipeline.schema import Schema


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.cores, "n_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def whereabouts(item: int) -> tuple[int, int]:
    return item, os.getpid()


@pytest.mark.usefixtures("two_cores")
def test_large_tables_are_worked_on_elsewhere_and_in_order() -> None:
    items, places = zip(*in_processes(whereabouts, range(20), n_rows=FEWEST_ROWS_FOR_PROCESSES), strict=True)
    assert items == tuple(range(20)) and os.getpid() not in places


@pytest.mark.usefixtures("two_cores")
def test_small_tables_and_single_cores_are_worked_on_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_processes(whereabouts, [1], n_rows=FEWEST_ROWS_FOR_PROCESSES - 1) == [(1, os.getpid())]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert in_processes(whereabouts, [1], n_rows=FEWEST_ROWS_FOR_PROCESSES) == [(1, os.getpid())]


@pytest.mark.usefixtures("two_cores")
def test_an_error_in_a_process_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        in_processes(partial(divmod, 1), [1, 0], n_rows=FEWEST_ROWS_FOR_PROCESSES)


def ended(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("two_cores")
def test_a_process_that_the_system_ends_is_named_with_a_remedy_and_the_next_work_goes_on() -> None:
    with pytest.raises(PreflightError, match="more memory, or one process only"):
        in_processes(ended, [1], n_rows=FEWEST_ROWS_FOR_PROCESSES)
    assert in_processes(abs, [-1], n_rows=FEWEST_ROWS_FOR_PROCESSES) == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_a_report_is_the_same_wherever_its_numbers_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Boolean(name="y", arrow="bool")))

    def table(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=600)
        return pa.table({"x": x, "y": x + rng.normal(size=600) > 0})

    tables = Tables(schema, table(0), table(1), table(2), target="y")
    config = EvaluationConfig(families=("detection", "utility"))
    here = evaluate(tables, config, seed=0)
    monkeypatch.setattr(pipeline.cores, "FEWEST_ROWS_FOR_PROCESSES", 0)
    assert evaluate(tables, config, seed=0) == here
