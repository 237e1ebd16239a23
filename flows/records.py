"""What a job records about itself: the key of its model, the identity in its report, the manifest of its release."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.report import Report, RunIdentity, TrainingPoint
from evaluation.tables import Tables
from pipeline.columns import Identifier, Text
from pipeline.publish import Manifest, code_fingerprint, versions
from pipeline.schema import Schema

from .job import Job
from .settings import RunConfig

if TYPE_CHECKING:
    from generators import TabularGenerator


def model_key(config: RunConfig, train_sha256: str, schema: Schema) -> str:
    """Return the sha256, in hex, of everything that a fitted model depends on, code and library versions included."""
    settings = config.model_dump(mode="json", include={"seed", "transform", "generator"})
    depends = {"settings": settings, "train": train_sha256, "schema": schema.model_dump(mode="json")}
    return _sha256({**depends, "code": code_fingerprint(), "versions": versions()})


def recorded_config(config: RunConfig) -> dict[str, Any]:
    """Return the config as it may be recorded in what is published: JSON values that tell nothing of the machine.

    The connection string is left out, for it may hold a password; of paths the last part stays.

    Example:
        >>> source = {"uri": "postgresql://me:secret@host/db", "query": "select 1"}
        >>> recorded_config(RunConfig(name="a", source=source))["source"]["uri"]
        'postgresql:(not recorded)'
    """
    settings = config.model_dump(mode="json")
    if config.source.uri:
        settings["source"]["uri"] = config.source.uri.partition(":")[0] + ":(not recorded)"
    for section, key in ((settings["source"], "path"), (settings["output"], "root"), (settings, "schema_path")):
        section[key] = Path(section[key]).name if section[key] else section[key]
    return settings


def identity(
    job: Job, tables: Tables, generator: TabularGenerator, *, data_sha256: str, sample_s: float
) -> RunIdentity:
    """Return what the report says about the run."""
    return RunIdentity(
        run_id=job.run_id,
        name=job.config.name,
        created=job.created,
        seed=job.config.seed,
        generator=job.config.generator.kind,
        config_sha256=_sha256(recorded_config(job.config)),
        data_sha256=data_sha256,
        code_sha256=code_fingerprint(),
        n_train=tables.train.num_rows,
        n_holdout=tables.holdout.num_rows,
        n_synthetic=tables.synthetic.num_rows,
        fit_s=fit_seconds(generator),
        sample_s=sample_s,
        versions=versions(),
    )


def manifest(job: Job, report: Report, schema: Schema) -> Manifest:
    """Return what the release says about itself."""
    return Manifest(
        name=job.config.name,
        run_id=job.run_id,
        created=job.created,
        verdict=report.verdict,
        n_rows=report.run.n_synthetic,
        table_schema=schema,
        seed=job.config.seed,
        config=recorded_config(job.config),
        versions=report.run.versions,
        data_sha256=report.run.data_sha256,
        code_sha256=report.run.code_sha256,
    )


def training_curve(generator: TabularGenerator) -> tuple[TrainingPoint, ...]:
    """Return the report's training curve; empty for a generator that was not trained step by step."""
    return tuple(
        TrainingPoint(
            step=point.step,
            elapsed_s=point.elapsed_s,
            train_loss=point.train_loss,
            validation_loss=point.validation_loss,
        )
        for point in generator.history
    )


def notes(schema: Schema, *, reused_model: bool) -> tuple[str, ...]:
    """Return the sentences that the report prints beside its numbers.

    Example:
        >>> from pipeline.columns import Text
        >>> notes(Schema(columns=(Text(name="remark", arrow="string", policy="drop"),)), reused_model=False)
        ('The free text of column "remark" is left out.',)
    """
    texts = {
        "drop": "The free text of column {} is left out.",
        "replace": "The free text of column {} is replaced by a placeholder in every row.",
    }
    said = [texts[column.policy].format(f'"{column.name}"') for column in schema.columns if isinstance(column, Text)]
    keys = [f'The keys in column "{c.name}" are newly issued.' for c in schema.columns if isinstance(c, Identifier)]
    reused = ["The model is that of an earlier run on the same data, config and code."] if reused_model else []
    return (*said, *keys, *reused)


def fit_seconds(generator: TabularGenerator) -> float | None:
    """Return how long training took, None where nothing was trained step by step."""
    return generator.history[-1].elapsed_s if generator.history else None


def _sha256(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
