import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.artifact import Sealed, file_hashes, move, seal, sha256_file, stage, verify, write_json
from pipeline.errors import ArtifactError

FAULTS = Path(__file__).with_name("faults.py")


@pytest.fixture
def model(tmp_path):
    with stage(tmp_path / "model") as folder:
        write_json(folder / "generator.json", {"kind": "flow_matching"})
        (folder / "nets").mkdir()
        (folder / "nets" / "weights.safetensors").write_bytes(b"\0" * 100)
    return tmp_path / "model"


def test_equal_values_give_equal_bytes(tmp_path):
    write_json(tmp_path / "a", {"x": 1, "é": [None, 0.1]})
    write_json(tmp_path / "b", {"é": [None, 0.1], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_text(encoding="utf-8").endswith("}\n")


def test_a_number_without_json_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", float("nan"))


def test_a_sealed_folder_verifies_and_lists_every_file(model):
    assert verify(model, Sealed).files == {
        "generator.json": sha256_file(model / "generator.json"),
        "nets/weights.safetensors": sha256_file(model / "nets" / "weights.safetensors"),
    }


def test_every_difference_is_named_at_once(model):
    (model / "generator.json").write_text("{}")
    (model / "nets" / "weights.safetensors").unlink()
    (model / "extra.pkl").write_bytes(b"")
    with pytest.raises(ArtifactError) as caught:
        verify(model, Sealed)
    for problem in ('changed "generator.json"', 'missing "nets/weights.safetensors"', 'unexpected "extra.pkl"'):
        assert problem in str(caught.value)


@pytest.mark.parametrize("position", [0, 50, 99])
def test_one_flipped_bit_is_found(model, position):
    content = bytearray((model / "nets" / "weights.safetensors").read_bytes())
    content[position] ^= 1
    (model / "nets" / "weights.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match=r'changed "nets/weights\.safetensors"'):
        verify(model, Sealed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"files": 3}',
        b'{"files": {"a": 1}}',
        b'{"files": {}, "more": 1}',
        b"\xff",
        b"[" * 99_999,
    ],
    ids=["empty", "torn", "list", "null", "number", "no hash", "unknown key", "not text", "deep"],
)
def test_a_malformed_manifest_is_refused_in_words(model, content):
    (model / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json must be readable"):
        verify(model, Sealed)


def test_a_folder_without_manifest_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match=r"must hold a manifest\.json"):
            verify(folder, Sealed)


def test_a_manifest_that_points_outside_reads_nothing_there(model):
    outside = model.parent / "secret"
    outside.write_text("x")
    write_json(model / "manifest.json", {"files": {**file_hashes(model), "../secret": sha256_file(outside)}})
    with pytest.raises(ArtifactError, match=r'missing "\.\./secret"'):
        verify(model, Sealed)


def test_links_are_refused(model, tmp_path):
    (model / "link").symlink_to(tmp_path)
    with pytest.raises(ArtifactError, match="plain files only; found link"):
        verify(model, Sealed)
    with pytest.raises(ArtifactError, match="plain files only; found link"):
        seal(model, Sealed())


def test_an_error_in_the_block_leaves_the_old_folder_and_no_stage(model):
    with pytest.raises(KeyError), stage(model) as folder:
        write_json(folder / "generator.json", {"kind": "vae"})
        raise KeyError
    assert json.loads((model / "generator.json").read_text()) == {"kind": "flow_matching"}
    assert verify(model, Sealed)
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_sealed_folder_is_replaced_whole(model):
    with stage(model) as folder:
        write_json(folder / "generator.json", {"kind": "vae"})
    assert verify(model, Sealed).files.keys() == {"generator.json"}
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_an_empty_folder_may_be_the_target(tmp_path):
    with stage(tmp_path) as folder:
        write_json(folder / "a.json", 1)
    assert verify(tmp_path, Sealed)


def test_what_tabmint_did_not_write_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for target in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ArtifactError, match="only a folder that tabmint wrote"), stage(target):
            pytest.fail("the block must not run")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_link_to_a_folder_stays_a_link(model, tmp_path):
    (tmp_path / "latest").symlink_to(model)
    with stage(tmp_path / "latest") as folder:
        write_json(folder / "b.json", 1)
    assert (tmp_path / "latest").is_symlink()
    assert verify(model, Sealed).files.keys() == {"b.json"}


def test_a_folder_put_aside_by_a_killed_process_comes_back(model):
    model.rename(model.with_name(".model.old"))
    (model.with_name(".model.stage")).mkdir()
    with pytest.raises(KeyError), stage(model):
        raise KeyError
    assert verify(model, Sealed)
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_every_file_is_on_the_disk_before_the_rename(tmp_path, system_calls):
    with stage(tmp_path / "model") as folder:
        (folder / "a").write_bytes(b"1")
        (folder / "deep").mkdir()
        (folder / "deep" / "b").write_bytes(b"2")
    assert [(call, path.relative_to(tmp_path).as_posix()) for call, path in system_calls] == [
        ("fsync", ".model.stage/manifest.json"),
        ("fsync", ".model.stage/deep/b"),
        ("fsync", ".model.stage/a"),
        ("fsync", ".model.stage/deep"),
        ("fsync", ".model.stage"),
        ("replace", "model"),
        ("fsync", "."),
        ("fsync", "."),
    ]


def test_moving_syncs_both_parents(tmp_path, system_calls):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "file").write_text("")
    move(tmp_path / "a" / "file", tmp_path / "b" / "file")
    assert system_calls == [("replace", tmp_path / "b" / "file"), ("fsync", tmp_path / "b"), ("fsync", tmp_path / "a")]


def test_a_failed_sync_is_not_passed_over(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"), stage(tmp_path / "model") as folder:
        write_json(folder / "a.json", 1)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("fault", ["kill", "once", "onward"])
def test_replacing_a_model_survives_a_fault_at_every_system_call(tmp_path, fault):
    command = [sys.executable, FAULTS, "model", fault, tmp_path]
    outcomes = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(outcomes) > 15
    assert outcomes[-1] == {"status": "done", "found": "new", "next": "newest", "stray": []}
    for outcome in outcomes[:-1]:
        assert outcome["found"] in ("old", "new") or (outcome["found"] == "aside" and fault != "once"), outcome
        assert outcome["next"] == "newest", outcome
        assert outcome["stray"] == [], outcome
