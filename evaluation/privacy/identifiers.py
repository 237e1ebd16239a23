"""G0: does the synthetic table hold an identifier or a text of an original row?"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.columns import Column

from ..features import Frames
from ..report import PrivacyTest, TestPart
from ..tables import Tables
from .decisions import counted, undecided, worst, worst_first

STATISTIC = "synthetic cells that equal an original identifier or text"
RULE = "PASS: none; FAIL: one or more"
SOURCE = "equality of values; no chance is involved"


def judge_identifiers(frames: Frames) -> PrivacyTest:
    """Count the synthetic cells of identifier and text columns that equal an original one.

    Texts that train and holdout both hold are boilerplate and point to nobody. Holdout identifiers count as well: they
    are keys of real records too.
    """
    tables = frames.tables
    columns = [column for column in tables.schema.columns if column.kind in ("identifier", "text")] if tables else []
    if tables is None or not columns:
        reason = "No column is declared as an identifier or as text."
        return undecided("g0_identifiers", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    parts = [_part(column, tables) for column in columns]
    n_equal = int(sum(part.value for part in parts))
    return PrivacyTest(
        name="g0_identifiers",
        verdict=worst([part.verdict for part in parts]),
        statistic=STATISTIC,
        value=n_equal,
        interval=(n_equal, n_equal),
        rule=RULE,
        reason=_reason(n_equal, len(columns)),
        detection_limit="A single equal cell is refused; a value that was changed by one character is not seen.",
        parts=worst_first(parts),
        source=SOURCE,
    )


def _reason(n_equal: int, n_columns: int) -> str:
    where = f"the {counted(n_columns, 'identifier or text column')}"
    if not n_equal:
        return f"No synthetic cell of {where} equals an original one."
    return f"{counted(n_equal, 'synthetic cell')} of {where} equal an original one: issue new keys and drop the texts."


def _part(column: Column, tables: Tables) -> TestPart:
    statistic = "synthetic cells that equal an original one"
    if column.name not in tables.synthetic.column_names:
        note = "not in the synthetic table"
        return TestPart(subject=column.name, statistic=statistic, value=0.0, verdict="PASS", note=note)
    equal = _n_equal(column, tables)
    verdict = "FAIL" if equal else "PASS"
    return TestPart(
        subject=column.name, statistic=statistic, value=equal, interval=(equal, equal), verdict=verdict,
        note=f"{column.kind}; every cell was compared",
    )  # fmt: skip


def _n_equal(column: Column, tables: Tables) -> int:
    """Compare as text, so that the number 7 and the text "7" are the same key."""
    train, holdout, synthetic = (
        _texts(getattr(tables, role), column.name) for role in ("train", "holdout", "synthetic")
    )
    original = pa.chunked_array([*train.chunks, *holdout.chunks], pa.string())
    equal = pc.is_in(synthetic, value_set=original.drop_null())
    if column.kind == "text":
        common = pc.is_in(synthetic, value_set=train.filter(pc.is_in(train, value_set=holdout)).drop_null())
        equal = pc.and_(equal, pc.invert(common))
    return int(pc.sum(equal).as_py() or 0)


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([], pa.string())
    return table[name].cast(pa.string())
