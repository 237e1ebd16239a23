"""Run a job again and again on a disk that is full but for some bytes, and print as JSON what became of each run.

`python -m tests.faults.full_disk FOLDER DISK FREE...`: DISK is where a small file system is mounted, FREE the kibibytes
that are left for each run. Preflight refuses such a disk; then it is made to see a large one, so that runs meet its end
as they do where another process fills it meanwhile.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch._dynamo  # noqa: F401  see random_kills

from pipeline import preflight
from pipeline.manifest import verify_release
from pipeline.publish import current
from tests.faults import nights, warm


def fill(disk, free_kib):
    """Fill the disk but for so much."""
    with (disk / "filler").open("wb") as file:
        left = shutil.disk_usage(disk).free - free_kib * 1024
        file.write(b"x" * max(left, 0))
        file.flush()
        os.fsync(file.fileno())


def run(job, date, log):
    return warm.wait(nights.start(job, date, log))


def see_large_disk():
    """Let preflight, in this process and in those forked from it, take every disk for a large one."""
    real = preflight.disk_estimate
    preflight.disk_estimate = lambda table: min(real(table), 0)


def tried(job, disk, free_kib, log):
    """Run the second night with so much space, then with enough, and return what was found after each."""
    fill(disk, free_kib)
    before = current(disk / "out", "people").name
    status = run(job, nights.DATES[1], log)
    left = {"found": verify_release(current(disk / "out", "people")).run_id, "faults": nights.faults(disk / "out")}
    (disk / "filler").unlink()
    return {"free_kib": free_kib, "status": status, "before": before, **left, "said": log.read_text()}


def main(folder, disk, *free_kib):
    job = folder / "job"
    nights.write_job(job, nights.UNTRAINED)
    text = (job / "tabmint.toml").read_text()
    (job / "tabmint.toml").write_text(f'{text}[output]\nroot = "{disk / "out"}"\ncsv = true\n')
    refused = run(job, nights.DATES[0], folder / "refused.log")
    see_large_disk()
    first = run(job, nights.DATES[0], folder / "first.log")
    runs = [tried(job, disk, free, folder / f"{free}.log") for free in free_kib]
    after = run(job, nights.DATES[1], folder / "after.log")
    return {
        "refused": refused, "why": (folder / "refused.log").read_text(), "first": first, "runs": runs, "after": after,
        "faults": nights.faults_at_the_end(disk / "out"), "dates": sorted(nights.results(disk / "out")),
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))))
