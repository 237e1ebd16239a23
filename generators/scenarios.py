"""What-if tables: rows with some cells changed, and others drawn anew to go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.encoded import Rows
from pipeline.errors import ConfigError
from pipeline.schema import quoted
from pipeline.transform import typed_cell

from .base import TabularGenerator
from .completion import read_incomplete
from .conditions import refuse_unmodelled


def what_if(
    generator: TabularGenerator,
    rows: pa.Table | pd.DataFrame,
    *,
    changes: Mapping[str, Any] | None = None,
    redraw: Sequence[str],
    n_draws: int = 1,
    seed: int = 0,
    guidance: float = 0.0,
) -> pa.Table | pd.DataFrame:
    """Draw, for each of some rows, how given columns may look if others were changed.

    Columns are kept as they are, changed to one value, or drawn given all of these. What is drawn is what the model
    associates with the rest of the row: where the cause of a column is not in the table, it is no forecast of what a
    change would bring about; Pearl 2009, doi:10.1214/09-SS057, section 3. Where rows are people's, what is kept of them
    is still theirs: such a table is not to be shared.

    Args:
        generator: fitted.
        rows: the rows to start from; columns that are redrawn or changed may be absent.
        changes: the new value of changed columns.
        redraw: the columns to draw.
        n_draws: for each row.
        seed: of everything random.
        guidance: as in `TabularGenerator.sample`.

    Returns:
        `n_draws` rows for the first row, then as many for the second, and so on; keys are issued anew.

    Raises:
        ConfigError: a column is not modelled or is both changed and redrawn, nothing is redrawn, or there are no draws.
        DataError: a changed value cannot be drawn.
        SchemaError: the rows do not fit the schema.

    Example:
        >>> from generators import generator_config
        >>> people = pd.DataFrame({"smoker": [True, False] * 60, "age": list(range(20, 80)) * 2})
        >>> generator = TabularGenerator(generator_config("independent")).fit(people)
        >>> others = what_if(generator, people.head(2), changes={"smoker": True}, redraw=["age"], n_draws=3)
        >>> len(others), others.smoker.all()
        (6, np.True_)
    """
    changes = changes or {}
    _refuse_contradictions(generator, changes, redraw, n_draws)
    start = read_incomplete(rows, generator.schema)
    kept = [name for name in start.column_names if name in generator.fitted.transform.modelled and name not in redraw]
    known = {**{name: start[name].combine_chunks() for name in kept}, **_changed(generator, changes, len(start))}
    numbers: Rows = np.repeat(np.arange(len(start)), n_draws)
    table = pa.table({name: known[name].take(pa.array(numbers)) for name in generator.schema.names if name in known})
    return generator.complete(table, list(known), seed=seed, guidance=guidance)


def _changed(generator: TabularGenerator, changes: Mapping[str, Any], n: int) -> dict[str, pa.Array]:
    for name, value in changes.items():
        generator.fitted.transform.check_value(name, value)
    cells = {name: typed_cell(generator.schema.column(name), value) for name, value in changes.items()}
    return {name: pa.concat_arrays([cell] * n) if n else cell[:0] for name, cell in cells.items()}


def _refuse_contradictions(
    generator: TabularGenerator, changes: Mapping[str, Any], redraw: Sequence[str], n_draws: int
) -> None:
    for name in (*changes, *redraw):
        refuse_unmodelled(generator.fitted.transform, name)
    both = set(changes) & set(redraw)
    if both:
        actual = f"{', '.join(quoted(both))} both"
        raise ConfigError("a column is changed or redrawn", actual=actual, remedy="leave it out of one")
    if not redraw:
        rule, remedy = "a what-if table redraws a column", "name those that may follow the change"
        raise ConfigError(rule, actual="none", remedy=remedy)
    if n_draws < 1:
        raise ConfigError("the number of draws must be positive", actual=str(n_draws), remedy="give 1 or more")
