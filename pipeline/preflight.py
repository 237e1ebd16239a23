"""Before training, in seconds: what a job will need, and what would make it fail or its table poor."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.columns import Identifier
from pipeline.config import Config
from pipeline.cores import n_processes
from pipeline.errors import PreflightError
from pipeline.memory import available_memory_bytes
from pipeline.row_hashes import cell_hashes, mixed
from pipeline.schema import Schema, quoted
from pipeline.split import MIN_ROWS, holdout_size

PREDICTABLE = ("categorical", "boolean", "integer", "continuous")
TESTABLE = 500
"""With fewer holdout rows no privacy test could notice a leak."""

MANY_DUPLICATES = 0.05

# Factors that envelop what `benchmarks/does_a_large_table_fit_in_memory.py` printed, each table with as many synthetic
# rows as train has; tests/pipeline/test_preflight.py holds the estimate against those peaks.
FREE_MB = 750
BYTES_PER_BATCH_CELL = 1_200
BATCH_CELLS = 1_000_000
BYTES_PER_CELL = 140
MB_PER_PROCESS = 200  # where there are several, beside the one that waits for them


class Preflight(Config):
    """What a job will need and what it has, and what is wrong with its table.

    Attributes:
        n_rows: of the source.
        n_columns: of the source.
        n_cells: rows times columns.
        memory_bytes: the estimated peak of fit and evaluation.
        available_memory_bytes: what the process may hold, None where the system does not tell.
        seconds: the estimated time of the job: the whole budget, sampling and evaluation. A machine may be twice as
            fast or slow.
        needed_disk_bytes: the estimated size of all that a run writes.
        free_disk_bytes: what is free where it writes.
        warnings: a sentence for each thing that makes the table or its tests poor.
        problems: a sentence for each thing because of which the job would fail.
    """

    n_rows: int
    n_columns: int
    n_cells: int
    memory_bytes: int
    available_memory_bytes: int | None
    seconds: float
    needed_disk_bytes: int
    free_disk_bytes: int
    warnings: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Contents:
    """What hashing every cell once tells."""

    constant: list[str]
    all_missing: list[str]
    copies: list[list[str]]
    duplicate_share: float


def preflight(
    table: pa.Table, schema: Schema, *, target: str | None, folder: Path, budget_s: float, n_holdout: int | None = None
) -> Preflight:
    """Look at a table before a job learns from it.

    Args:
        table: the source.
        schema: that it fits.
        target: the column that downstream models predict.
        folder: where the job writes, or will.
        budget_s: the most time that training takes.
        n_holdout: how many rows are held out; None: by the rule of `holdout_size`.

    Example:
        >>> from pipeline.inference import infer
        >>> table = pa.table({"x": range(10), "same": [1] * 10})
        >>> found = preflight(table, infer(table), target="same", folder=Path(), budget_s=60)
        >>> found.problems
        ('there are 10 rows, and a job needs 20', 'the target "same" has the same value in every row')
    """
    contents = _contents(table, schema)
    size = {"n_rows": table.num_rows, "n_columns": table.num_columns, "n_cells": table.num_rows * table.num_columns}
    need = Preflight(
        **size,
        memory_bytes=memory_estimate(table.num_rows, table.num_columns, n_processes(table.num_rows)),
        available_memory_bytes=available_memory_bytes(),
        seconds=round(budget_s + seconds_estimate(table.num_rows, table.num_columns), 1),
        needed_disk_bytes=disk_estimate(table),
        free_disk_bytes=shutil.disk_usage(_existing(folder)).free,
        warnings=tuple(_warnings(table, contents, n_holdout)),
        problems=(),
    )
    problems = (*_in_table(table, schema, target, contents), *_in_machine(need, folder))
    return need.model_copy(update={"problems": problems})


def refuse_problems(found: Preflight) -> None:
    """Refuse a job that would fail.

    Raises:
        PreflightError: names every problem.
    """
    if found.problems:
        remedy = "mend the table or the configuration, or give the job more memory or disk"
        raise PreflightError("a job must be able to end well", actual="; ".join(found.problems), remedy=remedy)


def memory_estimate(n_rows: int, n_columns: int, processes: int = 1) -> int:
    """Return the estimated peak, in bytes, of fitting and evaluating a table of this size, in so many processes.

    Libraries and the smallest networks, the batches in flight, which stop growing at some size of the table, and the
    table itself in its several forms. The factors envelop what was measured with the default generator on a CPU by
    `benchmarks/does_a_large_table_fit_in_memory.py`.

    Example:
        >>> round(memory_estimate(48_842, 15) / 1e9, 1)
        1.8
    """
    cells = n_rows * n_columns
    alone = FREE_MB * 2**20 + BYTES_PER_BATCH_CELL * min(cells, BATCH_CELLS) + BYTES_PER_CELL * cells
    return alone + (MB_PER_PROCESS * 2**20 * processes if processes > 1 else 0)


def seconds_estimate(n_rows: int, n_columns: int) -> float:
    """Return the estimated seconds, beside the training budget, of sampling and evaluation on two cores.

    The time of evaluation grows with columns, and with rows up to where tests draw subsets.

    Example:
        >>> round(seconds_estimate(48_842, 15))
        80
    """
    return 12 + 90e-6 * min(n_rows, 50_000) * n_columns + 3e-6 * n_rows * n_columns


def disk_estimate(table: pa.Table) -> int:
    """Return the estimated bytes that a run writes: six tables no larger than in memory, a model and its checkpoint.

    A model of 60 columns was 35 MB after half a minute, and a checkpoint holds the state of its optimiser too.

    Example:
        >>> disk_estimate(pa.table({"x": [1.5] * 1000})) // 10**6
        300
    """
    return 6 * int(table.nbytes) + 300 * 10**6


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _contents(table: pa.Table, schema: Schema) -> _Contents:
    rows = np.zeros(table.num_rows, np.uint64)
    constant, missing, same = [], [], defaultdict(list)
    for place, name in enumerate(table.column_names):
        cells = cell_hashes(table[name])
        if table[name].null_count == table.num_rows:
            missing.append(name)
        elif (cells == cells[0]).all():
            constant.append(name)
        else:
            same[sha256(cells.tobytes()).digest()].append(name)
            if name not in schema.names or not isinstance(schema.column(name), Identifier):
                rows += mixed(cells + np.uint64(place))
    copies = [names for names in same.values() if len(names) > 1]
    return _Contents(constant, missing, copies, 1 - len(np.unique(rows)) / max(table.num_rows, 1))


def _warnings(table: pa.Table, contents: _Contents, n_holdout: int | None) -> Iterator[str]:
    if contents.constant:
        yield f"the same value stands in every row of {_listed(contents.constant)}: nothing is learned of it"
    if contents.all_missing:
        yield f"every cell is missing in {_listed(contents.all_missing)}"
    for names in contents.copies:
        yield f"{_listed(names)} hold the same in every row: keep one of them"
    if contents.duplicate_share > MANY_DUPLICATES:
        yield f"{contents.duplicate_share:.1%} of the rows repeat another one, keys aside"
    held_out = holdout_size(table.num_rows) if n_holdout is None else n_holdout
    if held_out < TESTABLE:
        yield f"{held_out} rows are held out: with fewer than {TESTABLE} a privacy test cannot notice a leak"


def _in_table(table: pa.Table, schema: Schema, target: str | None, contents: _Contents) -> Iterator[str]:
    if table.num_rows < MIN_ROWS:
        yield f"there are {table.num_rows} rows, and a job needs {MIN_ROWS}"
    if target is None:
        return
    if target not in schema.names or target not in table.column_names:
        yield f'the target "{target}" is no column of the table'
    elif target in contents.constant:
        yield f'the target "{target}" has the same value in every row'
    elif target in contents.all_missing:
        yield f'the target "{target}" is missing in every row'
    elif (kind := schema.column(target).kind) not in PREDICTABLE:
        yield f'the target "{target}" is declared {kind}, which no model can predict'


def _in_machine(need: Preflight, folder: Path) -> Iterator[str]:
    available = need.available_memory_bytes
    if available is not None and need.memory_bytes > available:
        yield f"the job needs about {_size(need.memory_bytes)} of memory, and may hold {_size(available)}"
    if need.needed_disk_bytes > need.free_disk_bytes:
        disk = f"{_size(need.needed_disk_bytes)} of disk, and {_size(need.free_disk_bytes)} are free"
        yield f'the job needs about {disk} at "{folder}"'


def _listed(names: list[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(quoted(names))}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
