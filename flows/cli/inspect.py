"""`tabmint inspect`: what a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outcome import Outcome

if TYPE_CHECKING:
    from pipeline.schema import Schema


def inspect(model: Path, /) -> Outcome:
    """Show what a model has learned, how long it took, and the columns it draws.

    As in:

    ```console
    $ tabmint inspect flights.model
    ```

    Args:
        model: The model folder, as `tabmint fit` writes it.
    """
    from generators import TabularGenerator

    generator = TabularGenerator.load(model)
    facts = generator.describe()
    columns = [column.model_dump(include={"name", "kind", "arrow", "nullable"}) for column in generator.schema.columns]
    return Outcome("done", (*_card(facts), "", *_column_lines(generator.schema)), {**facts, "columns": columns})


def _card(facts: dict[str, Any]) -> tuple[str, ...]:
    from flows.constraints import kept_constraints

    best = facts["best"]
    return (
        f"Generator  {facts['kind']}, {facts['n_members']} members, {facts['n_parameters']:,} parameters",
        f"Learned    {facts['n_train']:,} rows; {facts['n_modelled']} of {facts['n_columns']} columns are modelled,"
        f" with {facts['n_tokens']:,} tokens",
        f"Training   {facts['steps']:,} steps in {facts['fit_s']:.1f} s",
        *([f"Best       step {best['step']:,}, held-out loss {best['validation_loss']:.4f}"] if best else []),
        *(f"Kept       {line}" for line in kept_constraints(facts["diagnostics"])),
    )


def _column_lines(schema: Schema) -> tuple[str, ...]:
    rows = [("column", "kind", "type", "missing")]
    rows += [(c.name, c.kind, c.arrow, "may be missing" if c.nullable else "never") for c in schema.columns]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return tuple("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
