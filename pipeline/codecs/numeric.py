"""The codec of everything that is a number: continuous, integer, decimal, timestamp, date, duration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.codecs.axis import SPECIAL, Axis, Cells, Numbers, NumericColumn, axis_from_json, axis_of
from pipeline.codecs.bins import Bins, Counts, Places, bins_from_edges, fit_bins
from pipeline.codecs.codec import MID, has_missing_token, redraw_rare, refuse_unknown_size
from pipeline.encoded import BoolArray, FloatArray, IntArray, TokenColumn
from pipeline.errors import DataError

MAX_REPEATED = 512
FREQUENT = 0.002
"""The share of rows above which a repeated number of a mostly continuous column is an atom."""


@dataclass(frozen=True)
class NumericCodec:
    """Tokens, in this order: missing, special values, atoms (repeated numbers), bins (the only valued ones), rare.

    Rare is never drawn and stands for NaN and infinities that too few rows carry. Numbers that too few rows carry lie
    in a bin, or where too few rows are left for one, at the nearest atom; those beyond the outer edges are clipped.

    Attributes:
        vocabulary: the tokens.
        axis: from cells to numbers.
        missing: whether there is a token for missing cells.
        special: the places in `axis.SPECIAL`, from 1, of the special values that have a token.
        atoms: int64 or float64, ascending.
        bins: the ranges of all other numbers.

    Example:
        >>> from pipeline.columns import Integer
        >>> hours = pa.array([40] * 90 + list(range(1, 21)))
        >>> codec = NumericCodec.fit(Integer(name="hours", arrow="int64"), hours, protect=5, n_bins=1)
        >>> tokens, values = codec.encode(hours)
        >>> codec.vocabulary.counts.tolist()
        [90, 20, 0]
        >>> codec.decode(tokens, values, np.random.default_rng(0)).to_pylist()[88:100]
        [40, 40, 5, 5, 5, 5, 5, 6, 7, 8, 9, 10]
    """

    vocabulary: TokenColumn
    axis: Axis
    missing: bool
    special: tuple[int, ...]
    atoms: Numbers
    bins: Bins

    def __post_init__(self) -> None:
        if (self.atoms[1:] <= self.atoms[:-1]).any() or not np.isfinite(self.atoms).all():
            raise ValueError("repeated values must ascend")
        refuse_unknown_size(self.vocabulary, self._first_atom + len(self.atoms) + len(self.bins.low) + 1)

    @classmethod
    def fit(
        cls,
        column: NumericColumn,
        array: pa.Array,
        *,
        protect: int,
        n_bins: int | None = None,
        max_repeated: int | None = None,
    ) -> NumericCodec:
        """Learn atoms and bins from the train cells.

        Args:
            column: the declared column.
            array: its train cells.
            protect: values that fewer rows carry get no token of their own.
            n_bins: the largest number of bins; None: from the number of rows.
            max_repeated: the largest number of atoms; None: 512.

        Raises:
            DataError: a missing cell is not allowed, or there are too few rows for a single token.
        """
        axis = axis_of(column, array)
        cells = axis.read(array)
        missing = has_missing_token(column.name, column.nullable, int(cells.missing.sum()))
        met = np.bincount(cells.special, minlength=len(SPECIAL) + 1)
        special = tuple(code for code in range(1, len(SPECIAL) + 1) if met[code] >= protect)
        unique, counts = np.unique(cells.numbers[cells.finite], return_counts=True)
        is_atom = _repeated(counts, protect, MAX_REPEATED if max_repeated is None else max_repeated)
        atoms = unique[is_atom]
        bins = fit_bins(unique[~is_atom], counts[~is_atom], atoms, protect=protect, n_bins=n_bins)
        if len(unique) and not len(atoms) + len(bins.low):
            remedy = f"give more rows, lower `protect` (it is {protect}), or drop the column"
            rule = f'column "{column.name}" needs a value carried by {protect} rows, or {3 * protect} rows with a value'
            raise DataError(rule, actual=f"{counts.sum()} rows with a value", remedy=remedy)
        places = _place(unique, atoms, bins)
        head = [int(cells.missing.sum())] * missing + [int(met[code]) for code in special]
        rare = met[1:].sum() - sum(head[missing:])
        vocabulary = _vocabulary(column.name, head, places, counts, (len(atoms), len(bins.low)), int(rare))
        return cls(vocabulary, axis, missing, special, atoms, bins)

    @property
    def _first_atom(self) -> int:
        return self.missing + len(self.special)

    def encode(self, array: pa.Array) -> tuple[IntArray, FloatArray]:
        """Return the token and the value of each cell; unseen numbers go to the nearest bin or atom.

        Raises:
            DataError: a cell is missing in a column that is declared never missing.
        """
        cells = self.axis.read(array)
        has_missing_token(self.vocabulary.name, self.missing, int(cells.missing.sum()))
        tokens = np.full(len(array), self.vocabulary.size - 1, np.int32)
        values = np.full(len(array), MID)
        tokens[cells.missing] = 0
        for token, code in enumerate(self.special, start=self.missing):
            tokens[cells.special == code] = token
        if self._first_atom + 1 < self.vocabulary.size:
            numbers = cells.numbers[cells.finite]
            places = _place(numbers, self.atoms, self.bins)
            tokens[cells.finite] = self._first_atom + places
            values[cells.finite] = self._positions(numbers, places)
        return tokens, values

    def can_draw(self, array: pa.Array) -> BoolArray:
        """Say which cells are special values, atoms, or numbers inside a bin."""
        cells, (tokens, _) = self.axis.read(array), self.encode(array)
        known = ~cells.finite | np.isin(cells.numbers, self.atoms)
        if len(self.bins.low):
            known |= (self.bins.low[0] <= cells.numbers) & (cells.numbers <= self.bins.high[-1])
        return known & self.vocabulary.drawable[tokens]

    def tokens_between(self, low: pa.Array | None, high: pa.Array | None) -> BoolArray:
        """Say which tokens have a number between two cells, ends included; None leaves a side open."""
        lowest = -np.inf if low is None else self.axis.read(low).numbers[0]
        highest = np.inf if high is None else self.axis.read(high).numbers[0]
        inside = np.zeros(self.vocabulary.size, np.bool_)
        atoms, bins = np.split(inside[self._first_atom : -1], [len(self.atoms)])
        atoms[:] = (self.atoms >= lowest) & (self.atoms <= highest)
        bins[:] = (self.bins.high >= lowest) & (self.bins.low <= highest)
        return inside

    def decode(self, tokens: IntArray, values: FloatArray, rng: np.random.Generator) -> pa.Array:
        """Return the cells; where a rare special value stood, one of the others, anywhere in its bin if it is one."""
        rare = tokens == self.vocabulary.size - 1
        tokens = redraw_rare(tokens, self.vocabulary, rng, missing=self.missing)
        values = np.where(rare, rng.random(len(values)), values)
        special = np.zeros(len(tokens), np.int8)
        for token, code in enumerate(self.special, start=self.missing):
            special[tokens == token] = code
        numbers = np.zeros(len(tokens), self.atoms.dtype)
        ordinary = tokens >= self._first_atom
        numbers[ordinary] = self._numbers(tokens[ordinary].astype(np.int64) - self._first_atom, values[ordinary])
        missing = (tokens == 0) & self.missing
        return self.axis.write(Cells(numbers, missing, special))

    def _positions(self, numbers: Numbers, places: Places) -> FloatArray:
        positions = np.full(len(numbers), MID)
        binned = places >= len(self.atoms)
        if binned.any():
            positions[binned] = self.bins.position(numbers[binned], places[binned] - len(self.atoms))
        return positions

    def _numbers(self, places: Places, positions: FloatArray) -> Numbers:
        numbers = np.zeros(len(places), self.atoms.dtype)
        binned = places >= len(self.atoms)
        numbers[~binned] = self.atoms[places[~binned]]
        if binned.any():
            numbers[binned] = self.bins.number(places[binned] - len(self.atoms), positions[binned])
        return numbers

    def to_json(self) -> dict[str, Any]:
        """Return the tokens, the repeated values and the edges of the bins."""
        return {
            "vocabulary": self.vocabulary.to_json(),
            "grid": self.axis.grid,
            "missing": self.missing,
            "special": list(self.special),
            "atoms": self.atoms.tolist(),
            "low": self.bins.low.tolist(),
            "high": self.bins.high.tolist(),
        }

    @classmethod
    def from_json(cls, column: NumericColumn, state: dict[str, Any]) -> NumericCodec:
        """Rebuild a codec from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        axis = axis_from_json(column, bool(state["grid"]))
        atoms, low, high = (_as_numbers(state[key], grid=axis.grid) for key in ("atoms", "low", "high"))
        vocabulary = TokenColumn.from_json(state["vocabulary"])
        bins = bins_from_edges(low, high, atoms)
        return cls(vocabulary, axis, bool(state["missing"]), tuple(state["special"]), atoms, bins)


def _as_numbers(state: list[Any], *, grid: bool) -> Numbers:
    return np.array(state, np.int64) if grid else np.array(state, np.float64)


def _repeated(counts: Counts, protect: int, max_repeated: int) -> BoolArray:
    """Mark the atoms among the sorted numbers, met `counts` times each.

    The most frequent numbers that `protect` rows carry; where these make up less than half of the rows, most of them
    repeat by chance, and only those that stand out are kept.
    """
    is_atom = counts >= protect
    by_frequency = np.argsort(-counts, kind="stable")
    is_atom[by_frequency[max_repeated:]] = False
    if counts[is_atom].sum() < counts.sum() / 2:
        is_atom &= counts > FREQUENT * counts.sum()
    return is_atom


def _place(numbers: Numbers, atoms: Numbers, bins: Bins) -> Places:
    """Return the place of each number: an atom that equals it, else its bin, else the nearest of either."""
    if not len(atoms):
        return bins.place(numbers)
    atom = _nearest(numbers, atoms)
    if not len(bins.low):
        return atom
    outside = np.maximum(bins.low[0] * 0.5 - numbers * 0.5, numbers * 0.5 - bins.high[-1] * 0.5)
    nearer = np.abs(atoms[atom] * 0.5 - numbers * 0.5) < outside
    return np.where((atoms[atom] == numbers) | nearer, atom, len(atoms) + bins.place(numbers))


def _nearest(numbers: Numbers, atoms: Numbers) -> Places:
    """Return the place of the nearest atom; distances are halved, so that they cannot overflow."""
    right = np.minimum(np.searchsorted(atoms, numbers), len(atoms) - 1)
    left = np.maximum(right - 1, 0)
    left_gap = np.abs(numbers * 0.5 - atoms[left] * 0.5)
    right_gap = np.abs(atoms[right] * 0.5 - numbers * 0.5)
    return np.where((atoms[right] != numbers) & (left_gap < right_gap), left, right)


def _vocabulary(
    name: str, head: list[int], places: Places, counts: Counts, sizes: tuple[int, int], rare: int
) -> TokenColumn:
    """Return the tokens, given the place of each of the sorted numbers; `sizes` are those of atoms and bins."""
    n_places = sum(sizes)
    rows = np.bincount(places, weights=counts, minlength=n_places).astype(np.int64)
    ranks = (np.cumsum(counts) - counts / 2) / max(counts.sum(), 1)
    rank_sums = np.bincount(places, weights=counts * ranks, minlength=n_places)
    coordinate = np.divide(rank_sums, rows, out=np.full(n_places, np.nan), where=rows > 0)
    no_order = np.full(len(head), np.nan)
    tokens = np.array([*head, *rows, rare], np.int64)
    drawable = tokens > 0
    drawable[-1] = False
    valued: npt.NDArray[np.bool_] = np.repeat([False, False, True, False], [len(head), *sizes, 1])
    return TokenColumn(name, tokens, drawable, valued, np.concatenate([no_order, coordinate, [np.nan]]))
