"""A made-up report of realistic shape, so that the page can be tested and looked at without a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import combinations

import numpy as np

from evaluation.gate import Gates, judge
from evaluation.history import figures
from evaluation.measurement import Family, Measured, Measurement, Unmeasured
from evaluation.report import (
    MISSING_LABEL,
    OTHER_LABEL,
    ColumnNats,
    ColumnProfile,
    EarlierRelease,
    Giveaway,
    Likelihood,
    LossAttack,
    LossCurve,
    LossPoint,
    Nats,
    NatsDifference,
    PairProfile,
    PrivacyTest,
    Quantiles,
    Report,
    ReportedColumn,
    RunIdentity,
    Series,
    SinceLast,
    SourceDrift,
    Subgroup,
    TrainingPoint,
)
from tests.evaluation.example_privacy import Privacy, part, privacy_tests

NAMES = ("month", "carrier", "origin", "dest", "departed_at", "dep_delay", "arr_delay", "air_time", "distance", "late")
KINDS = ("integer", "categorical", "categorical", "categorical", "timestamp", *["continuous"] * 4, "boolean")
LEVELS = (
    "UA",
    "B6",
    "EV",
    "DL",
    "AA",
    "MQ",
    "US",
    "9E",
    "WN",
    "VX",
    "FL",
    "AS",
    "F9",
    "YV",
    OTHER_LABEL,
    MISSING_LABEL,
)


def measured(metric: str, family: Family, value: float, **company: object) -> Measured:
    settings = {"best": 0.0, "worst": 1.0, "n_rows": 12_000, "source": "Massey 1951"} | company
    return Measured.model_validate({"metric": metric, "family": family, "value": value} | settings)


def likelihood(names: Sequence[str]) -> Likelihood:
    means = {"train": 21.4, "holdout": 21.9, "synthetic": 21.5}
    return Likelihood(
        kind="encoded_space",
        nats=tuple(
            Nats.model_validate({"table": role, "mean": x, "interval": (x - 0.2, x + 0.2), "n_rows": 2_000})
            for role, x in means.items()
        ),
        overfitting=NatsDifference(value=0.5, interval=(0.2, 0.8)),
        overconfidence=NatsDifference(value=0.4, interval=(-0.1, 0.9)),
        loss_attack=LossAttack(auc=0.55, auc_interval=(0.52, 0.58), tpr=0.02, tpr_interval=(0.006, 0.05), n_rows=960),
        columns=tuple(column_nats(name, i) for i, name in enumerate(names)),
        curves=(loss_curve("Nats of a hidden cell", "Share of cells known"), loss_curve("Squared error", "Time t")),
        units=(1.2, 0.4, 0.0),
        n_active_units=2,
    )


def column_nats(name: str, place: int) -> ColumnNats:
    """Return the nats of a column; the farther back, the fewer they are, and the less of them the model expects."""
    nats, difference = 3 / (place + 1), 0.03 * (place - 2)
    interval = (difference - 0.05, difference + 0.05)
    overconfidence = NatsDifference(value=difference, interval=interval)
    return ColumnNats(column=name, nats=nats, expected=nats - difference, overconfidence=overconfidence)


def loss_curve(title: str, unit: str) -> LossCurve:
    points = tuple(LossPoint(x=i / 16, loss=0.9 - i / 30, untrained=1.0) for i in range(16))
    return LossCurve(title=title, unit=unit, points=points)


def overall(*, leaking: bool = False, target: bool = True) -> tuple[Measurement, ...]:
    auc, share = (0.71, 0.68) if leaking else (0.562, 0.503)
    utility: tuple[Measurement, ...] = (
        measured("utility_gap", "utility", 0.011, interval=(0.003, 0.019), ceiling=0.0, floor=0.31),
        measured("tstr_auc", "utility", 0.911, interval=(0.905, 0.917), ceiling=0.922, floor=0.5, best=1.0, worst=0.5),
        measured("tstr_auc", "utility", 0.874, ceiling=0.881, best=1.0, worst=0.5, subject="linear model"),
    )
    if not target:
        utility = (
            Unmeasured(metric="utility_gap", family="utility", reason="no target is declared", applicable=False),
        )
    return (
        measured("shape_error", "marginals", 0.0123, interval=(0.0101, 0.0144), ceiling=0.0082, floor=0.37),
        measured("missing_rate_error", "marginals", 0.0041, interval=(0.002, 0.006), ceiling=0.0022, floor=0.44),
        measured("trend_error", "pairs", 0.0217, interval=(0.018, 0.025), ceiling=0.0179, floor=0.13),
        measured("c2st_auc", "detection", auc, interval=(auc - 0.011, auc + 0.011), ceiling=0.5, floor=0.93, best=0.5),
        *utility,
        measured("dcr_share", "privacy", share, interval=(share - 0.01, share + 0.01), ceiling=0.5, floor=1, best=0.5),
        measured("nndr", "privacy", 0.83, interval=(0.82, 0.84), ceiling=0.829, floor=0.0, best=1.0, worst=0.0),
        measured("exact_copies", "privacy", 0.021 if leaking else 0.0006, ceiling=0.0005, floor=1.0),
        measured("exact_copies_p", "privacy", 0.001 if leaking else 0.41, best=1.0, worst=0.0),
    )  # fmt: skip


def more_families() -> tuple[Measurement, ...]:
    """The families that no default gate judges."""
    up = {"best": 1.0, "worst": 0.0}
    return (
        measured("alpha_precision", "joint", 0.962, interval=(0.951, 0.973), ceiling=0.981, floor=0.41, **up),
        measured("beta_recall", "joint", 0.931, interval=(0.92, 0.942), ceiling=0.977, floor=0.38, **up),
        measured("worst_subgroup_error", "subgroups", 0.118, interval=(0.082, 0.154), ceiling=0.071, floor=0.39),
        Unmeasured(metric="missing_subgroups", family="subgroups", reason="no column is nullable", applicable=False),
    )  # fmt: skip


def subgroups() -> tuple[Subgroup, ...]:
    def group(level: str, place: int) -> Subgroup:
        value, share = 0.12 / (place + 1), 0.03 * (place + 1)
        error = measured("subgroup_error", "subgroups", value, interval=(value / 1.2, value * 1.25), ceiling=0.05)
        few = Unmeasured(metric="subgroup_utility", family="subgroups", reason="fewer than 50 holdout rows")
        own = (error, few) if place == 0 else (error,)
        return Subgroup(column="carrier", level=level, share_train=share, share_synthetic=0.8 * share, measurements=own)

    return tuple(group(level, place) for place, level in enumerate(("F9", "AS", "(other)", "VX")))


def profile(name: str, kind: str, place: int, levels: Sequence[str] = LEVELS) -> ColumnProfile:
    rng = np.random.default_rng(place)
    labels = tuple(levels)
    shape = 0.72 ** np.arange(len(labels))
    if kind == "boolean":
        labels, shape = ("false", "true", MISSING_LABEL), np.array([0.76, 0.22, 0.02])
    elif kind != "categorical":
        labels = (*(f"{10 * i} – {10 * i + 10}" for i in range(20)), MISSING_LABEL)
        shape = np.append(np.exp(-0.5 * ((np.arange(20) - 6) / (2 + place % 4)) ** 2) + 0.01, 0.3)
    series = []
    for table, noise in (("train", 0.0), ("holdout", 0.03), ("synthetic", 0.012 * place)):
        shares = shape * np.exp(noise * rng.standard_normal(len(shape)))
        series.append(Series(table=table, shares=tuple((shares / shares.sum()).tolist())))
    metric = "tvd" if kind in {"categorical", "boolean"} else "ks"
    value = 0.003 * (place + 1)
    error = measured(
        metric, "marginals", value, interval=(0.8 * value, 1.2 * value), ceiling=0.004, floor=0.4, subject=name
    )
    missing = measured("missing_rate_error", "marginals", 0.001 * place, ceiling=0.002, subject=name)
    worms = [] if kind in {"categorical", "boolean"} else [("holdout", 0.004), ("synthetic", 0.003 * place)]
    quantiles = [
        Quantiles.model_validate({"table": table, "shifts": tuple((noise * rng.standard_normal(19)).cumsum().tolist())})
        for table, noise in worms
    ]
    return ColumnProfile(
        column=name, kind=kind, labels=labels, series=tuple(series), measurements=(error, missing),
        quantiles=tuple(quantiles),
    )  # fmt: skip


def pair(first: str, second: str, place: int) -> PairProfile:
    train = math.sin(3.7 * place)
    synthetic = None if place == 3 else train * 0.9 + 0.02 * math.cos(place)
    return PairProfile(
        first=first, second=second, statistic=("pearson", "cramers_v", "correlation_ratio")[place % 3], train=train,
        holdout=train * 0.98, synthetic=synthetic, contingency_error=0.05 / (1 + place % 17),
    )  # fmt: skip


def earlier_release(night: int, now: Report) -> EarlierRelease:
    """Return the release of a night: every figure of `now`, moved a little; one was not measured on night 4."""
    now_by_name = figures(now).items()
    moved = {name: value * (1 + 0.06 * math.sin(2.1 * night + i)) for i, (name, value) in enumerate(now_by_name)}
    if night == 4:
        moved.pop("c2st_auc")
    day = date(2026, 1, 18) + timedelta(days=night)
    return EarlierRelease(
        run_id=f"{day}-{night:012x}", date=day, verdict="REVIEW" if night % 5 == 3 else "PASS",
        n_rows=10_800 + 97 * night, action="refit" if night % 4 == 0 else "warm_start", figures=moved,
    )  # fmt: skip


def with_parts_of_every_column(report: Report) -> Report:
    """Return the report with as many parts of G1 and G2 as a table of its columns has."""
    names = [column.name for column in report.schema_columns]
    counted = "3 of 1,204 values in the half of train, 4 of 1,198 in holdout; 12,000 synthetic rows asked"
    values = ("repeated single values of train, at the size of holdout", "extremes of train that came back", "p-value")
    of = {
        "g1_copies": [part(f"all but one column: {name}", "share of synthetic rows", 0.0004, 0.0003) for name in names],
        "g2_value_support": [part(name, value, 0.012, 0.004) for name in names for value in values],
    }
    tests = [
        test.model_copy(update={"parts": tuple(p.model_copy(update={"note": counted}) for p in of[test.name])})
        if test.name in of
        else test
        for test in report.privacy
    ]
    return report.model_copy(update={"privacy": tuple(tests)})


def judged_twice(test: PrivacyTest, n_releases: int) -> PrivacyTest:
    """Return the test with its parts of this release and of all of them together."""
    subjects = ("this release", f"all {n_releases} published releases together (20,000 of 157,000 rows)")
    parts = tuple(part.model_copy(update={"of": of}) for part in test.parts for of in subjects)
    return test.model_copy(update={"parts": parts})


def with_history(report: Report, n_releases: int = 12) -> Report:
    """Return the report as that of a night after `n_releases` others."""
    history = tuple(earlier_release(night, report) for night in range(n_releases))
    names = [column.name for column in report.schema_columns]
    since = SinceLast(
        decision="warm_start" if history else "refit",
        reason="312 rows were appended to the source, which is fewer than a fifth." if history else "First release.",
        last=history[-1] if history else None,
        history=history,
        drift=tuple(
            SourceDrift(column=name, statistic="population stability index", value=0.31 / (i + 1), threshold=0.2)
            for i, name in enumerate(names if history else ())
        ),
        changes=('Column "carrier" has 2 new levels, which were accepted.',) if history else (),
        n_train_then=11_688 if history else None,
        n_train_now=12_000,
    )
    privacy = tuple(judged_twice(test, n_releases + 1) for test in report.privacy) if history else report.privacy
    return report.model_copy(update={"since_last": since, "n_published": n_releases, "privacy": privacy})


def example_report(
    *,
    names: Sequence[str] = NAMES,
    leaking: bool = False,
    target: bool = True,
    gates: Gates | None = None,
    privacy: Privacy = "PASS",
) -> Report:
    """Return a report on columns called `names`; `leaking` makes gates and privacy tests fail, as copied rows would."""
    measurements = (*overall(leaking=leaking, target=target), *more_families())
    tests = privacy_tests("FAIL" if leaking else privacy)
    results, verdict = judge(measurements, tests, gates or Gates())
    kinds = [KINDS[i % len(KINDS)] for i in range(len(names))]
    pairs = [pair(a, b, i) for i, (a, b) in enumerate(combinations(names[:25], 2))]
    return Report(
        verdict=verdict,
        gates=results,
        run=RunIdentity(
            run_id="2026-01-31T02-00-00Z-5f1c", name="flights", created="2026-01-31 02:00 UTC", seed=0,
            generator="flow_matching", config_sha256="3b" * 32, data_sha256="a9" * 32, code_sha256="07" * 32,
            n_train=12_000, n_holdout=3_000, n_synthetic=12_000, fit_s=118.4, sample_s=1.9, evaluate_s=22.0,
            versions={"tabmint": "0.1.0", "torch": "2.13.0", "pandas": "3.1.0"},
        ),
        measurements=measurements,
        schema_columns=tuple(
            ReportedColumn(name=name, kind=kind, arrow="double", nullable=True, reason="5 of 12,000 values repeat")
            for name, kind in zip(names, kinds, strict=True)
        ),
        columns=tuple(profile(name, kinds[i], 11 - i % 12) for i, name in enumerate(names)),
        pairs=tuple(sorted(pairs, key=lambda pair: -pair.contingency_error)),
        giveaways=tuple(Giveaway(column=name, importance=0.04 / (i + 1)) for i, name in enumerate(names[:8])),
        privacy=tests,
        subgroups=subgroups(),
        training=tuple(
            TrainingPoint(
                step=i * 10, elapsed_s=i * 0.6, train_loss=12 + 9 * math.exp(-i / 20) - i / 120,
                validation_loss=12.2 + 9 * math.exp(-i / 20) + (max(i - 120, 0) / 90) ** 2 if i % 10 == 0 else None,
            )
            for i in range(1, 200)
        ),
        likelihood=likelihood(names),
        notes=("The column \"remarks\" is free text and was replaced by a placeholder.",),
    )  # fmt: skip
