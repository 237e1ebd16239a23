import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline import artifact, publish
from pipeline import manifest as manifests
from pipeline.artifact import sha256_file
from pipeline.errors import ArtifactError, ConfigError, PublishError, RefusedError
from pipeline.manifest import code_fingerprint, verify_release, versions
from pipeline.publish import current, open_output
from tests.pipeline.releases import manifest, release

FAULTS = Path(__file__).with_name("faults.py")
REPOSITORY = Path(__file__).parents[2]
HOSTILE = [
    "", ".", "..", "../flights", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\nb", "flights\n", ".hidden", "-rf", " a",
    "a b", "=CMD()", "<script>", "\u202egnp.exe", "é", "١", "a" * 101, "~", "$HOME", "a;b",
]  # fmt: skip


def tree(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or path.is_file())


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_release_is_found_whole_through_current(tmp_path):
    folder = release(tmp_path)
    assert folder == tmp_path / "runs" / "flights" / "r1"
    assert current(tmp_path, "flights") == folder.resolve()
    found = verify_release(folder)
    assert found == manifest().model_copy(update={"files": found.files})
    assert found.files == {name: sha256_file(folder / name) for name in ("report.json", "synthetic.csv")}
    assert tree(tmp_path) == [
        ".locks/flights", "current/flights", "ledger/flights.jsonl", "runs/flights/r1/manifest.json",
        "runs/flights/r1/report.json", "runs/flights/r1/synthetic.csv",
    ]  # fmt: skip


def test_the_root_may_be_moved_and_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    release("out")
    Path("out").rename("moved")
    assert verify_release(current("moved", "flights")).run_id == "r1"


def test_before_the_first_release_there_is_no_current(tmp_path):
    assert current(tmp_path, "flights") is None
    with open_output(tmp_path, "flights"):
        assert current(tmp_path, "flights") is None


def test_the_last_release_is_current_and_the_earlier_ones_stay(tmp_path):
    earlier = release(tmp_path, "r1")
    later = release(tmp_path, "r2", b"a\n2\n")
    assert current(tmp_path, "flights") == later.resolve()
    assert verify_release(earlier).run_id == "r1"


def test_outputs_of_one_root_do_not_meet(tmp_path):
    release(tmp_path)
    with open_output(tmp_path, "flights.v2") as output, open_output(tmp_path, "flights"):
        output.publish(output.stage("r1"), manifest(name="flights.v2"))
    assert current(tmp_path, "flights.v2") != current(tmp_path, "flights")


def test_publishing_the_same_again_changes_nothing(tmp_path):
    release(tmp_path, "r1", report=b'{"fit_s": 1}')
    newest = release(tmp_path, "r2")
    before = {path: (tmp_path / path).lstat().st_mtime_ns for path in tree(tmp_path)}
    assert release(tmp_path, "r1", report=b'{"fit_s": 2}') == tmp_path / "runs" / "flights" / "r1"
    assert {path: (tmp_path / path).lstat().st_mtime_ns for path in tree(tmp_path)} == before
    assert current(tmp_path, "flights") == newest.resolve()


def test_a_taken_id_with_other_content_is_refused(tmp_path):
    folder = release(tmp_path, "r1")
    with pytest.raises(
        PublishError, match=r"never changed; found other content of synthetic\.csv; publish under a new"
    ):
        release(tmp_path, "r1", b"a\n2\n")
    assert (folder / "synthetic.csv").read_bytes() == b"a\n1\n"
    assert verify_release(current(tmp_path, "flights")).run_id == "r1"


def test_a_damaged_release_is_not_taken_for_the_same(tmp_path):
    (release(tmp_path) / "synthetic.csv").write_bytes(b"a\n9\n")
    with pytest.raises(ArtifactError, match=r'changed "synthetic\.csv"'):
        release(tmp_path)


@pytest.mark.parametrize("failing", ["runs", "current"])
def test_a_failed_attempt_may_be_repeated_in_the_same_run(tmp_path, monkeypatch, failing):
    release(tmp_path, "r1")
    with open_output(tmp_path, "flights") as output:
        (output.stage("r2") / "synthetic.csv").write_bytes(b"a\n2\n")
        with monkeypatch.context() as patch, pytest.raises(PublishError, match="disk quota exceeded"):
            patch.setattr(publish, "move", lambda source, target: full_disk(source, target, tmp_path / failing))
            output.publish(tmp_path / ".staging" / "flights" / "r2", manifest("r2"))
        assert verify_release(current(tmp_path, "flights")).run_id == "r1"
        (output.stage("r2b") / "synthetic.csv").write_bytes(b"a\n2\n")
        output.publish(tmp_path / ".staging" / "flights" / "r2b", manifest("r2"))
        assert verify_release(current(tmp_path, "flights")).run_id == "r2"


def full_disk(source, target, folder):
    if folder in target.parents:
        raise OSError("disk quota exceeded")
    artifact.move(source, target)


def test_only_an_accepted_run_is_published(tmp_path):
    release(tmp_path)
    with pytest.raises(RefusedError, match="verdict FAIL"):
        release(tmp_path, "r2", verdict="FAIL")
    assert verify_release(current(tmp_path, "flights")).run_id == "r1"
    assert names(tmp_path / "runs" / "flights") == {"r1"}


def quarantine(root, report=b"{}"):
    with open_output(root, "flights") as output:
        folder = output.stage("r2")
        (folder / "report.json").write_bytes(report)
        (folder / "synthetic.csv").write_bytes(b"a\n666\n")
        (folder / "model").mkdir()
        (folder / "model" / "weights.safetensors").write_bytes(b"666")
        return output.quarantine(folder, manifest("r2", "FAIL"))


def test_quarantine_holds_the_report_and_no_row(tmp_path):
    release(tmp_path)
    folder = quarantine(tmp_path)
    assert folder == tmp_path / "quarantine" / "flights" / "r2"
    assert tree(folder) == ["manifest.json", "report.json"]
    assert verify_release(folder).verdict == "FAIL"
    assert not any(b"666" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert verify_release(current(tmp_path, "flights")).run_id == "r1"


def test_a_later_refusal_replaces_an_earlier_one(tmp_path):
    quarantine(tmp_path, b'{"c2st": 0.9}')
    assert (quarantine(tmp_path, b'{"c2st": 0.8}') / "report.json").read_bytes() == b'{"c2st": 0.8}'


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_is_no_folder_name_is_refused_and_nothing_written(tmp_path, name):
    root = tmp_path / "root"
    for attempt in (lambda: open_output(root, name).__enter__(), lambda: current(root, name)):
        with pytest.raises(ConfigError, match="the output name must be"):
            attempt()
    assert not root.exists()
    with open_output(root, "flights") as output:
        with pytest.raises(ConfigError, match="the run id must be"):
            output.stage(name)
        with pytest.raises(ConfigError, match="the run id must be"):
            output.publish(output.stage("r1"), manifest(name))
    assert tree(tmp_path) == ["root/.locks/flights"]


def test_a_manifest_of_another_output_is_refused(tmp_path):
    with open_output(tmp_path, "flights") as output, pytest.raises(ConfigError, match='found "weather"'):
        output.publish(output.stage("r1"), manifest(name="weather"))


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "root").write_text("")
    with pytest.raises(PublishError, match="written whole or not at all"), open_output(tmp_path / "root", "flights"):
        pytest.fail("the block must not run")


def test_an_abandoned_stage_is_removed(tmp_path):
    with pytest.raises(KeyError), open_output(tmp_path, "flights") as output:
        (output.stage("r1") / "synthetic.csv").write_bytes(b"a\n1\n")
        raise KeyError
    assert tree(tmp_path) == [".locks/flights"]
    assert names(tmp_path / ".staging" / "flights") == set()


def test_a_current_release_that_was_deleted_is_an_error(tmp_path):
    shutil.rmtree(release(tmp_path))
    with pytest.raises(ArtifactError, match="which is gone"):
        current(tmp_path, "flights")


def test_a_second_writer_fails_and_names_the_lock(tmp_path):
    with open_output(tmp_path, "flights") as output:
        with pytest.raises(PublishError, match=r"one run at a time.*\.locks/flights held by another run"):
            release(tmp_path, "r2")
        folder = output.stage("r1")
        output.publish(folder, manifest("r1"))
    assert verify_release(current(tmp_path, "flights")).run_id == "r1"
    assert verify_release(release(tmp_path, "r2")).run_id == "r2"


def test_a_dead_process_leaves_no_lock(tmp_path):
    script = (
        "import os, sys; from pipeline.publish import open_output\n"
        "with open_output(sys.argv[1], 'flights'): os._exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], cwd=REPOSITORY, check=False).returncode == 7
    assert release(tmp_path).exists()


def test_of_two_processes_one_publishes_and_the_other_fails(tmp_path):
    script = (
        "import sys; from pipeline.publish import open_output\n"
        "with open_output(sys.argv[1], 'flights'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, tmp_path]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PublishError, match="one run at a time"):
            release(tmp_path)
        holder.communicate("")
    assert release(tmp_path).exists()


def test_readers_see_only_whole_releases_while_writers_race(tmp_path):
    release(tmp_path, "first")
    outcomes, seen, done = [], set(), threading.Event()

    def write(writer):
        for number in range(10):
            try:
                outcomes.append(release(tmp_path, f"w{writer}-{number}", f"a\n{writer}{number}\n".encode()).name)
            except PublishError as error:
                outcomes.append("held" if "one run at a time" in str(error) else str(error))

    def read():
        while not done.is_set():
            seen.add(verify_release(current(tmp_path, "flights")).run_id)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    published = {outcome for outcome in outcomes if outcome != "held"}
    assert len(outcomes) == 40
    assert {"first", *published} == names(tmp_path / "runs" / "flights") >= seen
    assert all(verify_release(folder) for folder in (tmp_path / "runs" / "flights").iterdir())


def test_each_step_is_on_the_disk_before_the_next(tmp_path, system_calls):
    release(tmp_path)
    stage, runs, ledger = tmp_path / ".staging" / "flights", tmp_path / "runs" / "flights", tmp_path / "ledger"
    start = system_calls.index(("fsync", stage / "r1" / "synthetic.csv"))
    assert system_calls[start:] == [
        ("fsync", stage / "r1" / "synthetic.csv"),
        ("fsync", stage / "r1" / "report.json"),
        ("fsync", stage / "r1" / "manifest.json"),
        ("fsync", stage / "r1"),
        ("replace", runs / "r1"),
        ("fsync", runs),
        ("fsync", stage),
        ("fsync", tmp_path),
        ("fsync", ledger / ".flights.jsonl.new"),
        ("replace", ledger / "flights.jsonl"),
        ("fsync", ledger),
        ("fsync", ledger),
        ("fsync", stage),
        ("replace", tmp_path / "current" / "flights"),
        ("fsync", tmp_path / "current"),
        ("fsync", stage),
    ]
    made = [path for call, path in system_calls[:start]]
    assert {tmp_path, tmp_path / "runs", tmp_path / ".staging"} <= set(made), "new folders are on the disk too"


@pytest.mark.parametrize("fault", ["kill", "once", "onward"])
def test_publishing_survives_a_fault_at_every_system_call(tmp_path, fault):
    outcomes = with_faults("publish", fault, tmp_path)
    lines = [["published", "old"], ["published", "new"]]
    for outcome in outcomes:
        del outcome["at"]
    assert outcomes[-1] == {"status": "done", "found": "new", "landed": True, "recovered": "new", "lines": lines}
    for outcome in outcomes[:-1]:
        assert outcome["status"] == ("killed" if fault == "kill" else "failed"), outcome
        assert outcome["found"] in ("old", "new"), outcome
        assert outcome["recovered"] == ("new" if outcome["landed"] else "old"), "a release in place becomes current"
        assert outcome["lines"] == lines[: 1 + outcome["landed"]], "each release has one line"
    assert {outcome["found"] for outcome in outcomes[:-1]} == {"old", "new"}, "faults on both sides of the swap"


@pytest.mark.parametrize("fault", ["kill", "once", "onward"])
def test_quarantine_survives_a_fault_at_every_system_call(tmp_path, fault):
    for outcome in with_faults("quarantine", fault, tmp_path):
        assert (outcome["found"], outcome["landed"], outcome["recovered"]) == ("old", False, "old"), outcome
        kept = (tmp_path / str(outcome["at"]) / "quarantine" / "flights" / "new").exists()
        assert outcome["lines"] == [["published", "old"], *([["refused", "new"]] if kept else [])], outcome


def with_faults(scenario, fault, folder):
    """Return what was found after each fault, less what must hold after every one, which is asserted here."""
    command = [sys.executable, FAULTS, scenario, fault, folder]
    found = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    outcomes = json.loads(found)
    assert len(outcomes) > 20
    for outcome in outcomes:
        always = {key: outcome.pop(key) for key in ("whole", "stray", "leaked", "next")}
        assert always == {"whole": True, "stray": [], "leaked": [], "next": "next"}, outcome
    return outcomes


def test_a_full_disk_while_the_caller_writes_leaves_the_last_release(tmp_path):
    release(tmp_path)
    script = (
        "import resource, signal, sys; from pipeline.publish import open_output\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open_output(sys.argv[1], 'flights') as output:\n"
        "    (output.stage('r2') / 'synthetic.csv').write_bytes(b'1' * 5000)\n"
    )
    failed = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=REPOSITORY, capture_output=True, check=False)
    assert failed.returncode == 1
    assert verify_release(current(tmp_path, "flights")).run_id == "r1"
    assert names(tmp_path / ".staging" / "flights") == set()


def test_the_code_fingerprint_follows_the_code_and_not_its_place(tmp_path, monkeypatch):
    def fingerprint(root):
        monkeypatch.setattr(manifests, "__file__", str(root / "pipeline" / "manifest.py"))
        return code_fingerprint()

    for package in ("pipeline", "generators", "evaluation", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    module = tmp_path / "generators" / "nets.py"
    module.write_text("x = 1\n")
    first = fingerprint(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("not code")
    assert fingerprint(tmp_path / "elsewhere") == first
    module.write_text("x = 2\n")
    changed = fingerprint(tmp_path)
    module.rename(tmp_path / "flows" / "nets.py")
    assert len({first, changed, fingerprint(tmp_path)}) == 3


def test_versions_come_without_importing_the_libraries():
    script = (
        "import sys; from pipeline.manifest import versions; versions()\n"
        "print(*{'torch', 'prefect', 'sklearn'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout == "\n"
    assert versions()["python"] == sys.version.split()[0]
