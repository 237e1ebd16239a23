"""Conditions on a table's columns: which cells they fix before a draw, and which drawn rows meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.constrained import ConstrainedTransform
from pipeline.encoded import BoolArray, FloatArray
from pipeline.errors import ConfigError, DataError
from pipeline.transform import typed_cell

from .given import Given, Known

Conditions = Mapping[str, Any]
"""By column: a value, a collection of values of which each row has one, or a `Range`."""
Fits = Callable[[pa.Table], BoolArray]


@dataclass(frozen=True)
class Range:
    """A condition on a number or a point in time: at least `low`, at most `high`; None leaves a side open."""

    low: Any = None
    high: Any = None


@dataclass(frozen=True)
class Pivot:
    """The token column that a range or a collection is drawn from before all others.

    Attributes:
        place: in the layout.
        weights: float64 **(size,)**, of its tokens: the train rows that carry them, 0 where they are not allowed.
    """

    place: int
    weights: FloatArray


@dataclass(frozen=True)
class Conditioned:
    """Conditions in encoded form.

    Under a range or a collection A of a column c, rows follow sum over t in A of p(t | A) p(row | c = t), with p(t | A)
    from the train frequencies, so that any model that takes conditions draws them. Of several such columns this is done
    for the one that fewest train rows meet; what the others must meet is left to `fits`. A single value of a column of
    which combinations are fixed allows several of these, so it is such a collection too.

    Attributes:
        transform: of the table.
        known: the cells that every row has.
        pivot: where a column has several values; None where none has.
        fits: which rows of a drawn table meet ranges and collections; None where there are none.
    """

    transform: ConstrainedTransform
    known: Known
    pivot: Pivot | None
    fits: Fits | None

    @property
    def places(self) -> list[int]:
        """The token columns that are given to the model."""
        return [*self.known, *([self.pivot.place] if self.pivot else [])]

    def given(self, n: int, seed: int) -> Given:
        """Return what n rows are given; the seed draws the pivot's tokens."""
        given = Given.same(n, self.transform.layout, self.known)
        if self.pivot:
            rng, weights, place = np.random.default_rng(seed), self.pivot.weights, self.pivot.place
            tokens = rng.choice(len(weights), n, p=weights / weights.sum())
            given.mask[:, place] = True
            given.batch.tokens[:, place] = torch.from_numpy(tokens)
            if place in given.layout.valued:
                given.batch.values[:, given.layout.valued.index(place)] = torch.from_numpy(rng.random(n))
        return given


def conditioned(transform: ConstrainedTransform, conditions: Conditions) -> Conditioned:
    """Return conditions in encoded form.

    Raises:
        ConfigError: a condition names a column that is not modelled, or a range one without an order.
        DataError: no row could be drawn under a condition.
    """
    for name in conditions:
        refuse_unmodelled(transform, name)
    several = {name: wanted for name, wanted in conditions.items() if isinstance(wanted, Range) or is_several(wanted)}
    tied = {name: [value] for name, value in conditions.items() if name not in several and transform.is_tied(name)}
    known = transform.encode_values({name: conditions[name] for name in conditions if name not in several | tied})
    pivots: dict[int, Pivot] = {}
    for name, wanted in (several | tied).items():
        pivots |= _pivot(transform, name, wanted, pivots)
    rarest = min(pivots.values(), key=lambda pivot: pivot.weights.sum(), default=None)
    return Conditioned(transform, known, rarest, _meets(transform, several | tied) if several or tied else None)


def _pivot(transform: ConstrainedTransform, name: str, wanted: Any, others: Mapping[int, Pivot]) -> dict[int, Pivot]:
    """Return a column's first token column with the tokens that a range or collection, and others before it, allow.

    Raises:
        DataError: there is none.
    """
    if isinstance(wanted, Range):
        allowed = transform.tokens_between(name, wanted.low, wanted.high)
    else:
        allowed = transform.tokens_of(name, wanted)
    if not allowed:
        return {}
    place = min(allowed)
    column = transform.layout.columns[place]
    weights = others[place].weights if place in others else np.where(column.drawable, column.counts, 0)
    weights = np.where(allowed[place], weights, 0).astype(np.float64)
    if not weights.any():
        rule = f'a condition on column "{name}" must leave a value that can be drawn'
        raise DataError(rule, actual="none is left", remedy="widen it to values that enough train rows carry")
    return {place: Pivot(place, weights)}


def drawable(transform: ConstrainedTransform) -> BoolArray:
    """Return bool **(n_tokens,)**: the tokens that may be drawn without conditions."""
    return np.concatenate([column.drawable for column in transform.layout.columns])


def without_missing(transform: ConstrainedTransform) -> BoolArray:
    """Return `drawable` without the tokens of missing cells, but for columns of nothing else."""
    allowed = drawable(transform)
    for place in range(transform.layout.n_columns):
        tokens, missing = (_tokens(transform, each, place) for each in (allowed, transform.missing_tokens))
        if (tokens & ~missing).any():
            tokens &= ~missing
    return allowed


def refuse_unmodelled(transform: ConstrainedTransform, name: str) -> None:
    """Refuse a condition on a column that is not modelled.

    Raises:
        ConfigError: it is not.
    """
    if name not in transform.modelled:
        remedy = f"condition on one of {', '.join(transform.modelled)}"
        raise ConfigError("a condition must name a modelled column", actual=f'"{name}"', remedy=remedy)


def values_of(wanted: object) -> Iterable[object]:
    """Return the values that a condition names; none of a range.

    Example:
        >>> list(values_of("JFK")), list(values_of(["AA", None]))
        (['JFK'], ['AA', None])
    """
    if isinstance(wanted, Range):
        return ()
    several: Any = wanted
    return several if is_several(wanted) else (wanted,)


def is_several(wanted: object) -> bool:
    """Say whether a condition is a collection of values."""
    return isinstance(wanted, Sequence | AbstractSet | np.ndarray) and not isinstance(wanted, str | bytes)


def _tokens(transform: ConstrainedTransform, allowed: BoolArray, place: int) -> BoolArray:
    """Return the part of an array **(n_tokens,)** that belongs to a token column."""
    start = int(transform.layout.offsets[place])
    return allowed[start : start + transform.layout.sizes[place]]


def _meets(transform: ConstrainedTransform, wanted: Conditions) -> Fits:
    """Return a function that says which rows of a table meet ranges and collections."""

    def fits(table: pa.Table) -> BoolArray:
        checks = [
            check.fill_null(False).to_numpy(zero_copy_only=False)
            for name, condition in wanted.items()
            for check in _checks(transform, name, table[name].combine_chunks(), condition)
        ]
        met: BoolArray = np.logical_and.reduce(checks)
        return met

    return fits


def _checks(transform: ConstrainedTransform, name: str, cells: pa.Array, wanted: Any) -> Iterator[pa.Array]:
    column = transform.schema.column(name)
    if isinstance(wanted, Range):
        yield pc.is_valid(cells)
        for end, compare in ((wanted.low, pc.greater_equal), (wanted.high, pc.less_equal)):
            if end is not None:
                yield compare(cells, typed_cell(column, end)[0])
    else:
        values = pa.concat_arrays([typed_cell(column, value) for value in wanted])
        yield pc.is_in(cells, value_set=values)
