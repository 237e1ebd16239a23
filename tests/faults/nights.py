"""A job of two nights, small enough to be killed some hundred times: the first fits, the second goes on from its model.

Both nights have a fixed number of training steps, so that no clock decides what is learned.
"""

import json
import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.gate import Gates
from flows.cli import main
from generators.training import Trainer
from pipeline.artifact import sha256_file
from pipeline.errors import TabmintError
from pipeline.ledger import Ledger, accepted, releases
from pipeline.manifest import verify_release
from pipeline.publish import current
from tests.faults import warm

DATES = ("2026-01-01", "2026-01-02")
STEPS = ("ingest", "decide", "split", "fit", "sample", "evaluate", "gate", "publish")
N_STEPS, N_VALIDATIONS = 48, 8
INTERVAL = N_STEPS // N_VALIDATIONS
TRAINED = f"""\
kind = "flow_matching"
budget = "1h"
members = 1
depth = 1
width = 16
value_width = 16

[generator.training]
steps = {N_STEPS}
n_validations = {N_VALIDATIONS}
patience = {N_VALIDATIONS}
device = "cpu"
"""
UNTRAINED = 'kind = "independent"\n'
OFF = "".join(f'{name} = "off"\n' for name, _ in Gates().named() if name != "shape_error")


def write_job(folder, generator=TRAINED):
    """Write the config and the sources of both nights; the second has a few more rows.

    The source is read in the run's own process: to start another takes longer than all else that so small a job does.
    """
    folder.mkdir()
    (folder / "tabmint.toml").write_text(
        f'name = "people"\nseed = 3\n[source]\npath = "{{date}}.parquet"\nisolated = false\n[generator]\n{generator}\n'
        f'[evaluation]\nfamilies = ["marginals"]\n[gates]\n{OFF}shape_error = {{ at_most = 0.9 }}\n'
    )
    for date, n_rows in zip(DATES, (400, 412), strict=True):
        pq.write_table(people(n_rows), folder / f"{date}.parquet")


def people(n_rows):
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "id": range(n_rows),
            "sex": rng.choice(["f", "m"], 500)[:n_rows],
            "city": rng.choice(["Oslo", "Bergen", "Tromsø"], 500)[:n_rows],
            "income": rng.normal(3000, 500, 500).round(2)[:n_rows],
        }
    )


def start(folder, date, log):
    """Begin one night in a process of its own; the steps of training that it makes are noted beside its log."""
    return warm.fork(lambda: run(folder, date, log), log)


def run(folder, date, log):
    """Carry out one night in this process, as the command line does, and return its exit code."""
    notes, step = os.open(log.with_suffix(".trained"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), Trainer._step

    def noted(trainer):
        os.write(notes, b"%d\n" % (trainer.state.step + 1))
        step(trainer)

    Trainer._step = noted
    return main(["run", str(folder / "tabmint.toml"), "--no-prefect", "--date", date, "--traceback"])


def lines(log):
    """Return the step and the words of each line that a run has written so far."""
    split = (line.split(maxsplit=3) for line in log.read_text().splitlines() if " s  " in line[:12])
    return [(parts[2], parts[3] if len(parts) > 3 else "") for parts in split if len(parts) > 2]


def has_begun(log, step):
    return any(name == step for name, _ in lines(log))


def trained(log):
    """Return the numbers of the training steps that a run began."""
    notes = log.with_suffix(".trained")
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def done(log):
    """Return the steps of the job that a run really did, and ended: one that is only remembered has nothing to say."""
    said = [name for name, words in lines(log) if words.startswith("done in ") and ": " in words]
    remembered = [name for name, words in lines(log) if "used again" in words]
    return [name for name in said if name not in remembered]


def done_twice(logs):
    """Return which steps of one night were done again by a later run though an earlier one had ended them."""
    times = Counter(step for log in logs for step in set(done(log)) & {"split", "fit", "sample", "evaluate", "publish"})
    return [f"{step} was done {n} times" for step, n in times.items() if n > 1]


def results(root):
    """Return by date what each release in the ledger is; it must be the same however often its runs are killed."""
    return {
        str(entry.record.date): {
            "run_id": entry.run_id,
            "action": entry.record.action,
            "table": sha256_file(root / "runs/people" / entry.run_id / "synthetic.parquet"),
            "weights": sha256_file(root / "models/people" / entry.record.model / "weights.safetensors"),
            "curve": curve(root / "models/people" / entry.record.model),
            "figures": entry.record.figures,
        }
        for entry in releases(Ledger(root, "people").entries())
    }


def curve(model):
    """Return the losses that a model remembers of its training, those of before a kill too."""
    history = json.loads((model / "generator.json").read_text())["history"]
    return [[point["step"], point["train_loss"], point["validation_loss"]] for point in history]


def faults(root):
    """Return what is wrong with an output that no process holds: torn releases, strays in `runs`, a lost `current`."""
    try:
        for folder in (root / "runs/people").glob("*"):
            verify_release(folder)
        found = current(root, "people")
        return [] if found is None else [f"not in runs: {found}"] * (found.parent.name != "people")
    except TabmintError as error:
        return [str(error)]


def faults_at_the_end(root):
    """Return what is wrong with an output whose last run ended well."""
    entries = Ledger(root, "people").entries()
    published = Counter(entry.run_id for entry in releases(entries))
    folders = {path.name for path in (root / "runs/people").iterdir()}
    found = current(root, "people")
    leads = accepted(entries)
    stray = [path.as_posix() for path in (each.relative_to(root) for each in root.rglob("*")) if _is_stray(path)]
    return [
        *faults(root),
        *(f"{n} lines of release {run_id}" for run_id, n in published.items() if n != 1),
        *(f"in runs or in the ledger only: {name}" for name in folders ^ published.keys()),
        *([] if found and leads and found.name == leads.run_id else [f"current is {found}, accepted is {leads}"]),
        *(f"left behind: {path}" for path in stray),
    ]


def _is_stray(path):
    """Say whether a path below an output's root is what a finished run should have removed."""
    inside = path.parts[0] in {".staging", "work"} and path.parent.name == "people"
    return inside or path.suffix in {".new", ".checkpoint", ".stage", ".old"}
