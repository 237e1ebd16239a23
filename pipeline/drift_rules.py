"""Which changes of a source are refused, warned of or accepted, and how much of a change counts as one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config import Config
from pipeline.errors import DriftError

Rule = Literal["refuse", "warn", "accept"]
ChangeKind = Literal["added", "dropped", "renamed", "retyped", "levels", "nulls", "repeated_keys", "distribution"]
Share = Annotated[float, Field(gt=0, lt=1)]


class DriftRules(Config):
    """What becomes of a run whose source differs from that of the last accepted release: section `[drift]`.

    "refuse" ends the run before training, "warn" goes on and says so in the report, "accept" goes on. What goes on is
    laid into the schema of the run.

    Both tolerances hold from a size on at which chance alone does not move a table so far; in a smaller one only a
    change that chance does not explain is reported (see `pipeline.chance`).

    Attributes:
        added: a column that was not there.
        dropped: a column that is not there any more.
        renamed: a dropped and an added column that hold the same.
        retyped: a column whose values do not all pass unchanged into what is declared of it: type, grid, bounds.
        levels: levels that the source did not have; a column that declares `unseen = "refuse"` refuses them too, unless
            they are accepted here.
        nulls: a missing cell in a column declared never missing, or another share of missing cells.
        repeated_keys: identifiers that repeat.
        distribution: the present cells are distributed differently.
        null_tolerance: the absolute change of a share of missing cells from which on it is reported; 5 in 100 cells is
            more than nightly loads differ by, and less than a failed join or an empty feed leaves.
        distribution_tolerance: the total variation distance, over the bins of the last accepted source, from which on a
            column is reported: the share of its rows that would have to move. .1 is what a normal column reaches whose
            mean moves by a quarter of its standard deviation.

    Example:
        >>> DriftRules(added="accept").levels
        'warn'
    """

    added: Rule = "refuse"
    dropped: Rule = "refuse"
    renamed: Rule = "refuse"
    retyped: Rule = "refuse"
    levels: Rule = "warn"
    nulls: Rule = "refuse"
    repeated_keys: Rule = "refuse"
    distribution: Rule = "warn"
    null_tolerance: Share = 0.05
    distribution_tolerance: Share = 0.1

    def rule(self, kind: ChangeKind) -> Rule:
        """Return the rule for a kind of change."""
        rule: Rule = getattr(self, kind)
        return rule


class Change(Config):
    """A difference between a source and that of the last accepted release.

    Attributes:
        kind: also the name of its rule in section `[drift]`.
        column: its name in the table; of a dropped column, in the schema.
        detail: a sentence with the actual value, and no cell that fewer than 5 rows hold.
        rule: what becomes of it.
        was: the earlier name of a renamed column.
    """

    kind: ChangeKind
    column: str
    detail: str
    rule: Rule
    was: str | None = None


def refuse_drift(changes: tuple[Change, ...]) -> None:
    """Refuse a source with a change that its rule refuses.

    Raises:
        DriftError: names every such change with its rule.

    Example:
        >>> refuse_drift((Change(kind="added", column="fee", detail='column "fee" is new', rule="refuse"),))
        Traceback (most recent call last):
            ...
        pipeline.errors.DriftError: the source must be like that of the last accepted release; found column "fee" is \
new (drift.added); mend the source, or accept with drift.added = "accept"
    """
    refused = [change for change in changes if change.rule == "refuse"]
    if refused:
        actual = "; ".join(f"{change.detail} (drift.{change.kind})" for change in refused)
        settings = dict.fromkeys(f'drift.{change.kind} = "accept"' for change in refused)
        remedy = f"mend the source, or accept with {', '.join(settings)}"
        raise DriftError("the source must be like that of the last accepted release", actual=actual, remedy=remedy)
