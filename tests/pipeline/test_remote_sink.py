from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.artifact import sha256_file
from pipeline.delivery import FolderSink, deliver
from pipeline.errors import ArtifactError, ConfigError, DeliveryError
from tests.pipeline.releases import manifest, release

TABLE = pa.table({"a": [1]})


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    """The one file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.rm("/", recursive=True)
    yield system
    system.rm("/", recursive=True)


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, store: fsspec.AbstractFileSystem) -> str:
    return str(tmp_path / "shared") if request.param == "local" else "memory://shared"


def send(folder: Path, url: str, run_id: str = "r1", day: str = "2026-01-01") -> str:
    return deliver(FolderSink(kind="folder", url=url), folder, TABLE, manifest(run_id, day=day))


def files(url: str) -> dict[str, bytes]:
    system, root = fsspec.url_to_fs(url)
    return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in system.find(root)}


def current(url: str) -> str:
    return json.loads(files(url)["flights/current.json"])["run_id"]


def test_a_release_arrives_whole_and_the_pointer_names_it(url: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    assert send(folder, url) == f"{url}/flights/r1"
    found = files(url)
    pointer = json.loads(found.pop("flights/current.json"))
    assert pointer == {
        "name": "flights",
        "run_id": "r1",
        "date": "2026-01-01",
        "manifest": "r1/manifest.json",
        "manifest_sha256": sha256_file(folder / "manifest.json"),
    }
    assert found == {f"flights/r1/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_delivering_twice_changes_nothing(url: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    send(folder, url)
    before = files(url)
    send(folder, url)
    assert files(url) == before


def test_the_pointer_moves_on_and_not_back(url: str, tmp_path: Path) -> None:
    first = release(tmp_path, "r1", day="2026-01-02")
    second = release(tmp_path, "r2", day="2026-01-03")
    earlier = release(tmp_path, "r0", day="2026-01-01")
    send(first, url, "r1", "2026-01-02")
    send(second, url, "r2", "2026-01-03")
    assert current(url) == "r2"
    send(earlier, url, "r0", "2026-01-01")
    assert current(url) == "r2"
    assert "flights/r0/manifest.json" in files(url)


def test_a_file_that_was_cut_off_is_delivered_again(url: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    send(folder, url)
    system, root = fsspec.url_to_fs(url)
    system.pipe_file(f"{root}/flights/r1/synthetic.csv", b"a")
    send(folder, url)
    assert files(url)["flights/r1/synthetic.csv"] == (folder / "synthetic.csv").read_bytes()


def test_a_manifest_that_was_cut_off_is_delivered_again(url: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    send(folder, url)
    system, root = fsspec.url_to_fs(url)
    system.pipe_file(f"{root}/flights/r1/manifest.json", b"{")
    send(folder, url)
    assert files(url)["flights/r1/manifest.json"] == (folder / "manifest.json").read_bytes()


def test_another_release_under_the_same_run_id_is_refused(url: str, tmp_path: Path) -> None:
    send(release(tmp_path / "one"), url)
    before = files(url)
    other = release(tmp_path / "two", table=b"a\n2\n")
    with pytest.raises(DeliveryError, match=r"never changed; found other content of synthetic\.csv"):
        send(other, url)
    assert files(url) == before


def test_a_run_that_was_made_again_with_other_timings_is_left_alone(url: str, tmp_path: Path) -> None:
    send(release(tmp_path / "one"), url)
    before = files(url)
    send(release(tmp_path / "two", report=b'{"fit_s": 2}'), url)
    assert files(url) == before


def test_a_damaged_release_is_not_delivered(url: str, tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "synthetic.csv").write_bytes(b"a\n9\n")
    with pytest.raises(ArtifactError, match=r'changed "synthetic\.csv"'):
        send(folder, url)
    assert files(url) == {}


def test_a_foreign_pointer_is_not_replaced(url: str, tmp_path: Path) -> None:
    system, root = fsspec.url_to_fs(url)
    system.makedirs(f"{root}/flights", exist_ok=True)
    system.pipe_file(f"{root}/flights/current.json", b"{}")
    with pytest.raises(DeliveryError, match="only a pointer that tabmint wrote is replaced"):
        send(release(tmp_path), url)
    assert files(url)["flights/current.json"] == b"{}"


@pytest.mark.parametrize("fails_at", ["report.json", "synthetic.csv", "manifest.json", "current.json"])
def test_a_failed_write_leaves_the_pointer_and_the_next_delivery_mends_it(
    store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    first, second = release(tmp_path, "r1"), release(tmp_path, "r2")
    send(first, "memory://shared")
    with monkeypatch.context() as broken:
        for write in ("put_file", "pipe_file"):
            broken.setattr(MemoryFileSystem, write, _failing(getattr(MemoryFileSystem, write), fails_at))
        with pytest.raises(DeliveryError, match=r'"memory://shared" cannot be written; found OSError: no space left'):
            send(second, "memory://shared", "r2")
    assert current("memory://shared") == "r1"
    send(second, "memory://shared", "r2")
    assert current("memory://shared") == "r2"
    assert {name for name in files("memory://shared") if "/r2/" in name} == {
        f"flights/r2/{path.name}" for path in second.iterdir()
    }


def _failing(write, fails_at):
    def failing(self, *args, **kwargs):
        if any(str(argument).endswith(fails_at) for argument in args):
            raise OSError("no space left")
        return write(self, *args, **kwargs)

    return failing


def test_a_file_that_arrives_short_is_noticed(
    store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_short(self: MemoryFileSystem, local: str, place: str) -> None:
        self.pipe_file(place, Path(local).read_bytes()[:2])

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_short)
    with pytest.raises(DeliveryError, match="every file must arrive whole; found other sizes of"):
        send(release(tmp_path), "memory://shared")
    assert "flights/current.json" not in files("memory://shared")


def test_the_manifest_is_written_last(
    store: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    put = MemoryFileSystem.put_file

    def noted(self: MemoryFileSystem, local: str, place: str) -> None:
        order.append(place.rpartition("/")[2])
        put(self, local, place)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    send(release(tmp_path), "memory://shared")
    assert order == ["report.json", "synthetic.csv", "manifest.json"]


@pytest.mark.parametrize("hostile", ["../flights", "a/b", "/etc", ".hidden"])
def test_a_forged_name_writes_nothing_outside(tmp_path: Path, hostile: str) -> None:
    folder = release(tmp_path)
    with pytest.raises(ConfigError, match="must be 1 to 100 letters"):
        deliver(FolderSink(kind="folder", url=str(tmp_path / "shared")), folder, TABLE, manifest(name=hostile))
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://host/folder"},
        {"url": "s3://key:s3cret@bucket"},
        {"url": "s3://${secret:bucket}"},
        {"url": "s3://bucket", "options": {"secret": "s3cret"}},
    ],
)
def test_a_sink_that_cannot_be_used_is_refused_early(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        FolderSink.model_validate({"kind": "folder", **settings})
    assert "s3cret" not in str(refused.value)


def test_options_are_resolved_at_delivery_and_never_told(
    tmp_path: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    sink = FolderSink(kind="folder", url="memory://shared", options={"token": "${TOKEN}"})

    def refuse(self: MemoryFileSystem, *_: object) -> None:
        raise PermissionError(f"{self.storage_options['token']} is refused")

    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    with pytest.raises(DeliveryError, match=r"found PermissionError: \*\*\* is refused"):
        deliver(sink, release(tmp_path), TABLE, manifest())
    assert "TOKEN" not in repr(sink)
    assert sink.recorded() == {"kind": "folder", "url": "shared", "options": {"token": "(not recorded)"}}
