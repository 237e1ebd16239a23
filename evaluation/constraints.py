"""The gate on what a schema declares between columns: it holds in every synthetic row, or the table is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.schema import Schema

from .report import GateResult
from .tables import Tables
from .wording import percent

NAME = "constraints"
RULE = "no row breaks a declared constraint"
STATISTIC = "share of rows that break a declared constraint"


def judge_constraints(tables: Tables) -> GateResult | None:
    """Count the synthetic rows that break a constraint; None where the schema declares none.

    Which combinations are fixed, and what depends on what, is learned from train. Text and dictionaries of it are the
    same; where a column is of another type than the schema says, nothing can be compared and the gate fails.

    Example:
        >>> from pipeline.columns import Integer
        >>> from pipeline.constraints import Inequality
        >>> columns = tuple(Integer(name=name, arrow="int64") for name in ("low", "high"))
        >>> schema = Schema(columns=columns, constraints=(Inequality(columns=("low", "high")),))
        >>> table = pa.table({"low": [1, 2], "high": [1, 1]})
        >>> found = judge_constraints(Tables(schema, table, table, table))
        >>> found.verdict, found.reason
        ('FAIL', '1 of 2 rows (50.0 %) break what the schema declares: 1 row breaks "low" <= "high", first row 2.')

    """
    schema = tables.schema
    if not schema.constraints:
        return None
    try:
        train, synthetic = (_in_types(table, schema) for table in (tables.train, tables.synthetic))
    except pa.ArrowException as error:
        return _decided(None, f"Constraints could not be compared: {str(error).splitlines()[0]}.")
    wrong = np.zeros(synthetic.num_rows, np.bool_)
    for constraint in schema.constraints:
        wrong |= constraint.broken(synthetic, train)
    if not wrong.any():
        n = len(schema.constraints)
        return _decided(0.0, f"Every row holds {'the constraint' if n == 1 else f'all {n} constraints'} of the schema.")
    counts = f"{wrong.sum():,} of {len(wrong):,} rows ({percent(float(wrong.mean()))})"
    found = "; ".join(schema.broken_constraints(synthetic, train))
    return _decided(float(wrong.mean()), f"{counts} break what the schema declares: {found}.")


def _in_types(table: pa.Table, schema: Schema) -> pa.Table:
    """Return the columns that constraints speak of in the types that the schema declares."""
    names = dict.fromkeys(name for constraint in schema.constraints for name in constraint.names)
    return pa.table({name: table[name].cast(schema.column(name).arrow_type) for name in names})


def _decided(share: float | None, reason: str) -> GateResult:
    verdict = "PASS" if share == 0 else "FAIL"
    return GateResult(
        name=NAME, metric=NAME, rule=RULE, statistic=STATISTIC, value=share, verdict=verdict, reason=reason, limit=0.0
    )
