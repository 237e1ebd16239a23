"""What every codec of a modelled column can do, and the pieces that several of them share."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.encoded import BoolArray, FloatArray, IntArray, TokenColumn
from pipeline.errors import DataError

MID = 0.5
"""The value of a row whose token carries none."""


class Codec(Protocol):
    """The two-way translation between the cells of one column and tokens with values.

    The token of a missing cell is 0 where the column has one; the token of protected rare values, where there is one,
    is the last. `decode(*encode(array), rng)` gives the array back up to the column's declared resolution, except for
    what is protected.
    """

    @property
    def vocabulary(self) -> TokenColumn:
        """The tokens of the column."""
        ...

    def encode(self, array: pa.Array) -> tuple[IntArray, FloatArray]:
        """Return token int32 **(n_rows,)** and value float64 **(n_rows,)** in [0, 1) of each cell."""
        ...

    def can_draw(self, array: pa.Array) -> BoolArray:
        """Say which cells have a value that `decode` can return: neither protected nor out of reach."""
        ...

    def decode(self, tokens: IntArray, values: FloatArray, rng: np.random.Generator) -> pa.Array:
        """Return the cells; `rng` draws what stands in for a protected value."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the fitted state, without a row, as plain JSON values."""
        ...


def has_missing_token(name: str, nullable: bool, n_missing: int) -> bool:
    """Say whether a column needs a token for missing cells.

    Raises:
        DataError: a cell is missing in a column that is declared never missing.
    """
    if n_missing and not nullable:
        remedy = "fill the cells, or declare the column nullable"
        raise DataError(
            f'column "{name}" is declared never missing', actual=f"{n_missing} missing cells", remedy=remedy
        )
    return nullable


def unordered_tokens(name: str, counts: npt.NDArray[np.int64], *, rare: bool) -> TokenColumn:
    """Return a vocabulary of tokens without value and order, those drawable that train met; `rare`: but the last."""
    drawable = counts > 0
    drawable[-1] &= not rare
    return TokenColumn(name, counts, drawable, np.zeros(len(counts), np.bool_), np.full(len(counts), np.nan))


def redraw_rare(tokens: IntArray, vocabulary: TokenColumn, rng: np.random.Generator, *, missing: bool) -> IntArray:
    """Replace the last token, which stands for protected values, by ordinary ones in proportion to their train rows.

    Args:
        tokens: int32 **(n_rows,)**.
        vocabulary: the column's tokens, at least one of them drawable.
        rng: draws the replacements.
        missing: whether token 0 is the missing cell, which stands in only where train had nothing else.
    """
    rare = np.flatnonzero(tokens == vocabulary.size - 1)
    weights = np.where(vocabulary.drawable, vocabulary.counts, 0).astype(np.float64)
    if missing and weights[1:].sum() > 0:
        weights[0] = 0
    redrawn = tokens.copy()
    redrawn[rare] = rng.choice(vocabulary.size, size=len(rare), p=weights / weights.sum())
    return redrawn


def refuse_unknown_size(vocabulary: TokenColumn, expected: int) -> None:
    """Refuse a state whose vocabulary does not match the codec it belongs to.

    Raises:
        ValueError: a length differs from `expected`.
    """
    parts = (vocabulary.counts, vocabulary.drawable, vocabulary.valued, vocabulary.coordinate)
    if {len(part) for part in parts} != {expected}:
        raise ValueError(f"the vocabulary must have {expected} tokens")
