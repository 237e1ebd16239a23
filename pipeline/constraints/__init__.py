"""Constraints between columns that a schema declares: a small file for each kind, and how they are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.constraints.fixed_combinations import FixedCombinations
from pipeline.constraints.functional_dependence import FunctionalDependence
from pipeline.constraints.inequality import Inequality
from pipeline.constraints.one_hot import OneHot
from pipeline.constraints.predicate import Predicate
from pipeline.constraints.range import Range
from pipeline.constraints.sum import Sum
from pipeline.constraints.unique import Unique

__all__ = [
    "Constraint", "FixedCombinations", "FunctionalDependence", "Inequality", "OneHot", "Predicate", "Range", "Sum",
    "Unique",
]  # fmt: skip

Constraint = Annotated[
    Inequality | FixedCombinations | FunctionalDependence | Sum | OneHot | Range | Unique | Predicate,
    Field(discriminator="kind"),
]
