"""`tabmint score`: how odd each row of a table is to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Flag, Output, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from generators.anomaly import Reason, RowScores, Threshold

FALSE_ALARMS = 0.01
N_SHOWN = 5
ADDED = ("nats", "outside", "odd", "why")
KINDS = {
    "exact": "exact",
    "encoded_space": "exact, of tokens and of the places inside their bins",
    "lower_bound": "an upper bound, because the density is bounded from below",
}


def score(
    model: Path,
    table: str,
    /,
    *,
    output: Output,
    reference: str | None = None,
    false_alarms: Annotated[float | None, Parameter(validator=Number(gt=0, lt=1))] = None,
    explain: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    per: Literal["quantile", "axis"] = "quantile",
    seed: Seed = 0,
    spreadsheet_safe: Flag = False,
) -> Outcome:
    """Score how odd each row of a table is to a model, in nats: more is odder.

    The rows are written as they are, with columns beside them: `nats`; `outside`, how many cells hold what train did
    not have or too rarely; with --reference `odd`, and with --explain `why`.

    As in:

    ```console
    $ tabmint score flights.model new.csv -o scored.csv --reference holdout.csv --false-alarms 0.01 --explain 3
    ```

    Args:
        model: The model folder, as `tabmint fit` writes it; of any family but the GAN, which has no density.
        table: The rows to score.
        output: The file to write; its ending, .csv or .parquet, says the format.
        reference: Ordinary rows that the model did not learn from; the threshold of what is odd is read from them.
        false_alarms: The share of ordinary rows that may be called odd; 0.01 unless given.
        explain: For each row, so many cells that are the least likely given the rest of the row.
        per: What a density is per. On the axes of the columns it counts how sparse train is where a number lies; per
            train quantile it does not, and what counts is how values go together.
        seed: Of the families whose density is an estimate.
        spreadsheet_safe: In a CSV, disarm cells that a spreadsheet would take for formulas.
    """
    from flows.files import check_output_file, write_table

    check_output_file(output)
    if false_alarms is not None and reference is None:
        remedy = "give ordinary rows with --reference, or leave it out"
        raise ConfigError("--false-alarms needs --reference", actual="none", remedy=remedy)
    from generators import TabularGenerator
    from generators.anomaly import AnomalyScorer, threshold_of
    from pipeline.source import load

    scorer, rows = AnomalyScorer(TabularGenerator.load(model), per=per), load(table).table
    _refuse_taken_names(rows.column_names)
    scores = scorer.score(rows, seed=seed)
    limit = None
    if reference is not None:
        ordinary = scorer.score(load(reference).table, seed=seed).nats
        limit = threshold_of(ordinary, FALSE_ALARMS if false_alarms is None else false_alarms)
    reasons = scorer.reasons(rows, explain, seed=seed) if explain else None
    write_table(_with_scores(rows, scores, limit, reasons), output, spreadsheet_safe=spreadsheet_safe)
    return _outcome(scores, limit, reasons, output)


def _refuse_taken_names(names: Sequence[str]) -> None:
    if taken := [name for name in ADDED if name in names]:
        rule = f"the scores are written into columns named {', '.join(ADDED)}"
        raise ConfigError(rule, actual=f'a column "{taken[0]}"', remedy="rename it")


def _with_scores(
    rows: pa.Table, scores: RowScores, limit: Threshold | None, reasons: list[list[Reason]] | None
) -> pa.Table:
    import pyarrow as pa

    rows = rows.append_column("nats", pa.array(scores.nats)).append_column("outside", pa.array(scores.n_outside))
    if limit is not None:
        rows = rows.append_column("odd", pa.array(limit.flags(scores.nats)))
    if reasons is not None:
        rows = rows.append_column("why", pa.array(list(map(_why, reasons)), pa.string()))
    return rows


def _why(reasons: list[Reason]) -> str:
    return "; ".join(map(str, reasons))


def _outcome(scores: RowScores, limit: Threshold | None, reasons: list[list[Reason]] | None, output: Path) -> Outcome:
    oddest = [int(i) for i in (-scores.nats).argsort(kind="stable")[:N_SHOWN]]
    lines = [f"Scored     {len(scores.nats):,} rows; the nats are {KINDS[scores.kind]}"]
    facts: dict[str, Any] = {"rows": len(scores.nats), "kind": scores.kind, "output": str(output)}
    if limit is not None:
        lines += _of_threshold(scores.nats, limit)
        facts |= {"odd": int(limit.flags(scores.nats).sum()), "threshold": asdict(limit)}
    lines += [f"Oddest     row {i + 1:,}, {scores.nats[i]:.1f} nats{_because(reasons, i)}" for i in oddest]
    facts["oddest"] = [{"row": i + 1, "nats": float(scores.nats[i]), **_facts(reasons, i)} for i in oddest]
    return Outcome("done", (*lines, f"Table      {output}"), facts)


def _of_threshold(nats: np.ndarray, limit: Threshold) -> list[str]:
    n_odd, (low, high) = int(limit.flags(nats).sum()), limit.interval
    rate = f"{limit.n_alarms / limit.n_reference:.2%} of {limit.n_reference:,} reference rows lie above it"
    return [
        f"Odd        {n_odd:,} rows, {n_odd / len(nats):.2%}, above {limit.nats:.1f} nats",
        f"Alarms     {rate}; of all ordinary rows {low:.2%} to {high:.2%} (95 %)",
    ]


def _because(reasons: list[list[Reason]] | None, row: int) -> str:
    from evaluation.wording import visible

    return "" if reasons is None else f": {visible(_why(reasons[row]))}"


def _facts(reasons: list[list[Reason]] | None, row: int) -> dict[str, Any]:
    return {} if reasons is None else {"why": [asdict(reason) for reason in reasons[row]]}
