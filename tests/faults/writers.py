"""Let processes publish to one output at the same time, beside readers that verify what is current.

`python -m tests.faults.writers FOLDER N_WRITERS N_ROUNDS` prints as JSON what all of them met.
"""

import json
import random
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from pipeline.errors import PublishError
from pipeline.ledger import Ledger, accepted, date_of, releases
from pipeline.manifest import verify_release
from pipeline.publish import current
from tests.faults import warm
from tests.pipeline.releases import release

N_READERS = 2
TABLE_BYTES = 200_000


def write(root, writer, n_rounds):
    """Publish one release per round, most of a later date than the last; note how often another run held the output."""
    rng, held = random.Random(writer), 0
    for number in range(n_rounds):
        run_id, day = f"w{writer}-{number}", date(2026, 1, 1) + timedelta(days=10 * number + rng.randrange(20))
        content = run_id.encode() * (TABLE_BYTES // len(run_id))
        while not _published(root, run_id, content, str(day)):
            held += 1
            time.sleep(rng.uniform(0.001, 0.02))
    (root.parent / f"writer-{writer}.json").write_text(json.dumps(held))
    return 0


def _published(root, run_id, content, day):
    """Publish, or return False where another run holds the output; any other refusal ends the writer."""
    try:
        release(root, run_id, content, report=run_id.encode(), day=day)
    except PublishError as error:
        if "one run at a time" not in str(error):
            raise
        return False
    return True


def read(root, reader):
    """Verify what is current until all is written: every file is of the release that its manifest names."""
    n_reads, seen, stop = 0, set(), root.parent / "stop"
    while not stop.exists():
        folder = current(root, "flights")
        if folder is None:
            continue
        run_id = verify_release(folder).run_id
        table, report = (folder / "synthetic.csv").read_bytes(), (folder / "report.json").read_text()
        if not report == run_id == folder.name or table.replace(run_id.encode(), b""):
            raise AssertionError(f"mixed: {folder.name} holds files of {run_id} and {report}")
        n_reads, seen = n_reads + 1, seen | {run_id}
    (root.parent / f"reader-{reader}.json").write_text(json.dumps([n_reads, len(seen)]))
    return 0


def main(folder, n_writers, n_rounds):
    root = folder / "out"
    readers = [
        warm.fork(lambda number=number: read(root, number), folder / f"reader-{number}.log")
        for number in range(N_READERS)
    ]
    writers = [
        warm.fork(lambda number=number: write(root, number, n_rounds), folder / f"writer-{number}.log")
        for number in range(n_writers)
    ]
    wrote = [warm.wait(child) for child in writers]
    (folder / "stop").touch()
    return {
        "wrote": wrote,
        "read": [warm.wait(child) for child in readers],
        "said": [said for log in sorted(folder.glob("*.log")) if (said := log.read_text())],
        "held": [json.loads(path.read_text()) for path in sorted(folder.glob("writer-*.json"))],
        "reads": [json.loads(path.read_text()) for path in sorted(folder.glob("reader-*.json"))],
        **state(root),
    }


def state(root):
    """Return what the output holds in the end."""
    entries = Ledger(root, "flights").entries()
    return {
        "lines": sorted(entry.run_id for entry in releases(entries)),
        "events": len(entries),
        "folders": sorted(verify_release(path).run_id for path in (root / "runs/flights").iterdir()),
        "current": current(root, "flights").name,
        "accepted": accepted(entries).run_id,
        "newest": max(reversed(releases(entries)), key=date_of).run_id,  # of one date the one that was written last
        "staged": [path.name for path in (root / ".staging/flights").iterdir()],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
