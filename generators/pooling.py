"""Rubin's rules: the estimates from several imputed tables become one, whose variance counts what was not observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Pooled:
    """One estimate from several imputed tables.

    Attributes:
        estimate: the mean of the estimates.
        variance: of it: that within the tables, and that between them, which missing cells cause.
        df: degrees of freedom of the t distribution around it.
        missing_information: the part of the variance that missing cells cause, in [0, 1].
    """

    estimate: float
    variance: float
    df: float
    missing_information: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return a confidence interval.

        Raises:
            ConfigError: the level does not lie between 0 and 1.
        """
        refuse_level(level)
        reach = float(stats.t.ppf((1 + level) / 2, self.df)) * math.sqrt(self.variance)
        return self.estimate - reach, self.estimate + reach


def pool(estimates: Sequence[float], variances: Sequence[float], *, complete_df: float = math.inf) -> Pooled:
    """Return one estimate from those of m imputed tables.

    Args:
        estimates: of the same quantity, one from each table.
        variances: the squared standard error of each, as if its table had been observed.
        complete_df: the degrees of freedom that one table gives; infinite for large tables.

    Raises:
        ConfigError: there are fewer than two estimates, not as many variances, or a variance is not positive.

    With Q the mean of the estimates, U that of the variances and B the variance between estimates, the variance is
    T = U + (1 + 1/m) B, and the degrees of freedom are (m - 1) (1 + 1/r)^2 with r = (1 + 1/m) B / U; Rubin 1987,
    "Multiple imputation for nonresponse in surveys", equations 3.1.2 to 3.1.7. No more of them than `complete_df`
    allows: Barnard and Rubin 1999, "Small-sample degrees of freedom with multiple imputation", equation 3,
    doi:10.1093/biomet/86.4.948.

    Example:
        >>> pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        >>> pooled.estimate, round(pooled.variance, 3), round(pooled.df, 3)
        (2.0, 1.833, 3.781)
    """
    m = len(estimates)
    if m < 2 or len(variances) != m:
        actual = f"{m} estimates and {len(variances)} variances"
        raise ConfigError("pooling needs two or more estimates, each with its variance", actual=actual)
    if not all(math.isfinite(variance) and variance > 0 for variance in variances):
        actual = ", ".join(map(str, variances))
        raise ConfigError("variances must be positive", actual=actual, remedy="give squared standard errors")
    within = float(np.mean(variances))
    between = (1 + 1 / m) * float(np.var(estimates, ddof=1))
    part = between / (within + between)
    inverse_df = part**2 / (m - 1)
    if math.isfinite(complete_df):
        inverse_df += (complete_df + 3) / ((complete_df + 1) * complete_df * (1 - part))
    df = 1 / inverse_df if inverse_df else math.inf
    return Pooled(float(np.mean(estimates)), within + between, df, part)


def refuse_level(level: float) -> None:
    """Refuse the level of an interval that is no probability.

    Raises:
        ConfigError: it does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError("a level lies between 0 and 1", actual=str(level), remedy="such as 0.9")
