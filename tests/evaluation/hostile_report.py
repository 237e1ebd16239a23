"""The made-up report with texts in it that try to become part of the page."""

from __future__ import annotations

from evaluation.measurement import Unmeasured
from evaluation.report import Given, Likelihood, PrivacyTest, Report, SinceLast
from tests.evaluation.example_report import example_report, profile, with_history

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "נתונים אישיים",
    "👩‍👩‍👧 family",
    "nul\x00 and\x1b[31m bell\x07",
    "&lt;b&gt; <!-- -->",
    "x" * 10_000,
    "</bdi></th></table>" * 500,
)


def with_texts(texts: tuple[str, ...]) -> Report:
    """Return a report that says `texts` wherever a report can carry the text of data, configuration or errors."""
    report = with_history(example_report(names=texts, leaking=True), 3)
    say = texts[0]
    run = dict.fromkeys(("run_id", "name", "created", "generator", "data_sha256", "config_sha256", "code_sha256"), say)
    given = (Given(role="synthetic", name=say, sha256=say),)
    measurements = [m.model_copy(update={"subject": say, "source": say}) for m in report.measurements[:3]]
    unmeasured = Unmeasured(metric=say, family="privacy", reason=say)
    return report.model_copy(
        update={
            "gates": tuple(g.model_copy(update={"name": say, "reason": say, "rule": say}) for g in report.gates),
            "run": report.run.model_copy(update=run | {"versions": {say: say}, "given": given}),
            "measurements": (*measurements, *report.measurements, unmeasured),
            "schema_columns": tuple(c.model_copy(update={"arrow": say, "reason": say}) for c in report.schema_columns),
            "columns": tuple(profile(text, "categorical", 0, levels=(say, "b", "c")) for text in texts),
            "privacy": tuple(spoken(test, say) for test in report.privacy),
            "subgroups": tuple(g.model_copy(update={"column": say, "level": say}) for g in report.subgroups),
            "notes": texts,
            "likelihood": told(report.likelihood, say),
            "since_last": remembered(report.since_last, texts),
        }
    )


def told(likelihood: Likelihood | None, say: str) -> Likelihood:
    """Return the likelihoods with a loss that is called by a text, as a foreign model folder may call it."""
    assert likelihood is not None
    curves = tuple(curve.model_copy(update={"title": say, "unit": say}) for curve in likelihood.curves)
    return likelihood.model_copy(update={"curves": curves})


def remembered(since: SinceLast | None, texts: tuple[str, ...]) -> SinceLast:
    """Return what is known of earlier runs, with figures and runs that are called by the texts."""
    assert since is not None
    own = {"run_id": texts[0], "figures": {texts[0]: 0.5, "shape_error": 0.1}}
    history = tuple(release.model_copy(update=own) for release in since.history)
    drift = tuple(d.model_copy(update={"statistic": texts[0]}) for d in since.drift)
    said = {"reason": texts[0], "changes": texts, "drift": drift, "history": history, "last": history[-1]}
    return since.model_copy(update=said)


def spoken(test: PrivacyTest, say: str) -> PrivacyTest:
    said = dict.fromkeys(("subject", "statistic", "note", "of"), say)
    own = dict.fromkeys(("statistic", "rule", "reason", "detection_limit", "source"), say)
    return test.model_copy(update=own | {"parts": tuple(part.model_copy(update=said) for part in test.parts)})
