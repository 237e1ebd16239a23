"""What a source has become since the last accepted release: every change, and how far the cells have moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.arrow_types import arrow_text, family
from pipeline.chance import bins_move, event_moves, share_moves, threshold
from pipeline.columns import Categorical, Column, Constant, Identifier, Text
from pipeline.config import Config
from pipeline.drift_rules import Change, ChangeKind, DriftRules, Rule
from pipeline.inference import WIDELY
from pipeline.misfits import misfit
from pipeline.passing import brought, misses
from pipeline.profile import ColumnProfile, Profile, level_counts
from pipeline.schema import Schema, refuse_repeated_names

UNMODELLED = (Identifier, Text, Constant)
"""Keys differ every night, text is not modelled and constants have nothing to move: their distribution is no matter."""


KNOWN_BY = 20_000
"""A renamed column is looked for among so many rows, or fifty renamed ones would take minutes in a large table."""

MAX_SHOWN = 60
"""So many characters of a new level are shown."""


class ColumnDrift(Config):
    """How far the present cells of a column have moved since the last accepted release.

    Attributes:
        column: its name in the table.
        statistic: what was measured.
        value: of the statistic.
        threshold: from which on the column is reported: the tolerance, or what chance explains in tables so small.
    """

    column: str
    statistic: str = "total variation distance"
    value: float
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the value is beyond the threshold."""
        return self.value > self.threshold


@dataclass(frozen=True)
class _Pair:
    """A column of the schema, and what it has become.

    Attributes:
        column: as it is declared.
        name: in the table.
        before: what it looked like.
        n_before: how many rows it had.
        problem: why its cells do not pass into the declaration; an empty text if they do.
        values: its cells, in the declared Arrow type if they pass.
    """

    column: Column
    name: str
    before: ColumnProfile
    n_before: int
    problem: str
    values: pa.ChunkedArray


def compare(table: pa.Table, schema: Schema, profile: Profile, rules: DriftRules) -> tuple[Change, ...]:
    """Return every change of a source since the last accepted release; the order of its columns is none.

    Args:
        table: the source as it was read, without a schema.
        schema: of the last accepted release.
        profile: of its source.
        rules: what becomes of each change, and the tolerances.

    Raises:
        SchemaError: two columns of the table have the same name.

    Example:
        >>> from pipeline.columns import Integer
        >>> from pipeline.profile import profile_of
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64"),))
        >>> profile = profile_of(pa.table({"age": [31, 40]}), schema)
        >>> [change.detail for change in compare(pa.table({"age": [31, None]}), schema, profile, DriftRules())]
        ['column "age" is declared never missing, and 1 of 2 cells is missing']
    """
    refuse_repeated_names(table.column_names)
    renamed = _renamed(table, schema, profile, rules)
    changes = [*_structural(table, profile, renamed, rules)]
    for pair in _pairs(table, schema, profile, renamed):
        changes += _in_cells(pair, rules)
    return tuple(changes)


def distances(
    table: pa.Table, schema: Schema, profile: Profile, rules: DriftRules | None = None
) -> tuple[ColumnDrift, ...]:
    """Return how far each modelled column has moved, the worst first; columns that cannot be compared are left out.

    Example:
        >>> from pipeline.columns import Boolean
        >>> from pipeline.profile import profile_of
        >>> schema = Schema(columns=(Boolean(name="smoker", arrow="bool"),))
        >>> profile = profile_of(pa.table({"smoker": [True, False] * 500}), schema)
        >>> [drift.value for drift in distances(pa.table({"smoker": [True] * 1000}), schema, profile)]
        [0.5]
    """
    rules = rules or DriftRules()
    pairs = _pairs(table, schema, profile, _renamed(table, schema, profile, rules))
    found = [_distance(pair, rules) for pair in pairs if not pair.problem and not isinstance(pair.column, UNMODELLED)]
    return tuple(sorted((drift for drift in found if drift), key=lambda drift: -drift.value))


def _pairs(table: pa.Table, schema: Schema, profile: Profile, renamed: dict[str, str]) -> Iterator[_Pair]:
    for was in profile.names:
        name = renamed.get(was, was)
        if name in table.column_names:
            yield _pair(schema.column(was), name, table, profile)


def _pair(column: Column, name: str, table: pa.Table, profile: Profile) -> _Pair:
    problem = misses(column, table[name])
    values = table[name] if problem else brought(column, table[name])
    return _Pair(column, name, profile.column(column.name), profile.n_rows, problem, values)


def _structural(table: pa.Table, profile: Profile, renamed: dict[str, str], rules: DriftRules) -> Iterator[Change]:
    for was, name in renamed.items():
        detail = f'column "{was}" is gone, and "{name}" holds the same'
        yield Change(kind="renamed", column=name, was=was, detail=detail, rule=rules.renamed)
    for name in _gone(table, profile):
        if name not in renamed:
            yield Change(kind="dropped", column=name, detail=f'column "{name}" is gone', rule=rules.dropped)
    for name in _new(table, profile):
        if name not in renamed.values():
            detail = f'column "{name}" is new, {arrow_text(table[name].type)}'
            yield Change(kind="added", column=name, detail=detail, rule=rules.added)


def _gone(table: pa.Table, profile: Profile) -> list[str]:
    return [name for name in profile.names if name not in table.column_names]


def _new(table: pa.Table, profile: Profile) -> list[str]:
    return [name for name in table.column_names if name not in profile.names]


def _renamed(table: pa.Table, schema: Schema, profile: Profile, rules: DriftRules) -> dict[str, str]:
    """Return the new name of each column that is gone: that of the one new column that agrees with it.

    Where several do, the one whose name differs in case and punctuation only.
    """
    gone, new = _gone(table, profile), _new(table, profile)
    some = _sample(table.select(new)) if gone and new else table
    agreeing = {was: [name for name in new if _agrees(schema.column(was), name, some, profile, rules)] for was in gone}
    alike = {was: [name for name in names if _letters(name) == _letters(was)] for was, names in agreeing.items()}
    by_name = _sole(alike)
    left = {
        was: [name for name in names if name not in by_name.values()]
        for was, names in agreeing.items()
        if was not in by_name
    }
    return {**by_name, **_sole(left)}


def _sole(candidates: dict[str, list[str]]) -> dict[str, str]:
    """Return the candidate of each column that has one only, and shares it with no other column."""
    times = Counter(name for names in candidates.values() for name in names)
    return {was: names[0] for was, names in candidates.items() if len(names) == 1 and times[names[0]] == 1}


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _sample(table: pa.Table) -> pa.Table:
    """Return rows enough to know a column by: all are looked at once it is known."""
    if table.num_rows <= KNOWN_BY:
        return table
    rows = np.random.default_rng(0).choice(table.num_rows, KNOWN_BY, replace=False)
    return table.take(pa.array(np.sort(rows)))


def _agrees(column: Column, name: str, table: pa.Table, profile: Profile, rules: DriftRules) -> bool:
    """Say whether the cells could be those of the column; missing ones and new levels do not speak against it."""
    if _sort(table[name].type) != _sort(column.arrow_type):
        return False  # and no text is parsed in vain
    pair = _pair(column, name, table, profile)
    drift = None if pair.problem else _distance(pair, rules)
    if drift is None:
        return isinstance(column, Constant) and not _in_cells(pair, rules)
    return not drift.drifted and not _keys(pair, rules)


def _sort(arrow_type: pa.DataType) -> str | None:
    found = family(arrow_type)
    return {"integer": "number", "float": "number", "decimal": "number", "dictionary": "string"}.get(found or "", found)


def _in_cells(pair: _Pair, rules: DriftRules) -> list[Change]:
    if pair.problem:
        return [_change(pair, "retyped", pair.problem, rules.retyped)]
    found = (_nulls(pair, rules), _keys(pair, rules), _levels(pair, rules), _moved(pair, rules))
    return [change for change in found if change]


def _change(pair: _Pair, kind: ChangeKind, words: str, rule: Rule) -> Change:
    return Change(kind=kind, column=pair.name, detail=f'column "{pair.name}" {words}', rule=rule)


def _nulls(pair: _Pair, rules: DriftRules) -> Change | None:
    n_before, n_now = pair.n_before, len(pair.values)
    missing, was_missing = pair.values.null_count, pair.before.n_missing
    if not pair.column.nullable:
        verb = "is" if missing == 1 else "are"
        words = f"is declared never missing, and {missing} of {n_now} cells {verb} missing"
        return _change(pair, "nulls", words, rules.nulls) if missing else None
    chance = share_moves((was_missing + missing) / (n_before + n_now), n_before, n_now)
    if abs(missing / n_now - was_missing / n_before) <= threshold(rules.null_tolerance, chance=chance, slack=chance):
        return None
    words = f"is missing in {missing / n_now:.1%} of its cells, and was in {was_missing / n_before:.1%}"
    return _change(pair, "nulls", words, rules.nulls)


def _keys(pair: _Pair, rules: DriftRules) -> Change | None:
    if not isinstance(pair.column, Identifier):
        return None
    repeats = misfit(pair.column.model_copy(update={"nullable": True}), pair.values)
    return _change(pair, "repeated_keys", f"is a key, and has {repeats}", rules.repeated_keys) if repeats else None


def _levels(pair: _Pair, rules: DriftRules) -> Change | None:
    if not isinstance(pair.column, Categorical):
        return None
    wide, n_rare = new_levels(pair.column, pair.before, pair.values)
    if not wide and not n_rare:
        return None
    shown = [f'"{level[:MAX_SHOWN]}" in {n_rows} rows' for level, n_rows in wide[:3]]
    n_more = max(len(wide) - 3, 0)
    rest = [f"{n_more} more"] * (n_more > 0) + [f"{n_rare} in fewer than {WIDELY} rows each"] * (n_rare > 0)
    words = f"has {len(wide) + n_rare} new levels: {', '.join(shown + rest)}"
    strict = pair.column.unseen == "refuse" and rules.levels == "warn"
    return _change(pair, "levels", words, "refuse" if strict else rules.levels)


def new_levels(
    column: Categorical, before: ColumnProfile, values: pa.ChunkedArray
) -> tuple[list[tuple[str, int]], int]:
    """Return the new levels that 5 rows or more carry, each with its rows, and how many others there are."""
    levels, counts = level_counts(values)
    declared = {str(level) for level in column.levels or ()}
    known = before.knows(levels)
    new = [
        (level, int(n))
        for level, n, old in zip(levels, counts, known, strict=True)
        if not old and level not in declared
    ]
    wide = sorted(((level, n) for level, n in new if n >= WIDELY), key=lambda found: (-found[1], found[0]))
    return wide, len(new) - len(wide)


def _moved(pair: _Pair, rules: DriftRules) -> Change | None:
    drift = None if isinstance(pair.column, UNMODELLED) else _distance(pair, rules)
    if drift is None or not drift.drifted:
        return None
    words = f"is distributed differently: {drift.statistic} {drift.value:.3f}, threshold {drift.threshold:.3f}"
    return _change(pair, "distribution", words, rules.distribution)


def _distance(pair: _Pair, rules: DriftRules) -> ColumnDrift | None:
    if pair.before.bins is None:
        return None
    before, now = np.array(pair.before.bins.counts), pair.before.place(pair.values)
    n_before, n_now = int(before.sum()), int(now.sum())
    if n_before == 0 or n_now == 0:
        return None  # every cell is missing: the share of missing cells tells it
    value = float(np.abs(before / n_before - now / n_now).sum() / 2)
    chance = bins_move(int(((before + now) > 0).sum()), n_before, n_now)
    limit = threshold(rules.distribution_tolerance, chance=chance, slack=event_moves(n_before, n_now))
    return ColumnDrift(column=pair.name, value=value, threshold=limit)
