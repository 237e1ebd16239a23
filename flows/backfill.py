"""Running the job for several dates, the oldest first."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline.errors import ConfigError

from .interruption import is_interrupt
from .results import Release, Skipped

MOST_DATES = 1_000
RunDate = Callable[[datetime.date], Release | Skipped]


@dataclass(frozen=True)
class Dated:
    """How the run of a date ended: with a result, or with an error."""

    date: datetime.date
    end: Release | Skipped | Exception


def dates_from(first: datetime.date, last: datetime.date) -> tuple[datetime.date, ...]:
    """Return every date from `first` to `last`, both included.

    Raises:
        ConfigError: `last` lies before `first`, or there are more than 1,000 dates.

    Example:
        >>> [day.isoformat() for day in dates_from(datetime.date(2026, 2, 27), datetime.date(2026, 3, 1))]
        ['2026-02-27', '2026-02-28', '2026-03-01']
    """
    n_dates = (last - first).days + 1
    if not 1 <= n_dates <= MOST_DATES:
        actual = f"{first} to {last}" + (f", which are {n_dates:,} dates" if n_dates > 0 else "")
        remedy = "give fewer dates" if n_dates > 0 else "give the older date first"
        raise ConfigError(f"a backfill runs 1 to {MOST_DATES:,} dates", actual=actual, remedy=remedy)
    return tuple(first + datetime.timedelta(days) for days in range(n_dates))


def backfill_dates(dates: Iterable[datetime.date], run: RunDate, *, keep_going: bool = False) -> Iterator[Dated]:
    """Run each date and yield how it ended; stop after the first that ends with an error, unless told to keep going.

    A later date is held against the release of the date before it, so what follows an error is seldom what was wanted.

    Example:
        >>> def run(date):
        ...     raise ConfigError("the source must exist")
        >>> dates = dates_from(datetime.date(2026, 1, 1), datetime.date(2026, 1, 9))
        >>> [dated.date.day for dated in backfill_dates(dates, run)]
        [1]
    """
    for date in dates:
        dated = Dated(date, _end(date, run))
        yield dated
        if isinstance(dated.end, Exception) and not keep_going:
            return


def _end(date: datetime.date, run: RunDate) -> Release | Skipped | Exception:
    try:
        return run(date)
    except Exception as error:
        if is_interrupt(error):
            raise
        return error
