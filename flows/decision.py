"""What a run does, decided before it computes: skip, sample again, go on from the last model, or fit anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config import Config
from pipeline.ledger import Action, Inputs, Record

Choice = Literal["skip", "sample", "warm_start", "refit"]
UNTRAINED = ("independent",)
DECIDES_THE_MODEL = {"table_schema": "the schema", "learning": "the model's settings", "code": "the code or a library"}


class ScheduleSection(Config):
    """What a run does where little has changed since the last accepted release.

    Attributes:
        unchanged: nothing has changed: "skip" publishes nothing, "sample" draws a new table from the accepted model.
        changed: only the records have: "auto" goes on from the accepted model where they are much like the last ones,
            and fits anew otherwise; the other two always do the one or the other.
        growth: "auto" goes on from a model only while train has at most this share of rows more, or fewer.
        warm_starts: the most times in a row that "auto" goes on from a model before it fits anew.
        attempts: runs on the same inputs that gates may refuse, after which a person must look: trying seeds until one
            passes would make the gates mean nothing.

    Example:
        >>> ScheduleSection().unchanged
        'skip'
    """

    unchanged: Literal["skip", "sample"] = "skip"
    changed: Literal["auto", "warm_start", "refit"] = "auto"
    growth: Annotated[float, Field(ge=0)] = 0.2
    warm_starts: Annotated[int, Field(ge=0)] = 5
    attempts: Annotated[int, Field(ge=1)] = 3


class Situation(Config):
    """Everything a decision depends on.

    Attributes:
        inputs: of this run.
        last: the accepted release that this run follows, None before the first.
        share_of_rows: how many rows the source has for each that it had then.
        drifted: whether the distribution of the records differs from then by more than the declared tolerance.
        has_model: whether the accepted model is there and whole.
        kind: of the generator.
        forced: what the person who started the run asked for.
    """

    inputs: Inputs
    last: Record | None = None
    share_of_rows: float = 1.0
    drifted: bool = False
    has_model: bool = True
    kind: str = "flow_matching"
    forced: Action | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """The inputs that are not those of the last accepted release."""
        if self.last is None:
            return ()
        return tuple(name for name, value in self.inputs if value != getattr(self.last.inputs, name))


class Decision(Config):
    """What is done, and why, as a sentence."""

    choice: Choice
    reason: str


def decide(situation: Situation, policy: ScheduleSection) -> Decision:
    """Return what a run does.

    Example:
        >>> inputs = Inputs(data="d", table_schema="s", learning="l", judging="j", code="c")
        >>> decide(Situation(inputs=inputs), ScheduleSection())
        Decision(choice='refit', reason='There is no accepted release yet.')
    """
    last, changed = situation.last, situation.changed
    if last is None:
        return Decision(choice="refit", reason="There is no accepted release yet.")
    if situation.forced is not None:
        return _possible(situation, situation.forced, "It was asked for.")
    if differing := [words for name, words in DECIDES_THE_MODEL.items() if name in changed]:
        text = f"{' and '.join(differing)} changed since the last accepted release."
        return Decision(choice="refit", reason=text[0].upper() + text[1:])
    if "data" in changed:
        return _on_new_records(situation, last, policy)
    if "judging" in changed:
        reason = "The records and the model's settings are the same; what is drawn, measured or allowed changed."
        return _possible(situation, "sample", reason)
    if policy.unchanged == "sample":
        return _possible(situation, "sample", "Nothing changed; a new table is drawn from the accepted model.")
    return Decision(choice="skip", reason="Records, schema, settings and code are those of the last accepted release.")


def _on_new_records(situation: Situation, last: Record, policy: ScheduleSection) -> Decision:
    change = situation.share_of_rows - 1
    words = f"The records changed ({change:+.1%} rows)"
    if policy.changed != "auto":
        return _possible(situation, policy.changed, f"{words}; the configuration asks for this.")
    against = [
        *(["their distribution drifted"] if situation.drifted else []),
        *([f"that is more than {policy.growth:.0%}"] if abs(change) > policy.growth else []),
        *([f"{last.warm_starts} warm starts followed one another"] if last.warm_starts >= policy.warm_starts else []),
    ]
    if against:
        return Decision(choice="refit", reason=f"{words}, and {' and '.join(against)}.")
    return _possible(situation, "warm_start", f"{words} and are much like those of the last accepted release.")


def _possible(situation: Situation, wanted: Action, reason: str) -> Decision:
    """Return what is wanted, or a fit from the beginning where the accepted model cannot serve, with the reason."""
    obstacle = _obstacle(situation, wanted)
    return (
        Decision(choice="refit", reason=f"{reason} But {obstacle}.")
        if obstacle
        else Decision(choice=wanted, reason=reason)
    )


def _obstacle(situation: Situation, wanted: Action) -> str:
    changed = set(situation.changed)
    if wanted == "refit":
        return ""
    if not situation.has_model:
        return "the accepted model is not there any more"
    if wanted == "sample" and changed & {*DECIDES_THE_MODEL, "data"}:
        return "the accepted model was fitted to something else"
    if wanted == "warm_start" and situation.kind in UNTRAINED:
        return f"{situation.kind} has no weights to go on from"
    if wanted == "warm_start" and changed & DECIDES_THE_MODEL.keys():
        return "the accepted model is of another schema, settings or code"
    return ""


def run_id(date: str, inputs: Inputs, *depends: str | int) -> str:
    """Return `<date>-<12 hexadecimal digits>`: the same date and inputs give the same id.

    Example:
        >>> inputs = Inputs(data="d", table_schema="s", learning="l", judging="j", code="c")
        >>> run_id("2026-11-25", inputs, "refit") == run_id("2026-11-25", inputs, "refit")
        True
    """
    return f"{date}-{digest({'inputs': inputs.model_dump(), 'depends': list(depends)})[:12]}"


def digest(value: Mapping[str, Any]) -> str:
    """Return the sha256, in hex, of JSON values.

    Example:
        >>> digest({"a": 1}) == digest({"a": 1}) != digest({"a": 2})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
