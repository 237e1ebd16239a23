"""What may be set about an evaluation: which families, and how many rows each expensive one looks at."""

from __future__ import annotations

from importlib.util import find_spec
from typing import get_args

from pydantic import Field, field_validator

from pipeline.config import Config

from .measurement import Family

FAMILIES: tuple[Family, ...] = get_args(Family)


class PrivacyConfig(Config):
    """What is declared about privacy, and what an attacker is taken to know.

    Attributes:
        quasi_identifiers: groups of columns that together may point to a person; copies of each are counted.
        secrets: columns whose value an attacker wants to infer from the others; empty chooses among the modelled ones.
        linkable: two groups of columns that two parties hold; linkability is tested only where they are declared.
        queries: most synthetic rows whose nearest neighbours are searched; also, unless the new table has more itself,
            most rows of all published tables together that are searched.
        permutations: relabellings of the original rows behind a p-value.
        index: search the nearest records of G3 by an approximate index, which asks with `queries` rows however large
            the tables are; it needs the extra `faiss`. An exact search asks with fewer rows of large tables.
    """

    quasi_identifiers: tuple[tuple[str, ...], ...] = ()
    secrets: tuple[str, ...] = ()
    linkable: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    queries: int = Field(default=20_000, ge=100)
    permutations: int = Field(default=999, ge=99)
    index: bool = False

    @field_validator("index")
    @classmethod
    def _installed(cls, index: bool) -> bool:
        if index and find_spec("faiss") is None:
            raise ValueError('an index needs faiss, which is not installed; install it: pip install "tabmint[faiss]"')
        return index


class EvaluationConfig(Config):
    """The settings of an evaluation. Marginals, pairs and exact copies always use every row.

    Attributes:
        families: what to measure; a gate on a family left out fails for want of evidence.
        detection_rows: most rows per side, synthetic and holdout, that the detector sees.
        detection_folds: folds of its cross-fitting.
        utility_rows: most rows to train a downstream model on, and most holdout rows to test it on.
        utility_replicates: how often every downstream model is learned again from parts of its rows, for the chance in
            them; with fewer than 2, intervals of utility hold that of the holdout rows alone.
        pair_profiles: how many of the worst pairs the report shows.
        privacy: what the privacy gate is told.
        budget_s: seconds after which no further metric is started; None takes the time that it takes. What is left out
            is unmeasured, and a gate on it fails for want of evidence.

    Example:
        >>> EvaluationConfig(families=("marginals", "pairs")).detection_rows
        20000

    """

    families: tuple[Family, ...] = FAMILIES
    detection_rows: int = Field(default=20_000, ge=100)
    detection_folds: int = Field(default=5, ge=2)
    utility_rows: int = Field(default=50_000, ge=100)
    utility_replicates: int = Field(default=4, ge=0)
    pair_profiles: int = Field(default=300, ge=0)
    privacy: PrivacyConfig = PrivacyConfig()
    budget_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
