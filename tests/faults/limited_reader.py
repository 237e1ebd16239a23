"""`python -m tests.faults.limited_reader (trusted|isolated|model) PATH...` reads each file under limits.

It writes one line for each: "read", the class of the InputError that refused it, or "DEFECT" and what happened. A file
that takes longer than ten seconds ends it with SIGALRM, one that crashes it with another signal.
"""

import resource
import signal
import subprocess
import sys

from pipeline.errors import InputError

LONGEST_S = 10
ADDRESSES, SECONDS = 6 * 2**30, 300


def read(kind, path):
    if kind == "model":
        from generators import TabularGenerator

        return TabularGenerator.load(path).sample(3, seed=0)
    from pipeline.fingerprint import fingerprint
    from pipeline.inference import infer
    from pipeline.source import SourceConfig, load

    table = load(SourceConfig(path=path, isolated=kind == "isolated")).typed()
    return infer(table), fingerprint(table)


def outcome(kind, path):
    try:
        read(kind, path)
    except InputError as error:
        return type(error).__name__ if error.rule and error.actual else f"DEFECT a poor message: {error}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a defect
        return f"DEFECT {error!r}"
    return "read"


def outcomes(kind, paths):
    """Read the files in limited processes: a new one after each that crashed, whose line is the name of the signal."""
    lines = []
    while len(lines) < len(paths):
        command = [sys.executable, "-m", "tests.faults.limited_reader", kind, *map(str, paths[len(lines) :])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        lines += done.stdout.splitlines()
        if done.returncode < 0:
            lines.append(signal.Signals(-done.returncode).name)
        elif done.returncode:
            raise AssertionError(done.stderr)
    return lines


def main(kind, *paths):
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path in paths:
        signal.alarm(LONGEST_S if kind == "trusted" else 6 * LONGEST_S)
        print(outcome(kind, path).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
