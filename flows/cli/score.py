"""`tabmint score`: how odd each row of a table is to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Flag, Output, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from generators.anomaly import FloatArray, Reason, RowScores, Threshold

FALSE_ALARMS = 0.01
N_SHOWN = 5
ADDED = ("nats", "cell_nats", "outside", "odd", "why")
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
    by: Literal["row", "cell"] = "row",
    per: Literal["quantile", "axis"] = "quantile",
    seed: Seed = 0,
    spreadsheet_safe: Flag = False,
) -> Outcome:
    """Score how odd each row of a table is to a model, in nats: more is odder.

    The rows are written as they are, with columns beside them: `nats`; `outside`, how many cells hold what train did
    not have or too rarely; with --reference `odd`, with --explain `why`, and with --by cell `cell_nats`.

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
        by: What makes a row odd: all of it together, or its oddest cell, written as `cell_nats`. The second finds one
            impossible cell, the first finds many that are a little odd.
        per: What the density of a row is per. On the axes of the columns it counts how sparse train is where a number
            lies; per train quantile it does not, and what counts is how values go together.
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
    scored = _Scored(rows, scorer.score(rows, seed=seed), scorer.worst_cell(rows, seed=seed) if by == "cell" else None)
    if reference is not None:
        share = FALSE_ALARMS if false_alarms is None else false_alarms
        ordinary = load(reference).table
        nats = scorer.worst_cell(ordinary, seed=seed) if by == "cell" else scorer.score(ordinary, seed=seed).nats
        scored = replace(scored, limit=threshold_of(nats, share))
    if explain:
        scored = replace(scored, reasons=scorer.reasons(rows, explain, seed=seed))
    write_table(scored.table(), output, spreadsheet_safe=spreadsheet_safe)
    return _outcome(scored, output)


def _refuse_taken_names(names: Sequence[str]) -> None:
    if taken := [name for name in ADDED if name in names]:
        rule = f"the scores are written into columns named {', '.join(ADDED)}"
        raise ConfigError(rule, actual=f'a column "{taken[0]}"', remedy="rename it")


@dataclass(frozen=True)
class _Scored:
    """Rows with what was found of them.

    Attributes:
        rows: as they were read.
        scores: of all cells together.
        cell_nats: of the oddest cell of each row, where that decides.
        limit: from where on a row is odd.
        reasons: why, for each row.
    """

    rows: pa.Table
    scores: RowScores
    cell_nats: FloatArray | None
    limit: Threshold | None = None
    reasons: list[list[Reason]] | None = None

    @property
    def deciding(self) -> FloatArray:
        """The score that rows are ranked and called odd by."""
        return self.scores.nats if self.cell_nats is None else self.cell_nats

    @property
    def odd(self) -> npt.NDArray[np.bool_] | None:
        """Which rows are odd, None without a threshold."""
        return None if self.limit is None else self.limit.flags(self.deciding)

    def why(self, row: int) -> str:
        """Return the reasons of a row in words."""
        return "" if self.reasons is None else "; ".join(map(str, self.reasons[row]))

    def table(self) -> pa.Table:
        """Return the rows with what was found in columns beside them."""
        import pyarrow as pa

        why = None if self.reasons is None else list(map(self.why, range(self.rows.num_rows)))
        found = (self.scores.nats, self.cell_nats, self.scores.n_outside, self.odd, why)
        rows = self.rows
        for name, column in zip(ADDED, found, strict=True):
            rows = rows if column is None else rows.append_column(name, pa.array(column))
        return rows


def _outcome(scored: _Scored, output: Path) -> Outcome:
    from evaluation.wording import visible

    nats = scored.deciding
    oddest = [int(i) for i in (-nats).argsort(kind="stable")[:N_SHOWN]]
    what = KINDS[scored.scores.kind] if scored.cell_nats is None else "those of the oddest cell given all others"
    lines = [f"Scored     {len(nats):,} rows; the nats are {what}"]
    facts: dict[str, Any] = {"rows": len(nats), "kind": scored.scores.kind, "output": str(output)}
    if scored.limit is not None and scored.odd is not None:
        n_odd = int(scored.odd.sum())
        lines += _of_threshold(n_odd, len(nats), scored.limit)
        facts |= {"odd": n_odd, "threshold": asdict(scored.limit)}
    lines += [visible(f"Oddest     row {i + 1:,}, {nats[i]:.1f} nats {scored.why(i)}").rstrip() for i in oddest]
    facts["oddest"] = [
        {
            "row": i + 1,
            "nats": float(nats[i]),
            "why": [asdict(one) for one in scored.reasons[i]] if scored.reasons else [],
        }
        for i in oddest
    ]
    return Outcome("done", (*lines, f"Table      {output}"), facts)


def _of_threshold(n_odd: int, n_rows: int, limit: Threshold) -> list[str]:
    low, high = limit.interval
    rate = f"{limit.n_alarms / limit.n_reference:.2%} of {limit.n_reference:,} reference rows lie above it"
    return [
        f"Odd        {n_odd:,} rows, {n_odd / n_rows:.2%}, above {limit.nats:.1f} nats",
        f"Alarms     {rate}; of all ordinary rows {low:.2%} to {high:.2%} (95 %)",
    ]
