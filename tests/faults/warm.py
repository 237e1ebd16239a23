"""Processes forked from one that has imported everything: each starts in milliseconds, and may be killed at any moment.

A process that forks must have one thread, so this is used by scripts and never inside a test's own process.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FAILED = 70
"""What a forked process ends with where its job raised."""


def fork(do, log):
    """Run `do`, whose result is the exit code, in a forked process with a group of its own.

    What it prints and what it raises goes to the file `log`.
    """
    if found := other_threads():
        raise RuntimeError(f"a process with several threads must not fork; found {', '.join(found)}")
    log.touch()
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            os.setsid()
            _redirect(log)
            code = do()
        except BaseException:  # noqa: BLE001  nothing of it may go on in the caller's frames
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def other_threads():
    """Return the names of this process's threads but the first and that of Arrow's allocator, which minds forks."""
    tasks = [path for path in Path("/proc/self/task").iterdir() if path.name != str(os.getpid())]
    return [name for path in tasks if (name := (path / "comm").read_text().strip()) != "jemalloc_bg_thd"]


def wait(child):
    """Return the exit code of a forked process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child):
    """Kill a forked process with everything that it started, and return its status: it may have ended before."""
    os.killpg(child, signal.SIGKILL)
    return wait(child)


def kill_after(child, delay_s, moment=lambda: True):
    """Kill a forked process `delay_s` after its `moment` has come, and return its status; it may end before that."""
    came = None
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if came is None and moment():
            came = time.monotonic()
        if came is not None and time.monotonic() - came >= delay_s:
            return kill(child)
        time.sleep(0.001)


def _redirect(log):
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def run_script(module, *arguments):
    """Run a script of this folder in a process that has one thread, and return what it printed as JSON."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"tests.faults.{module}", *map(str, arguments)]
    found = subprocess.run(command, cwd=REPOSITORY, env=os.environ | one_thread, stdout=subprocess.PIPE, check=True)
    return json.loads(found.stdout)
