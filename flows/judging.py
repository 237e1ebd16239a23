"""Judging a table that any tool has drawn: what is measured, by which gates, and with the model that drew it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.report import Given, Likelihood, Report, RunIdentity, TrainingPoint
from evaluation.suite import evaluate
from evaluation.tables import Tables
from pipeline.fingerprint import fingerprint
from pipeline.manifest import code_fingerprint, versions

from .decision import digest
from .progress import Move, by_stage
from .records import notes, training_curve
from .references import Reference
from .settings import Judging

if TYPE_CHECKING:
    from generators import TabularGenerator


def judge_tables(
    tables: Tables,
    config: Judging,
    given: Sequence[Given],
    generator: TabularGenerator | None = None,
    *,
    seed: int,
    move: Move,
) -> Report:
    """Measure and judge a synthetic table, and say of the model that drew it what the report of a run says.

    Args:
        tables: train, holdout and synthetic rows.
        config: what to measure, and the gates.
        given: where all of it comes from, as `given_tables` and `given_model` say.
        generator: the model that drew the table, None where it is not known.
        seed: of everything random.
        move: is told how far it is.
    """
    began = time.monotonic()
    run = _identity(tables, config, given, generator, seed)
    said = _OfModel()
    if generator is not None:
        move(0.0, "likelihood")
        said = _of_model(generator, tables, seed)
    report = evaluate(
        tables,
        config.evaluation,
        config.gates,
        seed=seed,
        run=run,
        training=said.training,
        likelihood=said.likelihood,
        notes=said.notes,
        on_progress=by_stage(move, len(config.evaluation.families) + 2),
    )
    return report.model_copy(update={"run": run.model_copy(update={"evaluate_s": time.monotonic() - began})})


def given_tables(tables: Tables, **paths: str) -> tuple[Given, ...]:
    """Return the name and the hash of each table, from the path of each.

    Example:
        >>> import pyarrow as pa
        >>> from pipeline.columns import Integer
        >>> from pipeline.schema import Schema
        >>> table = pa.table({"age": [30, 40]})
        >>> tables = Tables(Schema(columns=(Integer(name="age", arrow="int64"),)), table, table, table)
        >>> [given.name for given in given_tables(tables, train="data/a.csv", synthetic="b.csv")]
        ['a.csv', 'b.csv']
    """
    return tuple(
        Given.model_validate({"role": role, "name": Path(path).name, "sha256": fingerprint(getattr(tables, role))})
        for role, path in paths.items()
    )


def given_model(folder: Path) -> Given:
    """Return the name and the hash of a model's folder."""
    return Given(role="model", name=folder.resolve().name, sha256=Reference.to(folder).sha256)


@dataclass(frozen=True)
class _OfModel:
    """What a report says of the model; nothing where there is none."""

    training: tuple[TrainingPoint, ...] = ()
    likelihood: Likelihood | None = None
    notes: tuple[str, ...] = ()


def _of_model(generator: TabularGenerator, tables: Tables, seed: int) -> _OfModel:
    from .likelihood import likelihood_of  # takes seconds to import, as `generators` does

    return _OfModel(
        training=training_curve(generator),
        likelihood=likelihood_of(generator, tables, seed=seed),
        notes=(*notes(generator.schema, generator, reused_model=False), *_other_rows(generator, tables)),
    )


def _other_rows(generator: TabularGenerator, tables: Tables) -> tuple[str, ...]:
    """Return a sentence where the model cannot have been fitted to just these train rows."""
    learned, n_train = generator.fitted.n_rows, tables.train.num_rows
    if learned == n_train:
        return ()
    return (f"The model was first fitted to {learned:,} rows; the train table has {n_train:,}.",)


def _identity(
    tables: Tables, config: Judging, given: Sequence[Given], generator: TabularGenerator | None, seed: int
) -> RunIdentity:
    return RunIdentity(
        name=next((one.name for one in given if one.role == "synthetic"), ""),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        generator="" if generator is None else generator.config.kind,
        config_sha256=digest(config.model_dump(mode="json")),
        code_sha256=code_fingerprint(),
        n_train=tables.train.num_rows,
        n_holdout=tables.holdout.num_rows,
        n_synthetic=tables.synthetic.num_rows,
        fit_s=generator.history[-1].elapsed_s if generator is not None and generator.history else None,
        versions=versions(),
        given=tuple(given),
    )
