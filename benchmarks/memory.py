"""How much memory a process and all that it started hold together (Linux)."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


class Memory:
    """The largest resident memory of this process and its children so far, in GB."""

    def __init__(self) -> None:
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, sum(map(resident, [os.getpid(), *children(os.getpid())])) / 2**20)
            time.sleep(0.1)


def children(parent: int) -> list[int]:
    """Return the processes that it and its children started and that are there."""
    threads = Path(f"/proc/{parent}/task").glob("*/children")
    found = [int(child) for thread in threads for child in read_text(thread).split()]
    return [*found, *(grandchild for child in found for grandchild in children(child))]


def resident(process: int) -> int:
    """Return its resident memory in kB, with its share of what several hold together; 0 where it has ended."""
    lines = read_text(f"/proc/{process}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def read_text(path: str | Path) -> str:
    """Return what a file holds, nothing where it is gone."""
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
