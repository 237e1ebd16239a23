"""The codec of categorical columns: one token for each level that enough rows carry, one for all the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.codecs.codec import MID, has_missing_token, redraw_rare, refuse_unknown_size, unordered_tokens
from pipeline.columns import Categorical
from pipeline.encoded import BoolArray, FloatArray, IntArray, TokenColumn
from pipeline.errors import DataError


@dataclass(frozen=True)
class CategoricalCodec:
    """Tokens, in this order: missing, the kept levels, rare.

    Rare is never drawn and stands for every level that too few rows carry, none of which is stored anywhere.

    Attributes:
        vocabulary: the tokens.
        column: the declared column.
        levels: the kept levels, of the type inside a dictionary: in declared or dictionary order where the type is
            ordered, else by value.

    Example:
        >>> column = Categorical(name="city", arrow="string")
        >>> codec = CategoricalCodec.fit(column, pa.array(["Rome"] * 6 + ["Oslo"] * 5 + ["Bree"]), protect=5)
        >>> codec.levels.to_pylist(), codec.vocabulary.counts.tolist()
        (['Oslo', 'Rome'], [5, 6, 1])
        >>> codec.encode(pa.array(["Rome", "Bree", "Atlantis"]))[0].tolist()
        [1, 2, 2]
    """

    vocabulary: TokenColumn
    column: Categorical
    levels: pa.Array

    def __post_init__(self) -> None:
        if self.levels.null_count or len(self.levels.unique()) < len(self.levels):
            raise ValueError("levels must differ")
        refuse_unknown_size(self.vocabulary, self.column.nullable + len(self.levels) + 1)

    @classmethod
    def fit(cls, column: Categorical, array: pa.Array, *, protect: int) -> CategoricalCodec:
        """Learn which levels at least `protect` train cells carry.

        Raises:
            DataError: a missing cell is not allowed, or no level is carried by enough rows.
        """
        has_missing_token(column.name, column.nullable, array.null_count)
        cells = _plain(array).dictionary_encode()
        met, rows = cells.dictionary, np.bincount(cells.indices.drop_null(), minlength=len(cells.dictionary))
        levels = in_order(met.filter(pa.array((rows >= protect) & _declared(met, column))), column, array)
        counts = rows[pc.index_in(levels, met).to_numpy(zero_copy_only=False)]
        if len(met) and not len(levels):
            rule = f'column "{column.name}" needs a level carried by at least {protect} rows'
            remedy = "declare it as identifier or text, or lower `protect`, or drop the column"
            raise DataError(rule, actual=f"{len(met)} levels, the largest of {rows.max()} rows", remedy=remedy)
        if column.unseen == "refuse" and column.levels is None and len(levels) < len(met):
            rule = f'column "{column.name}" refuses unseen levels, so it must declare them or have no rare ones'
            remedy = 'declare its levels, or set unseen to "rare"'
            raise DataError(rule, actual=f"{len(met) - len(levels)} rare levels", remedy=remedy)
        missing = [array.null_count] * column.nullable
        tokens = np.array([*missing, *counts, rows.sum() - counts.sum()], np.int64)
        return cls(unordered_tokens(column.name, tokens, rare=True), column, levels)

    def encode(self, array: pa.Array) -> tuple[IntArray, FloatArray]:
        """Return the token of each cell; a rare or unknown level is the last one.

        Raises:
            DataError: a missing cell is not allowed, or a level is not declared and the column refuses such.
        """
        has_missing_token(self.column.name, self.column.nullable, array.null_count)
        cells = _plain(array).dictionary_encode()
        self._refuse_unseen(cells.dictionary)
        places = pc.index_in(cells.dictionary, self.levels).fill_null(len(self.levels))
        lookup = np.append(places.to_numpy(zero_copy_only=False) + self.column.nullable, 0)  # -1, missing, reads the 0
        tokens = lookup[cells.indices.fill_null(-1).to_numpy(zero_copy_only=False)].astype(np.int32)
        return tokens, np.full(len(array), MID)

    def can_draw(self, array: pa.Array) -> BoolArray:
        """Say which cells are missing or at a kept level."""
        return self.vocabulary.drawable[self.encode(array)[0]]

    def decode(self, tokens: IntArray, values: FloatArray, rng: np.random.Generator) -> pa.Array:  # noqa: ARG002
        """Return the cells; where a rare level stood, a kept one in proportion to its train rows."""
        drawn = redraw_rare(tokens, self.vocabulary, rng, missing=self.column.nullable)
        places = pa.array(drawn - self.column.nullable, pa.int32(), mask=(drawn == 0) & self.column.nullable)
        arrow_type = self.column.arrow_type
        if not pa.types.is_dictionary(arrow_type):
            return self.levels.take(places)
        indices = places.cast(arrow_type.index_type)
        return pa.DictionaryArray.from_arrays(indices, self.levels, ordered=arrow_type.ordered)

    def _refuse_unseen(self, met: pa.Array) -> None:
        if self.column.unseen == "rare":
            return
        known = self.levels if self.column.levels is None else pa.array(self.column.levels, self.levels.type)
        unknown = met.filter(pc.invert(pc.is_in(met, known)))
        if len(unknown):
            remedy = 'declare the level, or set unseen to "rare"'
            rule = f'column "{self.column.name}" refuses levels that are not declared'
            raise DataError(rule, actual=f"{unknown[0].as_py()!r}", remedy=remedy)

    def to_json(self) -> dict[str, Any]:
        """Return the tokens and the kept levels."""
        return {"vocabulary": self.vocabulary.to_json(), "levels": self.levels.to_pylist()}

    @classmethod
    def from_json(cls, column: Categorical, state: dict[str, Any]) -> CategoricalCodec:
        """Rebuild a codec from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        arrow_type = column.arrow_type
        value_type = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
        return cls(TokenColumn.from_json(state["vocabulary"]), column, pa.array(state["levels"], value_type))


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _declared(levels: pa.Array, column: Categorical) -> BoolArray:
    if column.levels is None:
        return np.ones(len(levels), np.bool_)
    known: BoolArray = pc.is_in(levels, pa.array(column.levels, levels.type)).to_numpy(zero_copy_only=False)
    return known


def in_order(levels: pa.Array, column: Categorical, array: pa.Array) -> pa.Array:
    """Sort levels as declared, as in an ordered dictionary, or else by value."""
    if column.levels is not None:
        ranks = pc.index_in(levels, pa.array(column.levels, levels.type))
    elif pa.types.is_dictionary(array.type) and array.type.ordered:
        ranks = pc.index_in(levels, array.dictionary)
    else:
        ranks = levels
    return levels.take(pc.sort_indices(ranks))
