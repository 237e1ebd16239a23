"""Does a table of half a million rows go through ingest, fit, sampling and evaluation in 4 GB?

    TABMINT_DATA=FOLDER python benchmarks/does_a_large_table_fit_in_memory.py kdd99_10pct --limit-gb 4

The whole job runs under a limit on the data segment (RLIMIT_DATA: heap and private mappings) of each of its processes,
and the peak resident size of all of them together and the time of each part are printed (Linux).
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

from memory import Memory

from evaluation import EvaluationConfig, Tables, evaluate
from flows.duration import parse_seconds
from generators import TabularGenerator
from pipeline.inference import infer
from pipeline.source import read
from pipeline.split import split_table


def main() -> None:
    """Run the job and print a line per part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--limit-gb", type=float, default=4.0)
    parser.add_argument("--budget", type=parse_seconds, default=120.0)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--target", default="label")
    arguments = parser.parse_args()
    limit = int(arguments.limit_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    started, memory = time.perf_counter(), Memory()

    def done(part: str) -> None:
        print(f"{part:10s} {time.perf_counter() - started:6.0f} s  peak {1024 * memory.peak:6.0f} MB", flush=True)

    table = read(Path(os.environ["TABMINT_DATA"]) / f"{arguments.table}.csv.gz").table
    schema = infer(table)
    split = split_table(table, seed=0)
    done("ingest")
    generator = TabularGenerator().fit(split.train, schema, seed=0, budget_s=arguments.budget)
    done("fit")
    synthetic = generator.sample(arguments.rows, seed=1)
    done("sample")
    tables = Tables(schema, split.train, split.holdout, synthetic, arguments.target)
    report = evaluate(tables, EvaluationConfig(), seed=0)
    done("evaluate")
    for gate in report.gates:
        print(f"{gate.verdict:5s} {gate.reason}")


if __name__ == "__main__":
    main()
