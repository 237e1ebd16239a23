"""Does the report refuse a bootstrap copy for privacy, independent columns for fidelity, and let real rows pass?

    TABMINT_DATA=FOLDER python benchmarks/do_baselines_get_their_verdicts.py --tables adult default --seeds 0

cuts each `FOLDER/NAME.csv.gz` at random into three parts of the same size, at most `--rows` each: train, holdout, and
rows that nobody saw. Three tables are judged as a generator's output would be, by all the default gates:

- untouched rows: the third part, what a perfect generator would draw;
- bootstrap copy: train rows, drawn with replacement;
- independent columns: the third part with each column shuffled on its own.

The exit code is 1 where the bootstrap copy is not refused by a privacy gate, the independent columns not by a fidelity
gate, or untouched rows by any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from how_close_to_real import TARGETS as PUBLISHED_TARGETS

from evaluation import EvaluationConfig, Report, Tables, evaluate
from evaluation.gate import Gate, Gates
from evaluation.privacy.together import GRAVEST_FIRST
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from pipeline.source import read

TARGETS = PUBLISHED_TARGETS | {"kdd99_10pct": "label", "mammography": "class", "telco_churn": "Churn"}
KINDS = UNTOUCHED, COPY, INDEPENDENT = "untouched rows", "bootstrap copy", "independent columns"
FIDELITY = {name for name, gate in Gates().named() if isinstance(gate, Gate)}


def cut(name: str, most_rows: int, rng: np.random.Generator) -> tuple[Schema, pa.Table, pa.Table, pa.Table]:
    """Return the schema of a table and three disjoint parts of it."""
    whole = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
    n_rows = min(most_rows, whole.num_rows // 3)
    parts = rng.permutation(whole.num_rows)[: 3 * n_rows].reshape(3, n_rows)
    train, holdout, fresh = (whole.take(part) for part in parts)
    return infer(whole), train, holdout, fresh


def baselines(train: pa.Table, fresh: pa.Table, rng: np.random.Generator) -> Iterator[tuple[str, pa.Table]]:
    """Yield the three synthetic tables."""
    yield UNTOUCHED, fresh
    yield COPY, train.take(rng.integers(train.num_rows, size=train.num_rows))
    shuffled = [column.take(rng.permutation(fresh.num_rows)) for column in fresh.columns]
    yield INDEPENDENT, pa.table(shuffled, schema=fresh.schema)


def by_verdict(report: Report, *, fidelity: bool) -> str:
    """Return the worst verdict of the fidelity gates, or else of the others, and the gates that gave it."""
    gates = [gate for gate in report.gates if (gate.name in FIDELITY) == fidelity]
    worst = min((gate.verdict for gate in gates), key=GRAVEST_FIRST.index)
    if worst == "PASS":
        return worst
    return f"{worst} ({', '.join(gate.name.split('_')[0] for gate in gates if gate.verdict == worst)})"


def right(kind: str, fidelity: str, privacy: str) -> bool:
    """Return whether the verdicts are those that the table deserves."""
    if kind == UNTOUCHED:
        return not any(verdict.startswith(("FAIL", "NOT TESTABLE")) for verdict in (fidelity, privacy))
    return (privacy if kind == COPY else fidelity).startswith("FAIL")


def main() -> None:
    """Judge the three tables cut from each, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--judged", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    print("| table | rows a part | seed | judged | fidelity | privacy | seconds |\n|---|---|---|---|---|---|---|")
    n_wrong = 0
    for name in arguments.tables:
        for seed in arguments.seeds:
            rng = numpy_rng(seed, "baselines", name)
            schema, train, holdout, fresh = cut(name, arguments.rows, rng)
            for kind, synthetic in baselines(train, fresh, rng):
                if kind not in arguments.judged:
                    continue
                began = time.perf_counter()
                tables = Tables(schema, train, holdout, synthetic, TARGETS[name])
                report = evaluate(tables, EvaluationConfig(), seed=seed)
                verdicts = [by_verdict(report, fidelity=fidelity) for fidelity in (True, False)]
                wrong = not right(kind, *verdicts)
                n_wrong += wrong
                line = [name, f"{train.num_rows:,}", str(seed), kind, *verdicts, f"{time.perf_counter() - began:.0f}"]
                print(f"| {' | '.join(line)} |{' WRONG' if wrong else ''}", flush=True)
    print(f"\n{n_wrong} wrong verdicts")
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
