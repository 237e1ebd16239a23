"""A table with synthetic rows of its rare classes: what `tabmint augment` does, and its advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.utility.augmentation import Augmenter
from pipeline.errors import ConfigError, DataError
from pipeline.schema import Schema
from pipeline.shareable import not_shareable
from pipeline.source import read

from .progress import Display
from .settings import GeneratorSection

if TYPE_CHECKING:
    from generators import TabularGenerator

MOST_WHOLE_NUMBERS = 10
"""A target of more distinct whole numbers is a quantity."""


def count_classes(table: pa.Table, schema: Schema, target: str) -> dict[Any, int]:
    """Return how many rows each class of the target has, the most frequent first.

    Raises:
        ConfigError: there is no such column.
        DataError: it is a quantity, or some rows lack it.

    Example:
        >>> from pipeline.inference import infer
        >>> table = pa.table({"state": ["ill", "well", "well"]})
        >>> count_classes(table, infer(table), "state")
        {'well': 2, 'ill': 1}
    """
    if target not in schema.names:
        remedy = f"use one of {', '.join(schema.names)}"
        raise ConfigError("the target must be a column of the table", actual=f'"{target}"', remedy=remedy)
    cells = table[target]
    kind = schema.column(target).kind
    few = kind == "integer" and pc.count_distinct(cells).as_py() <= MOST_WHOLE_NUMBERS
    if kind not in ("categorical", "boolean") and not few:
        remedy = f"name a column of categories, truth values or at most {MOST_WHOLE_NUMBERS} whole numbers"
        raise DataError("the target must be a class", actual=f'the {kind} column "{target}"', remedy=remedy)
    if cells.null_count:
        remedy = "leave these rows out, or fill the cells in"
        raise DataError("every row needs a class", actual=f'{cells.null_count:,} without "{target}"', remedy=remedy)
    counts = {row["values"]: row["counts"] for row in pc.value_counts(cells).to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def classes_to_add(
    counts: Mapping[Any, int], ratio: float, assignments: Sequence[str], *, fewest: int
) -> dict[Any, int]:
    """Return how many rows to draw of each class that lacks some, by a ratio or, where given, by "class=rows".

    Raises:
        ConfigError: as `wanted_counts`.
        ResamplingError: as `rows_to_add` and `refuse_unlearnable`, or no class lacks rows.
    """
    from generators.augmentation import ResamplingError, refuse_unlearnable, rows_to_add

    added = rows_to_add(counts, wanted_counts(assignments, counts) if assignments else ratio)
    if not added:
        raise ResamplingError("a class must lack rows", actual="none that does", remedy="ask for more rows")
    refuse_unlearnable(counts, added, fewest)
    return added


def wanted_counts(assignments: Sequence[str], counts: Mapping[Any, int]) -> dict[Any, int]:
    """Return the rows that each class is to have, from texts such as "ill=100".

    Raises:
        ConfigError: a text is no such assignment, or names a class that is absent or was named before.

    Example:
        >>> wanted_counts(["true=100"], {True: 3, False: 9})
        {True: 100}
    """
    by_text = {text_of(value): value for value in counts}
    wanted: dict[Any, int] = {}
    for assignment in assignments:
        text, _, number = assignment.rpartition("=")
        if text not in by_text or not number.isdecimal() or by_text[text] in wanted:
            rule = "a count reads class=rows, and a class has one"
            raise ConfigError(rule, actual=repr(assignment), remedy=f"classes are {', '.join(by_text)}")
        wanted[by_text[text]] = int(number)
    return wanted


def text_of(value: object) -> str:
    """Return a class as text, truth values as CSV writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def draw_synthetic(
    generator: TabularGenerator, target: str, wanted: Mapping[Any, int], *, seed: int, guidance: float
) -> pa.Table:
    """Return so many synthetic rows of each class, as an Arrow table of the generator's schema."""
    from generators.augmentation import draw_classes

    drawn = draw_classes(generator, target, wanted, seed=seed, guidance=guidance)
    if isinstance(drawn, pa.Table):
        return drawn
    return read(drawn, schema=generator.schema).table.cast(generator.schema.arrow())  # it was fitted on a DataFrame


def with_original_rows(table: pa.Table, drawn: pa.Table, mark: str) -> pa.Table:
    """Return the original rows in their order, then the synthetic ones, told apart by a column, marked not shareable.

    Raises:
        ConfigError: the table has a column of that name.

    Example:
        >>> both = with_original_rows(pa.table({"n": [1]}), pa.table({"n": [2]}), "synthetic")
        >>> both.to_pylist()
        [{'n': 1, 'synthetic': False}, {'n': 2, 'synthetic': True}]
    """
    refuse_taken(table, mark)
    original = table.select(drawn.column_names).cast(drawn.schema)
    parts = [
        rows.append_column(mark, pa.repeat(pa.scalar(synthetic), rows.num_rows))
        for rows, synthetic in ((original, False), (drawn, True))
    ]
    return not_shareable(pa.concat_tables(parts).unify_dictionaries())


def refuse_taken(table: pa.Table, mark: str) -> None:
    """Refuse a name for the added column that the table uses.

    Raises:
        ConfigError: it does.
    """
    if mark in table.column_names:
        remedy = "choose another with --mark"
        raise ConfigError("the column that tells rows apart needs a free name", actual=f'"{mark}"', remedy=remedy)


def new_augmenter(
    section: GeneratorSection, schema: Schema, target: str, guidance: float, display: Display
) -> Augmenter:
    """Return what fits a new generator on the rows that it is given and draws the classes that they lack."""
    from .learning import new_generator, shown

    def augment(table: pa.Table, wanted: Mapping[Any, int], seed: int) -> pa.Table:
        with display.step("fit") as move:
            generator = new_generator(section)
            generator.fit(table, schema, seed=seed, budget_s=section.budget, on_progress=shown(move))
        return draw_synthetic(generator, target, wanted, seed=seed, guidance=guidance)

    return augment
