"""A twin of a job that learns invented rows beside the real ones, to see whether they come back (G6).

The twin learns and draws with the job's own settings. It works apart from the releases of its output, under
`<root>/.canaries-<name>`, and nothing of it stays: neither model nor table is kept, and none can be published. After a
failure or an interruption it clears up too; what a killed process leaves, the next twin of the output removes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from evaluation.privacy.canaries import N_CANARIES, canary_test, draw_canaries, insert_canaries
from evaluation.report import PrivacyTest
from pipeline.schema import Schema
from pipeline.seeds import substream

from . import steps
from .comparison import plan_of
from .job import Job, open_job
from .learning import new_generator, shown
from .progress import Display, Silent
from .settings import AlertSection, RunConfig


def try_canaries(config: RunConfig, display: Display | None = None, *, n: int = N_CANARIES) -> PrivacyTest:
    """Learn train with n canaries in it, draw as many rows as it has, and judge what came back.

    Constraints of the schema are left out of the twin, since invented rows need not meet them.

    Args:
        config: the job's settings.
        display: shows the progress.
        n: how many canaries are inserted, and how many are withheld for comparison.

    Raises:
        InputError: something given is wrong, or the columns do not allow so many invented rows.
        TrainingError: training failed.
        PublishError: another twin of the same output is under way.
    """
    with _twin(config, display or Silent()) as job:
        ingested = steps.ingest(job)
        parts = steps.split(job, ingested, plan_of(job, ingested))
        train = pq.read_table(parts.train.verified())
        schema = Schema.read_file(ingested.schema_file.verified()).model_copy(update={"constraints": ()})
        canaries = draw_canaries(train, schema, seed=job.seed, n=n)
        planted = insert_canaries(train, canaries, seed=job.seed)
        generator = new_generator(config.generator, config.transform)
        with job.display.step("fit") as move:
            seed = substream(job.seed, "fit")
            generator.fit(planted, schema, seed=seed, budget_s=config.generator.budget, on_progress=shown(move))
        with job.display.step("sample"):
            drawn = generator.sample(planted.num_rows, seed=job.seed)
        with job.display.step("evaluate"):
            return canary_test(drawn, canaries, schema)[0]


@contextmanager
def _twin(config: RunConfig, display: Display) -> Iterator[Job]:
    """Open a job apart, and remove all that it leaves; a twin that is under way already is left alone."""
    apart = config.output.model_copy(update={"root": config.output.root / f".canaries-{config.name}"})
    alone = config.model_copy(update={"output": apart, "alert": AlertSection(), "sinks": ()})
    held = False
    try:
        with open_job(alone, display, resumed=False) as job:
            held = True
            yield job
    finally:
        if held:
            shutil.rmtree(apart.root)
