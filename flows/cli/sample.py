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
        condition: Fix a column, as in origin=JFK; the other columns are drawn to go with it. May be repeated.
        rebalance: Give every level of this column the same share of the rows.
        guidance: How much conditions are strengthened; 0 draws what was learned.
        spreadsheet_safe: In a CSV, disarm cells that a spreadsheet would take for formulas.
    """
    from flows.files import check_output_file, write_table
    from pipeline.checks import check_table

    check_output_file(output)
    if rebalance is not None and condition:
        remedy = "leave one of them out"
        raise ConfigError("--rebalance and --condition cannot be given together", actual="both", remedy=remedy)
    from generators import TabularGenerator

    generator = TabularGenerator.load(model)
    if rebalance is None:
        table = generator.sample(rows, seed=seed, conditions=_conditions(condition), guidance=guidance)
    else:
        table = generator.rebalance(rows, rebalance, seed=seed, guidance=guidance)
    check_table(table, generator.schema)
    write_table(table, output, spreadsheet_safe=spreadsheet_safe)
    return Outcome("done", (f"{rows:,} rows in {output}",), {"rows": rows, "seed": seed, "output": str(output)})


def _conditions(assignments: tuple[str, ...]) -> dict[str, str]:
    """Return the value of each column; the text is read as the column's type later.

    Raises:
        ConfigError: an assignment has no "=", or a column is given twice.
    """
    conditions: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or name in conditions:
            rule = "a condition reads column=value, and a column has one"
            raise ConfigError(rule, actual=repr(assignment), remedy="such as --condition origin=JFK")
        conditions[name] = value
    return conditions
