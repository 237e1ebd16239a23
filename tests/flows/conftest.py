import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.gate import Gates
from flows.settings import load_config

CONFIG = """\
name = "people"

[source]
path = "people.parquet"

[generator]
kind = "independent"

[evaluation]
families = ["marginals"]

[gates]
"""
CONFIG += "".join(f'{name} = "off"\n' for name, _ in Gates().named() if name != "shape_error")
CONFIG += "shape_error = { at_most = 0.5 }\n"


@pytest.fixture
def people() -> pa.Table:
    rng = np.random.default_rng(0)
    n = 300
    income = np.round(rng.normal(3000, 500, n), 2)
    return pa.table(
        {
            "sex": rng.choice(["f", "m"], n),
            "city": rng.choice(["Oslo", "Bergen", "Tromsø"], n, p=[0.6, 0.3, 0.1]),
            "age": rng.integers(18, 80, n),
            "income": pa.array([None if i % 20 == 0 else value for i, value in enumerate(income.tolist())]),
        }
    )


@pytest.fixture
def config_path(tmp_path, people):
    pq.write_table(people, tmp_path / "people.parquet")
    (tmp_path / "tabmint.toml").write_text(CONFIG)
    return tmp_path / "tabmint.toml"


@pytest.fixture
def config(config_path):
    return load_config(config_path)


@pytest.fixture
def refusing():
    """A gate that every honest table fails."""
    return ("gates.shape_error={at_most = -1.0}",)
