"""What the accepted model of an output does with other rows, as Prefect flows for a schedule: score them, fill them.

Each is its command under a date: `{date}` in the names of files stands for the date on which the run was to start.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from pipeline.errors import ConfigError
from pipeline.ledger import Ledger, accepted
from pipeline.source import SourceConfig, for_date

from .artifacts import artifact_key
from .cli.impute import impute
from .cli.outcome import Outcome
from .cli.score import score
from .settings import RunConfig, load_config
from .synthesize import UTC, Partition, partition


@flow(name="score-rows")
def score_rows(
    config_path: Path,
    table: str,
    output: str,
    reference: str | None = None,
    false_alarms: float | None = None,
    explain: int = 3,
    date: Partition | None = None,
    timezone: ZoneInfo = UTC,
) -> dict[str, Any]:
    """Score how odd rows are to the accepted model, as `tabmint score` does.

    Args:
        config_path: the `tabmint.toml` of the output whose model scores.
        table: the rows.
        output: the file to write.
        reference: ordinary rows that the model did not learn from.
        false_alarms: the share of ordinary rows that may be called odd.
        explain: for each row, so many cells that are the least likely given the rest of the row.
        date: as of `synthesize`.
        timezone: as of `synthesize`.

    Returns:
        what `tabmint score --json` prints.

    Raises:
        ConfigError: the output has no accepted release with a model.
        InputError: as the command.
    """
    config, day = load_config(config_path), partition(date, timezone)
    model = accepted_model(config, day)
    scored = score(
        model,
        dated(table, day),
        output=Path(dated(output, day)),
        reference=None if reference is None else dated(reference, day),
        false_alarms=false_alarms,
        explain=explain,
    )
    return _shown(config.name, "scored", scored)


@flow(name="impute-rows")
def impute_rows(
    config_path: Path,
    table: str,
    output: str,
    imputations: int = 20,
    multiple: bool = False,
    intervals: str | None = None,
    date: Partition | None = None,
    timezone: ZoneInfo = UTC,
) -> dict[str, Any]:
    """Fill the missing cells of rows with the accepted model, as `tabmint impute` does.

    Args:
        config_path: the `tabmint.toml` of the output whose model fills.
        table: the rows.
        output: the Parquet file to write.
        imputations: how often each missing cell is drawn.
        multiple: write every draw.
        intervals: the file of the bounds of missing numbers.
        date: as of `synthesize`.
        timezone: as of `synthesize`.

    Returns:
        what `tabmint impute --json` prints.

    Raises:
        ConfigError: the output has no accepted release with a model.
        InputError: as the command.
    """
    config, day = load_config(config_path), partition(date, timezone)
    model = accepted_model(config, day)
    filled = impute(
        dated(table, day),
        output=Path(dated(output, day)),
        model=model,
        imputations=imputations,
        multiple=multiple,
        intervals=None if intervals is None else Path(dated(intervals, day)),
    )
    return _shown(config.name, "filled", filled)


def accepted_model(config: RunConfig, day: datetime.date | None) -> Path:
    """Return the folder of the model behind the accepted release of an output on a date, today's where None.

    Raises:
        ConfigError: there is no release, or its model has been pruned.
    """
    release = accepted(Ledger(config.output.root, config.name).entries(), until=day)
    if release is None or release.record is None:
        remedy = f'run the config of "{config.name}" with `tabmint run` first'
        raise ConfigError(f'the output "{config.name}" must have an accepted release', actual="none", remedy=remedy)
    folder = config.output.root / "models" / config.name / release.record.model
    if not folder.is_dir():
        remedy = "run again with --force refit"
        raise ConfigError("the accepted release needs its model", actual=f'no "{folder}"', remedy=remedy)
    return folder


def dated(name: str, day: datetime.date | None) -> str:
    """Return a file's name with the date in place of `{date}`.

    Example:
        >>> dated("visits-{date}.csv", datetime.date(2026, 11, 26))
        'visits-2026-11-26.csv'
    """
    return str(for_date(SourceConfig(path=name), day or datetime.datetime.now(UTC).date()).path)


def _shown(name: str, kind: str, outcome: Outcome) -> dict[str, Any]:
    """Show the end of a command on an output in the UI, and return its facts."""
    text = "\n".join(("```", *outcome.lines, "```"))
    create_markdown_artifact(text, key=artifact_key(name, kind))
    return outcome.facts
