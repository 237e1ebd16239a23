"""`tabmint sample`: draw rows from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Flag, Output, Seed
from .outcome import Outcome


def sample(
    model: Path,
    /,
    *,
    rows: Annotated[int, Parameter(validator=Number(gte=0))],
    output: Output,
    seed: Seed = 0,
    condition: tuple[str, ...] = (),
    rebalance: str | None = None,
    margins: Path | None = None,
    guidance: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    spreadsheet_safe: Flag = False,
) -> Outcome:
    """Draw a synthetic table from a model.

    As in:

    ```console
    $ tabmint sample flights.model --rows 10000 --seed 1 -o synthetic.csv
    ```

    Args:
        model: The model folder, as `tabmint fit` writes it.
        rows: How many rows to draw.
        output: The file to write; its ending, .csv or .parquet, says the format.
        seed: The same seed gives the same table.
        condition: Draw only rows with origin=JFK, "month>=6" or "month<=8"; the other columns go with it. May be
            repeated; several values of one column allow each of them.
        rebalance: Give every level of this column the same share of the rows.
        margins: A TOML file with the shares that the values of several columns are to have, such as a table [origin]
            with the lines JFK = 1 and EWR = 2; values without a share do not occur.
        guidance: How much conditions are strengthened; 0 draws what was learned.
        spreadsheet_safe: In a CSV, disarm cells that a spreadsheet would take for formulas.
    """
    from flows.conditions import parse_conditions, read_margins
    from flows.constraints import accepted
    from flows.files import check_output_file, write_table
    from pipeline.checks import check_table

    check_output_file(output)
    given = [
        name
        for name, value in (("--condition", condition), ("--rebalance", rebalance), ("--margins", margins))
        if value
    ]
    if len(given) > 1:
        rule, remedy = f"{' and '.join(given)} cannot be given together", "leave all but one of them out"
        raise ConfigError(rule, actual=f"{len(given)} of them", remedy=remedy)
    conditions, shares = parse_conditions(condition), read_margins(margins) if margins else None
    from generators import TabularGenerator

    generator = TabularGenerator.load(model)
    if shares is not None:
        table = generator.meet_margins(rows, shares, seed=seed, guidance=guidance)
    elif rebalance is not None:
        table = generator.rebalance(rows, rebalance, seed=seed, guidance=guidance)
    else:
        table = generator.sample(rows, seed=seed, conditions=conditions, guidance=guidance)
    check_table(table, generator.schema)
    write_table(table, output, spreadsheet_safe=spreadsheet_safe)
    lines = (f"{rows:,} rows in {output}", *accepted(generator.acceptance))
    facts = {"rows": rows, "seed": seed, "output": str(output), "acceptance": generator.acceptance}
    return Outcome("done", lines, facts)
