"""`tabmint runs` and `tabmint show`: what became of the runs of an output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from .options import Root
from .outcome import Outcome, shown

if TYPE_CHECKING:
    from flows.history import History
    from pipeline.ledger import Entry, Record


def runs(
    name: str | None = None,
    /,
    *,
    root: Root = Path("out"),
    last: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
) -> Outcome:
    """List what became of the runs of an output, or of all: the newest last, the current release marked.

    As in:

    ```console
    $ tabmint runs flights
    ```

    Args:
        name: The output; all of them unless given.
        root: The output folder, as `output.root` in the config.
        last: How many events to show of each output.
    """
    from flows.history import histories

    found = histories(root, name)
    lines = [line for history in found for line in _table(history, last)]
    return Outcome("done", tuple(lines[:-1]), {"outputs": [_facts(history) for history in found]})


def show(run: str, /, *, root: Root = Path("out")) -> Outcome:
    """Show one run: what was decided and why, its verdict, figures, cost and hashes, and where its report lies.

    As in:

    ```console
    $ tabmint show 2026-11-25-3f1c
    ```

    Args:
        run: The run's id, or its first letters.
        root: The output folder, as `output.root` in the config.
    """
    from flows.history import find_run

    history, entries = find_run(root, run)
    report = next((path for path in _reports(root, history.name, entries[0].run_id) if path.is_file()), None)
    lines = [f"Run        {entries[0].run_id}, of {history.name}{_mark(history, entries[0].run_id, ', current')}"]
    lines += [
        f"{entry.event.replace('_', ' '):<10} {entry.at}{'  ' if entry.note else ''}{entry.note}" for entry in entries
    ]
    told = next((entry for entry in reversed(entries) if entry.record is not None), None)
    lines += [] if told is None or told.record is None else _record_lines(told, told.record)
    lines += [] if report is None else [f"Report     {shown(report)}"]
    facts = {"name": history.name, "report": None if report is None else str(report)}
    return Outcome("done", tuple(lines), {**facts, "events": [entry.model_dump(mode="json") for entry in entries]})


def _table(history: History, last: int) -> list[str]:
    rows: list[tuple[str, ...]] = [("", "when (UTC)", "date", "run", "what", "verdict", "rows", "model or reason")]
    rows += [_row(history, entry) for entry in history.entries[-last:]]
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    body = ["  ".join((*map(str.ljust, row, widths), row[7])).rstrip() for row in rows]
    more = len(history.entries) - last
    return [f"{history.name}{f'  ({more} earlier events)' if more > 0 else ''}", *body, ""]


def _row(history: History, entry: Entry) -> tuple[str, ...]:
    record = entry.record
    return (
        _mark(history, entry.run_id if entry.event == "published" else "", "*"),
        entry.at[:16].replace("T", " "),
        "" if record is None else record.date.isoformat(),
        entry.run_id or "-",
        entry.event.replace("_", " "),
        entry.verdict or "",
        "" if entry.n_rows is None else f"{entry.n_rows:,}",
        entry.note if record is None else f"{record.action.replace('_', ' ')}: {record.reason}",
    )


def _mark(history: History, run_id: str, mark: str) -> str:
    return mark if run_id and run_id == history.current else ""


def _facts(history: History) -> dict[str, Any]:
    events = [entry.model_dump(mode="json") for entry in history.entries]
    return {"name": history.name, "current": history.current or None, "events": events}


def _record_lines(entry: Entry, record: Record) -> Sequence[str]:
    failed = [
        f"{name} {verdict}" for name, verdict in record.gates.items() if verdict in ("FAIL", "REVIEW", "NOT TESTABLE")
    ]
    return (
        f"Date       {record.date}, seed {entry.seed}",
        f"Decided    {record.action.replace('_', ' ')}: {record.reason}",
        f"Verdict    {entry.verdict}{': ' if failed else ''}{', '.join(failed)}",
        f"Rows       {entry.n_rows or 0:,} drawn, learned from {record.n_train:,}",
        f"Figures    {', '.join(f'{name} {value:.4g}' for name, value in record.figures.items()) or 'none'}",
        f"Cost       {', '.join(f'{step} {seconds:.1f} s' for step, seconds in record.cost.items())}",
        f"Model      {record.model}",
        f"Source     {record.inputs.data}",
        f"Manifest   {entry.manifest_sha256}",
    )


def _reports(root: Path, name: str, run_id: str) -> list[Path]:
    return [root / place / name / run_id / "report.html" for place in ("runs", "quarantine")]
