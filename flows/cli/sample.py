"""`tabmint sample`: draw rows from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .options import Flag, Output, Seed
from .outcome import Outcome


def sample(
    model: Path,
    /,
    *,
    rows: Annotated[int, Parameter(validator=Number(gte=0))],
    output: Output,
    seed: Seed = 0,
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
        spreadsheet_safe: In a CSV, disarm cells that a spreadsheet would take for formulas.
    """
    from flows.files import check_output_file, write_table
    from pipeline.checks import check_table

    check_output_file(output)
    from generators import TabularGenerator

    generator = TabularGenerator.load(model)
    table = generator.sample(rows, seed=seed)
    check_table(table, generator.schema)
    write_table(table, output, spreadsheet_safe=spreadsheet_safe)
    return Outcome("done", (f"{rows:,} rows in {output}",), {"rows": rows, "seed": seed, "output": str(output)})
