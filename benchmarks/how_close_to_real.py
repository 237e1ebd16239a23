"""How close to real rows are synthetic ones, judged on rows that nothing was learned from?

    TABMINT_DATA=FOLDER python benchmarks/how_close_to_real.py adult --budget 120s --seeds 0 1 2

reads `FOLDER/adult.csv.gz` (a header row, empty cells missing), fits the generator on the train part, draws as many
rows, and prints one line per seed and the mean. Adult is split as published: its first 32,561 rows are train. Any other
table is split 90/10 at random with numpy's legacy seed 1234; Beijing without its row number and its rows of unknown
target. `--budget none` trains as long as the generator plans to. `--set generator.width=128` and
`--set transform.max_repeated=0` change a setting. With `--choose` the test rows stay untouched: train is cut again, and
its last quarter judges; this is how defaults are chosen. `--families` leaves the other parts of the evaluation out.

Each seed is a fresh process, so that memory is that of one fit. A last run repeats the first seed's fit and compares,
where there is no budget or the recorded number of steps agrees.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation import EvaluationConfig, Tables, evaluate
from evaluation.config import FAMILIES
from flows.duration import parse_seconds
from generators import TabularGenerator, generator_config
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.source import read
from pipeline.transform import TransformConfig

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
Settings = dict[str, dict[str, Any]]


def published(name: str) -> pa.Table:
    """Return the rows that published benchmarks use."""
    table = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
    return table.filter(pc.is_valid(table["pm2.5"])).drop_columns(["No"]) if name == "beijing_pm25" else table


def split_as_published(name: str, table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return train and test rows."""
    if name == "adult":
        return table.slice(0, ADULT_TRAIN_ROWS), table.slice(ADULT_TRAIN_ROWS)
    order = np.random.RandomState(1234).permutation(table.num_rows)
    n_train = int(0.9 * table.num_rows)
    return table.take(order[:n_train]), table.take(order[n_train:])


def cut_again(train: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return three quarters of train, and the rest as what judges."""
    order = np.random.RandomState(7).permutation(train.num_rows)
    n_train = int(0.75 * train.num_rows)
    return train.take(order[:n_train]), train.take(order[n_train:])


def parse_settings(assignments: list[str]) -> Settings:
    """Return `generator.a.b=1` as {"generator": {"a": {"b": 1}}, "transform": {}}; a value that is no JSON is text."""
    settings: Settings = {"generator": {}, "transform": {}}
    for assignment in assignments:
        path, text = assignment.split("=", 1)
        *folders, last = path.split(".")
        place: dict[str, Any] = settings
        for folder in folders:
            place = place.setdefault(folder, {})
        try:
            place[last] = json.loads(text)
        except json.JSONDecodeError:
            place[last] = text
    return settings


def measure(arguments: argparse.Namespace, seed: int, evaluated: bool) -> dict[str, float | str]:
    """Fit, draw and judge once; return the figures."""
    name, settings = arguments.table, parse_settings(arguments.set)
    table = published(name)
    schema = infer(table)
    train, test = split_as_published(name, table)
    if arguments.choose:
        train, test = cut_again(train)
    config = generator_config(arguments.kind, **settings["generator"])
    generator = TabularGenerator(config, transform=TransformConfig(**settings["transform"]))
    started = time.perf_counter()
    generator.fit(train, schema, seed=seed, budget_s=arguments.budget)
    fitted = time.perf_counter()
    synthetic = generator.sample(train.num_rows, seed=seed)
    drawn = time.perf_counter()
    kept = next(progress for progress in reversed(generator.history) if progress.best)
    row: dict[str, float | str] = {
        "seed": seed,
        "fit_s": fitted - started,
        "sample_s": drawn - fitted,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps": generator.history[-1].step,
        "members": generator.describe()["n_members"],
        "train_loss": kept.train_loss,
        "held_out_loss": kept.validation_loss,
        "fingerprint": fingerprint(synthetic),
    }
    if evaluated:
        tables = Tables(schema, train, test, synthetic, TARGETS.get(name))
        report = evaluate(tables, EvaluationConfig(families=arguments.families), seed=seed)
        found = {metric: report.measured(metric) for metric in SHOWN}
        row |= {metric: measured.value for metric, measured in found.items() if measured}
        row["evaluate_s"] = time.perf_counter() - drawn
    return row


def fit_of(
    kind: str,
    table: str,
    *,
    budget: float | None,
    settings: Sequence[str] = (),
    choose: bool = False,
    families: Sequence[str] = FAMILIES,
) -> argparse.Namespace:
    """Return what the command line would say about one fit, for benchmarks that run many."""
    return argparse.Namespace(
        kind=kind, table=table, budget=budget, set=list(settings), choose=choose, families=list(families)
    )


def in_fresh_process(arguments: argparse.Namespace, seed: int, evaluated: bool) -> dict[str, float | str]:
    """Run `measure` in a process of its own."""
    budget = "none" if arguments.budget is None else f"{arguments.budget}s"
    command = [sys.executable, __file__, arguments.table, "--kind", arguments.kind, "--budget", budget]
    command += ["--one", str(seed), "--set", *arguments.set, "--families", *arguments.families]
    command += ["--choose"] * arguments.choose + ["--no-evaluation"] * (not evaluated)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  this very file
    return json.loads(done.stdout.splitlines()[-1])


def mean(rows: list[dict[str, float | str]]) -> dict[str, float | str]:
    """Return the mean of every figure."""
    numeric = [key for key, value in rows[0].items() if not isinstance(value, str) and key != "seed"]
    return {key: float(np.mean([float(row[key]) for row in rows if key in row])) for key in numeric}


def show(row: dict[str, float | str]) -> None:
    """Print one line of figures."""
    print("  ".join(f"{k} {v:.4g}" for k, v in row.items() if not isinstance(v, str)), flush=True)


def main() -> None:
    """Measure every seed, print the mean, and check that the same seed gives the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--kind", default="flow_matching")
    parser.add_argument("--budget", type=lambda text: None if text == "none" else parse_seconds(text), default=120.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--choose", action="store_true", help="judge on a part of train, not on the test rows")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--no-evaluation", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments, arguments.one, not arguments.no_evaluation)))
        return
    rows = [in_fresh_process(arguments, seed, True) for seed in arguments.seeds]
    for row in rows:
        show(row)
    print("mean:")
    show(mean(rows))
    again = in_fresh_process(arguments, arguments.seeds[0], False)
    same = again["fingerprint"] == rows[0]["fingerprint"]
    print(f"same seed, same table: {'yes' if same else 'NO'} ({again['steps']} and {rows[0]['steps']} steps)")


if __name__ == "__main__":
    main()
