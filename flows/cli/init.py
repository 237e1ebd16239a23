"""`tabmint init`: look at a table and write what a person then edits."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from .options import Flag, Output
from .outcome import Outcome

MOST_HINTS = 8


def init(
    data: str,
    /,
    *,
    output: Output = Path("tabmint.toml"),
    force: Flag = False,
) -> Outcome:
    """Look at a table; write a commented config, and schema.json beside it with the reason for every column's kind.

    As in:

    ```console
    $ tabmint init flights.csv -o tabmint.toml
    ```

    Args:
        data: The table: CSV, Parquet, Feather, a folder or a pattern.
        output: The config file to write.
        force: Write over files that are there.
    """
    from flows.inputs import read_with_schema
    from flows.template import config_text
    from pipeline.constraints.holding import holding

    schema_file = output.with_name("schema.json")
    _refuse_existing(output, schema_file, force=force)
    schema, source = read_with_schema(data)
    text = config_text(file=str(output), path=_from(output, data), schema_file=schema_file.name, schema=schema)
    schema.write(schema_file)
    output.write_text(text, encoding="utf-8")
    kinds = Counter(column.kind for column in schema.columns)
    found = [c.model_dump(mode="json", exclude_defaults=True) | {"kind": c.kind} for c in holding(source.table, schema)]
    lines = (
        f"Table      {source.table.num_rows:,} rows; {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}",
        f"Schema     {schema_file}",
        f"Config     {output}",
        *_hints(found),
        f"Next       look at both, then: tabmint run {output}",
    )
    facts = {"config": str(output), "schema": str(schema_file), "rows": source.table.num_rows, "kinds": dict(kinds)}
    facts["holding"] = found
    return Outcome("done", lines, facts)


def _hints(found: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return what a person may declare: what holds in every row, as JSON, the first few of it."""
    if not found:
        return ()
    shown = tuple(f"           {json.dumps(each, ensure_ascii=False)}" for each in found[:MOST_HINTS])
    more = f" ({len(found) - MOST_HINTS} more with --json)" if len(found) > MOST_HINTS else ""
    return (f'Holds      in every row; what always will, belongs into "constraints" of the schema{more}:', *shown)


def _refuse_existing(*files: Path, force: bool) -> None:
    from pipeline.errors import ConfigError

    if not files[0].resolve().parent.is_dir():
        raise ConfigError("the config needs an existing folder", actual=f'"{files[0]}"', remedy="make its folder first")
    present = [f'"{file}"' for file in files if file.exists()]
    if present and not force:
        raise ConfigError("init writes over nothing", actual=" and ".join(present), remedy="use --force to write over")


def _from(output: Path, data: str) -> str:
    """Return the path of the data as seen from the config's folder; the whole path where the two lie far apart."""
    seen = Path(os.path.relpath(Path(data).absolute(), output.absolute().parent))
    far = seen.parts[:2] == ("..", "..")
    return (Path(data).absolute() if far else seen).as_posix()
