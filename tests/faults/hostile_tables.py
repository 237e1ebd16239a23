"""Tables that try to break or to fool a reader, the same ones for the same number, in every format that is read.

`python -m tests.faults.hostile_tables 10000` takes so many of them along the whole way and prints a row of figures.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from pipeline.seeds import numpy_rng
from tests.faults.hostile_cells import COLUMNS, NAMES, RARELY, TEXTS, Rng, ordinary, pick

SUFFIXES = (".csv", ".parquet", ".feather", "")
TYPED_TEXTS = (
    lambda rng: str(rng.integers(-(2**63), 2**63 - 1)),
    lambda rng: str(rng.choice(["9007199254740993", "9007199254740992", "1", "2"])),
    lambda rng: repr(float(rng.normal())),
    lambda rng: str(rng.choice(["nan", "inf", "-inf", "1.5", "-0.0", "5e-324", "1.7976931348623157e308", "0.1"])),
    lambda rng: str(rng.choice(["1.5", "12345678901234567890.5", "1e16", "9007199254740993", "1e400"])),
    lambda rng: str(rng.choice(["true", "false", "TRUE"])),
    lambda rng: str(rng.choice(["2024-02-29", "0001-01-01", "9999-12-31", "2023-02-30"], p=[0.4, 0.3, 0.299, 0.001])),
    lambda rng: str(rng.choice(["2024-01-01 00:00", "2024-01-01T23:59:60", "1677-09-21T00:12:43.145224193"])),
    lambda rng: str(rng.choice(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00+05:45", "2024-01-01T00:00:00.1-0800"])),
    lambda rng: str(rng.choice(["1", " 2", "3 ", "\t4"])),
    lambda rng: str(rng.choice(["007", "7", "07"])),
    lambda rng: str(rng.choice(["a", "b", "c"])),
)
"""Texts of one type, mostly: what a column of a text file holds."""


@dataclass(frozen=True)
class Hostile:
    """A table as bytes of a file, or in memory.

    Attributes:
        number: which it is.
        suffix: of the file; empty for a table in memory.
        content: the file; of a table in memory nothing.
        table: what was written; None for a text file.
        encoding: that is declared of a text file.
        delimiter: that is declared of a text file, None for none.
    """

    number: int
    suffix: str
    content: bytes = b""
    table: pa.Table | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None


def hostile_table(number: int) -> Hostile:
    """Return the hostile table of that number."""
    rng = numpy_rng(number, "hostile table")
    if number % 5 < 2:
        return _text_file(number, rng)
    table = _typed(rng)
    suffix = SUFFIXES[1 + number % 3]
    try:
        return Hostile(number, suffix, _bytes(table, suffix), table)
    except (pa.ArrowException, OSError):  # the format cannot hold it; memory can
        return Hostile(number, "", table=table)


def _bytes(table: pa.Table, suffix: str) -> bytes:
    sink = io.BytesIO()
    if suffix == ".parquet":
        pyarrow.parquet.write_table(table, sink)
    elif suffix == ".feather":
        pyarrow.feather.write_feather(table, sink)
    return sink.getvalue()


def _size(rng: Rng) -> tuple[int, int]:
    n_rows = int(
        rng.choice([0, 1, 2, 19, 20, 39, 40, rng.integers(41, 500)], p=[0.02, 0.02, 0.02, 0.02, 0.02, 0.05, 0.1, 0.75])
    )
    return n_rows, int(rng.choice([1, 2, 3, rng.integers(4, 12), rng.integers(12, 41)], p=[0.3, 0.2, 0.2, 0.25, 0.05]))


def _names(rng: Rng, n: int) -> list[str]:
    if rng.random() < 0.6:
        return [f"c{i}" for i in range(n)]
    if rng.random() < 0.15:
        return pick(rng, NAMES, n)
    shuffled = [NAMES[i] for i in rng.permutation(len(NAMES))]
    return [shuffled[i] if i < len(shuffled) else f"c{i}" for i in range(n)]


def _typed(rng: Rng) -> pa.Table:
    n_rows, n_columns = _size(rng)
    pool = COLUMNS + RARELY * int(rng.random() < 0.08)
    arrays: list[pa.Array | pa.ChunkedArray] = [
        pool[int(rng.integers(len(pool)))](rng, n_rows) for _ in range(n_columns)
    ]
    if rng.random() < 0.6:
        arrays[-1] = ordinary(rng, n_rows)
    elif rng.random() < 0.5:
        arrays[-1] = arrays[0]
    if rng.random() < 0.2 and n_rows > 4:  # several chunks, one of them empty, and slices of others' memory
        cuts = sorted(rng.integers(0, n_rows, 3).tolist())
        bounds = zip([0, *cuts], [*cuts, n_rows], strict=True)
        spans = list(bounds)
        arrays = [pa.chunked_array([array[low:high] for low, high in spans], array.type) for array in arrays]
    return pa.Table.from_arrays(arrays, names=_names(rng, n_columns))


def _text_file(number: int, rng: Rng) -> Hostile:
    n_rows, n_columns = _size(rng)
    columns = [_text_column(rng, n_rows) for _ in range(n_columns)]
    if rng.random() < 0.6:
        columns[-1] = ordinary(rng, n_rows).to_pylist()
    rows = [list(row) for row in zip(*columns, strict=True)]
    if rng.random() < 0.05 and rows:  # ragged
        victim = rows[int(rng.integers(len(rows)))]
        victim.extend(["extra"] if rng.random() < 0.5 else [])
        del victim[:: 3 if rng.random() < 0.5 else 10**6]
    delimiter = str(pick(rng, [",", ",", ";", "\t", "|", "^"], 1)[0])
    declared = delimiter if delimiter == "^" or rng.random() < 0.5 else None
    text = _written(rng, [_names(rng, n_columns), *rows], delimiter)
    encoding, codec = pick(rng, ENCODINGS, 1)[0]
    return Hostile(number, ".csv", text.encode(codec, errors="replace"), encoding=encoding, delimiter=declared)


ENCODINGS = (
    *(("utf-8", "utf-8"),) * 20, ("utf-8", "utf-8-sig"), ("utf-8", "utf-16"), ("latin-1", "latin-1"),
    ("cp1252", "cp1252"), ("utf-8", "latin-1"), ("utf-16-le", "utf-16-le"), ("utf-8", "utf-32"), ("no-such", "utf-8"),
)  # fmt: skip
"""The declared encoding and the one that is used."""


def _text_column(rng: Rng, n: int) -> list[str]:
    if rng.random() < 0.3:
        return pick(rng, [TEXTS[i] for i in rng.choice(len(TEXTS), int(rng.integers(1, 12)))], n)
    write = TYPED_TEXTS[int(rng.integers(len(TYPED_TEXTS)))]
    odd = rng.choice([0.0, 0.0, 0.0, 0.1])
    return [str(rng.choice(["", "NA", "x"])) if lost else write(rng) for lost in rng.random(n) < odd]


def _written(rng: Rng, rows: list[list[str]], delimiter: str) -> str:
    """Return the rows as a careful writer, a careless one, or a broken one would write them."""
    sink = io.StringIO()
    end = str(pick(rng, ["\n", "\r\n", "\r"], 1)[0])
    if rng.random() < 0.15:
        text = end.join(delimiter.join(row) for row in rows) + end  # nothing is quoted
    else:
        quoting = csv.QUOTE_ALL if rng.random() < 0.2 else csv.QUOTE_MINIMAL
        csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
        text = sink.getvalue()
    if rng.random() < 0.05 and text:
        place = int(rng.integers(len(text)))
        text = text[:place] + str(rng.choice(['"', "\x00", "\r", "\n", delimiter, end * 3])) + text[place:]
    return text[: int(rng.integers(len(text) + 1))] if rng.random() < 0.03 else text


@dataclass
class Counts:
    """How many tables ended how."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def row(self) -> str:
        """Return a row of a Markdown table."""
        accepted = self.outcomes["accepted"]
        refused = {name: n for name, n in sorted(self.outcomes.items()) if name != "accepted"}
        by_class = ", ".join(f"{n} {name}" for name, n in refused.items())
        total = self.outcomes.total()
        return f"| {total} | {accepted} | {sum(refused.values())} ({by_class}) | {self.slowest_s:.1f} s |"


def walk_all(numbers: range) -> Counts:
    """Take every table along the whole way."""
    from tests.faults.hostile_walk import walk

    counts = Counts()
    with TemporaryDirectory() as folder:
        for number in numbers:
            began = monotonic()
            counts.outcomes[walk(hostile_table(number), Path(folder))] += 1
            counts.slowest_s = max(counts.slowest_s, monotonic() - began)
    return counts


if __name__ == "__main__":
    n_tables = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    sys.stdout.write("| tables | accepted | refused | slowest |\n|---|---|---|---|\n")
    sys.stdout.write(walk_all(range(n_tables)).row() + "\n")
