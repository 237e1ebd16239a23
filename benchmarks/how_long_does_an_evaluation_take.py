"""How long does an evaluation take, which part of it, and in how much memory?

    TABMINT_DATA=FOLDER python benchmarks/how_long_does_an_evaluation_take.py adult --target income
    TABMINT_DATA=FOLDER python benchmarks/how_long_does_an_evaluation_take.py kdd99_10pct --target label

cuts `FOLDER/TABLE.csv.gz` into a holdout part (a fifth, at most 50,000 rows) and train, draws as many rows as train has
from the whole table in place of a generator's, evaluates them with the default settings, and prints seconds and peak
resident memory after each part. The memory is that of all processes together, looked at ten times a second (Linux).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from memory import Memory

from evaluation import EvaluationConfig, Tables, evaluate
from evaluation.config import PrivacyConfig
from evaluation.features import Frames
from evaluation.metric import Findings, Metric
from evaluation.suite import METRICS
from pipeline.inference import infer
from pipeline.source import read

MOST_HELD_OUT = 50_000


def timed(metric: Metric, memory: Memory) -> Metric:
    """Return the metric, with a line about its time and the memory so far."""

    def measure(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
        began = time.perf_counter()
        found = metric(frames, config, seed=seed)
        name = getattr(metric, "__name__", "metric").removeprefix("measure_")
        print(f"{name:16} {time.perf_counter() - began:7.1f} s  peak {memory.peak:5.2f} GB", flush=True)
        return found

    return measure


def main() -> None:
    """Evaluate once and print a line per part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--target")
    parser.add_argument("--index", action="store_true", help="search the nearest records by an index")
    arguments = parser.parse_args()
    whole = read(Path(os.environ["TABMINT_DATA"]) / f"{arguments.table}.csv.gz").table
    rng = np.random.default_rng(0)
    order = rng.permutation(whole.num_rows)
    n_holdout = min(MOST_HELD_OUT, whole.num_rows // 5)
    holdout, train = whole.take(order[:n_holdout]), whole.take(order[n_holdout:])
    synthetic = whole.take(rng.integers(whole.num_rows, size=train.num_rows))
    memory = Memory()
    for family, metrics in METRICS.items():
        METRICS[family] = tuple(timed(metric, memory) for metric in metrics)
    config = EvaluationConfig(privacy=PrivacyConfig(index=arguments.index))
    tables = Tables(infer(whole), train, holdout, synthetic, arguments.target)
    began = time.perf_counter()
    evaluate(tables, config, seed=0)
    print(f"{'altogether':16} {time.perf_counter() - began:7.1f} s, {train.num_rows:,} + {n_holdout:,} rows")


if __name__ == "__main__":
    main()
