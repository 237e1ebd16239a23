"""docs/constraints.md does what it says, from the schema file to the published table."""

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evaluation.constraints import judge_constraints
from evaluation.report import Report
from flows.cli import main
from flows.inputs import read_tables
from flows.settings import load_config
from flows.steps import run_steps
from generators import TabularGenerator, generator_config
from pipeline.checks import check_table
from pipeline.constraints import Constraint
from pipeline.errors import DataError, SchemaError
from pipeline.inference import infer
from pipeline.schema import Schema

TEXT = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block)["constraints"] for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def stays(n: int = 600) -> pa.Table:
    rng = np.random.default_rng(0)
    city = rng.choice(["Oslo", "Bergen", "Rome"], n)
    booked = 1_700_000_000 // 3600 * 3600 + rng.integers(0, 300 * 24, n) * 3600
    came = booked + rng.integers(0, 40, n) * 86_400
    rent, food, colour, age = (
        rng.integers(0, 60, n),
        rng.integers(0, 40, n),
        rng.integers(0, 3, n),
        rng.integers(0, 90, n),
    )
    net = np.round(rng.normal(100, 10, n), 2)
    table = {
        "country": np.where(city == "Rome", "it", "no"),
        "city": city,
        "height": np.select([city == "Oslo", city == "Rome"], [23.5, 21.0], 12.0),
        "booked": pa.array(booked).cast(pa.timestamp("s")),
        "came": pa.array(came).cast(pa.timestamp("s")),
        "left": pa.array(came + rng.integers(0, 9, n) * 86_400).cast(pa.timestamp("s")),
        "youngest": age,
        "oldest": age + rng.integers(1, 40, n),
        "rent": rent,
        "food": food,
        "cost": rent + food,
        "net": net,
        "tax": np.round(0.25 * net, 4),
        "bill": np.round(net + np.round(0.25 * net, 4), 2),
        "red": colour == 0,
        "green": colour == 1,
        "blue": colour == 2,
        "age": age,
        "income": np.where(age < 18, 0, rng.integers(0, 900, n)),
        "room": rng.permutation(n),
        "night": rng.integers(1, 40, n),
    }
    return pa.table(table)


def declared(constraints: list[dict], table: pa.Table) -> Schema:
    state = infer(table).model_dump(mode="json") | {"constraints": constraints}
    return Schema.model_validate(state)


def test_the_page_shows_every_kind_and_names_no_other() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(Constraint)[0])}
    assert {each["kind"] for block in BLOCKS for each in block} == kinds
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == kinds | {"kind"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0]["kind"])
def test_what_the_page_declares_holds_in_every_drawn_row(block: list[dict]) -> None:
    table = stays()
    schema = declared(block, table)
    generator = TabularGenerator(generator_config("independent")).fit(table, schema)
    check_table(generator.sample(500), schema, train=table)
    assert len(schema.constraints) == len(block)


def test_all_of_them_hold_together() -> None:
    table = stays()
    schema = declared([each for block in BLOCKS[1:] for each in block], table)
    generator = TabularGenerator(generator_config("independent")).fit(table, schema)
    check_table(generator.sample(500), schema, train=table)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = stays()
    pq.write_table(table.slice(0, 400), "train.parquet")
    pq.write_table(table.slice(400), "holdout.parquet")
    declared([*BLOCKS[0], *BLOCKS[-1]], table).write("schema.json")
    return tmp_path


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_commands_tell_how_constraints_are_kept(here, capsys) -> None:
    fit = ["fit", "train.parquet", "--schema", "schema.json", "--generator", "independent", "-o", "stays.model"]
    assert main(fit) == 0
    lines = capsys.readouterr().out
    assert 'Kept       "came" <= "left": by construction' in lines
    shown = re.search(r"Kept       age >= 18 or income == 0: by drawing anew; (\d\d\.\d) % of drawn rows", lines)
    assert 70 < float(shown[1]) < 97
    assert main(["inspect", "stays.model"]) == 0
    assert shown[0] in capsys.readouterr().out
    assert main(["sample", "stays.model", "--rows", "300", "-o", "drawn.parquet", "--json"]) == 0
    assert 0.6 < last_json(capsys)["acceptance"] < 0.97
    condition = ["--condition", "left=2024-01-07 12:00:00"]
    assert main(["sample", "stays.model", "--rows", "3", *condition, "-o", "some.parquet"]) == 2
    assert 'can be given only with it; found "left" alone; give "came" too' in capsys.readouterr().err


def test_a_foreign_table_that_breaks_one_is_read_and_refused_by_a_gate(here) -> None:
    table = stays().slice(0, 100)
    broken = table.set_column(table.column_names.index("cost"), "cost", pc.add(table["cost"], 1))
    for drawn, verdict in ((table, "PASS"), (broken, "FAIL")):
        pq.write_table(drawn, "drawn.parquet")
        paths = {"train": "train.parquet", "holdout": "holdout.parquet", "synthetic": "drawn.parquet"}
        tables = read_tables(**paths, target=None, schema_path=here / "schema.json")
        assert judge_constraints(tables).verdict == verdict
    with pytest.raises(SchemaError, match='100 rows break "cost" = "rent"'):
        read_tables(**(paths | {"holdout": "drawn.parquet"}), target=None, schema_path=here / "schema.json")


def run_config(config_path, constraints: list[dict], people: pa.Table, *settings: str):
    declared(constraints, people).write(config_path.with_name("schema.json"))
    return load_config(config_path, ("schema_path=schema.json", *settings))


def test_a_run_publishes_only_rows_that_hold_them(config_path, people) -> None:
    constraints = [{"kind": "predicate", "expression": "income > 2500 or age < 50"}]
    kept = people.filter(pc.or_kleene(pc.greater(people["income"], 2500), pc.less(people["age"], 50)).fill_null(True))
    pq.write_table(kept, config_path.with_name("people.parquet"))
    release = run_steps(run_config(config_path, constraints, kept))
    drawn = pq.read_table(release.folder / "synthetic.parquet")
    schema = Schema.read_file(release.folder / "schema.json")
    check_table(drawn, schema)
    assert len(schema.constraints) == 1
    notes = Report.model_validate_json((release.folder / "report.json").read_text()).notes
    assert any(
        re.match(r"Kept in every row: income > 2500 or age < 50: by drawing anew; \d\d\.\d % of", note)
        for note in notes
    )


def test_a_run_refuses_a_source_that_breaks_one_before_it_learns(config_path, people) -> None:
    with pytest.raises(SchemaError, match=r"\d+ rows break age > 30, first row"):
        run_steps(run_config(config_path, [{"kind": "predicate", "expression": "age > 30"}], people))


def test_a_run_refuses_rows_that_cannot_be_drawn(config_path, people) -> None:
    names = ["sex", "city", "age"]
    distinct = people.group_by(names).aggregate([("income", "max")]).rename_columns([*names, "income"])
    pq.write_table(distinct, config_path.with_name("people.parquet"))
    config = run_config(config_path, [{"kind": "unique", "columns": names}], distinct, "sample.rows=3000")
    with pytest.raises(DataError, match=r'rows are missing: .* break unique "sex", "city", "age"'):
        run_steps(config)


def test_init_shows_what_holds_and_declares_nothing(here, capsys) -> None:
    assert main(["init", "train.parquet", "-o", "tabmint.toml", "--force", "--json"]) == 0
    out = capsys.readouterr().out
    facts = json.loads(out.splitlines()[-1])
    assert {"kind": "inequality", "columns": ["came", "left"]} in facts["holding"]
    assert {"kind": "functional_dependence", "determinants": ["city"], "dependents": ["country"]} in facts["holding"]
    assert Schema.read_file("schema.json").constraints == ()
    shown = [json.loads(line) for line in out.splitlines() if line.startswith('           {"kind"')]
    assert shown == facts["holding"][: len(shown)]
    declared(shown, stays()).validate_table(stays().slice(0, 400))
