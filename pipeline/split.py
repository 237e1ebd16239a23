"""The split into train and holdout: by a hash of each row's content, so that it does not depend on the rows' order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from pipeline.config import Config
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.row_hashes import Hashes, cell_hashes, content_hashes, mixed
from pipeline.seeds import substream

MIN_ROWS = 20
EVEN_BELOW = 4_000
MIN_HOLDOUT, MAX_HOLDOUT = 2_000, 50_000
LARGEST_HASH = 2**64 - 1


class SplitConfig(Config):
    """How a table is split.

    Attributes:
        holdout: the share of rows that train never sees; None: by the rule of `holdout_size`.
        entity: the column that names whom a row belongs to; all rows of one entity go to the same side.
    """

    holdout: float | None = Field(default=None, gt=0, lt=1)
    entity: str | None = None


class Boundary(Config):
    """Which rows may still be held out, once rows of the same source have been learned from.

    Rows lie on a scale by their hash. Those beyond `ends_at`, and those passed over, were on the train side of some
    split, so a later one never holds them out: what a model has learned must not judge it, nor the models after it.
    It is private: whoever guesses a row, or the key of an entity, can hash it and look whether it was learned from.

    Attributes:
        seed: of the hashes.
        entity: the column that was hashed, None for whole rows.
        columns: the columns that were hashed with the rows.
        ends_at: the largest hash that may be held out.
        passed_over: smaller ones that may not.
    """

    seed: int
    entity: str | None
    columns: tuple[str, ...]
    ends_at: int
    passed_over: tuple[int, ...] = ()

    @property
    def scale(self) -> str:
        """The sha256, in hex, of what is hashed and how: on one scale equal hashes mean equal rows. It tells no row.

        Example:
            >>> boundary = Boundary(seed=0, entity=None, columns=("x",), ends_at=9)
            >>> boundary.scale == boundary.model_copy(update={"ends_at": 5, "passed_over": (3,)}).scale
            True
        """
        return hashlib.sha256(json.dumps([self.seed, self.entity, self.columns]).encode()).hexdigest()


@dataclass(frozen=True)
class Split:
    """The two sides of a table, each in the table's own order, and the boundary that a later split must keep."""

    train: pa.Table
    holdout: pa.Table
    boundary: Boundary


def holdout_size(n_rows: int) -> int:
    """Return the rule's holdout size: half below 4,000 rows; else a fifth, but 2,000 to 50,000 rows.

    Example:
        >>> [holdout_size(n) for n in (1_000, 8_000, 48_842, 1_000_000)]
        [500, 2000, 9768, 50000]
    """
    return n_rows // 2 if n_rows < EVEN_BELOW else min(max(n_rows // 5, MIN_HOLDOUT), MAX_HOLDOUT)


def split_table(
    table: pa.Table, config: SplitConfig | None = None, *, seed: int, boundary: Boundary | None = None
) -> Split:
    """Split a table by the hash of each row's content, its number among identical rows, and the seed.

    The rows with the smallest hashes are the holdout. The order of the rows does not matter, identical rows spread over
    both sides, and where rows are added the old ones stay on their side, but for the few that the new size moves; with
    the boundary of an earlier split no row moves from train to holdout. Where a column that was hashed is gone, nothing
    is known of the rows any more, and a new boundary begins.
    With entities the holdout is the largest set of them, in the order of their hashes, that is not too large, and at
    least one. Rows without an entity stand alone.

    Raises:
        ConfigError: the boundary is of another seed or entity.
        DataError: fewer than 20 rows, a single entity, or no row that may be held out.
        SchemaError: the entity column does not exist.

    Example:
        >>> split = split_table(pa.table({"x": range(100)}), seed=0)
        >>> len(split.train), len(split.holdout)
        (50, 50)
        >>> later = split_table(pa.table({"x": range(120)}), seed=0, boundary=split.boundary)
        >>> set(later.holdout["x"].to_pylist()) & set(split.train["x"].to_pylist())
        set()
    """
    config = config or SplitConfig()
    n_rows = len(table)
    if n_rows < MIN_ROWS:
        raise DataError(f"a split needs at least {MIN_ROWS} rows", actual=f"{n_rows} rows", remedy="give more rows")
    start = _start(table, config, seed, boundary)
    wanted = holdout_size(n_rows) if config.holdout is None else min(max(round(config.holdout * n_rows), 1), n_rows - 1)
    hashes = _row_hashes(table.select(start.columns), seed)
    if config.entity is not None:
        hashes = _entity_hashes(table, config.entity, hashes, seed)
    chosen, end = _chosen(hashes, wanted, start)
    return Split(table.filter(pa.array(~chosen)), table.filter(pa.array(chosen)), end)


def _start(table: pa.Table, config: SplitConfig, seed: int, boundary: Boundary | None) -> Boundary:
    """Return the boundary to keep: the earlier one, or one that holds nothing back."""
    fresh = Boundary(seed=seed, entity=config.entity, columns=tuple(table.column_names), ends_at=LARGEST_HASH)
    if boundary is None or not set(boundary.columns) <= set(table.column_names):
        return fresh
    if (boundary.seed, boundary.entity) != (seed, config.entity):
        rule = (
            "all releases of an output are split by one seed and entity, so that no row is first learned, then held out"
        )
        actual = f"seed {seed} and entity {config.entity}, after seed {boundary.seed} and entity {boundary.entity}"
        raise ConfigError(rule, actual=actual, remedy="keep both, or publish under a new name")
    return boundary


def _chosen(hashes: Hashes, wanted: int, start: Boundary) -> tuple[npt.NDArray[np.bool_], Boundary]:
    """Mark the rows to hold out, and return where the boundary lies after it; rows of one hash stay together."""
    unique, member, sizes = np.unique(hashes, return_inverse=True, return_counts=True)  # ascending by hash
    if len(unique) < 2:
        raise DataError("a split needs two entities", actual="1 entity", remedy="declare another entity column")
    may = (unique <= np.uint64(start.ends_at)) & ~np.isin(unique, np.array(start.passed_over, np.uint64))
    open_ = np.flatnonzero(may)
    if len(open_) == 0:
        remedy = "publish under a new name, or give the rows of earlier runs too"
        raise DataError(
            "some rows must never have been learned from", actual="none that may be held out", remedy=remedy
        )
    fitting = open_[sizes[open_] <= wanted]
    kept = fitting[np.cumsum(sizes[fitting]) <= wanted] if len(fitting) else open_[[np.argmin(sizes[open_])]]
    in_holdout = np.zeros(len(unique), np.bool_)
    in_holdout[kept] = True
    return in_holdout[member], _moved(start, unique[kept].max(), unique[open_[~in_holdout[open_]]])


def _moved(start: Boundary, last: np.uint64, left: Hashes) -> Boundary:
    """Return the boundary after a split that held out hashes up to `last` and gave the hashes `left` to train."""
    end = int(last) if bool((left > last).any()) else start.ends_at
    passed_over = {*(h for h in start.passed_over if h <= end), *left[left < last].tolist()}
    return start.model_copy(update={"ends_at": end, "passed_over": tuple(sorted(passed_over))})


def _entity_hashes(table: pa.Table, entity: str, row_hashes: Hashes, seed: int) -> Hashes:
    if entity not in table.column_names:
        remedy = f"use one of {', '.join(table.column_names)}"
        raise SchemaError("the entity must be a column of the table", actual=f'"{entity}"', remedy=remedy)
    keys = table[entity]
    hashes = mixed(cell_hashes(keys) ^ np.uint64(substream(seed, "split", "entity")))
    return np.where(keys.is_null().to_numpy(), row_hashes, hashes)


def _row_hashes(table: pa.Table, seed: int) -> Hashes:
    """Return uint64 **(n_rows,)**, different for each row even where rows are identical."""
    content = content_hashes(table, seed)
    return mixed(mixed(content) + _occurrence(content))


def _occurrence(content: Hashes) -> Hashes:
    """Return the number of each row among the rows of equal content: 0, 1, ..."""
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    number = np.empty(len(content), np.uint64)
    number[order] = np.arange(len(content)) - np.repeat(starts, np.diff(np.append(starts, len(content))))
    return number
