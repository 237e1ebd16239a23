"""The whole evaluation: three tables in, one report out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pipeline.schema import Schema

from .config import EvaluationConfig
from .constraints import judge_constraints
from .deadline import IMPORTANCE, Clock, Deadline, LeftOut
from .features import Frames, frames_of
from .fidelity.detection import measure_detection
from .fidelity.joint import measure_joint
from .fidelity.marginals import measure_marginals
from .fidelity.pairs import measure_pairs
from .fidelity.profiles import profile_columns
from .fidelity.subgroups import measure_subgroups
from .gate import Gates, judge, worst
from .measurement import Family, Measurement
from .metric import Findings, Metric
from .privacy.gate_tests import measure_inference, measure_membership, measure_records
from .report import Likelihood, Report, ReportedColumn, RunIdentity, SinceLast, TrainingPoint
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
    likelihood: Likelihood | None = None,
    notes: Sequence[str] = (),
    since_last: SinceLast | None = None,
    on_progress: Callable[[str], None] | None = None,
    clock: Clock = time.monotonic,
) -> Report:
    """Measure the synthetic table, judge it by the gates, and return everything a person needs to agree or not.

    Families are measured in the order of their importance, privacy first; the report keeps its own order, and a result
    does not depend on what was measured before it. Once `config.budget_s` is over no further metric is started; one
    that is running is finished, so an evaluation may last longer by one metric and the drawing up of the report.

    Args:
        tables: train, holdout and synthetic rows with their schema.
        config: what to measure, and on how many rows.
        gates: the bounds that decide the verdict.
        seed: of every subsample, fold and permutation; the same seed gives the same report.
        run: what was run; counts alone where it is not given.
        training: the curve of the generator's training.
        likelihood: what the generator makes of the tables, where it has a density.
        notes: sentences to print in the report.
        since_last: what is known about the runs before this one.
        on_progress: called with each stage's name as it begins.
        clock: seconds that only go forward; the budget is measured with it.

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
    gates, deadline = gates or Gates(), Deadline(config.budget_s, clock)
    announce("tables")
    frames = frames_of(tables)
    findings, left = _findings(frames, config, seed, announce, deadline)
    measurements = tuple(measurement for found in findings for measurement in found.measurements)
    measurements += tuple(left.measurements(measurements, gates))
    tests = tuple(test for found in findings for test in found.tests)
    tests += tuple(left.tests(tests, gates))
    results, verdict = judge(measurements, tests, gates)
    if (constraints := judge_constraints(tables)) is not None:
        results, verdict = (*results, constraints), worst([verdict, constraints.verdict])
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
        likelihood=likelihood,
        notes=(*notes, *left.notes()),
        since_last=since_last,
        n_published=len(tables.published) if "privacy" in config.families else 0,
    )


def _findings(
    frames: Frames, config: EvaluationConfig, seed: int, announce: Callable[[str], None], deadline: Deadline
) -> tuple[list[Findings], LeftOut]:
    """Measure in the order of importance, and return what was found in the order of the report."""
    found: dict[Family, list[Findings]] = {}
    for family in (name for name in IMPORTANCE if name in config.families):
        for metric in METRICS[family]:
            if deadline.over():
                break
            if family not in found:
                announce(family)
            found.setdefault(family, []).append(metric(frames, config, seed=seed))
    wanted = [family for family in METRICS if family in config.families]
    left = deadline.left_out({family: (len(found.get(family, ())), len(METRICS[family])) for family in wanted})
    return [findings for family in wanted for findings in found.get(family, ())], left


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
