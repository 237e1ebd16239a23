"""What a run does night after night on a source that changes, and what stays when it must not go on."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import steps
from flows.results import Release, RunRefusedError, Skipped
from flows.settings import load_config
from flows.steps import run_steps
from generators import TabularGenerator
from pipeline.artifact import sha256_file
from pipeline.errors import ConfigError, DriftError, RefusedError, SchemaError
from pipeline.inference import infer
from pipeline.ledger import Ledger
from pipeline.manifest import verify_release
from pipeline.publish import TABLE, current, open_output

MONDAY = datetime.date(2026, 11, 23)
TUESDAY = MONDAY + datetime.timedelta(1)


@pytest.fixture
def night(config_path):
    def run(day=MONDAY, *overrides, forced=None):
        return run_steps(load_config(config_path, overrides), on=day, forced=forced)

    return run


def lines(config):
    return [(entry.event, entry.run_id) for entry in Ledger(config.output.root, config.name).entries()]


def give(people, tmp_path):
    pq.write_table(people, tmp_path / "people.parquet")


def more(people, n, seed=1):
    rows = np.random.default_rng(seed).integers(0, len(people), n)
    income = pa.array(np.arange(n) + 5000.5)
    return pa.concat_tables([people, people.take(rows).set_column(3, "income", income)])


def test_a_night_on_which_nothing_changed_is_skipped(night, config):
    first = night(MONDAY)
    second = night(TUESDAY)
    assert isinstance(second, Skipped) and second.folder == first.folder
    assert lines(config) == [("published", first.run_id), ("skipped", first.run_id)]


def test_the_order_of_the_rows_is_no_change(night, people, tmp_path):
    night(MONDAY)
    give(people.take(np.random.default_rng(0).permutation(len(people))), tmp_path)
    assert isinstance(night(TUESDAY), Skipped)


def test_the_same_date_and_inputs_are_published_once(night, config):
    first = night(MONDAY, "schedule.unchanged=sample")
    again = night(MONDAY, "schedule.unchanged=sample")
    assert again.action == "sample" and night(MONDAY, "schedule.unchanged=sample").run_id == again.run_id
    assert [event for event, _ in lines(config)] == ["published", "published", "skipped"]
    assert first.run_id != again.run_id


def test_nights_differ_and_each_replays_exactly(night, config_path):
    sampling = "schedule.unchanged=sample"
    hashes = [sha256_file(night(day, sampling).folder / TABLE) for day in (MONDAY, TUESDAY)]
    there = ("output.root=elsewhere", sampling)
    assert [sha256_file(night(day, *there).folder / TABLE) for day in (MONDAY, TUESDAY)] == hashes
    assert hashes[0] != hashes[1]


def incomes(side):
    return set(pq.read_table(side.path)["income"].drop_null().to_pylist())


def test_appended_rows_are_learned_and_the_holdout_stays_one(night, people, tmp_path, config, monkeypatch):
    seen = []
    sample = steps._sample

    def watched(job, ingested, plan, parts, *rest):
        seen.append((incomes(parts.train), incomes(parts.holdout)))
        return sample(job, ingested, plan, parts, *rest)

    monkeypatch.setattr(steps, "_sample", watched)
    for i, n in enumerate((0, 40, 400, 900)):
        give(more(people, n), tmp_path)
        assert isinstance(night(MONDAY + datetime.timedelta(i)), Release)
    learned = set()
    for train, holdout in seen:
        assert not holdout & learned, "a row that was learned from once is never held out"
        learned |= train
    assert len(seen) == 4


def test_rows_much_like_the_last_ones_are_learned_from_the_accepted_model_on(night, people, tmp_path):
    training = [
        "generator.kind=flow_matching", "generator.members=1", "generator.training={steps=20}", "generator.budget=1h",
    ]  # fmt: skip
    first = night(MONDAY, *training)
    give(more(people, 30), tmp_path)
    second = night(TUESDAY, *training)
    assert (first.action, second.action) == ("refit", "warm_start")
    manifest = verify_release(second.folder)
    assert manifest.record.warm_starts == 1 and "+10.0% rows" in manifest.record.reason
    give(more(people, 300), tmp_path)
    assert night(TUESDAY + datetime.timedelta(1), *training).action == "refit"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda t: t.append_column("fee", pa.array(range(len(t)))), "drift.added"),
        (lambda t: t.drop_columns(["city"]), "drift.dropped"),
        (lambda t: t.rename_columns(["sex", "town", "age", "income"]), "drift.renamed"),
        (lambda t: t.set_column(2, "age", t["age"].cast(pa.string())).set_column(2, "age", pa.array(["x"] * len(t))),
         "drift.retyped"),
        (lambda t: t.set_column(0, "sex", pa.array([None] * 100 + t["sex"].to_pylist()[100:])), "drift.nulls"),
    ],
)  # fmt: skip
def test_a_source_of_another_schema_is_refused_before_training(
    night, people, tmp_path, config, monkeypatch, change, rule
):
    first = night(MONDAY)
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("training began"))
    give(change(people), tmp_path)
    with pytest.raises(DriftError, match=rule):
        night(TUESDAY)
    assert current(config.output.root, "people") == first.folder
    assert lines(config)[-1][0] == "failed"


def test_an_accepted_new_column_becomes_part_of_the_schema_and_of_the_release(night, people, tmp_path):
    night(MONDAY)
    give(people.append_column("fee", pa.array(np.arange(300) % 7)), tmp_path)
    release = night(TUESDAY, "drift.added=accept")
    assert "fee" in pq.read_schema(release.folder / TABLE).names
    report = json.loads((release.folder / "report.json").read_text())
    assert any('"fee" is new' in change for change in report["since_last"]["changes"])
    assert isinstance(night(TUESDAY + datetime.timedelta(1), "drift.added=refuse"), Skipped), "it is no news any more"


def test_the_report_tells_the_last_release_and_the_union(night, people, tmp_path):
    families = "evaluation.families=['marginals', 'privacy']"
    first = night(MONDAY, families)
    give(more(people, 200), tmp_path)
    report = json.loads((night(TUESDAY, families).folder / "report.json").read_text())
    assert report["since_last"]["last"]["run_id"] == first.run_id and report["n_published"] == 1
    assert report["since_last"]["n_train_now"] > report["since_last"]["n_train_then"]


def test_a_release_of_another_split_is_not_in_the_union_and_the_report_says_so(night, people, tmp_path):
    night(MONDAY)
    give(people.drop_columns(["city"]), tmp_path)
    report = json.loads((night(TUESDAY, "drift.dropped=accept").folder / "report.json").read_text())
    assert report["n_published"] == 0 and any("did not see: 1 of 1" in note for note in report["notes"])


@pytest.mark.parametrize("override", ["seed=1", "split.entity=city"])
def test_another_split_of_the_same_output_is_refused(night, people, tmp_path, override):
    night(MONDAY)
    with pytest.raises(ConfigError, match="publish under a new name"):
        night(TUESDAY, override)


def test_the_same_inputs_are_refused_so_often_and_then_a_person_must_look(night, refusing, config):
    for day in range(3):
        with pytest.raises(RunRefusedError):
            night(MONDAY + datetime.timedelta(day), *refusing)
    with pytest.raises(RefusedError, match="3 refusals") as stopped:
        night(MONDAY + datetime.timedelta(4), *refusing)
    assert not isinstance(stopped.value, RunRefusedError)
    with pytest.raises(RunRefusedError):
        night(MONDAY + datetime.timedelta(5), *refusing, forced="refit")


def test_a_killed_run_goes_on_after_its_last_step(night, monkeypatch, config):
    evaluate = steps._evaluate
    monkeypatch.setattr(steps, "_evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        night(MONDAY)
    for name in ("_split", "_sample"):
        monkeypatch.setattr(steps, name, lambda *_: pytest.fail("done twice"))
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("fitted twice"))
    monkeypatch.setattr(steps, "_evaluate", evaluate)
    release = night(MONDAY)
    assert verify_release(release.folder).run_id == release.run_id
    assert [event for event, _ in lines(config)] == ["failed", "published"]


def test_what_a_killed_run_left_is_not_used_for_other_inputs(night, monkeypatch, people, tmp_path):
    evaluate = steps._evaluate
    monkeypatch.setattr(steps, "_evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        night(MONDAY)
    monkeypatch.setattr(steps, "_evaluate", evaluate)
    give(more(people, 100), tmp_path)
    assert pq.read_metadata(night(MONDAY).folder / TABLE).num_rows == 200


def test_a_run_after_a_rollback_follows_the_release_that_stands(night, people, tmp_path, config):
    first = night(MONDAY)
    give(more(people, 200), tmp_path)
    night(TUESDAY)
    with open_output(config.output.root, "people") as output:
        output.roll_back(first.run_id)
    give(people, tmp_path)
    skipped = night(TUESDAY + datetime.timedelta(1))
    assert isinstance(skipped, Skipped) and skipped.run_id == first.run_id


def test_the_date_stands_in_the_path_and_an_older_date_does_not_lead(night, config_path, config, people, tmp_path):
    for day, n in ((MONDAY, 0), (TUESDAY, 50)):
        pq.write_table(more(people, n), tmp_path / f"people-{day}.parquet")
    dated = "source.path=people-{date}.parquet"
    later = night(TUESDAY, dated)
    earlier = night(MONDAY, dated)
    assert earlier.date == MONDAY and earlier.run_id.startswith("2026-11-23-")
    assert current(config.output.root, "people") == later.folder


def test_a_release_is_delivered_to_each_sink_once(night, tmp_path, config):
    sinks = 'sinks=[{kind="folder", url="%s"}]' % (tmp_path / "shared")
    release = night(MONDAY, sinks)
    pointer = json.loads((tmp_path / "shared" / "people" / "current.json").read_text())
    assert pointer["run_id"] == release.run_id
    assert [event for event, _ in lines(config)] == ["published", "delivered"]
    assert isinstance(night(TUESDAY, sinks), Skipped)
    assert [event for event, _ in lines(config)] == ["published", "delivered", "skipped"]


def test_a_sink_that_failed_gets_the_release_with_the_next_run(night, tmp_path, config):
    release = night(MONDAY)
    sinks = 'sinks=[{kind="folder", url="%s"}]' % (tmp_path / "shared")
    assert isinstance(night(TUESDAY, sinks), Skipped)
    assert (tmp_path / "shared" / "people" / release.run_id / TABLE).is_file()


def test_what_is_remembered_of_a_source_is_private_and_holds_no_rare_level(night, people, tmp_path, config):
    city = people["city"].to_pylist()
    city[0] = "Hammerfest-of-one"
    give(people.set_column(1, "city", pa.array(city)), tmp_path)
    night(MONDAY)
    state = config.output.root / "state" / "people"
    assert state.stat().st_mode & 0o777 == 0o700
    assert "Hammerfest" not in "".join(path.read_text() for path in state.iterdir())


def test_sinks_follow_a_rollback(night, people, tmp_path, config):
    sinks = 'sinks=[{kind="folder", url="shared"}]'
    first = night(MONDAY, sinks)
    give(more(people, 200), tmp_path)
    night(TUESDAY, sinks)
    with open_output(config.output.root, "people") as output:
        output.roll_back(first.run_id)
    give(people, tmp_path)
    assert isinstance(night(TUESDAY + datetime.timedelta(1), sinks), Skipped)
    assert json.loads((tmp_path / "shared" / "people" / "current.json").read_text())["run_id"] == first.run_id


CSV = ("source.path=people.csv",)


def write_csv(tmp_path, n_rows, **columns):
    table = {"zip": [f"{i % 9:05}" for i in range(n_rows)], "age": [str(20 + i % 50) for i in range(n_rows)], **columns}
    lines = [",".join(table), *(",".join(cells) for cells in zip(*table.values(), strict=True))]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")


def test_a_text_file_is_held_against_what_is_declared_and_not_against_what_its_words_look_like(night, tmp_path):
    write_csv(tmp_path, 300, zip=[f"{'A' if i < 150 else ''}{i % 9:05}" for i in range(300)])
    night(MONDAY, *CSV)
    write_csv(tmp_path, 300, zip=[f"{i % 9 + 1:05}" for i in range(300)])
    with pytest.raises(DriftError, match=r"drift\.levels"):
        night(TUESDAY, *CSV, "drift.levels=refuse")
    assert isinstance(night(TUESDAY, *CSV), Release), "text that looks like numbers is text all the same"
    write_csv(tmp_path, 300, age=["old"] * 300)
    with pytest.raises(DriftError, match=r"drift\.retyped"):
        night(TUESDAY, *CSV)


def test_keys_that_grow_into_those_that_are_issued_get_a_new_start(night, people, tmp_path):
    def keyed(first):
        return people.append_column("id", pa.array(range(first, first + 300)))

    give(keyed(600), tmp_path)
    first = night(MONDAY)
    give(keyed(900), tmp_path)
    second = night(TUESDAY)
    starts = [verify_release(release.folder).table_schema.column("id").start for release in (first, second)]
    assert starts == [1_000, 10_000]


def test_a_deadline_of_the_evaluation_is_kept_and_what_it_left_out_refuses(night):
    with pytest.raises(RunRefusedError) as refused:
        night(MONDAY, "evaluation.budget_s=0.000001s", "evaluation.families=['privacy', 'marginals', 'pairs']")
    report = json.loads((refused.value.folder / "report.json").read_text())
    assert any("time budget" in note for note in report["notes"])
    assert any("time budget" in reason for reason in refused.value.failures)


@pytest.mark.slow
def test_a_deadline_of_the_training_is_kept_and_said(night):
    release = night(MONDAY, "generator.kind=flow_matching", "generator.budget=1s", "generator.training={epochs=500}")
    report = json.loads((release.folder / "report.json").read_text())
    assert any(note.startswith("Training: ") and "budget" in note for note in report["notes"])


def test_the_union_is_bounded_by_the_newest_releases_and_the_report_says_so(night, people, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "MOST_UNION_ROWS", 400)
    families = "evaluation.families=['marginals', 'privacy']"
    for day, n in enumerate((0, 100, 200)):
        give(more(people, n), tmp_path)
        release = night(MONDAY + datetime.timedelta(day), families)
    report = json.loads((release.folder / "report.json").read_text())
    assert report["n_published"] == 2, "150 and 200 rows"
    give(more(people, 300), tmp_path)
    report = json.loads((night(MONDAY + datetime.timedelta(3), families).folder / "report.json").read_text())
    assert report["n_published"] == 1 and any("did not see: 2 of 3" in note for note in report["notes"])


def test_a_pinned_schema_that_was_edited_accepts_what_it_declares_and_no_more(night, people, tmp_path):
    pinned = ("schema_path=schema.json",)
    infer(people).write(tmp_path / "schema.json")
    night(MONDAY, *pinned)
    wider = people.append_column("fee", pa.array(np.arange(300) % 7))
    give(wider, tmp_path)
    with pytest.raises(DriftError, match=r"drift\.added"):
        night(TUESDAY, *pinned)
    infer(wider).write(tmp_path / "schema.json")
    assert "fee" in pq.read_schema(night(TUESDAY, *pinned).folder / TABLE).names
    give(wider.drop_columns(["city"]), tmp_path)
    with pytest.raises(DriftError, match=r"drift\.dropped"):
        night(TUESDAY + datetime.timedelta(1), *pinned)


def test_an_accepted_change_that_the_pinned_schema_does_not_know_is_refused_by_the_schema(night, people, tmp_path):
    infer(people).write(tmp_path / "schema.json")
    night(MONDAY, "schema_path=schema.json")
    give(people.append_column("fee", pa.array(np.arange(300) % 7)), tmp_path)
    with pytest.raises(SchemaError, match="edit the schema"):
        night(TUESDAY, "schema_path=schema.json", "drift.added=accept")
