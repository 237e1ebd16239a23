"""Do one thing to an output again and again, each time with a fault that strace puts at its next system call.

`python -m tests.faults.syscall_faults SCENARIO FAULT FOLDER [EVERY]` prints a JSON list of what was found after each
fault; EVERY takes only every so many-th call. `python -m tests.faults.syscall_faults trace FOLDER` prints the calls of
a publish in their order. strace is attached to a forked process that waits for it, so it sees that one thing alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

from pipeline.artifact import sha256_file
from pipeline.errors import PublishError
from pipeline.ledger import Entry, accepted, now
from pipeline.manifest import verify_release
from pipeline.publish import current, open_output
from tests.faults import warm
from tests.pipeline.releases import refuse, release

CALLS = (
    "openat", "write", "pwrite64", "sendfile", "copy_file_range", "ftruncate", "chmod", "fchmod", "utimensat", "flock",
    "mkdir", "mkdirat", "rmdir", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2",
    "fsync", "fdatasync",
)  # fmt: skip
FAULTS = {
    "kill": "signal=SIGKILL:when={}",  # before the call
    "ENOSPC": "error=ENOSPC:when={}+",  # a full disk stays full
    "EIO": "error=EIO:when={}",
}
TABLE = b"a table " * 20_000


def publish(root):
    release(root, "new", parquet=TABLE, day="2026-01-03")


def quarantine(root):
    refuse(root, "new")


def append(root):
    with open_output(root, "flights") as output:
        output.ledger.append(Entry(event="skipped", run_id="new", at=now()))


def roll_back(root):
    with open_output(root, "flights") as output:
        output.roll_back("r1")


def prune(root):
    with open_output(root, "flights") as output:
        output.prune(1)


SCENARIOS = {do.__name__: do for do in (publish, quarantine, append, roll_back, prune)}


def prepare(root):
    """Make an output of two releases and a refusal, and leave what a killed run leaves."""
    release(root, "r1", parquet=TABLE + b"1")
    release(root, "r2", parquet=TABLE + b"2", day="2026-01-02")
    refuse(root, "q1")
    refuse(root, "q2")
    (root / ".staging/flights/killed").mkdir()
    (root / ".staging/flights/killed/synthetic.parquet").write_bytes(b"rows")
    (root / ".staging/flights/.current").symlink_to("../runs/flights/killed")


def attach(do, folder, *options):
    """Run `do` in a forked process under strace, from its first call to its last; return its status and strace's lines.

    Raises:
        PermissionError: strace is not there, or may not attach.
    """
    output, (ready, say_ready), (go, say_go) = folder / "strace", os.pipe(), os.pipe()
    child = warm.fork(lambda: _wait_and_do(say_ready, go, do), folder / "log")
    os.read(ready, 1)
    command = ["strace", "-f", "-y", "-s", "0", "-o", output, "-p", str(child), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        said = strace.stderr.readline()
        if "attached" not in said:
            warm.kill(child)
            raise PermissionError(said)
        os.write(say_go, b"x")
        status = warm.wait(child)
        strace.stderr.read()
    for end in (ready, say_ready, go, say_go):
        os.close(end)
    return status, output.read_text().splitlines()


def _wait_and_do(say_ready, go, do):
    os.write(say_ready, b"x")
    os.read(go, 1)
    try:
        do()
    except PublishError:
        return 3
    except OSError as error:  # the scenario's own, unless it went through `publish`, which reports its errors
        if any(frame.filename.endswith("publish.py") for frame in traceback.extract_tb(error.__traceback__)):
            raise
        return 4
    return 0


def outcome(scenario, fault, call, at, template, root):
    """Return what was found after one fault, and after the start that follows it."""
    shutil.copytree(template, root / "out", symlinks=True)
    out = root / "out"
    inject = f"{call}:{FAULTS[fault].format(at)}"
    status, lines = attach(lambda: SCENARIOS[scenario](out), root, "-e", f"trace={call}", "-e", f"inject={inject}")
    met = status == -9 or any("(INJECTED)" in line for line in lines)
    found = verify_release(current(out, "flights")).run_id
    whole = all(verify_release(folder) for folder in out.glob("runs/*/*"))
    landed = any((out / home / "flights/new").exists() for home in ("runs", "quarantine"))
    with open_output(out, "flights") as output:
        entries, tables = output.ledger.entries(), output.published_tables()
    result = {
        "call": call, "at": at, "met": met, "status": status, "found": found, "whole": whole, "landed": landed,
        "leads": current(out, "flights").name, "accepted": accepted(entries).run_id,
        "lines": [(entry.event, entry.run_id) for entry in entries], "stray": strays(out),
        "tables": {entry.run_id: path and sha256_file(path) for entry, path in tables},
        "said": (root / "log").read_text(),
    }  # fmt: skip
    publish(out)
    result["next"] = verify_release(current(out, "flights")).run_id
    shutil.rmtree(root)
    return result


def strays(out):
    """Return what only a run in progress may have there."""
    staged = list((out / ".staging/flights").iterdir())
    hidden = [path for path in out.rglob("*") if path.name.startswith(".") and path.name not in {".staging", ".locks"}]
    return sorted({path.relative_to(out).as_posix() for path in (*staged, *hidden)})


def outcomes(scenario, fault, folder, every=1):
    """Step through all calls that the scenario makes when undisturbed; of the many `openat`, every so many-th."""
    template = folder / "template"
    prepare(template)
    for call, n in sorted(counted(scenario, template, folder / "whole").items()):
        for at in range(1, n + 1, every if call == "openat" else 1):
            found = outcome(scenario, fault, call, at, template, folder / f"{call}-{at}")
            if found["met"]:  # Python looks into its packages anew when something is installed: the number may change
                yield found


def counted(scenario, template, root):
    """Return how often each call is made by an undisturbed run."""
    shutil.copytree(template, root / "out", symlinks=True)
    status, lines = attach(lambda: SCENARIOS[scenario](root / "out"), root, "-e", f"trace={','.join(CALLS)}")
    if status != 0:
        raise RuntimeError((root / "log").read_text())
    return Counter(line.split("(")[0].split()[-1] for line in lines if "(" in line)


def traced(folder):
    """Return the calls of a publish as `name path`, the path from the root on, as strace saw them."""
    prepare(folder / "out")
    names = "openat,mkdir,rename,renameat,renameat2,fsync,fdatasync,symlink,write,sendfile,copy_file_range"
    status, lines = attach(lambda: publish(folder / "out"), folder, "-e", f"trace={names}")
    if status != 0:
        raise RuntimeError((folder / "log").read_text())
    found = []
    for line in lines:
        call = re.match(r"\d+ +(\w+)\((.*)\) += \d", line)
        if call and "out/" in line:
            paths = re.findall(rf"{re.escape(str(folder))}/out/([^\">]*)", call[2])
            found.append((call[1], paths[-1] if paths else ""))
    return found


def main(scenario, *rest):
    if scenario == "trace":
        return traced(Path(rest[0]))
    return list(outcomes(scenario, rest[0], Path(rest[1]), *map(int, rest[2:])))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
