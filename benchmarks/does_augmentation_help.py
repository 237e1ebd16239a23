"""Do synthetic rows of a rare class help a classifier more than what costs nothing?

    TABMINT_DATA=FOLDER python benchmarks/does_augmentation_help.py --splits 3 --budget 30s --rows 8000

compares, on repeated splits of each table, real rows only, class weights, random oversampling, SMOTE (SMOTE-NC where
there are categories; needs imbalanced-learn) and rows drawn by each family given the class; each balances the classes.
Three learners learn each lesson; thresholds are chosen on original rows apart, and scores are of original rows that
nothing was learned from. It prints for each table a Markdown table with the differences from real rows only and their
95 % intervals (Nadeau and Bengio 2003), what `tabmint augment --advise` would say, and in the end means over
the tables, whose intervals take the tables for a sample (Student's t).

A budget is worth what the machine gives; with `--budget none --members 1 --steps 300` the figures depend on no clock.
Each finished cell (table, split, remedy) is one line of JSON in `--results`; a run that was killed goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.statistics import FloatArray
from evaluation.utility.advice import Comparison, advise, compare, corrected_interval, signed, table_of
from evaluation.utility.augmentation import (
    LEARNERS,
    MEASURES,
    REAL,
    Augmenter,
    Splits,
    Trial,
    try_augmenter,
    try_remedy,
)
from evaluation.utility.resampling import remedies
from flows.duration import parse_seconds
from generators import TabularGenerator, generator_config
from generators.augmentation import draw_classes
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.source import read

Augmenters = dict[str, Augmenter]

GUIDED = ("flow_matching", "ddpm")
FAMILIES = (*GUIDED, "vae", "wgan_gp")
PROBES = ("ipsweep", "nmap", "portsweep", "satan")
KNOWN_LATER = ("dep_delay", "arr_delay", "air_time", "cancelled", "flight_key")
EXAMPLE = Path(__file__).parents[1] / "examples" / "flights.parquet"
LATE_MINUTES = 60
SHOWN = ("pr_auc", "f1", "f1_untuned", "balanced_accuracy", "brier", "calibration_error", "brier_uncorrected")


def flights() -> pa.Table:
    """Return the flights that arrived with what was known before departure, and whether they came an hour late."""
    table = read(EXAMPLE).table
    table = table.filter(pc.is_valid(table["arr_delay"]))
    late = pc.greater_equal(table["arr_delay"], LATE_MINUTES)
    return table.drop_columns(list(KNOWN_LATER)).append_column("late", late)


def connections() -> pa.Table:
    """Return the distinct connections, and whether each is a probe of the network, one in seventy."""
    table = published("kdd99_10pct")
    table = table.group_by(table.column_names, use_threads=False).aggregate([])
    rare = pc.is_in(table["label"], pa.array(PROBES))
    return table.drop_columns(["label"]).append_column("probe", rare)


def published(name: str) -> pa.Table:
    """Return a table of the folder `TABMINT_DATA`."""
    return read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table


TABLES: Mapping[str, tuple[Callable[[], pa.Table], str]] = {
    "mammography": (lambda: published("mammography"), "class"),
    "flights": (flights, "late"),
    "bank_additional_full": (lambda: published("bank_additional_full"), "y"),
    "kdd99_10pct": (connections, "probe"),
    "default": (lambda: published("default"), "default payment next month"),
    "adult": (lambda: published("adult"), "income"),
}


@dataclass(frozen=True)
class Fit:
    """How a family is fitted: for how long at most, and what of its plan is set; None leaves it to the family."""

    budget_s: float | None
    steps: int | None
    members: int | None

    def generator(self, kind: str, table: pa.Table, schema: Schema, seed: int) -> TabularGenerator:
        """Return a family fitted on a table."""
        config = generator_config(kind, members=self.members, training={"steps": self.steps})
        return TabularGenerator(config).fit(table, schema, seed=seed, budget_s=self.budget_s)


class Family:
    """A family of generators on one table: fitted once on the rows of a split, however it is guided afterwards."""

    def __init__(self, kind: str, schema: Schema, target: str, fit: Fit) -> None:
        self.kind, self.schema, self.target, self.fit = kind, schema, target, fit
        self._last: tuple[int, TabularGenerator] | None = None

    def augment(self, guidance: float, table: pa.Table, wanted: Mapping[Any, int], seed: int) -> pa.Table:
        """Return the rows that the classes of a split lack; `seed` tells the split."""
        if self._last is None or self._last[0] != seed:
            self._last = seed, self.fit.generator(self.kind, table, self.schema, seed)
        drawn: pa.Table = draw_classes(self._last[1], self.target, wanted, seed=seed, guidance=guidance)
        return drawn


def augmenters(kinds: Sequence[str], schema: Schema, target: str, fit: Fit, guidances: Sequence[float]) -> Augmenters:
    """Return what draws rows by each family and, where it can be guided, each guidance."""
    found: Augmenters = {}
    for kind in kinds:
        family = Family(kind, schema, target, fit)
        for guidance in guidances if kind in GUIDED else (0.0,):
            found[f"{kind}, guidance {guidance:g}" if guidance else kind] = partial(family.augment, guidance)
    return found


class Results:
    """A file of finished cells, one line of JSON each; a line that a killed run left unfinished does not count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        cells = [json.loads(line) for line in lines if line.endswith("}")]
        self._trials = {json.dumps(cell["cell"]): [Trial(**trial) for trial in cell["trials"]] for cell in cells}

    def of(self, cell: Mapping[str, Any], tried: Callable[[], Iterator[Trial]]) -> list[Trial]:
        """Return what was found in a cell, by this run or an earlier one."""
        key = json.dumps(cell)
        if key not in self._trials:
            began = time.monotonic()
            self._trials[key] = list(tried())
            trials = [asdict(trial) for trial in self._trials[key]]
            line = json.dumps({"cell": cell, "seconds": round(time.monotonic() - began, 1), "trials": trials})
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")
        return self._trials[key]


def measured(name: str, splits: Splits, drawing: Augmenters, fit: Mapping[str, Any], results: Results) -> list[Trial]:
    """Return what every remedy did on every split of a table; `fit` is what a cell of a generator depends on."""
    found: list[Trial] = []
    for split in range(splits.n):
        cell = {"table": name, "rows": splits.most_rows, "ratio": splits.ratio, "seed": splits.seed, "split": split}
        for remedy, make in remedies().items():
            found += results.of(cell | {"remedy": remedy}, partial(try_remedy, splits, split, remedy, make))
        for kind, augment in drawing.items():
            found += results.of(cell | {"remedy": kind, **fit}, partial(try_augmenter, splits, split, kind, augment))
    return found


def show_table(name: str, splits: Splits, found: list[Trial], families: Iterable[str]) -> None:
    """Print what was found on one table."""
    learning, _, test = splits.parts(0)
    counts = np.bincount(splits.labels[learning])
    print(f"\n### {name}\n")
    print(f"{len(learning):,} rows learned from, {counts.min():,} of the rare class; {len(test):,} tested on.\n")
    print(table_of(found, SHOWN))
    for family in families:
        print(f"\n{family}: {advise(found, family).sentence}")


def show_means(found: Mapping[str, list[Trial]]) -> None:
    """Print the mean over tables of each remedy's difference, and on how many it is better or worse beyond chance."""
    some = next(iter(found.values()))
    print(f"\n### Mean over {len(found)} tables\n")
    print("| learner | remedy | " + " | ".join(MEASURES[measure][0] for measure in SHOWN) + " |")
    print("|" + "---|" * (2 + len(SHOWN)))
    for learner in LEARNERS:
        for remedy in dict.fromkeys(trial.remedy for trial in some):
            each = [[compare(trials, remedy, learner.name, measure) for trials in found.values()] for measure in SHOWN]
            print(f"| {learner.name} | {remedy} | " + " | ".join(map(mean_cell, each)) + " |")


def show_against(found: Mapping[str, list[Trial]], rival: str) -> None:
    """Print by how much each other remedy is ahead of `rival`: means over learners, tables as a sample."""
    remedies_tried = dict.fromkeys(trial.remedy for trial in next(iter(found.values())))
    print(f"\n### Minus {rival}, mean over learners and {len(found)} tables\n")
    print("| remedy | " + " | ".join(MEASURES[measure][0] for measure in SHOWN) + " |")
    print("|" + "---|" * (1 + len(SHOWN)))
    for remedy in remedies_tried:
        if remedy != rival:
            ahead = [[lead(trials, remedy, rival, measure) for trials in found.values()] for measure in SHOWN]
            print(f"| {remedy} | " + " | ".join(mean_text(np.array(each)) for each in ahead) + " |")


def lead(trials: list[Trial], remedy: str, rival: str, measure: str) -> float:
    """Return how much higher the mean score of a remedy is than that of a rival, over learners and splits."""
    scores = {name: [trial.scores[measure] for trial in trials if trial.remedy == name] for name in (remedy, rival)}
    return float(np.mean(scores[remedy]) - np.mean(scores[rival]))


def mean_text(differences: FloatArray) -> str:
    """Return the mean of differences, one a table, with its 95 % interval where there are several."""
    if len(differences) == 1:
        return signed(differences[0])
    low, high = corrected_interval(differences, test_to_learning=0.0)
    return f"{signed(float(differences.mean()))} [{signed(low)}, {signed(high)}]"


def mean_cell(each: list[Comparison]) -> str:
    """Return the mean over tables, and on how many the remedy is better or worse beyond its interval."""
    if each[0].remedy == REAL:
        return f"{np.mean([one.value for one in each]):.3f}"
    marks = f"{sum(one.better for one in each)}▲ {sum(one.worse for one in each)}▼"
    return f"{mean_text(np.array([one.difference for one in each]))} ({marks})"


def budget(text: str) -> float | None:
    """Return the seconds of a budget, None for "none"."""
    return None if text == "none" else parse_seconds(text)


def main(tokens: list[str] | None = None) -> None:
    """Measure what is asked for and is not in the file of results yet, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--budget", type=budget, default=30.0, help="of each fit, such as 30s, or none")
    parser.add_argument("--steps", type=int, default=None, help="of each fit at most; the family's plan unless given")
    parser.add_argument("--members", type=int, default=None, help="of each mixture; the family's number unless given")
    parser.add_argument("--rows", type=int, default=8_000, help="most rows to learn from")
    parser.add_argument("--ratio", type=float, default=1.0, help="how frequent the rare class is made")
    parser.add_argument("--guidance", type=float, nargs="+", default=[0.0, 1.0], help="of families that can be guided")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("does_augmentation_help.jsonl"))
    arguments = parser.parse_args(tokens)
    fit = Fit(arguments.budget, arguments.steps, arguments.members)
    results = Results(arguments.results)
    found: dict[str, list[Trial]] = {}
    for name in arguments.tables:
        table, target = TABLES[name][0](), TABLES[name][1]
        schema = infer(table)
        splits = Splits(
            table, schema, target, n=arguments.splits, ratio=arguments.ratio, most_rows=arguments.rows,
            seed=arguments.seed,
        )  # fmt: skip
        drawing = augmenters(arguments.families, schema, target, fit, arguments.guidance)
        found[name] = measured(name, splits, drawing, asdict(fit), results)
        show_table(name, splits, found[name], drawing)
    show_means(found)
    for rival in (REAL, "SMOTE"):
        if rival in remedies():
            show_against(found, rival)


if __name__ == "__main__":
    main()
