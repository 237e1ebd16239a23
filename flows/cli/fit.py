"""`tabmint fit`: learn a table and keep the model."""

from __future__ import annotations

from pathlib import Path

from .options import Budget, Output, Seed
from .outcome import Outcome


def fit(
    data: str,
    /,
    *,
    output: Output,
    generator: str = "flow_matching",
    budget: Budget = 120.0,
    seed: Seed = 0,
    schema: Path | None = None,
    target: str | None = None,
) -> Outcome:
    """Learn a table and write the model as a folder of JSON and safetensors.

    As in:

    ```console
    $ tabmint fit flights.parquet --generator flow_matching --budget 120s --seed 0 -o flights.model
    ```

    Args:
        data: The table: CSV, Parquet, Feather, a folder or a pattern. Every row is learned from.
        output: The model folder to write.
        generator: The kind of generator: flow_matching, ddpm, vae, wgan_gp, or independent, the baseline.
        budget: The most wall-clock time to train for, as 90, 120s, 2m or 1h.
        seed: Of everything random.
        schema: The schema file of the table; inferred unless given.
        target: A column that must be there, as a check before training.
    """
    from flows.constraints import kept_constraints
    from flows.files import check_output_folder
    from flows.inputs import check_target, read_with_schema
    from flows.progress import show_progress
    from flows.settings import GeneratorSection

    check_output_folder(output)
    section = GeneratorSection(kind=generator, budget=budget)
    with show_progress() as display:
        with display.step("read") as move:
            table_schema, source = read_with_schema(data, schema)
            check_target(table_schema, target)
            move(1.0, f"{source.table.num_rows:,} rows, {source.table.num_columns} columns")
        from flows.learning import new_generator, shown

        with display.step("fit") as move:
            fitted = new_generator(section)
            fitted.fit(source.table, table_schema, seed=seed, budget_s=budget, on_progress=shown(move))
            fitted.save(output)
    diagnostics = fitted.describe()["diagnostics"]
    lines = (f"Model      {output}", *(f"Kept       {line}" for line in kept_constraints(diagnostics)))
    facts = {"output": str(output), "generator": generator, "rows": source.table.num_rows, "seed": seed}
    return Outcome("done", lines, facts | {"constraints": diagnostics.get("constraints", [])})
