"""What a ledger keeps of a report, so that releases can be followed over time."""

from __future__ import annotations

from .report import Report

FOLLOWED = (
    "exact_copies",
    "dcr_share",
    "membership_tpr",
    "membership_auc",
    "attribute_inference_risk",
    "singling_out_risk",
    "linkability_risk",
    "shape_error",
    "trend_error",
    "missing_rate_error",
    "c2st_auc",
    "utility_gap",
)
"""The overall numbers that are worth following: copies and the strength of the attacks, then what gates bound."""


def figures(report: Report) -> dict[str, float]:
    """Return the overall measured values that are followed over time; what was not measured is left out.

    Example:
        >>> from evaluation.report import RunIdentity
        >>> run = RunIdentity(n_train=900, n_holdout=100, n_synthetic=900)
        >>> empty = dict.fromkeys(("gates", "measurements", "schema_columns", "columns", "pairs", "giveaways"), ())
        >>> figures(Report(verdict="PASS", run=run, **empty))
        {}

    """
    found = {metric: report.measured(metric) for metric in FOLLOWED}
    return {metric: measured.value for metric, measured in found.items() if measured is not None}


def privacy_verdicts(report: Report) -> dict[str, str]:
    """Return the verdict of every privacy test by its name, whether or not a gate asks for it.

    Example:
        >>> from evaluation.report import PrivacyTest, RunIdentity
        >>> test = PrivacyTest(name="g1_copies", verdict="PASS", statistic="", rule="", reason="")
        >>> run = RunIdentity(n_train=900, n_holdout=100, n_synthetic=900)
        >>> empty = dict.fromkeys(("gates", "measurements", "schema_columns", "columns", "pairs", "giveaways"), ())
        >>> privacy_verdicts(Report(verdict="PASS", run=run, privacy=(test,), **empty))
        {'g1_copies': 'PASS'}

    """
    return {test.name: test.verdict for test in report.privacy}
