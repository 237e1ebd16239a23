"""The report: everything measured, the gates' verdicts, and what a person needs to judge them. It holds no row."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config import Config

from .measurement import Interval, Measured, Measurement

REPORT_VERSION: Literal[4] = 4
MOST_EARLIER = 60
MISSING_LABEL = "(missing)"
OTHER_LABEL = "(other)"
Verdict = Literal["PASS", "REVIEW", "FAIL"]
Action = Literal["skip", "sample", "warm_start", "refit"]
Number = Annotated[float, Field(allow_inf_nan=False)]
GateVerdict = Literal["PASS", "REVIEW", "FAIL", "NOT TESTABLE", "OFF", "NOT APPLICABLE"]
TestName = Literal[
    "g0_identifiers",
    "g1_copies",
    "g2_value_support",
    "g3_nearest_records",
    "g4_membership",
    "g5_outliers",
    "g6_canaries",
    "g7_inference",
]


class GateResult(Config):
    """One gate's decision. `rule` reads like "c2st_auc <= 0.65"; `value` is the number that was compared with it.

    `statistic` says what `value` is, in words, also where there is none.
    `limit` is where the bound lies on the metric's own scale, None where nothing was judged.
    `p_value` is how often chance alone shows as much, where the rule asks for it.
    `reason` is a sentence for a person. OFF means switched off in the configuration; NOT APPLICABLE means that a
    declaration leaves nothing to measure (no target is declared).
    """

    name: str
    metric: str
    rule: str
    statistic: str
    value: float | None
    verdict: GateVerdict
    reason: str
    limit: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    detection_limit: str = ""


class TestPart(Config):
    """One number behind a privacy test: an attack, a column, a group of rows or a way of counting.

    `verdict` is the part's own; the worst part decides the test. `of` says which rows were judged, this release or all
    published ones together; empty where there is no earlier release.
    """

    __test__ = False  # not a test case of pytest

    subject: str
    statistic: str
    value: float
    interval: Interval | None = None
    p_value: float | None = None
    verdict: GateVerdict
    note: str = ""
    of: str = ""


class PrivacyTest(Config):
    """One test of the privacy gate, decided by its own statistics. It names no record and no value of one.

    Attributes:
        name: which test.
        verdict: PASS, REVIEW or FAIL; NOT TESTABLE where there are too few rows; NOT APPLICABLE where a declaration
            leaves nothing to test.
        statistic: what `value` is, in words.
        value: the number that decided, or of the gravest part where p-values decide; None where nothing was measured.
        interval: its interval, at the level that `rule` names, or of 95 %.
        p_value: how often chance alone shows as much, all parts combined; None where an interval decides.
        rule: when the test passes and when it fails, in one line.
        reason: a sentence for a person: what was found and what it means.
        detection_limit: the smallest leak that this test would have seen with these row counts, as a sentence.
        parts: what the verdict was made from, worst first.
        source: where the test is defined.
    """

    __test__ = False

    name: TestName
    verdict: GateVerdict
    statistic: str
    value: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    rule: str
    reason: str
    detection_limit: str = ""
    parts: tuple[TestPart, ...] = ()
    source: str = ""


class Subgroup(Config):
    """How well the rows of one level of a column are reproduced; a rare level's label is never shown."""

    column: str
    level: str
    share_train: float
    share_synthetic: float
    measurements: tuple[Measurement, ...]


class Series(Config):
    """One curve of a small chart: shares per label that sum to one over the rows of one table."""

    table: Literal["train", "holdout", "synthetic"]
    shares: tuple[float, ...]


class Quantiles(Config):
    """Where the 5 %, 10 %, ... 95 % quantiles of a table lie among the train rows, less where train's own lie.

    Ranks of train in [-1, 1]: above 0, the table's quantile is larger than train's. No value of a row can be told.
    """

    table: Literal["holdout", "synthetic"]
    shifts: tuple[Number, ...]


class ColumnProfile(Config):
    """One column of the three tables, as shares over common bins; levels carried by too few rows are pooled.

    The pool's label is `OTHER_LABEL`; missing cells are the last bin, labelled `MISSING_LABEL`. The first measurement
    is the one that ranks the column.
    """

    column: str
    kind: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    measurements: tuple[Measurement, ...]
    quantiles: tuple[Quantiles, ...] = ()


class PairProfile(Config):
    """One pair of columns: the strength of association in each table, and the contingency error on bins from train."""

    first: str
    second: str
    statistic: Literal["pearson", "cramers_v", "correlation_ratio"]
    train: float | None
    holdout: float | None
    synthetic: float | None
    contingency_error: float


class Giveaway(Config):
    """How much a column helps the detector: the loss in AUC when it is permuted."""

    column: str
    importance: float


class TrainingPoint(Config):
    """One point of the training curve."""

    step: int
    elapsed_s: float
    train_loss: float
    validation_loss: float | None


class Nats(Config):
    """How surprising the rows of one table are to the model: mean nats per row, with its 95 % interval.

    Rows that the model takes for impossible, such as those with a level that train does not have, are not in the mean.
    """

    table: Literal["train", "holdout", "synthetic"]
    mean: Number
    interval: Interval
    n_rows: int
    n_impossible: int = 0


class NatsDifference(Config):
    """The difference of two means in nats, with its 95 % interval."""

    value: Number
    interval: Interval


class ColumnNats(Config):
    """What the tokens of one column cost on holdout rows, given the columns before it, and what the model expects.

    Attributes:
        column: its name.
        nats: the mean of -log p(token | tokens before it).
        expected: the mean entropy of the same p: what the model would pay if it were right.
        overconfidence: nats - expected, row by row; above 0 the model is surer of itself than it is right.
    """

    column: str
    nats: Number
    expected: Number
    overconfidence: NatsDifference


class LossPoint(Config):
    """Mean losses over one stratum of time: where it begins, that of the model, and that of one untrained."""

    x: Number
    loss: Number
    untrained: Number


class LossCurve(Config):
    """The loss of one part of the model along the time of its process, on rows held out of training.

    Attributes:
        title: what is lost, with its unit.
        unit: what time is counted in.
        points: by strata of time.
    """

    title: str
    unit: str
    points: tuple[LossPoint, ...]


class LossAttack(Config):
    """What somebody who holds the model can tell of who was in train, by taking the likelier records for members.

    The table alone does not allow this attack, so no gate judges it; it says whether the model may be shared.

    Attributes:
        auc: area under the curve over records of train and of holdout; one half is guessing.
        auc_interval: its 95 % interval.
        tpr: share of train's records that are found at 1 % false positives; 0.01 is guessing.
        tpr_interval: its 95 % interval.
        n_rows: records of train and of holdout together, each unlike every other of both.
    """

    auc: float
    auc_interval: Interval
    tpr: float
    tpr_interval: Interval
    n_rows: int


class Likelihood(Config):
    """What a model with a density makes of the tables.

    Attributes:
        kind: of the density: exact, a lower bound, or one in encoded space.
        nats: of each table.
        overfitting: holdout - train; above 0 the model knows train better than the rows that it is to stand for.
        overconfidence: holdout - synthetic; above 0 real rows surprise the model more than its own do.
        loss_attack: what these tell of who was in train; None where too few records are unlike all others.
        columns: the token columns, in the order in which the model draws them; in a mixture the means over the
            members, and none in a family without a chain of tokens.
        curves: the losses along the time of a flow or a diffusion; in a mixture those of the first member.
        units: the divergence of each latent unit in nats, the largest first.
        n_active_units: how many of them vary from row to row.
    """

    kind: Literal["exact", "lower_bound", "encoded_space"]
    nats: tuple[Nats, ...]
    overfitting: NatsDifference
    overconfidence: NatsDifference
    loss_attack: LossAttack | None = None
    columns: tuple[ColumnNats, ...] = ()
    curves: tuple[LossCurve, ...] = ()
    units: tuple[Number, ...] = ()
    n_active_units: int = 0


class Given(Config):
    """A table, or the model, that an evaluation of tables of any tool was given.

    `sha256` is that of a table's schema and values, whatever they are stored in, or that of a model's manifest.
    """

    role: Literal["train", "holdout", "synthetic", "model"]
    name: str
    sha256: str


class RunIdentity(Config):
    """What was run, on what, with what, at what cost. Hashes are sha256 in hex.

    A run knows its source by `data_sha256`; tables that no run has drawn are known by `given`, each by its own hash.
    """

    run_id: str = ""
    name: str = ""
    created: str = ""
    seed: int = 0
    generator: str = ""
    config_sha256: str = ""
    data_sha256: str = ""
    code_sha256: str = ""
    n_train: int
    n_holdout: int
    n_synthetic: int
    fit_s: float | None = None
    sample_s: float | None = None
    evaluate_s: float | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    given: tuple[Given, ...] = ()


class ReportedColumn(Config):
    """One line of the schema section: no level and no bound of the data, only the declaration."""

    name: str
    kind: str
    arrow: str
    nullable: bool
    reason: str = ""


class EarlierRelease(Config):
    """One release that was published before: how it came about, its verdict, and its figures by metric."""

    run_id: str
    date: date
    verdict: Verdict
    n_rows: int
    action: Action
    figures: dict[str, Number] = Field(default_factory=dict)


class SourceDrift(Config):
    """How far the distribution of one source column has moved since the last accepted release."""

    column: str
    statistic: str
    value: Number
    threshold: Number


class SinceLast(Config):
    """What became of the source and of the output since the last accepted release, and what this run did about it.

    Attributes:
        decision: how the table came about.
        reason: why, as a sentence.
        last: the release that was current when the run began, None for the first run.
        history: the releases before this one, oldest first.
        drift: columns of the source whose distribution was compared, worst first.
        changes: changes of the schema that were accepted or warned of, a sentence each.
        n_train_then: train rows of the last accepted release.
        n_train_now: train rows of this run.
    """

    decision: Action
    reason: str
    last: EarlierRelease | None = None
    history: tuple[EarlierRelease, ...] = Field(default=(), max_length=MOST_EARLIER)
    drift: tuple[SourceDrift, ...] = ()
    changes: tuple[str, ...] = ()
    n_train_then: int | None = None
    n_train_now: int | None = None


class Report(Config):
    """The whole report; `report.json` is this model, and its JSON Schema is `docs/report.schema.json`.

    Columns and pairs come worst first, giveaways strongest first. `n_published` counts the earlier releases that the
    privacy tests judged together with this one.
    """

    version: Literal[4] = REPORT_VERSION
    verdict: Verdict
    gates: tuple[GateResult, ...]
    run: RunIdentity
    measurements: tuple[Measurement, ...]
    schema_columns: tuple[ReportedColumn, ...]
    columns: tuple[ColumnProfile, ...]
    pairs: tuple[PairProfile, ...]
    giveaways: tuple[Giveaway, ...]
    privacy: tuple[PrivacyTest, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    training: tuple[TrainingPoint, ...] = ()
    likelihood: Likelihood | None = None
    notes: tuple[str, ...] = ()
    since_last: SinceLast | None = None
    n_published: int = 0

    def judged(self) -> list[GateResult]:
        """Return the gates that had something to judge: neither switched off nor without an object."""
        return [gate for gate in self.gates if gate.verdict not in ("OFF", "NOT APPLICABLE")]

    def failures(self) -> list[str]:
        """Return the reason of every gate that failed, in the gates' order."""
        return [gate.reason for gate in self.gates if gate.verdict in ("FAIL", "NOT TESTABLE")]

    def reviews(self) -> list[str]:
        """Return the reason of every gate that a person must look at, in the gates' order."""
        return [gate.reason for gate in self.gates if gate.verdict == "REVIEW"]

    def measured(self, metric: str) -> Measured | None:
        """Return the overall measurement named `metric`, or None where it is missing or unmeasured."""
        found = (m for m in self.measurements if m.metric == metric and not m.subject)
        return next((m for m in found if isinstance(m, Measured)), None)


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of `report.json`; `python -m evaluation.write_schema` writes the published copy.

    Example:
        >>> report_schema()["title"]
        'Report'

    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema()}
