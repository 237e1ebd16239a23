"""A Prefect server of one's own: API, scheduler and UI on this machine only, kept in SQLite, ended with its starter.

Run as a module, it is the server's process. It watches its standard input, a pipe whose other end is its starter's:
however that ends, SIGKILL included, the pipe closes, and the server ends too.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.errors import ConfigError

HOST = "127.0.0.1"
STARTS_WITHIN_S, STOPS_WITHIN_S = 180.0, 15.0
"""A first start writes a database, which takes long on a busy machine."""


@contextmanager
def local_server(home: Path, port: int) -> Iterator[str]:
    """Run a server until the context ends, and yield its address, which is that of the UI.

    Ctrl-C on a terminal does not reach it, so that runs can still record how they ended.

    Raises:
        ConfigError: the port is taken, or the server does not come up.
    """
    _check_port(port)
    address = f"http://{HOST}:{port}"
    settings = {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",  # what the browser asks
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),  # else the UI is unpacked into the installed package
    }
    command = [sys.executable, "-m", "flows.server"]
    environment = {**os.environ, **settings}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True) as process:  # noqa: S603
        try:
            _wait_for(process, port)
            yield address
        finally:
            _stop(process)


def _check_port(port: int) -> None:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            remedy = "choose another with --ui-port, or set PREFECT_API_URL to use the Prefect server that runs there"
            raise ConfigError(f"port {port} must be free", actual=str(error), remedy=remedy) from error


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.1)
    actual = "no answer" if process.poll() is None else f"an end with exit code {process.returncode}"
    remedy = "see why with PREFECT_SERVER_LOGGING_LEVEL=INFO"
    raise ConfigError(f"the Prefect server must start within {STARTS_WITHIN_S:.0f} s", actual=actual, remedy=remedy)


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve() -> None:
    import uvicorn

    port = int(os.environ["PREFECT_SERVER_API_PORT"])
    threading.Thread(target=_end_with_starter, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host=HOST, port=port, log_level="error", lifespan="on"
    )


if __name__ == "__main__":
    _serve()
