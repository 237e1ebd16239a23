"""What holds in every row is found, what holds by chance is not, and each finding may be declared."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.constraints.holding import holding
from pipeline.inference import infer
from pipeline.schema import Schema


def table(n: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    came, small, colour = rng.integers(0, 10**6, n) * 60, rng.integers(0, 30, n), rng.integers(0, 3, n)
    city = rng.choice(["Oslo", "Bergen", "Rome"], n)
    return pa.table(
        {
            "came": pa.array(came).cast(pa.timestamp("s")),
            "left": pa.array(came + 3600 * rng.integers(0, 9000, n)).cast(pa.timestamp("s")),
            "small": small,
            "large": small + 1000,  # larger in whatever order
            "more": small + rng.integers(0, 20, n),
            "city": city,
            "country": np.where(city == "Rome", "it", "no"),
            "colour_red": (colour == 0).astype(int),
            "colour_green": (colour == 1).astype(int),
            "colour_blue": (colour == 2).astype(int),
            "sick": rng.random(n) < 0.5,
        }
    )


def test_what_holds_in_every_row_is_found() -> None:
    found = holding(table(), infer(table()))
    assert [constraint.text for constraint in found] == [
        '"small" <= "more"', '"came" <= "left"', '"city" decides "country"',
        'exactly one of "colour_red", "colour_green", "colour_blue"',
    ]  # fmt: skip
    Schema(columns=infer(table()).columns, constraints=tuple(found)).validate_table(table())


def test_a_single_row_that_breaks_it_is_enough() -> None:
    rows = table(3_000)
    city = [*rows["country"].to_pylist()[:-1], "se"]
    broken = rows.set_column(rows.column_names.index("country"), "country", pa.array(city))
    assert '"city" decides "country"' not in [constraint.text for constraint in holding(broken, infer(broken))]


def test_few_rows_say_nothing() -> None:
    assert holding(table(90), infer(table(90))) == []
