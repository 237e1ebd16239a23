"""`tabmint latent`: what the latent vector of a VAE holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Output, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from generators import TabularGenerator
    from generators.latent import Traversal, Unit, Usage

MOST_ROWS, N_STEPS, DIGITS = 2_000, 9, 4


def latent(
    model: Path,
    table: str | None = None,
    /,
    *,
    output: Output = Path("latent.html"),
    member: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    seed: Seed = 0,
) -> Outcome:
    """Show which units of a VAE's latent vector are used, and what each of them does to the columns.

    Writes a page that needs no network, with a figure for each active unit, and the same figures as JSON beside it.

    As in:

    ```console
    $ tabmint latent flights.model flights.csv -o latent.html
    ```

    Args:
        model: The model folder of a generator of kind "vae", as `tabmint fit` writes it.
        table: Rows to encode, of which 2,000 are taken at random; rows drawn from the model unless given.
        output: The page to write; the JSON goes to the same name with the ending .json.
        member: Which of a mixture's members is looked at; each has a latent space of its own.
        seed: Of the rows that are taken or drawn.
    """
    _check_page(output)
    from generators import TabularGenerator
    from generators.latent import LatentSpace

    generator = TabularGenerator.load(model)
    space = LatentSpace(generator, member=member)
    rows = _drawn(generator, seed) if table is None else _taken(table, seed)
    usage = space.usage(rows)
    traversals = tuple(space.traverse(unit, rows, n_steps=N_STEPS, seed=seed) for unit in usage.active)
    facts = {
        "name": model.name,
        "rows": "drawn rows" if table is None else f"rows of {Path(table).name}",
        "member": member,
        "n_members": space.n_members,
    }
    return _written(output, facts, usage, traversals)


def _check_page(path: Path) -> None:
    if path.suffix != ".html" or not path.resolve().parent.is_dir():
        remedy = "such as latent.html, in a folder that is there"
        raise ConfigError("the page is a file that ends in .html", actual=f'"{path}"', remedy=remedy)


def _taken(table: str, seed: int) -> pa.Table:
    """Return the rows of a file, at most so many."""
    from pipeline.seeds import numpy_rng
    from pipeline.source import load

    rows = load(table).table
    chosen = numpy_rng(seed, "latent rows").permutation(rows.num_rows)[:MOST_ROWS]
    chosen.sort()
    return rows.take(chosen)


def _drawn(generator: TabularGenerator, seed: int) -> pa.Table | pd.DataFrame:
    return generator.sample(MOST_ROWS, seed=seed)


def _written(output: Path, facts: dict[str, Any], usage: Usage, traversals: tuple[Traversal, ...]) -> Outcome:
    from flows.latent_page import page
    from pipeline.artifact import replace_text

    units = [{**asdict(unit), "state": unit.state} for unit in usage.units]
    told = {**facts, "n_rows": usage.n_rows, "nats": usage.nats, "verdict": usage.verdict, "units": units}
    told["traversals"] = [_plain(traversal) for traversal in traversals]
    replace_text(output, page(facts, usage, traversals))
    replace_text(output.with_suffix(".json"), json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    lines = (
        f"Latent     {usage.verdict}",
        *map(_line, usage.active, traversals),
        f"Page       {output}",
    )
    return Outcome("done", lines, {**told, "page": str(output)})


def _line(unit: Unit, traversal: Traversal) -> str:
    from flows.latent_page import moved

    return f"Unit {unit.number:<5} {unit.nats:.2f} nats, moves {moved(traversal)}"


def _plain(traversal: Traversal) -> dict[str, Any]:
    """Return the figures of a traversal as plain JSON values; no row is in them."""
    responses = [
        {
            "column": response.column,
            "strength": round(response.strength, DIGITS),
            "quantiles": None if response.quantiles is None else response.quantiles.round(DIGITS).tolist(),
            "ends": response.ends,
            "shares": {level: share.round(DIGITS).tolist() for level, share in response.shares.items()},
        }
        for response in traversal.responses
    ]
    return {"unit": traversal.unit, "at": traversal.at.round(DIGITS).tolist(), "responses": responses}
