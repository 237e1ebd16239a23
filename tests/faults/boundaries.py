"""Kill a job of two nights right at the boundaries of its steps, let it go on, and print as JSON what came of it.

`python -m tests.faults.boundaries FOLDER (trained|untrained) PLACE...`: a place is `begin STEP`, `did STEP` (the work
is done, and not noted), `end STEP` (it is noted), or `fitted` (training is over, and the model not yet saved).
"""

import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import torch._dynamo  # noqa: F401  see random_kills

from flows import progress
from generators import TabularGenerator
from tests.faults import nights, warm

GENERATORS = {"trained": nights.TRAINED, "untrained": nights.UNTRAINED}


class Lethal(progress.Lines):
    """Writes the lines of a run, and kills its process at one place."""

    def __init__(self, stream, place):
        super().__init__(stream)
        self._place = place

    @contextmanager
    def step(self, name):
        self._reach(f"begin {name}")
        with super().step(name) as move:
            yield lambda share, words: (move(share, words), self._reach(f"did {name}" if share == 1.0 else ""))
            self._reach(f"end {name}")

    def _reach(self, place):
        if place == self._place:
            os.kill(os.getpid(), signal.SIGKILL)


def start_and_die(folder, date, log, place):
    """Begin one night in a process that kills itself at a place."""

    def run():
        progress.Lines = lambda stream: Lethal(stream, place)
        if place == "fitted":
            TabularGenerator.save = lambda self, path: os.kill(os.getpid(), signal.SIGKILL)
        return nights.run(folder, date, log)

    return warm.fork(run, log)


def interrupted(folder, generator, place):
    """Kill each night once at the place, and let it go on; return what was found."""
    nights.write_job(folder, generator)
    found = {"place": place, "status": [], "faults": [], "trained": []}
    for date in nights.DATES:
        killed, again = folder / f"{date}-killed.log", folder / f"{date}-again.log"
        found["status"] += [warm.wait(start_and_die(folder, date, killed, place))]
        found["faults"] += nights.faults(folder / "out")
        found["status"] += [warm.wait(nights.start(folder, date, again))]
        found["faults"] += nights.done_twice([killed, again])
        found["trained"] += [len(nights.trained(killed)) + len(nights.trained(again))]
    found["faults"] += nights.faults_at_the_end(folder / "out")
    return found | {"results": nights.results(folder / "out")}


def main(folder, kind, *places):
    nights.write_job(folder / "whole", GENERATORS[kind])
    for date in nights.DATES:
        log = folder / "whole" / f"{date}.log"
        if warm.wait(nights.start(folder / "whole", date, log)) != 0:
            raise RuntimeError(log.read_text())
    found = [interrupted(folder / place.replace(" ", "-"), GENERATORS[kind], place) for place in places]
    return {"expected": nights.results(folder / "whole/out"), "found": found, "n_steps": nights.N_STEPS}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), sys.argv[2], *sys.argv[3:])))
