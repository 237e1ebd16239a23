"""Releases for tests: manifests and records with everything that does not matter filled in."""

from pipeline.ledger import Inputs, Record
from pipeline.manifest import Manifest, versions
from pipeline.publish import open_output
from pipeline.schema import Integer, Schema


def record(day="2026-01-01", **facts):
    inputs = Inputs(data="d", table_schema="s", learning="l", judging="j", code="c")
    return Record(**{"date": day, "action": "refit", "reason": "First.", "inputs": inputs, "model": "m",
                     "scale": "s", "n_train": 1, **facts})  # fmt: skip


def manifest(run_id="r1", verdict="PASS", name="flights", day="2026-01-01", created="2026-01-01T00:00:00+00:00"):
    return Manifest(
        name=name,
        run_id=run_id,
        created=created,
        verdict=verdict,
        n_rows=1,
        table_schema=Schema(columns=(Integer(name="a", arrow="int64"),)),
        seed=3,
        config={"generator": {"kind": "flow_matching"}},
        versions=versions(),
        data_sha256="d",
        code_sha256="c",
        record=record(day),
    )


def release(root, run_id="r1", table=b"a\n1\n", report=b"{}", parquet=None, **facts):
    with open_output(root, "flights") as output:
        folder = output.stage(run_id)
        (folder / "synthetic.csv").write_bytes(table)
        if parquet is not None:
            (folder / "synthetic.parquet").write_bytes(parquet)
        (folder / "report.json").write_bytes(report)
        return output.publish(folder, manifest(run_id, **facts))


def refuse(root, run_id="q1"):
    with open_output(root, "flights") as output:
        folder = output.stage(run_id)
        (folder / "report.json").write_bytes(b"{}")
        return output.quarantine(folder, manifest(run_id, verdict="FAIL"))
