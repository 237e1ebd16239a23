"""How close to real rows are synthetic ones, judged on rows that nothing was learned from?

    TABMINT_DATA=FOLDER python benchmarks/how_close_to_real.py adult --budget 120s --seeds 0 1 2

reads `FOLDER/adult.csv.gz` (a header row, empty cells missing), fits the generator on the train part, draws as many
rows, and prints one line per seed and the mean. Adult is split as published: its first 32,561 rows are train. Any other
table is split 90/10 at random with numpy's legacy seed 1234.

Each seed is a fresh process, so that memory is that of one fit. A last run repeats the first seed's fit and compares.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from evaluation import EvaluationConfig, Tables, evaluate
from flows.duration import parse_seconds
from generators import TabularGenerator, generator_config
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.source import read

TARGETS = {
    "adult": "income",
    "bank_additional_full": "y",
    "beijing_pm25": "pm2.5",
    "california_housing": "median_house_value",
    "default": "default payment next month",
    "news_39000": "shares",
}
SHOWN = (
    "c2st_auc",
    "shape_error",
    "trend_error",
    "tstr_auc",
    "trtr_auc",
    "utility_gap",
    "dcr_share",
    "exact_copies",
    "exact_copies_p",
)
ADULT_TRAIN_ROWS = 32_561


def split_as_published(name: str, table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return train and test rows."""
    if name == "adult":
        return table.slice(0, ADULT_TRAIN_ROWS), table.slice(ADULT_TRAIN_ROWS)
    order = np.random.RandomState(1234).permutation(table.num_rows)
    n_train = int(0.9 * table.num_rows)
    return table.take(order[:n_train]), table.take(order[n_train:])


def measure(name: str, kind: str, budget_s: float, seed: int, evaluated: bool) -> dict[str, float | str]:
    """Fit, draw and judge once; return the figures."""
    table = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
    schema = infer(table)
    train, test = split_as_published(name, table)
    started = time.perf_counter()
    generator = TabularGenerator(generator_config(kind)).fit(train, schema, seed=seed, budget_s=budget_s)
    fitted = time.perf_counter()
    synthetic = generator.sample(train.num_rows, seed=seed)
    drawn = time.perf_counter()
    row: dict[str, float | str] = {
        "seed": seed,
        "fit_s": fitted - started,
        "sample_s": drawn - fitted,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps": generator.history[-1].step,
        "fingerprint": fingerprint(synthetic),
    }
    if evaluated:
        tables = Tables(schema, train, test, synthetic, TARGETS.get(name))
        report = evaluate(tables, EvaluationConfig(), seed=seed)
        found = {metric: report.measured(metric) for metric in SHOWN}
        row |= {metric: measured.value for metric, measured in found.items() if measured}
        row["evaluate_s"] = time.perf_counter() - drawn
    return row


def in_fresh_process(arguments: argparse.Namespace, seed: int, evaluated: bool) -> dict[str, float | str]:
    """Run `measure` in a process of its own."""
    command = [sys.executable, __file__, arguments.table, "--kind", arguments.kind, "--budget", f"{arguments.budget}s"]
    command += ["--one", str(seed)] + ([] if evaluated else ["--no-evaluation"])
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  this very file
    return json.loads(done.stdout.splitlines()[-1])


def show(row: dict[str, float | str]) -> None:
    """Print one line of figures."""
    print("  ".join(f"{k} {v:.4g}" for k, v in row.items() if not isinstance(v, str)), flush=True)


def main() -> None:
    """Measure every seed, print the mean, and check that the same seed gives the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--kind", default="flow_matching")
    parser.add_argument("--budget", type=parse_seconds, default=120.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--no-evaluation", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        row = measure(arguments.table, arguments.kind, arguments.budget, arguments.one, not arguments.no_evaluation)
        print(json.dumps(row))
        return
    rows = [in_fresh_process(arguments, seed, True) for seed in arguments.seeds]
    for row in rows:
        show(row)
    numeric = [key for key, value in rows[0].items() if not isinstance(value, str) and key != "seed"]
    print("mean:")
    show({key: float(np.mean([float(row[key]) for row in rows if key in row])) for key in numeric})
    again = in_fresh_process(arguments, arguments.seeds[0], False)
    same = again["fingerprint"] == rows[0]["fingerprint"]
    print(f"same seed, same table: {'yes' if same else 'NO'} ({again['steps']} and {rows[0]['steps']} steps)")


if __name__ == "__main__":
    main()
