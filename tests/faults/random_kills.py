"""Kill a job of two nights at random moments, start it again each time, and print as JSON what became of it.

`python -m tests.faults.random_kills FOLDER N_KILLS SEED`: every other moment is drawn over the time that an
uninterrupted run takes, the others over that of one of its steps, so that the short ones are hit too.
"""

import itertools
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import torch._dynamo  # noqa: F401  a first step of training needs it; forked processes find it imported

from tests.faults import nights, warm


def measured(folder):
    """Run both nights undisturbed; return how long each step takes, by date, and the results."""
    nights.write_job(folder)
    return {date: _spans(folder, date) for date in nights.DATES}, nights.results(folder / "out")


def _spans(folder, date):
    log, began = folder / f"{date}.log", {"start": time.monotonic()}

    def look():
        for name, _ in nights.lines(log):
            began.setdefault(name, time.monotonic())
        return False

    status = warm.kill_after(nights.start(folder, date, log), 0, moment=look)
    if status != 0:
        raise RuntimeError(log.read_text())
    times = [*began.values(), time.monotonic()]
    return dict(zip(began, (later - earlier for earlier, later in itertools.pairwise(times)), strict=True))


class Killed:
    """One output through both nights, with every run of a night killed but the last."""

    def __init__(self, folder, spans, rng):
        self.folder, self.spans, self.rng = folder, spans, rng
        self.fell, self.redone, self.faults, self.n_runs = Counter(), [], [], 0
        nights.write_job(folder)

    def night(self, date):
        """Run until a run ends by itself: its moment was later than its end."""
        logs, status = [], None
        while status != 0:
            logs.append(self.folder / f"{date}-{len(logs)}.log")
            status = self._killed_once(date, logs[-1])
            if status == -9:
                self.fell[(nights.lines(logs[-1]) or [("start", "")])[-1][0]] += 1
                self.faults += nights.faults(self.folder / "out")
            elif status != 0:
                self.faults.append(f"exit code {status}: {logs[-1].read_text()}")
                return
        self.n_runs += len(logs)
        self._look_at_work(logs)

    def _killed_once(self, date, log):
        spans = self.spans[date]
        child = nights.start(self.folder, date, log)
        if self.rng.random() < 0.5:
            return warm.kill_after(child, self.rng.uniform(0, sum(spans.values())))
        step = self.rng.choice(nights.STEPS)
        return warm.kill_after(child, self.rng.uniform(0, spans[step]), moment=lambda: nights.has_begun(log, step))

    def _look_at_work(self, logs):
        """Note how many training steps each run made again, and which steps of the job were done again."""
        reached = 0
        for log in logs:
            steps = nights.trained(log)
            self.redone += [reached - steps[0] + 1] if steps else []
            reached = max([reached, *steps])
        self.faults += nights.done_twice(logs)


def main(folder, n_kills, seed):
    spans, expected = measured(folder / "whole")
    fell, redone, faults, n_outputs, n_runs = Counter(), [], [], 0, 0
    while fell.total() < n_kills:
        output = Killed(folder / f"{n_outputs:03}", spans, random.Random(f"{seed}/{n_outputs}"))
        for date in nights.DATES:
            output.night(date)
        faults += [*output.faults, *nights.faults_at_the_end(output.folder / "out")]
        if (found := nights.results(output.folder / "out")) != expected:
            faults.append(f"{output.folder.name}: other results, {found} for {expected}")
        fell, redone, n_outputs = fell + output.fell, redone + output.redone, n_outputs + 1
        n_runs += output.n_runs
    return {
        "kills": fell.total(), "fell": fell, "outputs": n_outputs, "runs": n_runs, "faults": faults,
        "most_redone": max(redone), "interval": nights.INTERVAL, "expected": expected,
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
