import re
import tomllib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli import main
from flows.decision import ScheduleSection
from flows.settings import RunConfig, load_config
from flows.template import DRIFT, SCHEDULE, config_text, job_name, quote
from pipeline.drift_rules import DriftRules
from pipeline.inference import infer


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_quoting(text):
    assert tomllib.loads(f"value = {quote(text)}")["value"] == text


@given(st.text())
def test_any_file_gives_a_name_that_a_job_may_have(text):
    RunConfig(name=job_name(text + ".csv"), source={"path": "a"})


def test_every_setting_that_the_template_shows_exists(people, tmp_path):
    text = config_text(file="tabmint.toml", path="people.parquet", schema_file="schema.json", schema=infer(people))
    shown = re.sub(r"^# ([\w.]+ = |\[\[)", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "tabmint.toml").write_text(shown)
    config = load_config(tmp_path / "tabmint.toml")
    assert (config.evaluation.target, config.sample.rows, config.split.holdout) == ("income", 10000, 0.2)
    default = RunConfig(name="a", source={})
    assert config.gates == default.gates  # the bounds shown are the default ones
    assert (config.drift, config.schedule) == (default.drift, default.schedule)
    assert config.alert == default.alert.model_copy(update={"webhook": "${TABMINT_WEBHOOK}"})
    privacy = config.evaluation.privacy
    assert (privacy.secrets, privacy.linkable) == (("income",), (("age",), ("income",)))
    assert privacy.quasi_identifiers == (("age", "postcode"),)
    assert config.evaluation.budget_s == 1800 and [sink.kind for sink in config.sinks] == ["folder", "postgresql"]


@pytest.mark.parametrize(("section", "comments"), [(DriftRules, DRIFT), (ScheduleSection, SCHEDULE)])
def test_no_setting_of_a_section_is_left_out(section, comments):
    assert list(comments) == list(section.model_fields)


def test_every_line_is_short_and_every_comment_stands_apart(people):
    text = config_text(file="tabmint.toml", path="people.parquet", schema_file="schema.json", schema=infer(people))
    assert max(map(len, text.split("\n"))) <= 120
    assert not re.search(r"\S# ", text)


def test_nobody_is_told_and_nothing_is_delivered_unless_asked_for(people, tmp_path):
    text = config_text(file="tabmint.toml", path="people.parquet", schema_file="schema.json", schema=infer(people))
    (tmp_path / "tabmint.toml").write_text(text)
    config = load_config(tmp_path / "tabmint.toml")
    assert config.alert.webhook is None and config.sinks == () and config.evaluation.budget_s is None


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
