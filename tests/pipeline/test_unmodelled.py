from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from pipeline.codecs.unmodelled import issue, refuse_issuable_keys
from pipeline.columns import Constant, Identifier, Text
from pipeline.errors import DataError


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (Identifier(name="id", arrow="int32", start=100), [100, 101]),
        (Identifier(name="id", arrow="string", prefix="p-", start=7), ["p-7", "p-8"]),
        (Identifier(name="id", arrow="dictionary<values=string, indices=int32>"), ["syn-0", "syn-1"]),
    ],
)
def test_identifiers_are_issued_in_the_type_of_the_column(column: Identifier, keys: list[Any]) -> None:
    issued = issue(column, 2)
    assert issued.type == column.arrow_type
    assert issued.to_pylist() == keys


@pytest.mark.parametrize("key", ["p-8", "p-1000000"])
def test_keys_of_the_table_are_never_issued(key: str) -> None:
    column = Identifier(name="id", arrow="string", prefix="p-", start=7)
    refuse_issuable_keys(column, pa.array(["p-6", "p-08", "p--3", "q-8", "p-8x", "p-", None]))
    with pytest.raises(DataError, match=r'"id".*found 1 key'):
        refuse_issuable_keys(column, pa.array([key]))


def test_more_keys_than_the_type_has_are_refused() -> None:
    with pytest.raises(DataError, match=r'"id".*int8'):
        issue(Identifier(name="id", arrow="int8", start=100), 30)


def test_text_and_constants_are_filled() -> None:
    dictionary = "dictionary<values=string, indices=int8>"
    assert issue(Text(name="note", arrow=dictionary, placeholder="?"), 3).to_pylist() == ["?"] * 3
    day = datetime.date(2024, 2, 29)
    assert issue(Constant(name="day", arrow="date32[day]", value="2024-02-29"), 2).to_pylist() == [day] * 2
    assert issue(Constant(name="day", arrow="date32[day]", nullable=True), 2).null_count == 2
