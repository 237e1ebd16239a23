import pytest

from flows.settings import GeneratorSection, RunConfig, build_config, load_config, load_judging, setting_names
from pipeline.errors import ConfigError

LEAST = {"name": "a", "source": {"path": "a.csv"}}


def refused(settings):
    with pytest.raises(ConfigError) as caught:
        build_config(settings, origin="tabmint.toml")
    return str(caught.value)


def test_a_config_needs_a_name_and_a_source_only():
    config = build_config(LEAST, origin="here")
    assert (config.seed, config.generator.kind, config.generator.budget) == (0, "flow_matching", 120.0)
    assert refused({}) == 'tabmint.toml: "name" is missing; "source" is missing'


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ({"sede": 1}, '"sede" is not a setting; did you mean "seed"?'),
        ({"sample": {"row": 5}}, '"sample.row" is not a setting; did you mean "sample.rows"?'),
        ({"holdout": 0.2}, '"holdout" is not a setting; did you mean "split.holdout"?'),
        ({"gates": {"c2st": 1}}, '"gates.c2st" is not a setting; did you mean "gates.c2st_auc"?'),
        ({"zzz": 1}, '"zzz" is not a setting'),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(wrong, near):
    assert refused({**LEAST, **wrong}) == f"tabmint.toml: {near}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seed": "x"}, '"seed": Input should be a valid integer'),
        ({"seed": -1}, '"seed": Input should be greater than or equal to 0'),
        ({"name": "../up"}, '"name": String should match pattern'),
        ({"generator": {"budget": "soon"}}, '"generator.budget": a duration is a positive number with a unit'),
        ({"sample": {"rows": 0}}, '"sample.rows": Input should be greater than or equal to 1'),
    ],
)
def test_a_wrong_value_is_refused_with_the_rule_and_what_was_found(wrong, said):
    message = refused({**LEAST, **wrong})
    assert said in message and "found" in message


def test_a_gate_with_an_unknown_key_is_named_once_and_without_pydantics_own_words():
    message = refused({**LEAST, "gates": {"c2st_auc": {"at_mots": 0.6}}})
    assert '"gates.c2st_auc.at_mots" is not a setting; did you mean "gates.c2st_auc.at_most"?' in message
    assert "Gate." not in message and "literal" not in message.lower()


def test_settings_of_the_generators_kind_pass_through():
    section = build_config({**LEAST, "generator": {"kind": "x", "width": 64}}, origin="here").generator
    assert section.settings == {"width": 64}
    assert GeneratorSection().settings == {}


def test_overrides_are_read_as_toml_and_as_text_where_they_are_none(config_path):
    overrides = ("seed=7", "generator.budget=2m", "split.holdout=0.5", "output.csv=true", "name=other")
    config = load_config(config_path, overrides)
    assert (config.seed, config.generator.budget, config.split.holdout) == (7, 120.0, 0.5)
    assert (config.output.csv, config.name) == (True, "other")


@pytest.mark.parametrize("override", ["seed", "=1", "seed.deep=1", "sede=1"])
def test_a_malformed_override_is_refused(config_path, override):
    with pytest.raises(ConfigError):
        load_config(config_path, (override,))


def test_paths_are_relative_to_the_file(config_path, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load_config(config_path, ("schema_path=schema.json", "output.root=../elsewhere"))
    assert config.source.path == str(tmp_path / "people.parquet")
    assert config.schema_path == tmp_path / "schema.json"
    assert config.output.root == tmp_path.parent / "elsewhere"
    assert load_config(config_path, ("source.path=/data/a.csv",)).source.path == "/data/a.csv"


def test_a_sqlite_file_is_relative_to_the_config_too(tmp_path):
    (tmp_path / "c.toml").write_text('name = "a"\n[source]\nuri = "sqlite:///a.db"\nquery = "select 1"\n')
    assert load_config(tmp_path / "c.toml").source.uri == f"sqlite:{tmp_path / 'a.db'}"
    uri = "sqlite::memory:"
    assert load_config(tmp_path / "c.toml", (f"source.uri={uri}",)).source.uri == uri


def test_a_missing_file_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="tabmint init"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="TOML"):
        load_config(tmp_path / "broken.toml")


def test_a_connection_string_is_never_repeated():
    assert "secret" not in refused({**LEAST, "source": {"uri": ["postgresql://me:secret@host/db"]}})


def test_every_setting_is_named():
    names = set(setting_names(RunConfig))
    assert {"name", "source.path", "transform.protect", "gates.c2st_auc.at_most", "output.root"} <= names


@pytest.mark.parametrize(
    "override",
    [
        'source={uri="postgresql://me:hunter2@host/db", query="select 1"}',
        'source={path="s3://bucket/a.csv", options={secret="hunter2"}}',
        'source={path="s3://bucket/a.csv", options={secret=["hunter2"]}}',
        'sinks=[{kind="postgresql", uri="postgresql://me:hunter2@host/db", table="t"}]',
        'sinks=[{kind="magic", uri="postgresql://me:hunter2@host/db", table="t"}]',
        'alert={webhook=["https://hooks.example/hunter2"]}',
    ],
)
def test_a_password_in_a_config_is_refused_or_at_least_not_repeated(config_path, override):
    with pytest.raises(ConfigError) as refused:
        load_config(config_path, (override,))
    assert "hunter2" not in str(refused.value) and "hunter2" not in repr(refused.value.__context__)


def test_what_begins_with_a_placeholder_is_not_taken_for_a_relative_path(config_path):
    overrides = ("source.path=${FOLDER}/a.csv", 'sinks=[{kind="folder", url="${SHARED}"}, {kind="folder", url="out"}]')
    config = load_config(config_path, overrides)
    assert config.source.path == "${FOLDER}/a.csv"
    assert [sink.url for sink in config.sinks] == ["${SHARED}", str(config_path.parent / "out")]


def test_a_webhook_of_another_scheme_is_refused_before_the_run(config_path):
    with pytest.raises(ConfigError, match="https or http"):
        load_config(config_path, ("alert.webhook=ftp://hooks.example/t0ken",))


def test_what_judges_tables_is_that_of_the_job_whatever_else_the_file_holds(config_path):
    config, judging = load_config(config_path), load_judging(config_path)
    assert (judging.evaluation, judging.gates) == (config.evaluation, config.gates)
    overrides = ("evaluation.target=age", "gates.review=refuse", "evaluation.privacy.linkable=[['age'], ['city']]")
    config, judging = load_config(config_path, overrides), load_judging(config_path, overrides)
    assert (judging.evaluation, judging.gates) == (config.evaluation, config.gates)
    assert (judging.with_target(None).evaluation.target, judging.with_target("sex").evaluation.target) == ("age", "sex")
