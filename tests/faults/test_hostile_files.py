"""Files made to run code, to fill memory, to hang or to crash a reader; all are read in limited processes."""

import os
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generators import TabularGenerator
from generators.registry import generator_config
from generators.storage import STATE, WEIGHTS
from pipeline.artifact import Sealed, seal
from pipeline.errors import SourceError
from pipeline.isolated import read_isolated
from pipeline.source import SourceConfig, load
from tests.faults import forged
from tests.faults.limited_reader import outcomes

N_MUTANTS = 10_000 if os.environ.get("TABMINT_FAULTS") == "long" else 300
CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"}


def test_a_pickle_by_any_name_is_never_unpickled(tmp_path):
    canary = tmp_path / "canary"
    paths = forged.pickles(tmp_path, canary)
    assert set(outcomes("trusted", paths)) <= {"SourceError", "SchemaError", "read"}  # a pickle may be lines of text
    binary = [path for path in paths if not path.name.endswith((".csv", ".tsv", ".txt", ".csv.gz"))]
    assert set(outcomes("trusted", binary)) == {"SourceError"}
    assert not canary.exists()


@pytest.mark.slow
def test_bombs_are_refused_within_limits(tmp_path):
    trusted = [
        forged.gzip_bomb(tmp_path / "bomb.csv.gz"),
        forged.gzip_bomb(tmp_path / "bomb.txt"),
        forged.zip_bomb(tmp_path / "zip.csv"),
        forged.zip_bomb(tmp_path / "zip.parquet"),
        forged.rows_bomb(tmp_path / "rows.parquet"),
    ]
    assert outcomes("trusted", trusted) == ["SourceError"] * len(trusted)
    isolated = [forged.level_bomb(tmp_path / "levels.parquet")]
    assert outcomes("isolated", isolated) == ["SourceError"]


def test_what_grows_a_hundredfold_is_refused_before_it_has_grown(tmp_path):
    forged.gzip_bomb(tmp_path / "bomb.csv.gz", gigabytes=1)
    with pytest.raises(SourceError, match="grows at most 100-fold"):
        load(tmp_path / "bomb.csv.gz")


@pytest.mark.parametrize("name", ["zeros.feather", "zeros.parquet", "zeros.csv", "zeros.csv.gz"])
def test_no_table_above_the_declared_size_is_read(tmp_path, name):
    import gzip

    path = tmp_path / name
    if name.endswith(".feather"):
        forged.feather_bomb(path)
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"x": np.zeros(10**6, np.int64)}), path)
    else:
        content = b"x,y\n" + b"1,2\n" * 10**6
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert load(SourceConfig(path=str(path), isolated=False)).table.num_rows >= 10**6
    with pytest.raises(SourceError, match=r"source\.max_bytes"):
        load(SourceConfig(path=str(path), max_bytes=10**6, isolated=False))


@pytest.mark.slow
def test_no_forged_file_ends_the_process_that_asked_for_it(tmp_path, record_property):
    paths = []
    for number, (suffix, content) in enumerate(forged.mutants(N_MUTANTS)):
        paths.append(tmp_path / f"{number}{suffix}")
        paths[-1].write_bytes(content)
    found = outcomes("trusted", paths)
    counts = Counter(found)
    record_property("counts", dict(counts))
    assert set(counts) <= {"read", "SourceError", "SchemaError", *CRASHES}, counts
    assert counts["SourceError"] > N_MUTANTS / 4
    for path, outcome in zip(paths, found, strict=True):
        if outcome in CRASHES:
            with pytest.raises(SourceError, match="a reader ended by"):
                load(SourceConfig(path=str(path)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    table = pa.table({"x": ["a", "b"] * 30, "y": [1, 2, 3] * 20})
    config = generator_config("vae")
    folder = tmp_path_factory.mktemp("model") / "model"
    TabularGenerator(config).fit(table, seed=0, budget_s=0.5).save(folder)
    return folder


@pytest.mark.slow
def test_a_model_folder_that_is_none_is_refused_and_runs_nothing(tmp_path, model):
    canary, folders = tmp_path / "canary", []
    hostile = {(name, WEIGHTS): content for name, content in forged.hostile_weights(canary).items()}
    hostile |= {(name, STATE): content for name, content in forged.hostile_states(canary).items()}
    for (name, file), content in hostile.items():
        folders.append(tmp_path / name)
        shutil.copytree(model, folders[-1])
        (folders[-1] / file).write_bytes(content)
        seal(folders[-1], Sealed())  # a forger writes a manifest that agrees
    assert outcomes("model", [model]) == ["read"]
    assert dict(zip(folders, outcomes("model", folders), strict=True)) == dict.fromkeys(folders, "ArtifactError")
    assert not canary.exists()


def test_an_isolated_reader_gives_the_same_table_and_the_same_refusals(tmp_path):
    table = forged._seed_table()
    pq.write_table(table, tmp_path / "whole.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more PAR1")
    found = load(SourceConfig(path=str(tmp_path / "whole.parquet"))).table
    assert found.equals(load(tmp_path / "whole.parquet").table)
    messages = []
    for isolated in (True, False):
        with pytest.raises(SourceError) as refusal:
            load(SourceConfig(path=str(tmp_path / "broken.parquet"), isolated=isolated))
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]


def test_a_reader_that_takes_too_long_is_ended(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="a reader ended by SIGKILL"):
        read_isolated(str(tmp_path / "x.parquet"), 2**20, timeout_s=0.01)


def test_an_isolated_reader_sees_no_secret_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSWORD", "canary")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    seen = []
    import subprocess

    real = subprocess.Popen

    def spy(*args, **kwargs):
        seen.append(kwargs["env"])
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", spy)
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "x.parquet")
    read_isolated(str(tmp_path / "x.parquet"), 2**20)
    assert len(seen) == 1
    assert "canary" not in str(seen)
