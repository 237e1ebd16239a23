"""The README's Python lines run as they are printed, on a DataFrame and on an Arrow table."""

import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("as_frame", [True, False])
def test_the_python_lines_of_the_readme_run(tmp_path, monkeypatch, as_frame):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    flights = pq.read_table(ROOT / "examples" / "flights.parquet").slice(0, 600)
    table = flights.to_pandas() if as_frame else flights
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"table": table}
    exec(compile(code.replace("seed=0, budget_s=60", "seed=0, budget_s=5"), "README.md", "exec"), names)
    synthetic, origin = names["synthetic"], names["from_jfk"]["origin"]
    assert isinstance(synthetic, pd.DataFrame if as_frame else pa.Table)
    assert len(synthetic) == 1_000
    assert set(origin if as_frame else origin.to_pylist()) == {"JFK"}
    assert (tmp_path / "flights.model" / "generator.json").is_file()


def test_the_commands_of_the_readme_exist():
    from flows.cli import app

    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = set(re.findall(r"^tabmint ([\w-]+)", "".join(blocks), re.MULTILINE))
    assert {"init", "run", "fit", "sample", "evaluate", "inspect", "serve", "deploy", "backfill", "runs"} <= commands
    assert {"what-if", "augment", "impute", "score", "latent", "compare"} <= commands
    for command in commands:
        assert app[command]
