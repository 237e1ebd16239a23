import pytest

from flows.decision import ScheduleSection, Situation, decide, run_id
from pipeline.ledger import Inputs
from tests.pipeline.releases import record

INPUTS = Inputs(data="d", table_schema="s", learning="l", judging="j", code="c")


def situation(*changed, warm_starts=0, **facts):
    now = INPUTS.model_copy(update=dict.fromkeys(changed, "other"))
    return Situation(inputs=now, last=record(inputs=INPUTS, warm_starts=warm_starts), **facts)


@pytest.mark.parametrize(
    ("given", "policy", "choice", "said"),
    [
        (Situation(inputs=INPUTS), {}, "refit", "no accepted release"),
        (situation(), {}, "skip", "are those of the last accepted release"),
        (situation(), {"unchanged": "sample"}, "sample", "Nothing changed"),
        (situation(has_model=False), {"unchanged": "sample"}, "refit", "not there any more"),
        (situation("judging"), {}, "sample", "drawn, measured or allowed"),
        (situation("judging", has_model=False), {}, "refit", "not there any more"),
        (situation("learning"), {}, "refit", "model's settings changed"),
        (situation("table_schema"), {}, "refit", "schema changed"),
        (situation("code"), {}, "refit", "code or a library changed"),
        (situation("data"), {}, "warm_start", "much like"),
        (situation("data", share_of_rows=1.1), {}, "warm_start", "+10.0% rows"),
        (situation("data", share_of_rows=1.5), {}, "refit", "more than 20%"),
        (situation("data", share_of_rows=0.5), {}, "refit", "more than 20%"),
        (situation("data", share_of_rows=1.5), {"growth": 0.6}, "warm_start", "+50.0% rows"),
        (situation("data", drifted=True), {}, "refit", "drifted"),
        (situation("data", warm_starts=5), {}, "refit", "5 warm starts"),
        (situation("data", kind="independent"), {}, "refit", "no weights"),
        (situation("data", has_model=False), {}, "refit", "not there any more"),
        (situation("data"), {"changed": "refit"}, "refit", "configuration asks"),
        (situation("data", drifted=True), {"changed": "warm_start"}, "warm_start", "configuration asks"),
        (situation("data", "learning"), {}, "refit", "model's settings changed"),
        (situation(forced="refit"), {}, "refit", "asked for"),
        (situation(forced="sample"), {}, "sample", "asked for"),
        (situation("data", forced="sample"), {}, "refit", "fitted to something else"),
        (situation("learning", forced="warm_start"), {}, "refit", "another schema, settings or code"),
        (situation("data", drifted=True, forced="warm_start"), {}, "warm_start", "asked for"),
    ],
)
def test_every_situation_has_its_decision_and_its_reason(given, policy, choice, said):
    decision = decide(given, ScheduleSection(**policy))
    assert decision.choice == choice and said in decision.reason
    assert decision.reason.endswith(".")


def test_the_same_date_and_inputs_give_the_same_id_and_others_another():
    first = run_id("2026-11-25", INPUTS, "refit", 0)
    others = [
        run_id("2026-11-26", INPUTS, "refit", 0),
        run_id("2026-11-25", INPUTS, "refit", 1),
        run_id("2026-11-25", INPUTS.model_copy(update={"data": "e"}), "refit", 0),
    ]
    assert first == run_id("2026-11-25", INPUTS, "refit", 0) and first not in others and len(set(others)) == 3
    assert first.startswith("2026-11-25-") and len(first) == 23
