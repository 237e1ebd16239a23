from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from pipeline.errors import ConfigError, InputError, SourceError
from pipeline.remote import fetched, storage_errors
from pipeline.sink import write_csv
from pipeline.source import SourceConfig, read

TABLE = pa.table({"n": [1, 2, None], "name": ["Ada", "", None]})


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    """The one file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.rm("/", recursive=True)
    yield system
    system.rm("/", recursive=True)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are made; empty at the end of every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pa.parquet.write_table(TABLE, path)
    elif name.endswith(".arrow"):
        pa.feather.write_feather(TABLE, path)
    else:
        write_csv(TABLE, path)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz", "day.parquet", "day.arrow"])
def test_every_format_is_read_from_a_url(
    store: fsspec.AbstractFileSystem, name: str, tmp_path: Path, temporary: Path
) -> None:
    path = write(tmp_path, name)
    store.put(str(path), f"/people/{name}")
    for url in (f"memory://people/{name}", f"file://{path}"):
        assert read(SourceConfig(path=url)).table.to_pydict() == TABLE.to_pydict()
    assert list(temporary.iterdir()) == []


def test_a_folder_and_a_pattern_are_read_from_a_url(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    for name in ("city=Oslo/0.parquet", "city=Bergen/0.parquet"):
        store.put(str(write(tmp_path, name)), f"/people/{name}")
    store.pipe("/people/_SUCCESS", b"")
    table = read(SourceConfig(path="memory://people")).table
    assert table["city"].to_pylist() == ["Bergen"] * 3 + ["Oslo"] * 3
    assert read(SourceConfig(path="memory://people/city=*/*.parquet")).table.num_rows == 6
    assert read(SourceConfig(path="memory://people/**/0.parquet")).table.num_rows == 6


def test_a_file_whose_name_looks_like_a_pattern_is_read(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    store.put(str(write(tmp_path, "day.parquet")), "/people/day[1].parquet")
    assert read(SourceConfig(path="memory://people/day[1].parquet")).table.num_rows == 3


@pytest.mark.parametrize(
    "url", ["memory://nothing/day.csv", "memory://nothing/*.parquet", "memory://nothing", "file:///nothing/day.csv"]
)
def test_a_missing_file_is_named_by_its_url(store: fsspec.AbstractFileSystem, url: str) -> None:
    with pytest.raises(SourceError) as refused:
        read(SourceConfig(path=url))
    assert url.removeprefix("file://") in str(refused.value)


@pytest.mark.parametrize(
    ("name", "rule"), [("day.parquet", "cannot be read"), ("day.csv", "is empty"), ("day.xls", "unknown")]
)
def test_an_error_about_a_copy_names_the_url(
    store: fsspec.AbstractFileSystem, name: str, rule: str, temporary: Path
) -> None:
    store.pipe(f"/people/{name}", b"" if name == "day.csv" else b"damaged")
    with pytest.raises(SourceError, match=rule) as refused:
        read(SourceConfig(path=f"memory://people/{name}"))
    assert f"memory://people/{name}" in str(refused.value)
    assert str(temporary) not in str(refused.value)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP", "ftp", "simplecache::http", "simplecache::s3", "zip", ""])
def test_a_url_of_another_scheme_is_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match=r"must begin with one of s3://, gs://, file://, memory://"):
        read(SourceConfig(path=f"{scheme}://host/a.csv"))


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite:///a.db", "postgres://host/db"])
def test_a_database_is_no_path(url: str) -> None:
    with pytest.raises(ConfigError, match="a path is no database uri"):
        read(SourceConfig(path=url))


def test_a_credential_in_the_url_is_refused_and_not_told() -> None:
    with pytest.raises(ConfigError, match="holds no credential") as refused:
        read(SourceConfig(path="s3://key:s3cret@bucket/a.csv"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "package", "module"), [("s3://b/a.csv", r"tabmint\[s3\]", "s3fs"), ("gs://b/a.csv", "gcsfs", "gcsfs")]
)
def test_a_missing_package_is_named(url: str, package: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=f'pip install "{package}"'):
        read(SourceConfig(path=url))


def test_no_error_of_a_file_system_tells_an_option() -> None:
    with pytest.raises(SourceError) as refused, storage_errors(SourceError, "it cannot be read", {"secret": "s3cret"}):
        raise PermissionError("s3cret is no key\nHost: s3cret")
    assert refused.value.actual == "PermissionError: *** is no key"
    assert refused.value.__cause__ is None


def test_options_reach_the_file_system_and_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    class Refusing(fsspec.AbstractFileSystem):
        protocol = "memory"

        def __init__(self, **options: object) -> None:
            given.update(options)
            raise PermissionError(f"{options['token']} is refused")

    monkeypatch.setattr("fsspec.core.filesystem", lambda protocol, **options: Refusing(**options))
    monkeypatch.setattr("fsspec.core.get_filesystem_class", lambda protocol: Refusing)
    with pytest.raises(SourceError, match=r"found PermissionError: \*\*\* is refused"):
        read(SourceConfig(path="memory://a.csv", options={"token": "s3cret", "anon": "false"}))
    assert given["token"] == "s3cret"
    assert given["anon"] is False


def test_a_hostile_name_writes_nothing_outside_the_copy(
    store: fsspec.AbstractFileSystem, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe("/people/day.parquet", b"x")
    with monkeypatch.context() as forged:
        forged.setattr(type(store), "find", lambda *_: ["/people/../../../stolen.parquet"])
        with pytest.raises(SourceError, match="must stay in its folder"):
            read(SourceConfig(path="memory://people"))
    assert list(temporary.rglob("*")) == []


def test_the_copy_is_for_this_user_only(store: fsspec.AbstractFileSystem) -> None:
    store.pipe("/people/day.csv", b"n\n1\n")
    with fetched("memory://people/day.csv", {}) as copy:
        assert Path(copy).read_bytes() == b"n\n1\n"
        assert Path(copy).parent.stat().st_mode & 0o077 == 0


def test_an_input_error_keeps_its_kind(store: fsspec.AbstractFileSystem) -> None:
    store.pipe("/people/day.csv", b"n,n\n1,2\n")
    with pytest.raises(InputError, match="more than once") as refused:
        read(SourceConfig(path="memory://people/day.csv"))
    assert type(refused.value).__name__ == "SchemaError"
