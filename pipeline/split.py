"""The split into train and holdout: by a hash of each row's content, so that it does not depend on the rows' order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pydantic import Field

from pipeline.config import Config
from pipeline.errors import DataError, SchemaError
from pipeline.seeds import substream

Hashes = npt.NDArray[np.uint64]

MIN_ROWS = 20
EVEN_BELOW = 4_000
MIN_HOLDOUT, MAX_HOLDOUT = 2_000, 50_000


class SplitConfig(Config):
    """How a table is split.

    Attributes:
        holdout: the share of rows that train never sees; None: by the rule of `holdout_size`.
        entity: the column that names whom a row belongs to; all rows of one entity go to the same side.
    """

    holdout: float | None = Field(default=None, gt=0, lt=1)
    entity: str | None = None


@dataclass(frozen=True)
class Split:
    """The two sides of a table, each in the table's own order."""

    train: pa.Table
    holdout: pa.Table


def holdout_size(n_rows: int) -> int:
    """Return the rule's holdout size: half below 4,000 rows; else a fifth, but 2,000 to 50,000 rows.

    Example:
        >>> [holdout_size(n) for n in (1_000, 8_000, 48_842, 1_000_000)]
        [500, 2000, 9768, 50000]
    """
    return n_rows // 2 if n_rows < EVEN_BELOW else min(max(n_rows // 5, MIN_HOLDOUT), MAX_HOLDOUT)


def split_table(table: pa.Table, config: SplitConfig | None = None, *, seed: int) -> Split:
    """Split a table by the hash of each row's content, its number among identical rows, and the seed.

    The rows with the smallest hashes are the holdout. The order of the rows does not matter, identical rows spread over
    both sides, and where rows are added the old ones stay on their side, but for the few that the new size moves.
    With entities the holdout is the largest set of them, in the order of their hashes, that is not too large, and at
    least one. Rows without an entity stand alone.

    Raises:
        DataError: fewer than 20 rows, or a single entity.
        SchemaError: the entity column does not exist.

    Example:
        >>> split = split_table(pa.table({"x": range(100)}), seed=0)
        >>> len(split.train), len(split.holdout)
        (50, 50)
    """
    config = config or SplitConfig()
    n_rows = len(table)
    if n_rows < MIN_ROWS:
        raise DataError(f"a split needs at least {MIN_ROWS} rows", actual=f"{n_rows} rows", remedy="give more rows")
    wanted = holdout_size(n_rows) if config.holdout is None else min(max(round(config.holdout * n_rows), 1), n_rows - 1)
    hashes = _row_hashes(table, seed)
    if config.entity is None:
        chosen = np.zeros(n_rows, np.bool_)
        chosen[np.argsort(hashes, kind="stable")[:wanted]] = True
    else:
        chosen = _chosen_entities(_entity_hashes(table, config.entity, hashes, seed), wanted)
    return Split(table.filter(pa.array(~chosen)), table.filter(pa.array(chosen)))


def _chosen_entities(entities: Hashes, wanted: int) -> npt.NDArray[np.bool_]:
    """Mark the rows of the entities that make up the holdout."""
    unique, member, sizes = np.unique(entities, return_inverse=True, return_counts=True)  # ascending by hash
    if len(unique) < 2:
        raise DataError("a split needs two entities", actual="1 entity", remedy="declare another entity column")
    fitting = np.flatnonzero(sizes <= wanted)
    kept = fitting[np.cumsum(sizes[fitting]) <= wanted] if len(fitting) else np.argmin(sizes)
    in_holdout = np.zeros(len(unique), np.bool_)
    in_holdout[kept] = True
    return in_holdout[member]


def _entity_hashes(table: pa.Table, entity: str, row_hashes: Hashes, seed: int) -> Hashes:
    if entity not in table.column_names:
        remedy = f"use one of {', '.join(table.column_names)}"
        raise SchemaError("the entity must be a column of the table", actual=f'"{entity}"', remedy=remedy)
    keys = table[entity]
    hashes = _mixed(_cell_hashes(keys) ^ np.uint64(substream(seed, "split", "entity")))
    return np.where(keys.is_null().to_numpy(), row_hashes, hashes)


def _row_hashes(table: pa.Table, seed: int) -> Hashes:
    """Return uint64 **(n_rows,)**, different for each row even where rows are identical."""
    content = np.zeros(len(table), np.uint64)
    for name in table.column_names:  # a sum, so that the order of columns does not matter
        content += _mixed(_cell_hashes(table[name]) ^ np.uint64(substream(seed, "split", name)))
    return _mixed(_mixed(content) + _occurrence(content))


def _occurrence(content: Hashes) -> Hashes:
    """Return the number of each row among the rows of equal content: 0, 1, ..."""
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    number = np.empty(len(content), np.uint64)
    number[order] = np.arange(len(content)) - np.repeat(starts, np.diff(np.append(starts, len(content))))
    return number


def _cell_hashes(column: pa.ChunkedArray) -> Hashes:
    """Return uint64 **(n_rows,)** of the cells' values; equal for equal text, numbers and times of any width."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    if pa.types.is_floating(plain.type):
        floats = plain.cast(pa.float64()).fill_null(0).to_numpy() + 0.0  # one zero only
        bits = np.where(np.isnan(floats), np.nan, floats).view(np.uint64)
    elif pa.types.is_integer(plain.type) or pa.types.is_temporal(plain.type):
        bits = _whole(plain).astype(np.uint64)
    else:
        bits = _text_hashes(plain)
    missing: Hashes = plain.is_null().to_numpy().astype(np.uint64)
    return _mixed(bits) + missing


def _whole(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    whole = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    numbers: npt.NDArray[np.int64] = whole.cast(pa.int64(), safe=False).fill_null(0).to_numpy()
    return numbers


def _text_hashes(column: pa.ChunkedArray) -> Hashes:
    """Hash each distinct text once."""
    text = column.cast(pa.string()).combine_chunks().dictionary_encode()
    distinct = text.dictionary.to_numpy(zero_copy_only=False).astype(object)
    hashes = np.append(pd.util.hash_array(distinct, categorize=False), np.uint64(0))  # -1, missing, reads the last
    return np.asarray(hashes[text.indices.fill_null(-1).to_numpy(zero_copy_only=False)], np.uint64)


def _mixed(bits: Hashes) -> Hashes:
    """Spread the bits evenly: splitmix64's finaliser (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
    mixed = bits + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
