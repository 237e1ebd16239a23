"""Every change of a source that must be found, planted; and tables in which nothing must be found.

    python tests/pipeline/drift_table.py --seeds 20

prints, as markdown, how many planted changes of each kind were found at each size, and how many honest tables were
reported. Each planted change lies at the stated limit: the smallest change that is promised to be found.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.chance import bins_move, event_moves, share_moves
from pipeline.drift import compare
from pipeline.drift_rules import Change, ChangeKind, DriftRules
from pipeline.inference import infer
from pipeline.profile import Profile, profile_of
from pipeline.schema import Schema

SIZES = (300, 1_000, 5_000, 20_000)
CITIES = ["Rome", "Oslo", "Lima", "Bern", "Graz", "Pune", "Kyiv", "Cork"]
NULLABLE = {"score": 0.3, "ward": 0.2}
MODELLED = ("amount", "visits", "city", "smoker", "seen", "born", "stay", "score", "ward")
RULES = DriftRules()

Plant = Callable[[pa.Table, np.random.Generator], pa.Table]


@dataclass(frozen=True)
class Planted:
    """A change to plant, and what must be found: one change of `kind` in `column`."""

    kind: ChangeKind
    column: str
    how: str
    plant: Plant

    @property
    def name(self) -> str:
        return f"{self.kind} {self.column}: {self.how}"


@dataclass(frozen=True)
class Baseline:
    """The last accepted source."""

    table: pa.Table
    schema: Schema
    profile: Profile


@cache
def baseline(n_rows: int, seed: int = 0) -> Baseline:
    table = draw(n_rows, np.random.default_rng([seed, n_rows]))
    schema = infer(table)
    return Baseline(table, schema, profile_of(table, schema))


def draw(n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return rows of one population, of every kind of column."""
    minutes = rng.integers(0, 300_000, n_rows)
    start = np.datetime64("2024-01-01T00:00", "us")
    words = rng.integers(0, 10**9, n_rows)
    return pa.table(
        {
            "customer_id": [f"C-{key:08d}" for key in rng.choice(10**8, n_rows, replace=False)],
            "amount": np.round(rng.lognormal(3, 1, n_rows), 2),
            "visits": np.where(rng.random(n_rows) < 0.4, 0, rng.poisson(9, n_rows)),
            "city": rng.choice(CITIES, n_rows, p=np.array([8, 7, 6, 5, 4, 3, 3, 4]) / 40),
            "smoker": rng.random(n_rows) < 0.3,
            "seen": pa.array(start + minutes.astype("timedelta64[m]"), pa.timestamp("us", "UTC")),
            "born": pa.array((minutes // 30).astype("datetime64[D]")),
            "stay": pa.array((rng.integers(1, 90, n_rows) * 3600).astype("timedelta64[s]")),
            "note": [f"seen with complaint {word} by the nurse" for word in words],
            "site": ["north"] * n_rows,
            "score": _with_missing(np.round(rng.normal(50, 9, n_rows), 1), NULLABLE["score"], rng),
            "ward": _with_missing(rng.choice(["a", "b", "c"], n_rows), NULLABLE["ward"], rng),
        }
    )


def _with_missing(values: np.ndarray, share: float, rng: np.random.Generator) -> pa.Array:
    return pa.array(values.tolist(), mask=rng.random(len(values)) < share)


def found(planted: Planted, n_rows: int, seed: int, rules: DriftRules = RULES) -> tuple[pa.Table, tuple[Change, ...]]:
    """Draw a later table, plant the change and compare."""
    rng = np.random.default_rng([seed, n_rows, 1])
    table = planted.plant(draw(n_rows, rng), rng)
    last = baseline(n_rows)
    return table, compare(table, last.schema, last.profile, rules)


def detected(planted: Planted, changes: tuple[Change, ...]) -> bool:
    """Say whether the planted change, and nothing else, was found."""
    return [(change.kind, change.column) for change in changes] == [(planted.kind, planted.column)]


def all_planted() -> list[Planted]:
    names = draw(20, np.random.default_rng(0)).column_names
    return [
        *(Planted("added", "extra", f"like {name}", _added(name)) for name in names),
        *(Planted("dropped", name, "gone", lambda table, _, name=name: table.drop_columns([name])) for name in names),
        *(Planted("renamed", "fresh", name, _renamed(name)) for name in names),
        *(Planted("retyped", name, how, plant) for name, how, plant in _retyped()),
        *(Planted("levels", name, how, _new_level(name, share)) for name in ("city", "ward")
          for how, share in (("1 row", 0.0), ("2 %", 0.02))),
        *(Planted("nulls", name, "the first one", _first_null(name)) for name in names if name not in NULLABLE),
        *(Planted("nulls", name, how, _null_share(name, sign)) for name in NULLABLE
          for how, sign in (("more", 1), ("fewer", -1))),
        *(Planted("nulls", name, "all", _all_null(name)) for name in NULLABLE),
        Planted("repeated_keys", "customer_id", "1 repeated", _repeated_key(1)),
        Planted("repeated_keys", "customer_id", "all repeated", _repeated_key(10**9)),
        *(Planted("distribution", name, "rows moved to one value", _moved(name)) for name in MODELLED),
    ]  # fmt: skip


def _set(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _added(name: str) -> Plant:
    return lambda table, rng: table.append_column("extra", draw(table.num_rows, rng)[name])


def _renamed(name: str) -> Plant:
    return lambda table, _: table.rename_columns([("fresh" if n == name else n) for n in table.column_names])


def _retyped() -> list[tuple[str, str, Plant]]:
    def cast(name: str, wanted: pa.DataType) -> Plant:
        return lambda table, _: _set(table, name, table[name].cast(wanted))

    def one_cell(name: str, cell: object, arrow: pa.DataType | None = None) -> Plant:
        def plant(table: pa.Table, rng: np.random.Generator) -> pa.Table:
            values = table[name].cast(arrow or table[name].type)
            marks = np.arange(table.num_rows) == rng.integers(table.num_rows)
            return _set(table, name, pc.if_else(pa.array(marks), pa.scalar(cell, values.type), values))

        return plant

    return [
        ("amount", "one cell is text", one_cell("amount", "n/a", pa.string())),
        ("amount", "one cell is negative", one_cell("amount", -3.5)),
        ("amount", "one cell is finer", one_cell("amount", 3.123)),
        ("amount", "times", lambda table, _: _set(table, "amount", table["seen"])),
        ("visits", "one cell is text", one_cell("visits", "many", pa.string())),
        ("visits", "one cell is a fraction", one_cell("visits", 2.5, pa.float64())),
        ("visits", "floats", cast("visits", pa.float64())),
        ("visits", "one cell is negative", one_cell("visits", -1)),
        ("city", "numbers", lambda table, _: _set(table, "city", table["visits"])),
        ("smoker", "text", lambda table, _: _set(table, "smoker", pc.if_else(table["smoker"], "yes", "no"))),
        ("smoker", "numbers", cast("smoker", pa.int64())),
        ("seen", "one cell is text", one_cell("seen", "yesterday", pa.string())),
        ("seen", "days", cast("seen", pa.date32())),
        ("seen", "one cell is finer", one_cell("seen", dt.datetime(2024, 3, 1, 9, 30, 1, tzinfo=dt.UTC))),
        ("born", "one cell is text", one_cell("born", "unknown", pa.string())),
        ("born", "times", cast("born", pa.timestamp("us"))),
        ("stay", "numbers", cast("stay", pa.int64())),
        ("site", "another value in one cell", one_cell("site", "south")),
        ("score", "one cell is text", one_cell("score", "high", pa.string())),
        ("customer_id", "numbers", lambda table, _: _set(table, "customer_id", pa.array(range(table.num_rows)))),
    ]


def _new_level(name: str, share: float) -> Plant:
    def plant(table: pa.Table, rng: np.random.Generator) -> pa.Table:
        marks = np.zeros(table.num_rows, np.bool_)
        marks[rng.choice(table.num_rows, max(1, round(share * table.num_rows)), replace=False)] = True
        return _set(table, name, pc.if_else(pa.array(marks), "Nowhere", table[name]))

    return plant


def _blanked(table: pa.Table, name: str, marks: np.ndarray) -> pa.Table:
    return _set(table, name, pc.if_else(pa.array(marks), pa.scalar(None, table[name].type), table[name]))


def _first_null(name: str) -> Plant:
    return lambda table, rng: _blanked(table, name, np.arange(table.num_rows) == rng.integers(table.num_rows))


def _all_null(name: str) -> Plant:
    return lambda table, _: _blanked(table, name, np.ones(table.num_rows, np.bool_))


def null_limit(share: float, sign: int, n_rows: int) -> float:
    """Return the smallest change of a share of missing cells that is promised to be found."""
    limit = RULES.null_tolerance
    for _ in range(20):  # chance depends on the share that it leads to
        limit = max(RULES.null_tolerance, 2 * share_moves(share + sign * limit / 2, n_rows, n_rows))
    return limit


def _null_share(name: str, sign: int) -> Plant:
    def plant(table: pa.Table, rng: np.random.Generator) -> pa.Table:
        wanted = max(NULLABLE[name] + sign * null_limit(NULLABLE[name], sign, table.num_rows), 0.0)
        source = draw(table.num_rows, rng)[name]
        full = source.drop_null().take(pa.array(rng.integers(0, len(source) - source.null_count, table.num_rows)))
        return _blanked(_set(table, name, full), name, rng.random(table.num_rows) < wanted)

    return plant


def _repeated_key(n_keys: int) -> Plant:
    def plant(table: pa.Table, _: np.random.Generator) -> pa.Table:
        rows = np.arange(table.num_rows)
        last = min(n_keys, table.num_rows - 1)
        rows[1 : last + 1] = 0
        return _set(table, "customer_id", table["customer_id"].take(pa.array(rows)))

    return plant


def distance_limit(name: str, n_rows: int) -> float:
    """Return the smallest true total variation distance that is promised to be found."""
    last = baseline(n_rows).profile.column(name)
    counts = np.array(last.bins.counts)
    present = int(counts.sum())
    noise = bins_move(int((counts > 0).sum()), present, present) + event_moves(present, present)
    return max(RULES.distribution_tolerance, noise)


def _moved(name: str) -> Plant:
    def plant(table: pa.Table, rng: np.random.Generator) -> pa.Table:
        last = baseline(table.num_rows)
        value = last.table[name].drop_null()[0]
        place = last.profile.column(name).place(pa.chunked_array([[value]], table[name].type)).argmax()
        counts = last.profile.column(name).bins.counts
        share = counts[place] / sum(counts)
        moved = distance_limit(name, table.num_rows) / (1 - share)
        marks = (rng.random(table.num_rows) < moved) & table[name].is_valid().to_numpy()
        return _set(table, name, pc.if_else(pa.array(marks), value, table[name]))

    return plant


def honest(n_rows: int, seed: int) -> dict[str, pa.Table]:
    """Return tables in which nothing changed."""
    rng = np.random.default_rng([seed, n_rows, 2])
    fresh = draw(n_rows, rng)
    same = baseline(n_rows).table
    fewer = draw(max(n_rows // 3, 100), rng)
    return {
        "a fresh draw": fresh,
        "a fresh draw of a third": fewer,
        "reordered columns": fresh.select(rng.permutation(fresh.column_names).tolist()),
        "reordered rows": same.take(pa.array(rng.permutation(n_rows))),
        "appended rows": pa.concat_tables([same, _other_keys(draw(max(n_rows // 10, 1), rng))]),
    }


def _other_keys(table: pa.Table) -> pa.Table:
    return _set(table, "customer_id", pc.replace_substring(table["customer_id"], "C", "D"))


def false_alarms(n_rows: int, seed: int) -> dict[str, tuple[Change, ...]]:
    """Return what was found in each honest table."""
    last = baseline(n_rows, seed)
    tables = honest(n_rows, seed)
    return {name: compare(table, last.schema, last.profile, RULES) for name, table in tables.items()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print(f"| change | {' | '.join(f'{n:,} rows' for n in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for kind in dict.fromkeys(planted.kind for planted in all_planted()):
        print(f"| {kind} | {' | '.join(_tally(kind, n_rows, seeds) for n_rows in SIZES)} |", flush=True)
    print(f"\n| limit | {' | '.join(f'{n:,} rows' for n in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    limits = [(name, share, lambda n, s=share: null_limit(s, 1, n)) for name, share in NULLABLE.items()]
    for name, share, limit in limits:
        print(f"| missing cells of {name}, {share:.0%} | {' | '.join(f'{limit(n):.3f}' for n in SIZES)} |")
    for name in MODELLED:
        print(f"| distance of {name} | {' | '.join(f'{distance_limit(name, n):.3f}' for n in SIZES)} |")
    print(f"\n| nothing changed | {' | '.join(f'{n:,} rows' for n in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    alarms = {n: [false_alarms(n, seed) for seed in seeds] for n in SIZES}
    for name in alarms[SIZES[0]][0]:
        cells = [f"{sum(bool(found[name]) for found in alarms[n])} of {len(seeds)} reported" for n in SIZES]
        print(f"| {name} | {' | '.join(cells)} |")


def _tally(kind: ChangeKind, n_rows: int, seeds: range) -> str:
    results = [
        detected(planted, found(planted, n_rows, seed)[1])
        for planted in all_planted()
        if planted.kind == kind
        for seed in seeds
    ]
    return f"{math.fsum(results):.0f} of {len(results)} found"


if __name__ == "__main__":
    main()
