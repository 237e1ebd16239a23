import re
import tomllib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli import main
from flows.settings import RunConfig, load_config
from flows.template import config_text, job_name, quote
from pipeline.inference import infer


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_quoting(text):
    assert tomllib.loads(f"value = {quote(text)}")["value"] == text


@given(st.text())
def test_any_file_gives_a_name_that_a_job_may_have(text):
    RunConfig(name=job_name(text + ".csv"), source={"path": "a"})


def test_every_setting_that_the_template_shows_exists(people, tmp_path):
    text = config_text(file="tabmint.toml", path="people.parquet", schema_file="schema.json", schema=infer(people))
    shown = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "tabmint.toml").write_text(shown)
    config = load_config(tmp_path / "tabmint.toml")
    assert (config.evaluation.target, config.sample.rows, config.split.holdout) == ("income", 10000, 0.2)
    assert config.gates == RunConfig(name="a", source={}).gates  # the bounds shown are the default ones


def test_the_target_is_not_guessed(people, tmp_path):
    text = config_text(file="tabmint.toml", path="people.parquet", schema_file="schema.json", schema=infer(people))
    (tmp_path / "tabmint.toml").write_text(text)
    assert load_config(tmp_path / "tabmint.toml").evaluation.target is None
    assert '# It may be "sex", "city", "age", "income".' in text


@pytest.mark.parametrize("name", ['say "hi"', "=CMD()", "<script>", "new\nline", "{braces}", "\x7f", "Größe"])
def test_any_column_name_gives_a_config_that_loads(tmp_path, name, capsys):
    pq.write_table(pa.table({name: [1, 2, 3] * 20}), tmp_path / "odd.parquet")
    assert main(["init", str(tmp_path / "odd.parquet"), "-o", str(tmp_path / "odd.toml")]) == 0
    assert load_config(tmp_path / "odd.toml").source.path == str(tmp_path / "odd.parquet")
