"""Attribute inference: what somebody who knows the rest of a record learns about one cell from the synthetic table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..features import Frame
from ..statistics import BoolArray, FloatArray, IntArray
from ..threads import in_threads
from .space import BLOCK_CELLS, Points, Space, blocks_of

TOLERANCE = 0.025
"""A number counts as inferred within this share of its 2.5-97.5 % range on either side."""
N_CHOSEN = 3


def chosen_secrets(train: Frame) -> list[int]:
    """Return the columns with the most to reveal: whose best single guess is right for the fewest rows.

    The best guess is the commonest level, or the stretch as long as two tolerances that holds most numbers. Where a
    guess is often right anyway, an attack has little to add.
    """
    easy = [_best_guess(train, i) for i in range(len(train.features))]
    return [int(i) for i in np.argsort(easy, kind="stable")[:N_CHOSEN]]


def guesses(records: Frame, synthetic: Frame, secrets: Sequence[int], space: Space) -> list[BoolArray]:
    """Return for every secret whether the synthetic row nearest in all other columns tells it, **(n_records,)** each.

    All secrets share one search: the distance without a column is the distance less that column's part.
    """
    everything = space.place(records), space.place(synthetic)
    alone = [_only(records, synthetic, secret) for secret in secrets]
    blocks = in_threads(
        lambda rows: _nearest_without(space, everything, alone, len(records.features), rows),
        blocks_of(records.n_rows, synthetic.n_rows),
        length=BLOCK_CELLS,
    )
    nearest = np.concatenate(blocks, axis=1)
    return [tells(records, synthetic.take(rows), secret) for secret, rows in zip(secrets, nearest, strict=True)]


def tells(records: Frame, guessed: Frame, secret: int) -> BoolArray:
    """Return where the guessed rows have the records' own value in the column `secret`, or one close to it."""
    if records.features[secret].categorical:
        return np.asarray(records.columns[secret] == guessed.columns[secret])
    truth, guess = records.numbers(secret), guessed.numbers(secret)
    close = np.abs(truth - guess) <= TOLERANCE * _spread(truth)
    return np.asarray(close | (np.isnan(truth) & np.isnan(guess)))


def _nearest_without(
    space: Space, everything: tuple[Points, Points], alone: list[tuple[Space, Points, Points]], n: int, rows: IntArray
) -> npt.NDArray[np.intp]:
    """Return the nearest synthetic row of each record without each secret, **(n_secrets, n_rows)**."""
    total = space.distances(everything[0].take(rows), everything[1])
    total *= n
    found = [(total - own.distances(records.take(rows), synthetic)).argmin(axis=1) for own, records, synthetic in alone]
    return np.array(found)


def _only(records: Frame, synthetic: Frame, index: int) -> tuple[Space, Points, Points]:
    one, other = (Frame((f.features[index],), (f.columns[index],), f.n_rows) for f in (records, synthetic))
    space = Space(one)
    return space, space.place(one), space.place(other)


def _best_guess(train: Frame, index: int) -> float:
    if train.features[index].categorical:
        counts = np.bincount(train.codes(index), minlength=1)
        return float(counts.max() / max(train.n_rows, 1))
    numbers = np.sort(train.numbers(index)[~train.missing(index)])
    last = np.searchsorted(numbers, numbers + 2 * TOLERANCE * _spread(numbers), side="right")
    within = float((last - np.arange(len(numbers))).max(initial=0))
    return max(within, train.n_rows - len(numbers)) / max(train.n_rows, 1)


def _spread(numbers: FloatArray) -> float:
    known = numbers[~np.isnan(numbers)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 0.0)
    return float(high - low)
