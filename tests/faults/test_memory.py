"""A job that may hold less memory than it needs ends with an error, and what was published before stays."""

import os
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import verify_release
from pipeline.publish import current
from tests.faults import nights

GB = 2**30
LARGE = 1_000_000


def run(folder, date, limit_bytes, timeout=300):
    return subprocess.run(
        [sys.executable, "-m", "flows", "run", str(folder / "tabmint.toml"), "--date", date, "--no-prefect"],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes)),
    )


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job with a release, and a much larger source on the second night."""
    folder = tmp_path_factory.mktemp("memory") / "job"
    nights.write_job(folder, nights.UNTRAINED)
    config = folder / "tabmint.toml"  # isolated, as by default: in-process, Arrow can wait for ever for a thread
    config.write_text(config.read_text().replace("isolated = false\n", ""))
    done = run(folder, nights.DATES[0], resource.RLIM_INFINITY)
    assert done.returncode == 0, done.stderr
    people = nights.people(400)
    many = people.take(pa.array(np.arange(LARGE) % 400))
    keys = pa.array(np.arange(LARGE)).cast(people.schema.field("id").type)
    many = many.set_column(many.column_names.index("id"), "id", keys)
    pq.write_table(many, folder / f"{nights.DATES[1]}.parquet")
    return folder


def assert_only_the_first_release(job):
    root = job / "out"
    assert verify_release(current(root, "people")).record.date.isoformat() == nights.DATES[0]
    assert [path.name for path in (root / "runs" / "people").iterdir()] == [current(root, "people").name]


@pytest.mark.slow
def test_a_limit_that_allows_the_program_but_not_the_job_is_refused_before_training(job):
    done = run(job, nights.DATES[1], 3 * GB)
    assert done.returncode == 2, done.stderr
    assert "of memory, and may hold" in done.stderr
    assert_only_the_first_release(job)
    assert not (job / "out" / "work" / "people" / nights.DATES[1]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("limit_gb", [0.3, 0.8, 1.2, 2.0])
def test_under_a_limit_that_is_too_small_for_the_program_nothing_is_published(job, limit_gb):
    """Libraries may even crash when they are loaded; no handler of ours can run then, and none needs to.

    Or they may never come back: OpenBLAS asks for its buffer again and again. Such a run ends as an operator ends it.
    """
    try:
        assert run(job, nights.DATES[1], int(limit_gb * GB), 60 if limit_gb < 0.4 else 300).returncode != 0
    except subprocess.TimeoutExpired as killed:
        assert limit_gb < 0.4, killed
    assert_only_the_first_release(job)
