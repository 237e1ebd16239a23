"""`tabmint what-if`: rows of a table with some columns changed, and others drawn to go with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Output, Seed
from .outcome import Outcome


def what_if(
    model: Path,
    rows: str,
    /,
    *,
    redraw: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())],
    change: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    draws: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    output: Output,
    seed: Seed = 0,
    guidance: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
) -> Outcome:
    """Draw how columns of given rows may look if others were changed.

    Columns are kept as they are in the rows, changed with --change, or drawn given all of these with --redraw. It shows
    what the model associates with a change, which is not what the change would cause. The result holds cells of the
    rows, so it is marked as not shareable.

    As in:

    ```console
    $ tabmint what-if flights.model monday.parquet --change origin=JFK --redraw dep_delay arr_delay -o jfk.parquet
    ```

    Args:
        model: The model folder, as `tabmint fit` writes it.
        rows: A table of the rows to start from.
        redraw: The columns to draw.
        change: Give a column this value in every row, as in origin=JFK. May be repeated.
        draws: How many rows to draw for each.
        output: The Parquet file to write.
        seed: The same seed gives the same table.
        guidance: How much what is given is strengthened; 0 draws what was learned.
    """
    from flows.conditions import parse_changes
    from flows.files import check_output_file, write_table
    from pipeline.shareable import not_shareable
    from pipeline.source import read

    check_output_file(output)
    if output.suffix != ".parquet":
        rule = "a table with original cells is written as Parquet, which can say that it must not be shared"
        raise ConfigError(rule, actual=f'"{output}"', remedy="name a .parquet file")
    changes = parse_changes(change)
    from generators import TabularGenerator
    from generators.scenarios import what_if as draw

    generator = TabularGenerator.load(model)
    start = read(rows).table
    drawn = draw(generator, start, changes=changes, redraw=redraw, n_draws=draws, seed=seed, guidance=guidance)
    table = read(drawn, schema=generator.schema).table
    write_table(not_shareable(table), output, spreadsheet_safe=False)
    report = f"{len(table):,} rows in {output}, {draws:,} for each of {len(start):,}; not to be shared"
    return Outcome("done", (report,), {"rows": len(table), "draws": draws, "seed": seed, "output": str(output)})
