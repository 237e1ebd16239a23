"""The comparison of families as a Prefect flow: one task run for each family, one at a time."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, task, unmapped
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from . import comparison, steps
from .artifacts import artifact_key
from .comparison import FAMILIES, open_comparison, plan_of
from .progress import Display, Move, show_progress
from .settings import load_config
from .table_of_families import RULE, Comparison, cells

ingest = task(name="ingest", cache_policy=NO_CACHE)(steps.ingest)
split = task(name="split", cache_policy=NO_CACHE)(steps.split)
fit_and_judge = task(name="fit_and_judge", task_run_name="{plan.run_id}", cache_policy=NO_CACHE)(
    comparison.fit_and_judge
)


ONE_AT_A_TIME: Any = ThreadPoolTaskRunner(max_workers=1)  # prefect's annotations do not let it be a flow's runner
"""Two fits on one device would share each other's budget."""


class Stoppable:
    """Shows on another display; once it is stopped, the step that shows something next ends as by Ctrl-C.

    Ctrl-C reaches the main thread alone, and Prefect then waits for the thread that fits.
    """

    def __init__(self, display: Display) -> None:
        self._display, self._stopped = display, threading.Event()

    def stop(self) -> None:
        """Let the step that is under way end when it next tells how far it is."""
        self._stopped.set()

    @contextmanager
    def step(self, name: str) -> Iterator[Move]:
        """Show the step."""
        with self._display.step(name) as move:

            def moved(share: float | None, words: str) -> None:
                if self._stopped.is_set():
                    raise KeyboardInterrupt
                move(share, words)

            yield moved


@flow(
    name="compare",
    flow_run_name="{config_path}",
    task_runner=ONE_AT_A_TIME,
)
def compare(
    config_path: Path,
    overrides: tuple[str, ...] = (),
    kinds: tuple[str, ...] = FAMILIES,
    budget_s: float | None = None,
    date: datetime.date | None = None,
) -> Comparison:
    """Fit every kind to the same rows within the same budget, judge each by the gates, and choose.

    Args:
        config_path: a `tabmint.toml`.
        overrides: settings laid over it, each "section.key=value".
        kinds: of generators.
        budget_s: seconds of training for each; the job's own budget where it is not given.
        date: the date that the source is read for; today's where it is not given.

    Raises:
        InputError, PublishError: as `comparison.compare_families`.
    """
    config = load_config(config_path, overrides)
    with show_progress() as shown:
        display = Stoppable(shown)
        with open_comparison(config, display, kinds=kinds, budget_s=budget_s, on=date) as jobs:
            ingested = ingest(jobs[0])
            plans = [plan_of(job, ingested) for job in jobs]
            parts = split(jobs[0], ingested, plans[0])
            try:
                judged = fit_and_judge.map(list(jobs), unmapped(ingested), plans, unmapped(parts)).result()
            except BaseException:
                display.stop()
                raise
            found = comparison.conclude(config, jobs, plans, parts, judged)
    table = [cells(row) for row in found.rows]
    create_table_artifact(table, key=artifact_key(config.name, "families"), description=f"{found.reason} {RULE}")
    return found
