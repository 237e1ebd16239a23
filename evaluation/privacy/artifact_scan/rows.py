"""Train rows whose cells lie together in a file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...statistics import BoolArray, IntArray
from .content import number_of
from .train_values import TrainColumn

FEWEST_CELLS = 3
"""Two cells beside each other are met by chance."""
SHARE_OF_CELLS = 0.7
SLACK = 1.25
"""A row's cells lie together where they are within this many values per cell."""
MOST_ROWS = 1_000
"""So many found rows are proof enough."""
SHUFFLES = 200
MANY_ROWS = 20
"""So many rows need no second shuffled table to show that they are no chance."""
ROWS_AT_A_TIME = 64


def count_rows(stream: list[str], columns: Sequence[TrainColumn], rng: np.random.Generator) -> int:
    """Return how many train rows lie in a sequence of values, at most about `MOST_ROWS`.

    A row counts when at least 70 % of its cells lie within 1.25 values per cell, in any order, and no row of the table
    with every column shuffled on its own comes as close. Vocabularies hold the cells of shuffled rows as well as those
    of real ones; only a file that holds records tells them apart. Few rows are held against many shuffled tables, for
    the closest row of the real table is closer than that of one shuffled table every other time.
    """
    names = {column.name for column in columns}
    tokens = [each for each in stream if each not in names]
    if len(columns) < FEWEST_CELLS or not tokens:
        return 0
    matches = _matches(tokens, columns)
    codes = np.array([column.codes for column in columns])
    found, chance = _closest(matches, codes, columns), 0
    for _ in range(SHUFFLES):
        if max(found.values(), default=0) <= chance:
            return 0
        shuffled = np.array([rng.permutation(own) for own in codes])
        chance = max(chance, *_closest(matches, shuffled, columns).values(), 0)
        if sum(n_cells > chance for n_cells in found.values()) >= MANY_ROWS:
            break
    return sum(n_cells > chance for n_cells in found.values())


def _matches(tokens: list[str], columns: Sequence[TrainColumn]) -> IntArray:
    """Return the code of every token in every column, **(n_columns, n_tokens)**; lists in order carry no row."""
    distinct, inverse = np.unique(np.array(tokens, dtype=object), return_inverse=True)
    found = np.array([column.look_up(distinct.tolist())[inverse] for column in columns])
    return np.where(_in_order(tokens, 2 * len(columns)), -1, found)


def _in_order(tokens: list[str], fewest: int) -> BoolArray:
    """Mark numbers that lie in a strictly ascending run of at least `fewest`: a vocabulary, or edges of bins."""
    numbers = np.array([number_of(each) for each in tokens], np.float64)
    starts = np.flatnonzero(np.append(True, ~(np.diff(numbers) > 0)))
    lengths = np.diff(np.append(starts, len(numbers)))
    return np.repeat(lengths >= fewest, lengths)


def _closest(matches: IntArray, codes: IntArray, columns: Sequence[TrainColumn]) -> dict[int, int]:
    """Return, by row, the largest number of its cells that lie together somewhere, where these are enough.

    The search ends early where `MOST_ROWS` rows are found.
    """
    width, need = math.ceil(SLACK * len(codes)), max(FEWEST_CELLS, math.ceil(SHARE_OF_CELLS * len(codes)))
    by_anchor = _by_rarest_cell(codes, columns)
    best: dict[int, int] = {}
    for at in np.flatnonzero(_crowded(matches, width, need)):
        keys = ((j, int(code)) for j, code in enumerate(matches[:, at]))
        rows = [by_anchor[key] for key in keys if key in by_anchor]
        if rows:
            around = matches[:, max(0, at - width + 1) : at + width]
            for row, n_cells in _together(around, codes, np.concatenate(rows), width, need):
                best[row] = max(best.get(row, 0), n_cells)
        if len(best) >= MOST_ROWS:
            break
    return best


def _by_rarest_cell(codes: IntArray, columns: Sequence[TrainColumn]) -> dict[tuple[int, int], IntArray]:
    """Group the rows by the column and the code of the cell that the fewest rows carry."""
    padded = [np.append(column.counts, codes.shape[1] + 1) for column in columns]  # code -1, missing, is never rarest
    carried = np.array([own[column] for own, column in zip(padded, codes, strict=True)])
    rarest = carried.argmin(axis=0)
    code = codes[rarest, np.arange(codes.shape[1])]
    order = np.lexsort((code, rarest))
    ends = np.flatnonzero((np.diff(rarest[order]) != 0) | (np.diff(code[order]) != 0)) + 1
    groups = np.split(order, ends)
    return {(int(rarest[rows[0]]), int(code[rows[0]])): rows for rows in groups if len(rows) and code[rows[0]] >= 0}


def _crowded(matches: IntArray, width: int, need: int) -> BoolArray:
    """Mark the tokens with values of at least `need` columns, and as many values, within reach."""
    hits = matches >= 0
    known: BoolArray = np.any(hits, axis=0)
    n_columns = sum((_around(row, width) > 0).astype(np.int64) for row in hits)
    return np.asarray(known & (n_columns >= need) & (_around(known, width) >= need), np.bool_)


def _around(hits: BoolArray, width: int) -> IntArray:
    """Return, for every place, how many hits are less than `width` away."""
    total = np.concatenate([[0], np.cumsum(hits)])
    places = np.arange(len(hits))
    return np.asarray(total[np.minimum(places + width, len(hits))] - total[np.maximum(places - width + 1, 0)], np.int64)


def _together(around: IntArray, codes: IntArray, rows: IntArray, width: int, need: int) -> list[tuple[int, int]]:
    """Return the rows with at least `need` cells in one window of `width` tokens, and how many they are."""
    near = sum(np.isin(own[rows], seen[seen >= 0]).astype(np.int64) for own, seen in zip(codes, around, strict=True))
    rows = np.unique(rows[near >= need])
    found = []
    for some in np.array_split(rows, len(rows) // ROWS_AT_A_TIME + 1):
        hits = (around == codes[:, some].T[:, :, None]) & (around >= 0)
        n_cells = (_in_windows(hits, width) > 0).sum(axis=1)
        n_places = _in_windows(hits.any(axis=1), width)  # a value that stands there once is one cell only
        most = np.minimum(n_cells, n_places).max(axis=1, initial=0)
        found += [(int(row), int(n)) for row, n in zip(some, most, strict=True) if n >= need]
    return found


def _in_windows(hits: BoolArray, width: int) -> IntArray:
    """Return the number of hits in every window of the last axis."""
    total = np.cumsum(hits, axis=-1, dtype=np.int64)
    total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    width = min(width, hits.shape[-1])
    return np.asarray(total[..., width:] - total[..., :-width], np.int64)
