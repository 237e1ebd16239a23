"""`tabmint evaluate`: judge a synthetic table that any tool has made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .options import Output, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    from evaluation.report import Report


def evaluate(
    *,
    train: str,
    holdout: str,
    synthetic: str,
    output: Output,
    target: str | None = None,
    schema: Path | None = None,
    seed: Seed = 0,
) -> Outcome:
    """Measure a synthetic table, made by whatever tool, against the rows it was learned from and rows set aside.

    Writes report.html and report.json. Exits with 3 if a gate fails.

    As in:

    ```console
    $ tabmint evaluate --train train.csv --holdout test.csv --synthetic synthetic.csv --target income -o report
    ```

    Args:
        train: The rows that the synthetic table was learned from.
        holdout: Original rows that nothing was learned from.
        synthetic: The table to judge.
        output: The folder to write the report into.
        target: The column that downstream models predict.
        schema: The schema file of the tables; inferred from train and holdout unless given.
        seed: Of subsamples and learners.
    """
    from evaluation.config import FAMILIES
    from evaluation.rendering.render import write_report
    from evaluation.suite import evaluate as evaluate_tables
    from flows.files import check_output_folder
    from flows.inputs import read_tables
    from flows.progress import by_stage, show_progress
    from pipeline.artifact import stage

    check_output_folder(output)
    with show_progress() as display:
        with display.step("read"):
            tables = read_tables(train=train, holdout=holdout, synthetic=synthetic, target=target, schema_path=schema)
        with display.step("evaluate") as move, stage(output) as folder:
            report = evaluate_tables(tables, seed=seed, on_progress=by_stage(move, len(FAMILIES) + 2))
            write_report(report, folder)
            move(1.0, f"{len(report.measurements)} measurements")
    return _judged(report, output / "report.html")


def _judged(report: Report, page: Path) -> Outcome:
    failures = report.failures()
    verdict = f"Verdict    {report.verdict}, {len(failures)} of {len(report.judged())} gates failed"
    reasons = [*failures, *report.reviews()]
    lines = (verdict, *(f"           {reason}" for reason in reasons), f"Report     {page}")
    facts = {"verdict": report.verdict, "failures": failures, "reviews": report.reviews(), "report": str(page)}
    return Outcome("refused", lines, facts, exit_code=3) if failures else Outcome("done", lines, facts)
