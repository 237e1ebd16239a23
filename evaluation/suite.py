"""The whole evaluation: three tables in, one report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.schema import Schema

from .config import EvaluationConfig
from .features import Frames, frames_of
from .fidelity.detection import measure_detection
from .fidelity.joint import measure_joint
from .fidelity.marginals import measure_marginals
from .fidelity.pairs import measure_pairs
from .fidelity.profiles import profile_columns
from .fidelity.subgroups import measure_subgroups
from .gate import Gates, judge
from .measurement import Family, Measurement
from .metric import Findings, Metric
from .privacy.gate_tests import measure_inference, measure_membership, measure_records
from .report import Report, ReportedColumn, RunIdentity, TrainingPoint
from .tables import Tables
from .utility.downstream import measure_utility
from .utility.every_column import measure_every_column

METRICS: dict[Family, tuple[Metric, ...]] = {
    "marginals": (measure_marginals,),
    "pairs": (measure_pairs,),
    "joint": (measure_joint,),
    "detection": (measure_detection,),
    "subgroups": (measure_subgroups,),
    "utility": (measure_utility, measure_every_column),
    "privacy": (measure_records, measure_membership, measure_inference),
}


def evaluate(
    tables: Tables,
    config: EvaluationConfig | None = None,
    gates: Gates | None = None,
    *,
    seed: int,
    run: RunIdentity | None = None,
    training: Sequence[TrainingPoint] = (),
    notes: Sequence[str] = (),
    on_progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure the synthetic table, judge it by the gates, and return everything a person needs to agree or not.

    Args:
        tables: train, holdout and synthetic rows with their schema.
        config: what to measure, and on how many rows.
        gates: the bounds that decide the verdict.
        seed: of every subsample, fold and permutation; the same seed gives the same report.
        run: what was run; counts alone where it is not given.
        training: the curve of the generator's training.
        notes: sentences to print in the report.
        on_progress: called with each stage's name as it begins.

    Raises:
        SchemaError: the tables do not share one schema.

    Example:
        >>> import pyarrow as pa
        >>> from pipeline.columns import Integer
        >>> table = pa.table({"age": list(range(20, 70))})
        >>> tables = Tables(Schema(columns=(Integer(name="age", arrow="int64"),)), table, table, table)
        >>> report = evaluate(tables, seed=0)
        >>> report.measured("shape_error").value, report.measured("c2st_auc"), report.verdict
        (0.0, None, 'FAIL')
    """
    config, announce = config or EvaluationConfig(), on_progress or (lambda _: None)
    announce("tables")
    frames = frames_of(tables)
    findings = _findings(frames, config, seed, announce)
    measurements = tuple(measurement for found in findings for measurement in found.measurements)
    tests = tuple(test for found in findings for test in found.tests)
    results, verdict = judge(measurements, tests, gates or Gates())
    announce("report")
    return Report(
        verdict=verdict,
        gates=results,
        run=run or _identity(frames, seed),
        measurements=measurements,
        schema_columns=_declared(tables.schema),
        columns=profile_columns(frames, _by_column(findings)),
        pairs=tuple(pair for found in findings for pair in found.pairs),
        giveaways=tuple(giveaway for found in findings for giveaway in found.giveaways),
        privacy=tests,
        subgroups=tuple(subgroup for found in findings for subgroup in found.subgroups),
        training=tuple(training),
        notes=tuple(notes),
    )


def _findings(frames: Frames, config: EvaluationConfig, seed: int, announce: Callable[[str], None]) -> list[Findings]:
    findings = []
    for family, metrics in METRICS.items():
        if family in config.families:
            announce(family)
            findings += [metric(frames, config, seed=seed) for metric in metrics]
    return findings


def _by_column(findings: list[Findings]) -> dict[str, tuple[Measurement, ...]]:
    """Return all measurements of each column, in the order of the families."""
    columns: dict[str, tuple[Measurement, ...]] = {}
    for found in findings:
        for name, own in found.columns.items():
            columns[name] = (*columns.get(name, ()), *own)
    return columns


def _identity(frames: Frames, seed: int) -> RunIdentity:
    return RunIdentity(
        seed=seed, n_train=frames.train.n_rows, n_holdout=frames.holdout.n_rows, n_synthetic=frames.synthetic.n_rows
    )


def _declared(schema: Schema) -> tuple[ReportedColumn, ...]:
    return tuple(
        ReportedColumn(name=c.name, kind=c.kind, arrow=c.arrow, nullable=c.nullable, reason=c.reason)
        for c in schema.columns
    )
