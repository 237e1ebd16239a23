"""Columns that follow from others: the city from the postcode, price and name from the article."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.constraints.constraint import BetweenColumns, Codes, all_present, codes_of, quoted_list
from pipeline.encoded import BoolArray


class FunctionalDependence(BetweenColumns):
    """Rows that agree in the determinants agree in the dependents; which goes with which is learned from train.

    Attributes:
        determinants: one or more columns.
        dependents: one or more columns that follow from them.

    Example:
        >>> city = FunctionalDependence(determinants=("postcode",), dependents=("city",))
        >>> table = pa.table({"postcode": [150, 150, 150, 4006], "city": ["Oslo", "Oslo", "Bergen", "Stavanger"]})
        >>> city.text, city.broken(table).tolist()
        ('"postcode" decides "city"', [False, False, True, False])
    """

    kind: Literal["functional_dependence"] = "functional_dependence"
    determinants: tuple[str, ...] = Field(min_length=1)
    dependents: tuple[str, ...] = Field(min_length=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The determinants, then the dependents."""
        return (*self.determinants, *self.dependents)

    @property
    def text(self) -> str:
        """What decides what."""
        return f"{quoted_list(self.determinants)} decides {quoted_list(self.dependents)}"

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:
        """Say which rows differ from what most rows have beside the same determinants, in the table and in train."""
        tables = [table] if train is None else [train, table]
        causes, wrong = codes_of(tables, self.determinants), np.zeros(table.num_rows, np.bool_)
        for dependent in self.dependents:
            names = (*self.determinants, dependent)
            pairs, known = codes_of(tables, names), [all_present(each, names) for each in tables]
            for cause, pair, there in zip(causes, pairs, known, strict=True):
                usual = _usual(cause[there], pair[there], sum(map(len, causes)))[causes[-1]]
                wrong |= known[-1] & (usual >= 0) & (usual != pairs[-1])
        return wrong


def _usual(cause: Codes, pair: Codes, n_causes: int) -> Codes:
    """Return the most frequent pair of each cause, -1 for a cause that does not occur."""
    backwards = np.arange(len(pair))[::-1]  # of pairs that are as frequent the first is taken
    rows = backwards[np.argsort(np.bincount(pair)[pair[backwards]], kind="stable")]
    usual = np.full(n_causes, -1, np.int64)
    usual[cause[rows]] = pair[rows]  # the last one written stays
    return usual
