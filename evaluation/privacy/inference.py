"""G7: the three risks of anonymisation - inference, singling out, linkability - each in excess of a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition
from ..report import PrivacyTest, TestPart
from ..statistics import BoolArray, IntArray, Interval
from ..wording import percent
from .at_risk import MIN_AT_RISK, MIN_SYNTHETIC, Obstacle, obstacle, unique_records
from .attribute_inference import chosen_secrets, guesses
from .decisions import REVIEW_BELOW, WORST_FIRST, too_few_rows, undecided
from .linkability import linked
from .simultaneous import ALL_HOLD, corrected_level, excess_risk, judged, z
from .singling_out import Isolation, by_one_column, by_several_columns
from .space import Space

SOURCE = "Article 29 Working Party 2014, Opinion 05/2014 (WP216), sec. 2.2; interval by Katz et al. 1978"
ATTRIBUTE = Definition(
    "attribute_inference_risk", "privacy", 0.0, 1.0, f"largest over the secrets; {ALL_HOLD}; {SOURCE}"
)
SINGLING = Definition(
    "singling_out_risk", "privacy", 0.0, 1.0, f"larger of one and several columns; {ALL_HOLD}; {SOURCE}"
)
LINKING = Definition("linkability_risk", "privacy", 0.0, 1.0, SOURCE)
ALL = (ATTRIBUTE, SINGLING, LINKING)

STATISTIC = "(attack - control) / (1 - control)"
LIMIT = 0.05
MIN_CONDITIONS = 500
"""With fewer, the interval around no excess at all is wider than the limit: nothing could be concluded."""
MAX_ATTACKED = 4_000
FLOOR_RECORDS = 500
"""Records a side that a table of copies is attacked for: the floor needs no more."""
MAX_SINGLED = 20_000
WORK = 3e10
"""Most cells compared in the search for neighbours, about half a minute of one core."""
RULE = (
    f"PASS: every 95 % interval ends at or below {LIMIT}, or, where the rows are too few to show that, chance "
    f"explains the largest with p >= {REVIEW_BELOW:g} (Bonferroni); "
    f"FAIL: an interval corrected for all comparisons begins above {LIMIT}"
)
NOT_LINKED = "No two groups of columns are declared that two parties might hold."
ONE_COLUMN = "There is one column only, so nothing is known to infer it from."
FEW_CONDITIONS = f"Fewer than {MIN_CONDITIONS} conditions single out one synthetic row."

Records = tuple[IntArray, IntArray]


def inference_test(
    frames: Frames, config: EvaluationConfig, *, seed: int
) -> tuple[PrivacyTest, tuple[Measurement, ...]]:
    """Measure how much more the synthetic table tells about train rows than about holdout rows, which it never saw.

    Attribute inference and linkability attack records that are unique in train and holdout together, in equal numbers
    on both sides. Singling out tries conditions on equally many rows of either. Secrets are those declared, or else the
    three columns that a guess is least often right about. Where hardly a record of train is unique, only singling out
    is tried, and only where conditions exist.

    Returns:
        The test, and the three risks; what holdout rows show is subtracted, so their ceilings are 0. The floors are
        those of a table of copies drawn from train, which tells all of each copied record.

    """
    if reason := _reason(frames, config):
        return _untested(Obstacle("NOT TESTABLE", reason))
    unique = unique_records(frames, numpy_rng(seed, "inference", "records"))
    blocked = obstacle(len(unique[0]), min(len(each) for each in unique))
    attacked = None if blocked else unique
    found = _risks(frames, attacked, config, seed, MAX_ATTACKED)
    if not found:
        why = blocked or Obstacle("NOT TESTABLE", ONE_COLUMN)
        return _untested(Obstacle(why.verdict, f"{why.reason} {FEW_CONDITIONS}"))
    copies = numpy_rng(seed, "inference", "copies").integers(frames.train.n_rows, size=frames.synthetic.n_rows)
    floors = _risks(replace(frames, synthetic=frames.train.take(copies)), attacked, config, seed, FLOOR_RECORDS)
    return _judged(found), tuple(_measurement(definition, found, floors, config, blocked) for definition in ALL)


@dataclass(frozen=True)
class Risk:
    """How often one attack succeeded, and how often the same attack succeeded where nothing can have leaked."""

    definition: Definition
    subject: str
    hits: int
    n: int
    control_hits: int
    n_control: int

    def value(self) -> float:
        """Return the excess over the control."""
        return excess_risk(self.hits, self.n, self.control_hits, self.n_control)[0]

    def interval(self, level: float) -> Interval:
        """Return the interval of the excess."""
        return excess_risk(self.hits, self.n, self.control_hits, self.n_control, level)[1]

    def standard_error(self) -> float:
        """Return the standard error, read off the interval's lower side."""
        return (self.value() - self.interval(0.95)[0]) / z(0.95)

    def part(self, n_comparisons: int) -> TestPart:
        """Return the risk, judged among so many."""
        note = f"attack {self.hits / self.n:.3f}, control {self.control_hits / self.n_control:.3f}, n = {self.n:,}"
        return judged(
            self.subject, STATISTIC, self.value(), self.interval,
            n_comparisons=n_comparisons, chance=0.0, passes=LIMIT, fails=LIMIT, note=note,
        )  # fmt: skip


def _reason(frames: Frames, config: EvaluationConfig) -> str:
    few = f"The synthetic table has {frames.synthetic.n_rows} rows; {MIN_SYNTHETIC} are needed."
    return too_few_rows(frames) or (few if frames.synthetic.n_rows < MIN_SYNTHETIC else _undeclared(frames, config))


def _undeclared(frames: Frames, config: EvaluationConfig) -> str:
    names = [feature.name for feature in frames.features]
    groups = config.privacy.linkable or ((), ())
    unknown = [f'"{name}"' for name in (*config.privacy.secrets, *groups[0], *groups[1]) if name not in names]
    if unknown:
        return f"The configuration names {', '.join(unknown)}, which is no modelled column."
    return "A group of linkable columns is empty." if config.privacy.linkable and not all(groups) else ""


def _risks(frames: Frames, unique: Records | None, config: EvaluationConfig, seed: int, most: int) -> list[Risk]:
    on_records = () if unique is None else _on_records(frames, unique, config, most)
    return [*on_records, *_singling_out(frames, seed)]


def _on_records(frames: Frames, unique: Records, config: EvaluationConfig, most: int) -> Iterator[Risk]:
    members, others = _affordable(frames, unique, most)
    n = len(members)
    records = frames.train.take(members).join(frames.holdout.take(others))
    pooled = frames.train.join(frames.holdout)
    if len(frames.features) > 1:
        secrets = _secrets(frames, config)
        told = guesses(records, frames.synthetic, secrets, Space(pooled))
        for secret, success in zip(secrets, told, strict=True):
            yield _compared(ATTRIBUTE, f"inference of {frames.features[secret].name}", success, n)
    if config.privacy.linkable is not None:
        groups = [[_index(frames, name) for name in group] for group in config.privacy.linkable]
        yield _compared(LINKING, "linkability", linked(records, frames.synthetic, groups[0], groups[1], pooled), n)


def _secrets(frames: Frames, config: EvaluationConfig) -> list[int]:
    declared = [_index(frames, name) for name in config.privacy.secrets]
    return declared or chosen_secrets(frames.train)


def _index(frames: Frames, name: str) -> int:
    return [feature.name for feature in frames.features].index(name)


def _affordable(frames: Frames, unique: Records, most: int) -> Records:
    """Return unique records of train and of holdout, in equal numbers."""
    members, others = unique
    affordable = int(WORK / (2 * frames.synthetic.n_rows * len(frames.features)))
    n = min(len(members), len(others), most, max(affordable, MIN_AT_RISK))
    return members[:n], others[:n]


def _compared(definition: Definition, subject: str, success: BoolArray, n: int) -> Risk:
    return Risk(definition, subject, int(success[:n].sum()), n, int(success[n:].sum()), len(success) - n)


def _singling_out(frames: Frames, seed: int) -> Iterator[Risk]:
    rng = numpy_rng(seed, "inference", "conditions")
    n = min(frames.train.n_rows, frames.holdout.n_rows, MAX_SINGLED)
    train, holdout = (f.take(rng.permutation(f.n_rows)[:n]) for f in (frames.train, frames.holdout))
    synthetic: Frame = frames.synthetic
    found = {
        "singling out by one column": by_one_column(train, holdout, synthetic),
        "singling out by several columns": by_several_columns(train, holdout, synthetic, rng),
    }
    for subject, isolation in found.items():
        if isolation.n_conditions >= MIN_CONDITIONS:
            yield _isolating(subject, isolation)


def _isolating(subject: str, found: Isolation) -> Risk:
    return Risk(SINGLING, subject, found.train, found.n_conditions, found.holdout, found.n_conditions)


def _judged(found: list[Risk]) -> PrivacyTest:
    parts = sorted((risk.part(len(found)) for risk in found), key=_badness)
    worst = parts[0]
    return PrivacyTest(
        name="g7_inference",
        verdict=worst.verdict,
        statistic=f"{STATISTIC}, {worst.subject}",
        value=worst.value,
        interval=worst.interval,
        rule=RULE,
        reason=_sentence(worst),
        detection_limit=_detection_limit(found),
        parts=tuple(parts),
        source=SOURCE,
    )


def _badness(part: TestPart) -> tuple[int, float]:
    return WORST_FIRST.index(part.verdict), -part.value


def _sentence(worst: TestPart) -> str:
    told = f"Of what the control leaves open, {worst.subject} takes {percent(worst.value)}"
    low, high = worst.interval or (0.0, 1.0)
    meaning = {
        "FAIL": "the table tells more about train rows than about others.",
        "REVIEW": "more about train rows than about others, but not surely more than the limit."
        if low > 0.0
        else "these rows would show that a risk is within the limit, and do not.",
        "PASS": "it tells no more about train rows than about others, within the limit."
        if high <= LIMIT
        else "no more about train rows than about others, as far as so few rows can show; see the detection limit.",
    }
    return f"{told}: {meaning[worst.verdict]}"


def _detection_limit(found: list[Risk]) -> str:
    """Say from which excess on each attack is refused with a chance of 95 %."""
    reach = z(corrected_level(len(found))) + z(0.90)  # one-sided 95 %
    limits = [f"{percent(LIMIT + reach * risk.standard_error())} ({risk.subject})" for risk in found]
    return f"At these row counts, a true excess of {', '.join(limits)} is refused with a chance of 95 %."


def _measurement(
    definition: Definition, found: list[Risk], copied: list[Risk], config: EvaluationConfig, blocked: Obstacle | None
) -> Measurement:
    own = [risk for risk in found if risk.definition is definition]
    if not own:
        return _missing(definition, config, blocked)
    worst = max(own, key=Risk.value)
    interval = worst.interval(corrected_level(len(own)))
    n_rows = worst.n + worst.n_control
    floor = max((risk.value() for risk in copied if risk.definition is definition), default=None)
    return definition.measured(worst.value(), n_rows=n_rows, interval=interval, ceiling=0.0, floor=floor)


def _missing(definition: Definition, config: EvaluationConfig, blocked: Obstacle | None) -> Measurement:
    if definition is LINKING and config.privacy.linkable is None:
        return definition.unmeasured(NOT_LINKED, applicable=False)
    why = blocked or Obstacle("NOT TESTABLE", ONE_COLUMN)
    reason = FEW_CONDITIONS if definition is SINGLING else why.reason
    return definition.unmeasured(reason, applicable=why.applicable)


def _untested(why: Obstacle) -> tuple[PrivacyTest, tuple[Measurement, ...]]:
    """Return that nothing was attacked, and the three risks without a number."""
    test = undecided("g7_inference", why.verdict, statistic=STATISTIC, rule=RULE, reason=why.reason)
    return test, tuple(definition.unmeasured(why.reason, applicable=why.applicable) for definition in ALL)
