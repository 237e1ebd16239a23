"""`tabmint impute`: fill the missing cells of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Budget, Flag, Output, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from flows.progress import Display
    from generators import TabularGenerator

FEWEST_TABLES = 2


def impute(
    data: str,
    /,
    *,
    output: Output,
    model: Path | None = None,
    imputations: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    multiple: Flag = False,
    intervals: Path | None = None,
    level: float = 0.9,
    column: tuple[str, ...] = (),
    generator: str = "flow_matching",
    budget: Budget = 120.0,
    seed: Seed = 0,
) -> Outcome:
    """Fill the missing cells of a table with what goes with the observed cells of their row.

    Observed cells stay as they are, so the filled table holds original rows: it is written as Parquet, is marked as not
    shareable, and no release and no evaluation takes it.

    As in:

    ```console
    $ tabmint impute visits.csv --model visits.model -o filled.parquet --intervals bounds.csv
    $ tabmint impute visits.csv -o filled.parquet --multiple --imputations 5
    ```

    Args:
        data: The table: CSV, Parquet, Feather, a folder or a pattern.
        output: The Parquet file to write.
        model: The model folder, as `tabmint fit` writes it; unless given, the table itself is learned first.
        imputations: How often each missing cell is drawn.
        multiple: Write every draw, to analyse each and pool the results: filled-1.parquet and so on.
            Otherwise one table is written, with the median of the draws of a number and the most frequent category.
        intervals: Write the bounds of every missing number and time to this file, .csv or .parquet.
        level: The probability that a missing value lies between its bounds; 0.9 needs 19 imputations.
        column: Fill only this column. May be repeated.
        generator: The kind of generator that learns the table, where no model is given.
        budget: The most wall-clock time to learn it for, as 90, 120s, 2m or 1h.
        seed: The same seed gives the same cells.
    """
    from flows.files import check_output_file, write_table
    from flows.progress import show_progress
    from pipeline.shareable import not_shareable

    for file in [output] if intervals is None else [output, intervals]:
        check_output_file(file)
    if output.suffix != ".parquet":
        rule = "a table with original rows is written as Parquet, which can say that it must not be shared"
        raise ConfigError(rule, actual=f'"{output}"', remedy="name a .parquet file")
    if multiple and imputations < FEWEST_TABLES:
        raise ConfigError("several tables need 2 imputations or more", actual=str(imputations))
    from generators.imputation import impute as impute_table
    from generators.imputation import place_of_bounds

    if intervals is not None:
        place_of_bounds(level, imputations)
    with show_progress() as display:
        fitted, table = _fitted(display, data, model, generator, budget, seed)
        with display.step("impute") as move:
            imputed = impute_table(fitted, table, n_imputations=imputations, columns=column or None, seed=seed)
            move(1.0, f"{sum(imputed.counts.values()):,} missing cells in {len(imputed.rows):,} rows")
    files = [_numbered(output, i) for i in range(1, imputations + 1)] if multiple else [output]
    for file, filled in zip(files, imputed.tables if multiple else [imputed.single()], strict=True):
        write_table(not_shareable(filled), file, spreadsheet_safe=False)
    if intervals is not None:
        write_table(imputed.intervals(level), intervals, spreadsheet_safe=False)
    written = f"{files[0]} to {files[-1]}" if multiple else str(output)
    cells = [f"           {name}: {count:,} cells" for name, count in imputed.counts.items()]
    cells += [f"Left       {name}: {count:,} cells stay missing" for name, count in imputed.left.items()]
    facts = {"output": [str(file) for file in files], "filled": imputed.counts, "left": imputed.left}
    return Outcome("done", (f"Filled     {written}", *cells), {**facts, "imputations": imputations, "seed": seed})


def _fitted(
    display: Display, data: str, model: Path | None, kind: str, budget_s: float, seed: int
) -> tuple[TabularGenerator, pa.Table]:
    """Return a generator, the saved one or one that learns the table, and the table."""
    from flows.inputs import read_with_schema
    from flows.learning import shown
    from generators import TabularGenerator
    from generators.completion import read_incomplete
    from generators.imputation import imputer

    if model is not None:
        generator = TabularGenerator.load(model)
        with display.step("read"):
            return generator, read_incomplete(data, generator.schema)
    generator = imputer(kind)
    with display.step("read"):
        schema, source = read_with_schema(data)
    with display.step("fit") as move:
        generator.fit(source.table, schema, seed=seed, budget_s=budget_s, on_progress=shown(move))
    return generator, source.table


def _numbered(path: Path, number: int) -> Path:
    """Return a path with a number behind its name.

    Example:
        >>> print(_numbered(Path("out/filled.csv"), 2))
        out/filled-2.csv
    """
    return path.with_stem(f"{path.stem}-{number}")
