"""How often do drawn rows break what holds in a real table, and what does it cost to declare it?

    TABMINT_DATA=FOLDER python benchmarks/do_constraints_hold.py --budget 30s --rows 8000

reads `FOLDER/adult.csv.gz` and others (a header row, empty cells missing), fits flow matching twice on the same train
rows, with the constraints of `HOLDING` declared and without, draws as many rows from each, and prints a line for each:
the part of rows that break one, the part of drawn rows that fitted at once, and how close to real the table is.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from evaluation import EvaluationConfig, Tables, evaluate
from flows.duration import parse_seconds
from generators import TabularGenerator, generator_config
from pipeline.constraints import Constraint, FixedCombinations, FunctionalDependence, Inequality, Predicate
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.source import read

WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOLDING: dict[str, tuple[Constraint, ...]] = {
    "adult": (FunctionalDependence(determinants=("education",), dependents=("education-num",)),),
    "bank_additional_full": (
        Predicate(
            expression="(poutcome == 'nonexistent' and previous == 0) or (poutcome != 'nonexistent' and previous > 0)"
        ),
        FixedCombinations(columns=("emp.var.rate", "cons.price.idx", "cons.conf.idx", "nr.employed", "month")),
    ),
    "california_housing": (Inequality(columns=("total_bedrooms", "total_rooms")),),
    "news_39000": (FixedCombinations(columns=(*(f"weekday_is_{day}" for day in WEEK), "is_weekend")),),
}
SHOWN = ("shape_error", "trend_error", "c2st_auc")


def parts(name: str, n_rows: int) -> tuple[pa.Table, pa.Table]:
    """Return as many train rows and as many others."""
    table = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
    order = np.random.default_rng(0).permutation(table.num_rows)
    n_train = min(n_rows, table.num_rows // 2)
    return table.take(order[:n_train]), table.take(order[n_train : 2 * n_train])


def line(
    name: str, schema: Schema, constraints: tuple[Constraint, ...], tables: tuple[pa.Table, pa.Table], budget_s: float
) -> str:
    """Fit, draw and judge."""
    train, holdout = tables
    generator = TabularGenerator(generator_config("flow_matching")).fit(train, schema, seed=0, budget_s=budget_s)
    drawn = generator.sample(len(train), seed=1)
    broken = np.logical_or.reduce([each.broken(drawn, train) for each in constraints]).mean()
    config = EvaluationConfig(families=("marginals", "pairs", "detection"))
    report = evaluate(Tables(schema.model_copy(update={"constraints": ()}), train, holdout, drawn), config, seed=0)
    figures = {metric: found.value for metric in SHOWN if (found := report.measured(metric)) is not None}
    declared = "declared" if schema.constraints else "not declared"
    shown = "  ".join(f"{metric} {value:.4f}" for metric, value in figures.items())
    return f"{name:22} {declared:13} broken {broken:7.2%}  fitted at once {generator.acceptance:6.1%}  {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=[*HOLDING])
    parser.add_argument("--budget", type=parse_seconds, default=30.0)
    parser.add_argument("--rows", type=int, default=8_000)
    arguments = parser.parse_args()
    for name in arguments.tables:
        tables, constraints = parts(name, arguments.rows), HOLDING[name]
        columns = infer(tables[0]).columns
        for declared in ((), constraints):
            schema = Schema(columns=columns, constraints=declared)
            print(line(name, schema, constraints, tables, arguments.budget), flush=True)


if __name__ == "__main__":
    main()
