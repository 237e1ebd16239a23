"""`tabmint evaluate`: judge a synthetic table that any tool has made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .options import Output, Seed, Settings
from .outcome import Outcome

if TYPE_CHECKING:
    from evaluation.report import Report
    from flows.settings import Judging
    from generators import TabularGenerator


def evaluate(
    *,
    train: str,
    holdout: str,
    synthetic: str,
    output: Output,
    target: str | None = None,
    schema: Path | None = None,
    model: Path | None = None,
    config: Path | None = None,
    settings: Settings = (),
    seed: Seed = 0,
) -> Outcome:
    """Measure a synthetic table, made by whatever tool, against the rows it was learned from and rows set aside.

    Writes report.html and report.json. Exits with 3 if a gate fails, or if a person must look at the table and
    `gates.review` is "refuse".

    As in:

    ```console
    $ tabmint evaluate --train train.csv --holdout test.csv --synthetic synthetic.csv --target income -o report
    ```

    Args:
        train: The rows that the synthetic table was learned from.
        holdout: Original rows that nothing was learned from.
        synthetic: The table to judge.
        output: The folder to write the report into.
        target: The column that downstream models predict; that of the config unless given.
        schema: The schema file of the tables; that of the model, or else inferred from train and holdout, unless given.
        model: The model folder that the table was drawn from, as `tabmint fit` writes it. The report then has its
            likelihoods of all three tables and its training.
        config: A config file whose sections [evaluation] and [gates] hold; it may be that of a whole job.
        settings: One setting of these sections laid over the file, as `section.key=value`; may be repeated.
        seed: Of subsamples and learners.
    """
    from evaluation.rendering.render import write_report
    from flows.files import check_output_folder
    from flows.inputs import read_tables
    from flows.judging import given_model, given_tables, judge_tables
    from flows.progress import show_progress
    from flows.settings import load_judging
    from pipeline.artifact import stage

    check_output_folder(output)
    judging = load_judging(config, settings).with_target(target)
    with show_progress() as display:
        with display.step("read"):
            generator = None if model is None else _loaded(model)
            tables = read_tables(
                train=train,
                holdout=holdout,
                synthetic=synthetic,
                target=judging.evaluation.target,
                schema_path=schema,
                learned=None if generator is None else generator.schema,
            )
            given = given_tables(tables, train=train, holdout=holdout, synthetic=synthetic)
            given += () if model is None else (given_model(model),)
        with display.step("evaluate") as move, stage(output) as folder:
            report = judge_tables(tables, judging, given, generator, seed=seed, move=move)
            write_report(report, folder)
            move(1.0, f"{len(report.measurements)} measurements")
    return _judged(report, judging, output / "report.html")


def _loaded(model: Path) -> TabularGenerator:
    from generators import TabularGenerator

    return TabularGenerator.load(model)


def _judged(report: Report, judging: Judging, page: Path) -> Outcome:
    failures, reviews = report.failures(), report.reviews()
    unwanted = bool(reviews) and judging.gates.review == "refuse"
    lines = (
        f"Verdict    {report.verdict}, {len(failures)} of {len(report.judged())} gates failed",
        *(f"           {reason}" for reason in (*failures, *reviews)),
        *(["Refused    this configuration refuses what is for review"] if unwanted else []),
        f"Report     {page}",
    )
    facts = {"verdict": report.verdict, "failures": failures, "reviews": reviews, "report": str(page)}
    refused = failures or unwanted
    return Outcome("refused", lines, facts, exit_code=3) if refused else Outcome("done", lines, facts)
