"""Which rows were learned from: remembered for every later split, and told to no reader."""

import datetime
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import steps
from flows.cli import main
from flows.results import Release, RunRefusedError
from flows.settings import load_config
from flows.steps import run_steps
from generators import TabularGenerator
from pipeline.errors import ArtifactError, PublishError
from pipeline.ledger import Ledger, releases
from pipeline.publish import open_output
from pipeline.row_hashes import cell_hashes, mixed
from pipeline.seeds import substream

SUNDAY, MONDAY, TUESDAY, WEDNESDAY = (datetime.date(2026, 11, day) for day in (22, 23, 24, 25))


@pytest.fixture
def night(config_path):
    def run(day, *overrides):
        return run_steps(load_config(config_path, overrides), on=day)

    return run


def hashed(customers):
    """What whoever guesses a customer's number can compute: the seed stands in the manifest."""
    return mixed(cell_hashes(pa.chunked_array([customers])) ^ np.uint64(substream(0, "split", "entity")))


def visits(people, n_new):
    """A customer with a third of the rows, whose hash comes first, is too large to be held out and is passed over."""
    numbers = np.random.default_rng(1).choice(np.arange(10_000, 99_999), 180, replace=False)
    first, *others = numbers[np.argsort(hashed(pa.array(numbers)))].tolist()
    others = np.random.default_rng(2).permutation(others)
    who = [first] * 100 + np.repeat(others[:100], 2).tolist() + others[100 : 100 + n_new].tolist()
    rows = np.arange(len(who)) % len(people)
    return people.take(rows).append_column("who", pa.array(who)), numbers


def test_no_reader_can_look_up_whether_a_guessed_customer_was_learned_from(night, people, tmp_path, config):
    sinks = 'sinks=[{kind="folder", url="%s"}]' % (tmp_path / "shared")
    by_customer = ("split.entity=who", "split.holdout=0.3", "drift.retyped=accept", sinks)
    for day, n_new in ((MONDAY, 0), (TUESDAY, 40)):
        table, numbers = visits(people, n_new)
        pq.write_table(table, tmp_path / "people.parquet")
        assert isinstance(night(day, *by_customer), Release)
    with pytest.raises(RunRefusedError):
        night(WEDNESDAY, *by_customer, "gates.shape_error={at_most=-1.0}")

    out = config.output.root
    told = {path: path.read_bytes() for top in (out, tmp_path / "shared") for path in top.rglob("*") if path.is_file()}
    kept = {path: told.pop(path) for path in list(told) if path.is_relative_to(out / "state")}
    assert {"runs", "quarantine", "ledger"} <= {path.relative_to(out).parts[0] for path in told if out in path.parents}
    assert any(path.name == "manifest.json" and out not in path.parents for path in told), "and the sink's"

    guesses = [str(guess).encode() for guess in hashed(pa.array(numbers)).tolist()]
    assert min(guesses, key=int) in b"".join(kept.values()), (
        "the first customer was passed over, and that is known here"
    )
    for path, content in told.items():
        assert b"passed_over" not in content and b"ends_at" not in content, path
        assert not [guess for guess in guesses if guess in content], path


def incomes(side):
    return set(pq.read_table(side.path)["income"].drop_null().to_pylist())


def nothing(night, out, monkeypatch):
    night(TUESDAY, "split.holdout=0.2")


def a_crash_before_the_ledgers_line(night, out, monkeypatch):
    append = Ledger.append

    def full(ledger, entry):
        if entry.event == "published":
            raise OSError("no space left")
        append(ledger, entry)

    with monkeypatch.context() as patched, pytest.raises(PublishError):
        patched.setattr(Ledger, "append", full)
        night(TUESDAY, "split.holdout=0.2")


def a_lost_ledger(night, out, monkeypatch):
    night(TUESDAY, "split.holdout=0.2")
    (out / "ledger" / "people.jsonl").unlink()


def a_rollback(night, out, monkeypatch):
    night(TUESDAY, "split.holdout=0.2")
    with open_output(out, "people") as output:
        output.roll_back(releases(output.ledger.entries())[0].run_id)


def a_prune(night, out, monkeypatch):
    night(TUESDAY, "split.holdout=0.2")
    assert main(["prune", "people", "--keep", "1", "--root", str(out)]) == 0


def a_prune_after_the_last_release_was_removed_by_hand(night, out, monkeypatch):
    shutil.rmtree(night(SUNDAY, "split.holdout=0.2").folder)
    assert main(["prune", "people", "--keep", "1", "--root", str(out)]) == 0


def a_backfill(night, out, monkeypatch):
    night(SUNDAY, "split.holdout=0.2")


@pytest.mark.parametrize(
    "between",
    [
        nothing, a_crash_before_the_ledgers_line, a_lost_ledger, a_rollback, a_prune,
        a_prune_after_the_last_release_was_removed_by_hand, a_backfill,
    ],
)  # fmt: skip
def test_what_was_learned_from_is_never_held_out_whatever_happens_between(night, config, monkeypatch, between):
    seen, sample = [], steps._sample

    def watched(job, ingested, plan, parts, *rest):
        seen.append((incomes(parts.train), incomes(parts.holdout)))
        return sample(job, ingested, plan, parts, *rest)

    monkeypatch.setattr(steps, "_sample", watched)
    night(MONDAY, "split.holdout=0.5")
    between(night, config.output.root, monkeypatch)
    night(WEDNESDAY, "split.holdout=0.6")
    (_, at_first), (learned, _), (_, held_out) = seen
    assert learned & at_first, "the second night learned from more"
    assert held_out and not held_out & learned


def test_a_run_that_was_not_published_moves_no_boundary(night, monkeypatch, tmp_path, config):
    def split_of(day, *overrides):
        night(day, *overrides)
        return (config.output.root / "state" / "people" / f"{last(config)}.json").read_text().partition('"boundary"')[2]

    first = split_of(MONDAY, "split.holdout=0.5")
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr("pipeline.publish.Output.publish", lambda *_: 1 / 0)
        night(TUESDAY, "split.holdout=0.2")
    assert len(list((config.output.root / "state" / "people").iterdir())) == 2, "it was remembered already"
    assert split_of(WEDNESDAY, "split.holdout=0.5", "generator.budget=1h") == first


def last(config):
    return releases(Ledger(config.output.root, config.name).entries())[-1].run_id


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_a_run_without_the_boundary_is_refused_before_training(night, config, monkeypatch, lose):
    night(TUESDAY)
    older = night(MONDAY, "split.holdout=0.4")
    assert last(config) == older.run_id, "not the release that the next run follows"
    lose(config.output.root / "state" / "people" / f"{older.run_id}.json")
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(ArtifactError, match=r"learned from, must be known.*restore the folder `state`"):
        night(WEDNESDAY, "split.holdout=0.6")
    assert last(config) == older.run_id


def test_an_output_that_lost_its_state_begins_no_new_boundary(night, config):
    night(MONDAY)
    shutil.rmtree(config.output.root / "state")
    for day in (TUESDAY, SUNDAY):
        with pytest.raises(ArtifactError, match="restore the folder `state`, or publish under a new name"):
            night(day, "split.holdout=0.6")
