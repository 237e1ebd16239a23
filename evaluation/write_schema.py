"""Write the JSON Schema of `report.json` to `docs/report.schema.json`: `python -m evaluation.write_schema`."""

from __future__ import annotations

import json
from pathlib import Path

from .report import report_schema

SCHEMA_FILE = Path("docs/report.schema.json")


def schema_text() -> str:
    r"""Return the schema as it is published.

    Example:
        >>> schema_text().endswith("}\n")
        True

    """
    return json.dumps(report_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8", newline="\n")
