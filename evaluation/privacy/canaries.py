"""G6: canaries, invented rows put into train for a twin run that is never published, to see whether they come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import mannwhitneyu

from pipeline.errors import ConfigError
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng

from ..features import Frames, frames_of
from ..measurement import Measurement
from ..metric import Definition
from ..report import GateVerdict, PrivacyTest, TestPart
from ..statistics import BoolArray, Estimate, FloatArray, IntArray, auc
from ..tables import UNMODELLED, Tables
from ..wording import percent
from .decisions import clopper_pearson, undecided, worst
from .neighbours import nearest
from .records import RowKeys
from .space import Space

SOURCE = "Carlini et al. 2019, The Secret Sharer, arXiv:1802.08232; withheld canaries as control"
REPRODUCED = Definition("canaries_reproduced", "privacy", 0.0, 1.0, SOURCE)
RANKED = Definition("canary_auc", "privacy", 0.5, 1.0, "inserted against withheld canaries by nearest row; " + SOURCE)
N_CANARIES = 300
MULTIPLICITIES = (1, 2, 4, 8)
MIN_P = 0.01
RULE = f"PASS: no canary is reproduced and the rank test has p > {MIN_P}; FAIL: a canary inserted once is reproduced"


@dataclass(frozen=True)
class Canaries:
    """Invented rows of the train table's schema.

    Attributes:
        inserted: rows to put into train.
        withheld: as many rows drawn alike, which nothing is to learn from.
        copies: int64 **(n_inserted,)**, how often each inserted row is put in.

    """

    inserted: pa.Table
    withheld: pa.Table
    copies: IntArray


def draw_canaries(train: pa.Table, schema: Schema, *, seed: int, n: int = N_CANARIES) -> Canaries:
    """Draw `n` canaries to insert and `n` to withhold; a quarter each is to be inserted 1, 2, 4 and 8 times.

    Every modelled cell is drawn evenly from the values that the column has in train: each value is plausible, the
    combination is not, and no row of train has it. Other columns, such as identifiers, repeat those of random rows.

    Raises:
        ConfigError: the columns do not allow so many combinations that train lacks.

    Example:
        >>> from pipeline.columns import Integer
        >>> table = pa.table({"age": range(100), "income": range(100)})
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64"), Integer(name="income", arrow="int64")))
        >>> canaries = draw_canaries(table, schema, seed=0, n=8)
        >>> canaries.inserted.num_rows, canaries.withheld.num_rows, canaries.copies.tolist()
        (8, 8, [1, 1, 2, 2, 4, 4, 8, 8])

    """
    rng = numpy_rng(seed, "canaries", "draw")
    drawn = _invented(train, schema, 4 * n, rng)
    keys = _keys(frames_of(Tables(schema, train, drawn, drawn)))
    own = keys[train.num_rows : train.num_rows + drawn.num_rows]
    fresh = np.sort(np.unique(own, return_index=True)[1])
    fresh = fresh[~np.isin(own[fresh], keys[: train.num_rows])]
    if len(fresh) < 2 * n:
        rule = f"canaries need {2 * n} combinations of values that train lacks"
        raise ConfigError(rule, actual=str(len(fresh)), remedy="use fewer canaries, or a table with more columns")
    copies = np.repeat(MULTIPLICITIES, -(-n // len(MULTIPLICITIES)))[:n].astype(np.int64)
    return Canaries(drawn.take(fresh[:n]), drawn.take(fresh[n : 2 * n]), copies)


def insert_canaries(train: pa.Table, canaries: Canaries, *, seed: int) -> pa.Table:
    """Return train with every inserted canary as often as planned, in random order."""
    rows = canaries.inserted.take(np.repeat(np.arange(canaries.inserted.num_rows), canaries.copies))
    planted = pa.concat_tables([train, rows])
    return planted.take(numpy_rng(seed, "canaries", "order").permutation(planted.num_rows))


def canary_test(
    synthetic: pa.Table, canaries: Canaries, schema: Schema
) -> tuple[PrivacyTest, tuple[Measurement, ...]]:  # fmt: skip
    """Judge the table that a generator made after learning from train with canaries.

    Reproduced is a canary that a synthetic row equals in every modelled cell. Ranked are inserted against withheld
    canaries by the distance to the nearest synthetic row: without memory neither kind lies nearer.

    Returns:
        The test; the share of inserted canaries that are reproduced, with the withheld share as ceiling; the AUC of the
        ranking.

    """
    frames = frames_of(Tables(schema, canaries.inserted, canaries.withheld, synthetic))
    if not frames.features or synthetic.num_rows < 2:
        reason = "No column is modelled." if not frames.features else "The synthetic table has fewer than two rows."
        test = undecided("g6_canaries", "NOT TESTABLE", statistic="canaries reproduced", rule=RULE, reason=reason)
        return test, (REPRODUCED.unmeasured(reason), RANKED.unmeasured(reason))
    found = _found(frames, canaries.copies)
    return _judged(found), _measurements(found)


@dataclass(frozen=True)
class Found:
    """What came back: of each inserted canary, and of each withheld one."""

    copies: IntArray
    reproduced: BoolArray
    chance: BoolArray
    distances: FloatArray
    withheld_distances: FloatArray

    def hits(self, copies: int) -> tuple[int, int]:
        """Return how many of the canaries inserted so often are reproduced, and how many there are."""
        chosen = self.copies == copies
        return int(self.reproduced[chosen].sum()), int(chosen.sum())

    def rank_p(self) -> float:
        """Return how often chance alone would put the inserted canaries as near (Mann and Whitney 1947)."""
        return float(mannwhitneyu(self.distances, self.withheld_distances, alternative="less").pvalue)


def _invented(train: pa.Table, schema: Schema, n: int, rng: np.random.Generator) -> pa.Table:
    drawn = train.take(rng.integers(train.num_rows, size=n))
    for column in schema.columns:
        if column.kind not in UNMODELLED:
            values = pc.unique(train[column.name].combine_chunks()).drop_null()
            cells = values.take(rng.integers(max(len(values), 1), size=n)) if len(values) else drawn[column.name]
            drawn = drawn.set_column(drawn.column_names.index(column.name), train.field(column.name), cells)
    return drawn


def _keys(frames: Frames) -> FloatArray | IntArray:
    keys = RowKeys(frames)
    return keys.over(range(len(frames.features))).view(np.int64)


def _found(frames: Frames, copies: IntArray) -> Found:
    keys, n = _keys(frames), frames.train.n_rows
    back = np.isin(keys[: n + frames.holdout.n_rows], keys[n + frames.holdout.n_rows :])
    rows = frames.train.join(frames.holdout)
    space = Space(rows)
    distances = nearest(space, space.place(rows), space.place(frames.synthetic)).first.astype(np.float64)
    return Found(copies, back[:n], back[n:], distances[:n], distances[n:])


def _judged(found: Found) -> PrivacyTest:
    parts = [_reproduced(found, int(copies)) for copies in np.unique(found.copies)] + [_ranked(found)]
    hits, n = int(found.reproduced.sum()), len(found.reproduced)
    return PrivacyTest(
        name="g6_canaries",
        verdict=worst([part.verdict for part in parts]),
        statistic="share of inserted canaries that are reproduced",
        value=hits / n,
        interval=clopper_pearson(hits, n),
        rule=RULE,
        reason=f"{hits} of {n} inserted and {int(found.chance.sum())} of {len(found.chance)} withheld canaries are "
        f"reproduced; the chance of inserted ones to lie as near to synthetic rows is {found.rank_p():.2g}.",
        detection_limit=f"Had the generator reproduced {percent(3 / n)} of such rows, one at least would have been "
        "found with a chance of 95 %.",
        parts=tuple(parts),
        source=SOURCE,
    )


def _reproduced(found: Found, copies: int) -> TestPart:
    hits, n = found.hits(copies)
    by_chance = float(found.chance.mean())
    verdict: GateVerdict = "PASS" if hits == 0 else "FAIL" if copies == 1 and hits / n > by_chance else "REVIEW"
    return TestPart(
        subject=f"canaries inserted {copies}x",
        statistic="share reproduced",
        value=hits / n,
        interval=clopper_pearson(hits, n),
        verdict=verdict,
        note=f"{hits} of {n}; of withheld canaries {percent(by_chance)}",
    )


def _ranked(found: Found) -> TestPart:
    area, p_value = _area(found), found.rank_p()
    return TestPart(
        subject="inserted against withheld canaries",
        statistic="AUC of nearness to a synthetic row",
        value=area.value,
        interval=area.interval(0.0, 1.0),
        p_value=p_value,
        verdict="PASS" if p_value > MIN_P else "REVIEW",
    )


def _area(found: Found) -> Estimate:
    distances = np.concatenate([found.distances, found.withheld_distances])
    return auc(-distances, np.arange(len(distances)) < len(found.distances))


def _measurements(found: Found) -> tuple[Measurement, ...]:
    hits, n, area = int(found.reproduced.sum()), len(found.reproduced), _area(found)
    ceiling, n_rows = float(found.chance.mean()), n + len(found.chance)
    return (
        REPRODUCED.measured(hits / n, n_rows=n, interval=clopper_pearson(hits, n), ceiling=ceiling),
        RANKED.measured(area.value, n_rows=n_rows, interval=area.interval(0.0, 1.0), ceiling=0.5),
    )
