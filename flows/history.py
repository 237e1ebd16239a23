"""What the ledgers under a root folder tell, and what may be tidied away: for the commands that look after releases."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.ledger import Entry, Ledger, releases
from pipeline.manifest import checked_name
from pipeline.publish import Output, current


@dataclass(frozen=True)
class History:
    """One output's ledger, and which of its releases is current."""

    name: str
    entries: tuple[Entry, ...]
    current: str


def histories(root: Path, name: str | None = None) -> list[History]:
    """Return the history of every output under `root`, or of one.

    Raises:
        ConfigError: there is no ledger (of that name).

    Example:
        >>> histories(Path("nothing-here"))
        Traceback (most recent call last):
        pipeline.errors.ConfigError: a ledger must be there; found none under "nothing-here"; name it with --root
    """
    if name is not None:
        checked_name("output name", name)
    found = sorted((root / "ledger").glob(f"{name or '*'}.jsonl"))
    if not found:
        actual = f'none under "{root}"' if name is None else f'none of "{name}" under "{root}"'
        raise ConfigError("a ledger must be there", actual=actual, remedy="name it with --root")
    return [_history(root, path.stem) for path in found]


def _history(root: Path, name: str) -> History:
    leads = current(root, name)
    return History(name, Ledger(root, name).entries(), "" if leads is None else leads.name)


def find_run(root: Path, run_id: str) -> tuple[History, tuple[Entry, ...]]:
    """Return the history that a run belongs to and all its entries; the first letters of its id are enough.

    Raises:
        ConfigError: no run, or more than one, begins so.
    """
    known = {
        (history.name, entry.run_id): history
        for history in histories(root)
        for entry in history.entries
        if entry.run_id and entry.run_id.startswith(run_id)
    }
    if len(known) != 1:
        actual = ", ".join(sorted(found for _, found in known)) or f'none that begins with "{run_id}"'
        raise ConfigError("one run must be meant", actual=actual, remedy="see them with: tabmint runs")
    ((_, found), history) = known.popitem()
    return history, tuple(entry for entry in history.entries if entry.run_id == found)


def unused(root: Path, output: Output, pruned: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Return the models and remembered sources that no release needs that is still there.

    What is remembered of the last release stays even where its folder is gone: later splits go on from its boundary.

    Args:
        root: of the outputs.
        output: held by this process, so that no run is using them.
        pruned: releases that are counted as gone.
    """
    published = releases(output.ledger.entries())
    standing = [e for e in published if output.find(e.run_id) and e.run_id not in pruned]
    models = {entry.record.model for entry in standing if entry.record is not None}
    kept = {"models": models, "state": {f"{entry.run_id}.json" for entry in (*standing, *published[-1:])}}
    found = [path for place in kept for path in sorted((root / place / output.name).glob("*"))]
    return tuple(path for path in found if path.name not in kept[path.parent.parent.name])


def remove(paths: tuple[Path, ...]) -> None:
    """Remove files and folders."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
