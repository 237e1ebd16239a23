"""G4: can an attacker tell from the synthetic table whose record the generator learned from?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, nbinom, norm

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition
from ..report import PrivacyTest, TestPart
from ..statistics import BoolArray, Estimate, FloatArray, IntArray, Interval, auc
from ..wording import percent
from .at_risk import MIN_AT_RISK, MIN_SYNTHETIC, Obstacle, copied_share, obstacle, unique_records
from .attacks import ATTACKS, Evidence
from .boxes import Boxes
from .decisions import REVIEW_BELOW, WORST_FIRST, too_few_rows, undecided
from .simultaneous import ALL_HOLD, corrected_level, judged, z
from .space import Space

SOURCE = "Carlini et al. 2022, arXiv:2112.03570; attacks by van Breugel et al. 2023, arXiv:2302.12580, and others"
TPR = Definition("membership_tpr", "privacy", 0.01, 1.0, f"largest over the attacks, at 1 % FPR; {ALL_HOLD}; {SOURCE}")
AUC = Definition("membership_auc", "privacy", 0.5, 1.0, f"largest over the attacks; {ALL_HOLD}; {SOURCE}")

FPR = 0.01
MAX_ATTACKED = 5_000
WORK = 6e10
"""Most cells compared in the search for neighbours, about a minute of one core."""
N_PERMUTATIONS = 10
N_COMPARISONS = 2 * len(ATTACKS)
LEVEL = corrected_level(N_COMPARISONS)
TPR_PASS, TPR_FAIL, AUC_PASS, AUC_FAIL = 0.02, 0.015, 0.53, 0.55
"""Whether a person can be accused shows at a low false-positive rate. The AUC is an average over all records, which a
model of any quality moves: pairs of cells of 16,000 train rows give .54 to .55. Between the two AUC bounds is REVIEW.
"""
RULE = (
    f"PASS: every 95 % interval ends at or below {TPR_PASS} (TPR at 1 % FPR) and {AUC_PASS} (AUC), or the rows cannot "
    f"show it and chance explains the strongest with p >= {REVIEW_BELOW:g} (Bonferroni); "
    f"FAIL: a corrected interval begins above {TPR_FAIL} or {AUC_FAIL}"
)
AT_FPR = "TPR at 1 % FPR"


def membership_test(
    frames: Frames, config: EvaluationConfig, *, seed: int
) -> tuple[PrivacyTest, tuple[Measurement, ...]]:
    """Attack train rows (members) and as many holdout rows, and judge the strongest of all attacks.

    Only records that are unique in train and holdout together are attacked. The holdout is cut in two: while records of
    one half are attacked, the other half is what the attacker knows of the population. Where hardly a record of train
    is unique, the test does not apply.

    Returns:
        The test, and the largest true-positive rate and AUC; their ceilings are those of permuted labels, their floors
        those of a table of copies drawn from train, in which an attack finds the copied records and guesses the others.

    """
    del config  # the row counts follow from the tables
    halves = _drawn(frames, numpy_rng(seed, "membership", "rows"))
    if isinstance(halves, Obstacle):
        reason, applicable = halves.reason, halves.applicable
        return _untested(halves), tuple(each.unmeasured(reason, applicable=applicable) for each in (TPR, AUC))
    attacked = _attacked(frames, halves, seed)
    found = _strengths(attacked, numpy_rng(seed, "membership", "ties"))
    ceiling = _permuted(attacked, numpy_rng(seed, "membership", "labels"))
    copied, n_rows = copied_share(frames), sum(len(half.members) for half in attacked)
    return _judged(found), _measurements(found, ceiling, (copied, (1.0 + copied) / 2.0), n_rows)


@dataclass(frozen=True)
class Half:
    """The rows of one turn: members to attack, others to attack, and what the attacker knows of the population."""

    train: IntArray
    holdout: IntArray
    reference: IntArray


@dataclass(frozen=True)
class Attacked:
    """The scores of one turn, by attack, and which of the attacked records are members."""

    scores: dict[str, FloatArray]
    members: BoolArray


@dataclass(frozen=True)
class Strength:
    """What one attack achieved over both turns.

    Attributes:
        attack: its name.
        hits: members that score above the threshold.
        n_members: of how many.
        allowed: others that score at least as high as the threshold, by which it was chosen.
        area: the area under the curve.

    """

    attack: str
    hits: int
    n_members: int
    allowed: int
    area: Estimate

    @property
    def tpr(self) -> float:
        """The share of members found at 1 % false positives."""
        return self.hits / self.n_members

    def tpr_interval(self, level: float) -> Interval:
        """Exact, and aware that the threshold is the score of one of a few others: see `rate_interval`."""
        return rate_interval(self.hits, self.allowed, level)

    def auc_interval(self, level: float) -> Interval:
        """DeLong's."""
        reach = z(level) * float(np.sqrt(np.square(self.area.influence).sum()))
        return max(self.area.value - reach, 0.0), min(self.area.value + reach, 1.0)

    def parts(self) -> tuple[TestPart, TestPart]:
        """Both statistics, judged."""
        return (
            judged(
                self.attack, AT_FPR, self.tpr, self.tpr_interval,
                n_comparisons=N_COMPARISONS, chance=FPR, passes=TPR_PASS, fails=TPR_FAIL,
            ),
            judged(
                self.attack, "AUC", self.area.value, self.auc_interval,
                n_comparisons=N_COMPARISONS, chance=0.5, passes=AUC_PASS, fails=AUC_FAIL,
            ),
        )  # fmt: skip


def _drawn(frames: Frames, rng: np.random.Generator) -> list[Half] | Obstacle:
    """Draw the rows of both turns, or return why they cannot be."""
    if reason := _reason(frames):
        return Obstacle("NOT TESTABLE", reason)
    members, others = unique_records(frames, rng)
    halves = _halves(frames, members, others, rng)
    return obstacle(len(members), sum(len(half.train) for half in halves)) or halves


def _halves(frames: Frames, members: IntArray, others: IntArray, rng: np.random.Generator) -> list[Half]:
    """Return the rows of both turns; no record is attacked twice."""
    parts = np.array_split(rng.permutation(frames.holdout.n_rows), 2)
    unique = [part[np.isin(part, others)] for part in parts]
    n = min(_affordable(frames), *(len(part) for part in unique), len(members) // 2)
    return [Half(members[i * n : (i + 1) * n], unique[i][:n], parts[1 - i]) for i in range(2)]


def _affordable(frames: Frames) -> int:
    n_rows = frames.synthetic.n_rows + frames.holdout.n_rows // 2
    return max(MIN_AT_RISK, min(MAX_ATTACKED, int(WORK / (2 * max(n_rows * len(frames.features), 1))))) // 2


def _reason(frames: Frames) -> str:
    few = f"The synthetic table has {frames.synthetic.n_rows} rows; {MIN_SYNTHETIC} are needed."
    return too_few_rows(frames) or (few if frames.synthetic.n_rows < MIN_SYNTHETIC else "")


def _attacked(frames: Frames, halves: list[Half], seed: int) -> list[Attacked]:
    space = Space(frames.train.join(frames.holdout))
    cut = Boxes(space, space.place(frames.synthetic))
    return [_turn(frames, space, cut, half, seed) for half in halves]


def _turn(frames: Frames, space: Space, cut: Boxes, half: Half, seed: int) -> Attacked:
    records: Frame = frames.train.take(half.train).join(frames.holdout.take(half.holdout))
    evidence = Evidence.gather(records, frames.synthetic, frames.holdout.take(half.reference), space, cut)
    scores = {name: attack(evidence, seed) for name, attack in ATTACKS.items()}
    return Attacked(scores, np.arange(records.n_rows) < len(half.train))


def _strengths(attacked: list[Attacked], rng: np.random.Generator) -> list[Strength]:
    return [_strength(name, attacked, rng) for name in ATTACKS]


def _strength(name: str, attacked: list[Attacked], rng: np.random.Generator) -> Strength:
    hits = sum(hits_at_fpr(half.scores[name], half.members, rng) for half in attacked)
    allowed = sum(n_allowed(int((~half.members).sum())) for half in attacked)
    areas = [auc(half.scores[name], half.members) for half in attacked]
    influence = np.concatenate([area.influence for area in areas]) / len(areas)
    area = Estimate(float(np.mean([area.value for area in areas])), influence)
    return Strength(name, hits, sum(int(half.members.sum()) for half in attacked), allowed, area)


def hits_at_fpr(scores: FloatArray, members: BoolArray, rng: np.random.Generator, fpr: float = FPR) -> int:
    """Return how many members score above the `fpr` share of highest scores of the others; ties are broken by chance.

    The threshold is the k-th highest score of n others with k = round(fpr * (n + 1)): scores that know nothing exceed
    it with probability k / (n + 1).

    Example:
        >>> scores, members = np.arange(200.0), np.arange(200) >= 100
        >>> hits_at_fpr(scores, members, np.random.default_rng(0))
        100

    """
    place = np.empty(len(scores), dtype=np.int64)
    place[np.lexsort((rng.random(len(scores)), scores))] = np.arange(len(scores))
    others = np.sort(place[~members])
    return int((place[members] > others[-n_allowed(len(others), fpr)]).sum())


def n_allowed(n_others: int, fpr: float = FPR) -> int:
    """Return which of the highest scores of `n_others` is the threshold.

    Example:
        >>> n_allowed(100), n_allowed(1_200)
        (1, 12)

    """
    return max(1, round(fpr * (n_others + 1)))


def rate_interval(hits: int, allowed: int, level: float, fpr: float = FPR) -> Interval:
    """Return the exact interval of the true-positive rate at a threshold that the `allowed`-th highest of others sets.

    The members that score above that other one are counted until `allowed` others were met, going down from the highest
    score: a negative binomial count, whose odds are the true-positive over the false-positive rate. A binomial
    interval would take the threshold for known; with 24 others above it, it is not.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404, by the relation of both laws to the beta law.

    Example:
        >>> [round(end, 4) for end in rate_interval(24, 24, 0.95)], [round(x, 4) for x in rate_interval(0, 24, 0.95)]
        ([0.0056, 0.0184], [0.0, 0.0017])

    """
    tail = (1.0 - level) / 2.0
    low = float(beta.ppf(tail, hits, allowed)) if hits else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, allowed))
    return min(fpr * low / (1.0 - low), 1.0), min(fpr * high / (1.0 - high), 1.0)


def _permuted(attacked: list[Attacked], rng: np.random.Generator) -> tuple[float, float]:
    """Return the mean over permuted labels of the largest true-positive rate and AUC: what chance alone shows."""
    drawn = [
        _strengths([Attacked(half.scores, rng.permutation(half.members)) for half in attacked], rng)
        for _ in range(N_PERMUTATIONS)
    ]
    rates, areas = ([max(getter(s) for s in found) for found in drawn] for getter in (_rate, _area))
    return float(np.mean(rates)), float(np.mean(areas))


def _rate(strength: Strength) -> float:
    return strength.tpr


def _area(strength: Strength) -> float:
    return strength.area.value


def _measurements(
    found: list[Strength], ceiling: tuple[float, float], floor: tuple[float, float], n_rows: int
) -> tuple[Measurement, ...]:
    by_rate, by_area = max(found, key=_rate), max(found, key=_area)
    rate, area = by_rate.tpr_interval(LEVEL), by_area.auc_interval(LEVEL)
    return (
        TPR.measured(by_rate.tpr, n_rows=n_rows, interval=rate, ceiling=ceiling[0], floor=floor[0]),
        AUC.measured(by_area.area.value, n_rows=n_rows, interval=area, ceiling=ceiling[1], floor=floor[1]),
    )


def _judged(found: list[Strength]) -> PrivacyTest:
    parts = sorted((part for strength in found for part in strength.parts()), key=_badness)
    worst = parts[0]
    n = found[0].n_members
    return PrivacyTest(
        name="g4_membership",
        verdict=worst.verdict,
        statistic=f"{worst.statistic} of the strongest of {len(found)} attacks ({worst.subject})",
        value=worst.value,
        interval=worst.interval,
        rule=RULE,
        reason=_sentence(worst, n),
        detection_limit=detection_limit(n),
        parts=tuple(parts),
        source=SOURCE,
    )


def _badness(part: TestPart) -> tuple[int, float]:
    """Order by verdict, then by how far the value lies from chance in units of the failing bound."""
    chance, fails = (0.5, AUC_FAIL) if part.statistic == "AUC" else (FPR, TPR_FAIL)
    return WORST_FIRST.index(part.verdict), (chance - part.value) / (fails - chance)


def _sentence(worst: TestPart, n: int) -> str:
    told = (
        f'The attack "{worst.subject}" on {n:,} members and {n:,} others has a {worst.statistic} of {worst.value:.3f}'
    )
    chance, passes = (0.5, AUC_PASS) if worst.statistic == "AUC" else (FPR, TPR_PASS)
    low, high = worst.interval or (0.0, 1.0)
    meaning = {
        "FAIL": "the table tells who was in train.",
        "REVIEW": "better than guessing, but less than the bound of a refusal."
        if low > chance
        else "these rows would show that an attack is harmless, and do not.",
        "PASS": "no attack does noticeably better than guessing."
        if high <= passes
        else "no attack does better than guessing, as far as so few rows can show; see the detection limit.",
    }
    return f"{told}: {meaning[worst.verdict]}"


def detection_limit(n: int) -> str:
    """Return which leak `n` members and as many others would have shown, as a sentence.

    Example:
        >>> detection_limit(5_000)[:70]
        'With 5,000 records a side, an attack that truly finds 3.2 % of the mem'

    """
    allowed = n_allowed(n)
    fewest = next(hits for hits in range(allowed, n + 1) if rate_interval(hits, allowed, LEVEL)[0] > TPR_FAIL)
    rate = FPR * brentq(lambda odds: nbinom.sf(fewest - 1, allowed, 1 / (1 + odds)) - 0.95, 1.0, n)
    area = AUC_FAIL + (z(LEVEL) + float(norm.ppf(0.95))) * float(np.sqrt(1 / (6 * n)))
    return (
        f"With {n:,} records a side, an attack that truly finds {percent(rate)} of the members at 1 % false positives, "
        f"or has an AUC of {area:.3f}, is refused with a chance of 95 %."
    )


def _untested(why: Obstacle) -> PrivacyTest:
    statistic = f"{AT_FPR} and AUC of the strongest attack"
    return undecided("g4_membership", why.verdict, statistic=statistic, rule=RULE, reason=why.reason)
