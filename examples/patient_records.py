"""Patient records to share: learn 1,086 real people, draw as many invented ones, and say what may be said of them.

    python examples/patient_records.py

The table is `patients.parquet` beside this file: smokers who were examined in 1971, visited again in 1982 and followed
until 1992. What a physician knows about such a record is declared as constraints, so that no drawn row contradicts it.
A third of the people is kept away from the generator. Against them every number is held: how alike the columns and
their pairs are, and whether the drawn rows give away who was learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation import Measured, Report, Tables, evaluate
from generators import GeneratorConfig, TabularGenerator
from pipeline.constraints import FunctionalDependence, Inequality, Predicate, Sum
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.split import SplitConfig, split_table

PATIENTS = Path(__file__).with_name("patients.parquet")

RULES = (
    Inequality(columns=("diastolic", "systolic"), strict=True, reason="the pressure between beats is the lower one"),
    Inequality(columns=("smoke_years", "age"), strict=True, reason="nobody smoked before birth"),
    Sum(total="weight_1982", parts=("weight_1971", "weight_change"), reason="the change leads from one to the other"),
    FunctionalDependence(determinants=("school_years",), dependents=("education",), reason="grades are cut from years"),
    Predicate(expression="pregnancies is None or sex == 'female'", reason="women alone were asked"),
    Predicate(expression="died == (year_of_death is not None)", reason="who died has a year of death"),
)
PAIRS = (
    ("systolic", "diastolic"),
    ("age", "systolic"),
    ("weight_1971", "weight_1982"),
    ("age", "died"),
    ("height", "weight_1971"),
)


@dataclass(frozen=True)
class Found:
    """What the run found.

    Attributes:
        n_train: people who were learned.
        n_holdout: people who were not.
        broken: how many drawn rows break each rule.
        broken_without_rules: how many do where the same columns are drawn without regard for one another.
        acceptance: the part of the first draw that keeps all rules; the rest was drawn anew.
        correlations: rank correlation of pairs of columns among learned, held-out and drawn people.
        report: the whole evaluation.
    """

    n_train: int
    n_holdout: int
    broken: Mapping[str, int]
    broken_without_rules: Mapping[str, int]
    acceptance: float
    correlations: Mapping[tuple[str, str], tuple[float, float, float]]
    report: Report

    def number(self, metric: str) -> Measured:
        """Return a measured number of the report."""
        found = self.report.measured(metric)
        assert found is not None, metric
        return found


def main(config: GeneratorConfig | None = None) -> Found:
    """Learn, draw, measure and tell.

    Args:
        config: of the generator; the defaults unless given.
    """
    table = pq.read_table(PATIENTS)
    schema = Schema(columns=infer(table).columns, constraints=RULES)
    schema.validate_table(table)  # real people keep the rules as well, or they would be no rules
    parts = split_table(table, SplitConfig(holdout=1 / 3), seed=0)
    generator = TabularGenerator(config).fit(parts.train, schema, seed=0)
    drawn = generator.sample(parts.train.num_rows, seed=1)
    found = Found(
        n_train=parts.train.num_rows,
        n_holdout=parts.holdout.num_rows,
        broken=broken_rows(schema, drawn, parts.train),
        broken_without_rules=broken_rows(schema, shuffled(parts.train), parts.train),
        acceptance=generator.acceptance,
        correlations={
            (a, b): (correlation(parts.train, a, b), correlation(parts.holdout, a, b), correlation(drawn, a, b))
            for a, b in PAIRS
        },
        report=evaluate(Tables(schema, parts.train, parts.holdout, drawn, target="died"), seed=0),
    )
    tell(found)
    return found


def broken_rows(schema: Schema, table: pa.Table, train: pa.Table) -> dict[str, int]:
    """Return how many rows break each rule; which education goes with which years is read from train."""
    return {rule.text: int(rule.broken(table, train).sum()) for rule in schema.constraints}


def correlation(table: pa.Table, first: str, second: str) -> float:
    """Return the rank correlation of two columns, over the rows that have both."""
    frame = table.select([first, second]).to_pandas().astype(float)
    return float(frame.corr(method="spearman").iloc[0, 1])


def shuffled(table: pa.Table) -> pa.Table:
    """Return the table with every column shuffled on its own: right columns, people who cannot be."""
    rng = np.random.default_rng(0)
    columns = [column.take(pa.array(rng.permutation(len(column)))) for column in table.columns]
    return pa.table(columns, schema=table.schema)


def tell(found: Found) -> None:
    """Print what was found."""
    shape, trend = found.number("shape_error"), found.number("trend_error")
    print(f"{found.n_train:,} people were learned, {found.n_holdout:,} kept away, {found.n_train:,} drawn.\n")
    print("Rules, and how many drawn rows break them (in brackets: if each column were shuffled on its own):")
    for text, n in found.broken.items():
        print(f"  {n:>3}  ({found.broken_without_rules[text]:,})  {text}")
    print(f"Some rules cost rows that were drawn anew: {found.acceptance:.1%} of the first draw met them all.\n")
    print("Likeness to the learned people (0 is best; 'real' is what as many other real people have):")
    print(f"  single columns  {shape.value:.3f}, real {shape.ceiling:.3f}")
    print(f"  pairs           {trend.value:.3f}, real {trend.ceiling:.3f}, shuffled columns {trend.floor:.3f}\n")
    print("Rank correlations: learned, held out, drawn")
    for (first, second), (train, holdout, drawn) in found.correlations.items():
        print(f"  {first + ' and ' + second:<30} {train:+.2f} {holdout:+.2f} {drawn:+.2f}")
    print()
    print(f"Verdict on sharing: {found.report.verdict}.")
    for test in found.report.privacy:
        print(f"  {test.name}: {test.verdict}. {test.reason}")
        if test.detection_limit:
            print(f"      What it can see: {test.detection_limit}")
    print("A PASS says that no leak larger than this was found; it is no guarantee.")


if __name__ == "__main__":
    main()
