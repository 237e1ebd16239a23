"""Read a Parquet or Feather file in a process of its own: what a forged one crashes, fills or stops is only its reader.

`python -m pipeline.isolated` is that process. It gets a JSON request on its standard input and limits itself; the table
comes back as an Arrow stream on its standard output, whole and checked, or an error as JSON on its standard error. No
row is written to a disk, and none of the parent's environment is passed on but where programs and libraries are.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from pipeline.columnar import files_of, read_columnar
from pipeline.errors import SourceError

FREE_BYTES = 4 * 2**30
"""The address space that the reader has beside twice the largest table: its own code, and buffers of threads."""

FREE_S, BYTES_PER_S = 60, 10 * 2**20
"""How long a reader may take: some time, and that of a very slow disk."""

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "TZDIR")


def read_isolated(path: str, max_bytes: int, *, timeout_s: float | None = None) -> pa.Table:
    """Read what `read_columnar` reads, in a process of its own.

    Args:
        path: as of `read_columnar`.
        max_bytes: of the table in memory; the process may hold little more.
        timeout_s: after which it is ended; None: by the size of the files.

    Raises:
        SourceError: as `read_columnar`, or the process crashed, was out of memory or took too long.

    Example:
        >>> import pyarrow.parquet
        >>> pyarrow.parquet.write_table(pa.table({"n": [1, 2]}), "numbers.parquet")
        >>> read_isolated("numbers.parquet", max_bytes=2**20).num_rows
        2
    """
    timeout_s = timeout_s or FREE_S + sum(Path(file).stat().st_size for file in files_of(path)) / BYTES_PER_S
    request = {"path": path, "max_bytes": max_bytes, "timeout_s": timeout_s}
    with tempfile.TemporaryFile() as complaints, _reader(complaints) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with _killed_after(process, timeout_s):
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
            table = _received(process.stdout)
            code = process.wait()
        if code == 0 and table is not None:
            return table
        complaints.seek(0)
        raise _refusal(path, code, complaints.read())


@contextmanager
def _reader(complaints: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    command = [sys.executable, "-P", "-m", "pipeline.isolated"]  # -P: no module of the current folder is imported
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _killed_after(process: subprocess.Popen[bytes], timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _received(stream: IO[bytes]) -> pa.Table | None:
    """Return the table, or None if the stream ends before it does."""
    try:
        return pa.ipc.open_stream(stream).read_all()
    except (pa.ArrowInvalid, OSError):
        return None


def _refusal(path: str, code: int, complaints: bytes) -> SourceError:
    """Return the reader's own error, or one that tells how it ended."""
    if code == 1 and complaints.startswith(b"{"):
        return SourceError(**json.loads(complaints))
    ended = f"a reader ended by {signal.Signals(-code).name}" if code < 0 else f"a reader that failed with {code}"
    remedy = "the file is damaged, forged or too large: write it again, or raise source.max_bytes"
    return SourceError(f'"{path}" cannot be read', actual=ended, remedy=remedy)


def main() -> int:
    """Answer one request; return the exit code."""
    request = json.load(sys.stdin)
    _limit(request["max_bytes"], request["timeout_s"])
    try:
        table = read_columnar(request["path"], request["max_bytes"])
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
            writer.write_table(table)
    except SourceError as error:
        sys.stderr.write(json.dumps({"rule": error.rule, "actual": error.actual, "remedy": error.remedy}))
        return 1
    return 0


def _limit(max_bytes: int, timeout_s: float) -> None:
    """Limit this process's memory, and its time on all cores; leave no memory dump of a crash behind."""
    cores = os.cpu_count() or 1
    wanted: dict[int, Any] = {
        resource.RLIMIT_AS: 2 * max_bytes + FREE_BYTES,
        resource.RLIMIT_CPU: int(timeout_s * cores) + 1,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in wanted.items():
        _, hard = resource.getrlimit(limit)
        lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lower, hard))


if __name__ == "__main__":
    sys.exit(main())
