import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.progress import Lines
from flows.records import recorded_config
from flows.results import RunRefusedError
from flows.settings import load_config
from flows.steps import run_steps
from generators import TabularGenerator
from pipeline.artifact import sha256_file
from pipeline.errors import DataError, InputError, SchemaError
from pipeline.inference import infer
from pipeline.manifest import verify_release
from pipeline.publish import TABLE, current
from pipeline.schema import Schema
from pipeline.source import read


def test_a_run_publishes_a_whole_release(config, people):
    release = run_steps(config)
    assert {path.name for path in release.folder.iterdir()} == {
        "synthetic.parquet", "report.html", "report.json", "schema.json", "manifest.json",
    }  # fmt: skip
    assert current(config.output.root, "people") == release.folder
    assert verify_release(release.folder).verdict == "PASS"
    synthetic = pq.read_table(release.folder / "synthetic.parquet")
    assert synthetic.num_rows == 150  # as many as train: half of 300
    assert synthetic.column_names == people.column_names


def test_the_report_and_the_manifest_tell_the_same_run(config):
    release = run_steps(config)
    report = json.loads((release.folder / "report.json").read_text())
    manifest = verify_release(release.folder)
    assert report["run"]["run_id"] == manifest.run_id == release.run_id
    assert report["run"]["data_sha256"] == manifest.data_sha256 == read(config.source).fingerprint
    assert report["run"]["evaluate_s"] > 0


def test_rows_and_csv_follow_the_config(config_path):
    release = run_steps(load_config(config_path, ("sample.rows=17", "output.csv=true")))
    assert read(release.folder / "synthetic.csv").table.num_rows == 17


def test_the_same_config_gives_the_same_table_and_another_seed_another(config_path):
    tables = [
        sha256_file(run_steps(load_config(config_path, (f"seed={seed}", f"output.root={root}"))).folder / TABLE)
        for seed, root in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert tables[0] == tables[1] != tables[2]


def test_a_model_is_used_again_until_something_that_it_depends_on_changes(config_path):
    def reuses(*overrides):
        return run_steps(load_config(config_path, overrides)).reused_model

    assert not reuses()
    assert reuses("sample.rows=10")
    assert not reuses("transform.protect=6")
    assert not reuses("split.holdout=0.4")


def test_a_damaged_model_is_fitted_again(config, config_path):
    first = run_steps(config)
    (weights,) = config.output.root.glob("models/people/*/weights.safetensors")
    weights.write_bytes(b"")
    again = run_steps(load_config(config_path, ("sample.rows=10",)))
    assert not again.reused_model and again.action == "refit" and "not there any more" in again.reason
    assert first.folder != again.folder


def test_a_refused_run_leaves_its_report_in_quarantine_and_the_last_release_current(config, config_path, refusing):
    release = run_steps(config)
    with pytest.raises(RunRefusedError) as caught:
        run_steps(load_config(config_path, refusing))
    assert current(config.output.root, "people") == release.folder
    assert {path.name for path in caught.value.folder.iterdir()} == {"report.html", "report.json", "manifest.json"}
    assert caught.value.failures and "quarantine" in str(caught.value)
    assert not any((config.output.root / "work" / "people").iterdir())


def test_a_model_of_a_refused_run_is_used_again(config, config_path, refusing):
    with pytest.raises(RunRefusedError):
        run_steps(load_config(config_path, refusing))
    assert run_steps(config).reused_model


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.target=wealth", '"wealth"; use one of "sex", "city", "age", "income"'),
        ("generator.kind=magic", "magic"),
        ("generator.widht=3", "widht"),
        ("source.path=none.parquet", "none.parquet"),
    ],
)
def test_what_is_wrong_is_refused_before_training(config_path, monkeypatch, override, message):
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(InputError, match=message):
        run_steps(load_config(config_path, (override,)))


def test_a_table_that_does_not_fit_its_pinned_schema_is_refused_with_the_column(
    config_path, tmp_path, people, monkeypatch
):
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("training began"))
    infer(people.drop_columns(["age"])).write(tmp_path / "schema.json")
    with pytest.raises(SchemaError, match='"age"'):
        run_steps(load_config(config_path, ("schema_path=schema.json",)))


def test_a_pinned_schema_is_the_one_published(config_path, tmp_path, people):
    infer(people).write(tmp_path / "schema.json")
    release = run_steps(load_config(config_path, ("schema_path=schema.json",)))
    assert Schema.read_file(release.folder / "schema.json") == Schema.read_file(tmp_path / "schema.json")


def test_every_step_is_shown(config):
    stream = io.StringIO()
    run_steps(config, Lines(stream))
    done = [line.split()[2] for line in stream.getvalue().splitlines() if "done in" in line]
    assert done == ["ingest", "decide", "split", "fit", "sample", "evaluate", "gate", "publish"]


def test_no_folder_of_the_machine_reaches_what_is_published(config):
    folder = run_steps(config).folder
    told = (folder / "manifest.json").read_text() + (folder / "report.json").read_text()
    assert str(Path(config.output.root).parent) not in told
    assert Path(config.source.path).name in told


def test_no_password_reaches_the_manifest(config):
    source = config.source.model_copy(update={"uri": "postgresql://me:hunter2@host/db"})
    assert "hunter2" not in str(recorded_config(config.model_copy(update={"source": source})))


def test_a_table_that_breaks_the_schema_is_not_published(config, monkeypatch):
    draw = TabularGenerator.sample
    monkeypatch.setattr(TabularGenerator, "sample", lambda *args, **kwargs: draw(*args, **kwargs).drop_columns(["age"]))
    with pytest.raises(DataError, match="age"):
        run_steps(config)
    assert current(config.output.root, "people") is None


def test_a_run_foretells_what_it_needs_and_what_is_odd_about_its_table(config, people, tmp_path):
    pq.write_table(people.append_column("again", people["age"]), tmp_path / "people.parquet")
    stream = io.StringIO()
    run_steps(config, Lines(stream))
    (line,) = [line for line in stream.getvalue().splitlines() if "ingest" in line and "done" in line]
    assert "the job needs about" in line and "GB of memory" in line and '"again"' in line
