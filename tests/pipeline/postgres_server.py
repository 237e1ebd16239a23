"""A real PostgreSQL server for tests, from the system's package (Debian: `postgresql`); skips where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "p@ss/w:rd 7%#"
"""Every character that a URI gives a meaning to."""


@dataclass(frozen=True)
class Server:
    """A running server that is reached through a socket in `folder` only."""

    folder: str

    def uri(self, user: str = "ada", password: str = PASSWORD, database: str = "postgres") -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={quote(self.folder, safe='')}"

    def do(self, *statements: str) -> None:
        """Run statements as the owner, in one transaction."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def connect(self) -> Any:
        import adbc_driver_postgresql.dbapi

        return adbc_driver_postgresql.dbapi.connect(self.uri())


@pytest.fixture(scope="module", name="postgres")
def start_postgres() -> Iterator[Server]:
    """Start a server of its own on a socket in a new folder."""
    initdb, pg_ctl = _binary("initdb"), _binary("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl; Debian: apt-get install postgresql)")
    pytest.importorskip("adbc_driver_postgresql", reason="the extra tabmint[db] is not installed")
    with tempfile.TemporaryDirectory(prefix="tabmint-pg-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if user := _server_user():
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = str(folder / "data")
        secured = ("-U", "ada", "-A", "scram-sha-256", "--pwfile", str(folder / "password"))
        _run(initdb, "-D", data, *secured, "-E", "UTF8", "--no-sync", folder=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start", folder=folder)
        try:
            yield Server(name)
        finally:
            _run(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop", folder=folder)


def _binary(name: str) -> str | None:
    folders = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def _server_user() -> str | None:
    """Return another user to run the server as, because it refuses to run as root."""
    return None if os.getuid() else "nobody"


def _run(*command: str, folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        command,
        user=_server_user(),
        cwd=folder,
        env=environment,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
