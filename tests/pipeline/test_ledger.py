import datetime

import pytest

from pipeline.errors import ArtifactError, ConfigError
from pipeline.ledger import Entry, Ledger, accepted, releases
from pipeline.manifest import verify_release
from pipeline.publish import current, open_output
from tests.pipeline.releases import record, refuse, release


def lines(root):
    return [(entry.event, entry.run_id) for entry in Ledger(root, "flights").entries()]


def published(run_id, day="2026-01-01"):
    return Entry(event="published", run_id=run_id, at="", record=record(day))


def rolled_back(run_id):
    return Entry(event="rolled_back", run_id=run_id, at="")


def test_each_end_of_a_run_has_its_line_with_its_record(tmp_path):
    release(tmp_path, "r1")
    refuse(tmp_path, "q1")
    entries = Ledger(tmp_path, "flights").entries()
    assert lines(tmp_path) == [("published", "r1"), ("refused", "q1")]
    assert [entry.verdict for entry in entries] == ["PASS", "FAIL"]
    assert entries[0].record == record() and len(entries[0].manifest_sha256) == 64


def test_a_lost_ledger_is_made_again_from_what_is_there(tmp_path):
    release(tmp_path, "b", day="2026-01-01", created="2026-01-01T05:00:00+00:00")
    release(tmp_path, "a", day="2026-01-02", created="2026-01-02T05:00:00+00:00")
    refuse(tmp_path, "q")
    (tmp_path / "ledger" / "flights.jsonl").unlink()
    with open_output(tmp_path, "flights"):
        assert lines(tmp_path) == [("published", "b"), ("published", "a"), ("refused", "q")]
    assert current(tmp_path, "flights").name == "a"


def test_a_line_that_is_none_is_named_and_nothing_is_written(tmp_path):
    release(tmp_path, "r1")
    path = tmp_path / "ledger" / "flights.jsonl"
    path.write_text(path.read_text() + '{"event": "invented"}\n')
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="line 2"), open_output(tmp_path, "flights"):
        pass
    assert path.read_bytes() == before


def test_what_an_older_version_wrote_is_refused_with_a_remedy(tmp_path):
    folder, path = release(tmp_path, "r1"), tmp_path / "ledger" / "flights.jsonl"
    path.write_text(path.read_text().replace('"scale":"s"', '"boundary":{"ends_at":9}'))
    with pytest.raises(ArtifactError, match=r"line 1.*publish under a new name"), open_output(tmp_path, "flights"):
        pass
    path.unlink()
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 3', '"version": 2'))
    with pytest.raises(ArtifactError, match=r"version.*the version that wrote it"), open_output(tmp_path, "flights"):
        pass
    assert not path.exists()


def test_a_release_of_an_earlier_date_is_published_and_does_not_become_current(tmp_path):
    newer = release(tmp_path, "r2", day="2026-01-02")
    older = release(tmp_path, "r1", day="2026-01-01")
    assert current(tmp_path, "flights") == newer.resolve() and verify_release(older).run_id == "r1"
    later = release(tmp_path, "r3", day="2026-01-02")
    assert current(tmp_path, "flights") == later.resolve(), "of one date the last leads"


def test_a_run_follows_the_newest_release_up_to_its_date():
    entries = [published("a", "2026-01-01"), published("c", "2026-01-03"), published("b", "2026-01-02")]
    assert accepted(entries).run_id == "c"
    assert accepted(entries, until=datetime.date(2026, 1, 2)).run_id == "b"
    assert accepted(entries, until=datetime.date(2025, 12, 31)) is None


def test_a_rollback_withdraws_what_is_newer_and_was_there():
    entries = [published("a", "2026-01-01"), published("b", "2026-01-02"), published("c", "2026-01-03")]
    entries.append(rolled_back("a"))
    assert accepted(entries).run_id == "a"
    assert accepted([*entries, published("d", "2026-01-04")]).run_id == "d"
    assert accepted([*entries, rolled_back("b")]).run_id == "b", "a withdrawn release can be taken again"
    assert [entry.run_id for entry in releases(entries)] == ["a", "b", "c"], "what was published stays published"


def test_a_rollback_among_releases_of_one_date():
    entries = [published("a"), published("b"), rolled_back("a")]
    assert accepted(entries).run_id == "a"
    assert accepted([*entries, rolled_back("b")]).run_id == "b"


def test_rolling_back_leads_current_to_a_verified_release(tmp_path):
    old = release(tmp_path, "r1", day="2026-01-01")
    release(tmp_path, "r2", day="2026-01-02")
    with open_output(tmp_path, "flights") as output:
        assert output.roll_back("r1") == old
    assert current(tmp_path, "flights") == old.resolve()
    assert lines(tmp_path)[-1] == ("rolled_back", "r1")
    with open_output(tmp_path, "flights"):
        assert current(tmp_path, "flights") == old.resolve(), "and it stays so"


def test_a_damaged_or_absent_release_is_not_rolled_back_to(tmp_path):
    old = release(tmp_path, "r1", day="2026-01-01")
    new = release(tmp_path, "r2", day="2026-01-02")
    (old / "synthetic.csv").write_text("a\n9\n")
    with open_output(tmp_path, "flights") as output:
        with pytest.raises(ArtifactError, match="changed"):
            output.roll_back("r1")
        with pytest.raises(ConfigError, match='no "r0"; use one of r1, r2'):
            output.roll_back("r0")
    assert current(tmp_path, "flights") == new.resolve()
    assert [event for event, _ in lines(tmp_path)] == ["published", "published"]


def test_pruning_keeps_the_newest_the_current_one_and_every_table(tmp_path):
    for number in range(1, 6):
        release(tmp_path, f"r{number}", parquet=b"PAR1", day=f"2026-01-0{number}")
        refuse(tmp_path, f"q{number}")
    with open_output(tmp_path, "flights") as output:
        output.roll_back("r2")
        assert [folder.name for folder in output.surplus(2)] == ["r1", "r3", "q1", "q2", "q3"]
        assert output.prune(2) == ("r1", "r3", "q1", "q2", "q3")
        assert output.surplus(2) == ()
        tables = {entry.run_id: path for entry, path in output.published_tables()}
    assert sorted(path.name for path in (tmp_path / "runs" / "flights").iterdir()) == ["r2", "r4", "r5"]
    assert current(tmp_path, "flights").name == "r2"
    assert (
        tables["r1"] == tmp_path / "published" / "flights" / "r1.parquet" and tables["r1"].read_bytes()[:4] == b"PAR1"
    )
    assert ("pruned", "r1") in lines(tmp_path)


def test_tables_can_be_forgotten_on_request(tmp_path):
    release(tmp_path, "r1", parquet=b"PAR1", day="2026-01-01")
    release(tmp_path, "r2", parquet=b"PAR1", day="2026-01-02")
    with open_output(tmp_path, "flights") as output:
        output.prune(1, forget_tables=True)
        assert [(entry.run_id, path is None) for entry, path in output.published_tables()] == [
            ("r1", True),
            ("r2", False),
        ]
        with pytest.raises(ConfigError, match="at least one"):
            output.prune(0)


def test_a_release_removed_by_hand_is_noted_once(tmp_path):
    folder = release(tmp_path, "r1", day="2026-01-01")
    release(tmp_path, "r2", day="2026-01-02")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    for _ in range(2):
        with open_output(tmp_path, "flights"):
            pass
    assert lines(tmp_path).count(("pruned", "r1")) == 1
