"""The codec of boolean columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.codecs.codec import MID, has_missing_token, refuse_unknown_size, unordered_tokens
from pipeline.columns import Boolean
from pipeline.encoded import BoolArray, FloatArray, IntArray, TokenColumn


@dataclass(frozen=True)
class BooleanCodec:
    """Tokens, in this order: missing, false, true.

    Neither value is ever protected: that a boolean column can be true or false tells nothing about anybody. A value
    that train never met is not drawn.

    Example:
        >>> codec = BooleanCodec.fit(Boolean(name="smoker", arrow="bool", nullable=True), pa.array([True, None, True]))
        >>> codec.vocabulary.counts.tolist(), codec.vocabulary.drawable.tolist()
        ([1, 0, 2], [True, False, True])
    """

    vocabulary: TokenColumn
    column: Boolean

    def __post_init__(self) -> None:
        refuse_unknown_size(self.vocabulary, self.column.nullable + 2)

    @classmethod
    def fit(cls, column: Boolean, array: pa.Array) -> BooleanCodec:
        """Count the train cells.

        Raises:
            DataError: a missing cell is not allowed.
        """
        tokens = _tokens(column, array)
        return cls(
            unordered_tokens(column.name, np.bincount(tokens, minlength=column.nullable + 2), rare=False), column
        )

    def encode(self, array: pa.Array) -> tuple[IntArray, FloatArray]:
        """Return the token of each cell.

        Raises:
            DataError: a missing cell is not allowed.
        """
        return _tokens(self.column, array), np.full(len(array), MID)

    def can_draw(self, array: pa.Array) -> BoolArray:
        """Say which cells have a value that train met."""
        return self.vocabulary.drawable[self.encode(array)[0]]

    def decode(self, tokens: IntArray, values: FloatArray, rng: np.random.Generator) -> pa.Array:  # noqa: ARG002
        """Return the cells."""
        return pa.array(tokens == self.vocabulary.size - 1, mask=(tokens == 0) & self.column.nullable)

    def to_json(self) -> dict[str, Any]:
        """Return the tokens."""
        return {"vocabulary": self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, column: Boolean, state: dict[str, Any]) -> BooleanCodec:
        """Rebuild a codec from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        return cls(TokenColumn.from_json(state["vocabulary"]), column)


def _tokens(column: Boolean, array: pa.Array) -> IntArray:
    has_missing_token(column.name, column.nullable, array.null_count)
    truth: IntArray = array.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
    return truth + np.int32(column.nullable)
