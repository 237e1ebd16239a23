"""How much memory this process may hold: the smallest of what the system, its control group and its own limit leave."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return the most bytes that this process may hold, what it holds already included; None where nothing tells.

    Args:
        proc: the system's files about processes and memory.
        cgroup: the root of the control groups.

    Example:
        >>> available = available_memory_bytes()
        >>> available is None or available > 0
        True
    """
    return min(_allowances(proc, cgroup), default=None)


def _allowances(proc: Path, cgroup: Path) -> Iterator[int]:
    if not (proc / "meminfo").is_file():
        return  # no Linux
    address_space, resident = _own_bytes(proc)
    yield _kilobytes(proc / "meminfo")["MemAvailable"] + resident
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - (address_space - resident)  # addresses that hold nothing count against this limit too
    for group in _groups(proc, cgroup):
        yield from _left_in(group, resident)


def _own_bytes(proc: Path) -> tuple[int, int]:
    """Return the size of this process's address space, and how much of it is resident."""
    pages = (proc / "self" / "statm").read_text(encoding="ascii").split()
    return int(pages[0]) * resource.getpagesize(), int(pages[1]) * resource.getpagesize()


def _kilobytes(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def _groups(proc: Path, cgroup: Path) -> Iterator[Path]:
    """Yield the folder of this process's control group, and of every one around it: each has a limit of its own."""
    entries = [line.split(":", 2) for line in (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()]
    for number, controllers, name in entries:
        if number == "0" or "memory" in controllers.split(","):
            root = cgroup if number == "0" else cgroup / "memory"
            inner = root / name.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def _left_in(group: Path, resident: int) -> Iterator[int]:
    """Yield what the group's limit leaves to this process; what only caches files can be had back."""
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        if (group / limit).is_file() and (text := (group / limit).read_text(encoding="ascii").strip()) != "max":
            statistics = (line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            cached = sum(int(value) for name, value in statistics if name == "inactive_file")
            used = int((group / usage).read_text(encoding="ascii")) - cached
            yield int(text) - used + resident
