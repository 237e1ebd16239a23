"""The made-up report's privacy tests: an honest table, one that a person must look at, and one with copied rows."""

from __future__ import annotations

from typing import Literal

from evaluation.report import GateVerdict, PrivacyTest, TestPart

Privacy = Literal["PASS", "REVIEW", "FAIL"]
CLOSE = "95 % upper share <= 0.52 and tail p >= 0.01; fails where the 99 % lower share > 0.50 or tail p < 0.001"


def part(subject: str, statistic: str, value: float, spread: float, verdict: GateVerdict = "PASS") -> TestPart:
    return TestPart(
        subject=subject, statistic=statistic, value=value, interval=(max(value - spread, 0.0), value + spread),
        p_value=0.0004 if verdict == "FAIL" else 0.31, verdict=verdict, note="20,000 of 32,561 rows asked",
    )  # fmt: skip


def copies(verdict: GateVerdict) -> PrivacyTest:
    b = {"PASS": 3, "REVIEW": 9}.get(verdict, 212)
    reason = {
        "PASS": "3 synthetic rows repeat a record that only train has, 4 one that only holdout has: by chance.",
        "REVIEW": "9 synthetic rows repeat a record that only train has, 2 one that only holdout has: hardly chance.",
    }.get(verdict, "212 synthetic rows repeat a record that only train has, 4 one that only holdout has: not chance.")
    return PrivacyTest(
        name="g1_copies", verdict=verdict, statistic="matches of singletons that only train has", value=b,
        reason=reason,
        rule="p >= 0.01 passes, p < 0.001 fails; b >= 1 with c = 0 is for review",
        detection_limit="12 copied rows among 12,000 (0.1 %) are found with 95 % probability.",
        parts=(
            part("whole row", "share of synthetic rows", b / 12_000, 0.0008, verdict),
            part("all but one column: dep_delay", "share of synthetic rows", b / 12_000, 0.0009, verdict),
            part("quasi-identifiers: carrier, origin, dest", "share of synthetic rows", 0.0004, 0.0003),
        ),
        source="exact matches against equally many holdout rows, labels permuted",
    )  # fmt: skip


def membership(verdict: GateVerdict) -> PrivacyTest:
    auc = {"PASS": 0.508, "REVIEW": 0.524}.get(verdict, 0.611)
    said = {"PASS": "No attack tells members from others better than chance allows.",
            "REVIEW": "One attack does slightly better than chance allows; a larger holdout would decide it.",
            }.get(verdict, "The calibrated nearest-distance attack tells who was in train.")  # fmt: skip
    attacks = ("calibrated nearest distance", "density ratio", "local density", "error prediction", "marginal ratio")
    return PrivacyTest(
        name="g4_membership", verdict=verdict, statistic="AUC of the best of 6 attacks", value=auc,
        interval=(auc - 0.011, auc + 0.011), reason=said,
        rule="upper TPR at 1 % FPR <= 2 % and upper AUC <= 0.53; fails where the lower TPR > 1.5 % or lower AUC > 0.52",
        detection_limit="5 % verbatim copies, or 8 % copies changed by one unit, are found with 95 % probability.",
        parts=(
            part("calibrated nearest distance", "AUC", auc, 0.011, verdict),
            part("calibrated nearest distance", "TPR at 1 % FPR", (auc - 0.5) / 3 + 0.01, 0.006, verdict),
            *(part(attack, "AUC", 0.505 - 0.002 * i, 0.011) for i, attack in enumerate(attacks[1:])),
            *(part(attack, "TPR at 1 % FPR", 0.0105 - 0.001 * i, 0.005) for i, attack in enumerate(attacks[1:])),
        ),
        source="calibrated attacks at a low false-positive rate",
    )  # fmt: skip


def outliers(*, testable: bool) -> PrivacyTest:
    if not testable:
        return PrivacyTest(
            name="g5_outliers", verdict="NOT TESTABLE", statistic="TPR at 5 % FPR", rule="upper TPR <= 10 %",
            reason="150 unusual records are too few; 200 are needed.",
        )  # fmt: skip
    return PrivacyTest(
        name="g5_outliers", verdict="PASS", statistic="TPR at 5 % FPR, the worst group", value=0.061,
        interval=(0.031, 0.094), rule="upper TPR <= 10 %", reason="Unusual records are as hard to tell as others.",
        detection_limit="20 copied outliers among 600 are found with 95 % probability.",
        parts=(part("the 5 % most unusual records", "TPR at 5 % FPR", 0.061, 0.03),),
    )  # fmt: skip


def privacy_tests(privacy: Privacy = "PASS") -> tuple[PrivacyTest, ...]:
    """Return one test of each verdict that a report can hold."""
    share = 0.503 if privacy != "FAIL" else 0.68
    return (
        PrivacyTest(
            name="g0_identifiers", verdict="NOT APPLICABLE", statistic="values carried over",
            rule="no value equals an original one", reason="No column is declared an identifier or free text.",
        ),
        copies(privacy),
        PrivacyTest(
            name="g2_value_support", verdict="PASS", statistic="smallest p-value over 5 columns", value=0.21,
            rule="p >= 0.01 and no extreme of train reproduced", reason="Rare values of train come back no more often "
            "than those of holdout.", detection_limit="A column of which 4 % of the rare values were copied is found.",
            parts=tuple(part(name, "share of values", x, 0.004) for name, x in (("dest", 0.012), ("carrier", 0.0))),
        ),
        PrivacyTest(
            name="g3_nearest_records", verdict="FAIL" if privacy == "FAIL" else "PASS",
            statistic="share of synthetic rows nearer to train", value=share, interval=(share - 0.01, share + 0.01),
            rule=CLOSE, reason="Synthetic rows lie far nearer to train than to holdout." if privacy == "FAIL" else
            "Synthetic rows lie as near to holdout as to train.",
            detection_limit="5 % copied rows are found with 95 % probability; 1 % would take 158,000 rows.",
            parts=(part("all rows", "share nearer to train", share, 0.01, "FAIL" if privacy == "FAIL" else "PASS"),
                   part("the closest 1 %", "share nearer to train", 0.52, 0.06)),
        ),
        membership(privacy),
        outliers(testable=privacy != "FAIL"),
        PrivacyTest(
            name="g7_inference", verdict="PASS", statistic="advantage over the control", value=0.011,
            interval=(-0.009, 0.031), rule="upper <= 0.05; fails where the lower > 0.05",
            reason="No secret is guessed better than about people who are not in train.",
            detection_limit="An advantage of 0.04 is found with 95 % probability.",
            parts=(part("infer late", "advantage", 0.011, 0.02), part("single out", "advantage", 0.002, 0.015)),
        ),
    )  # fmt: skip
