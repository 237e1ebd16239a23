"""Progress for a person: moving bars on a terminal, plain lines in a file or a log."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

Move = Callable[[float | None, str], None]
"""Told by a step how far it is: the share done in [0, 1], None where nobody knows, and a few words."""

LINE_EVERY_S = 5.0


class Display(Protocol):
    """What shows the steps of a job; `step` opens one, and what it yields moves it."""

    def step(self, name: str) -> AbstractContextManager[Move]:
        """Show the step `name` as begun, then as done when the context ends without an error."""
        ...


class Silent:
    """Shows nothing.

    Example:
        >>> with Silent().step("fit") as move:
        ...     move(0.5, "half of the budget")
    """

    @contextmanager
    def step(self, name: str) -> Iterator[Move]:  # noqa: ARG002 - the protocol's argument
        """Show nothing."""
        yield lambda *_: None


class Lines:
    """Writes one line when a step begins, at most one every few seconds while it moves, and one when it ends.

    Example:
        >>> import io
        >>> out = io.StringIO()
        >>> with Lines(out).step("split") as move:
        ...     move(1.0, "70 train rows")
        >>> [line.split(maxsplit=2)[2] for line in out.getvalue().splitlines()]
        ['split      ...', 'split      done in 0.0 s: 70 train rows']
    """

    def __init__(self, stream: TextIO, every_s: float = LINE_EVERY_S) -> None:
        self._stream, self._every_s, self._began = stream, every_s, time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Move]:
        """Write the step's lines."""
        began = written = time.monotonic()
        last_words = ""

        def move(share: float | None, words: str) -> None:
            nonlocal written, last_words
            last_words = words
            if time.monotonic() - written >= self._every_s:
                written = time.monotonic()
                self._write(name, f"{_percent(share)}{words}")

        self._write(name, "...")
        yield move
        self._write(name, f"done in {time.monotonic() - began:.1f} s" + (f": {last_words}" if last_words else ""))

    def _write(self, name: str, words: str) -> None:
        self._stream.write(f"{time.monotonic() - self._began:6.0f} s  {name:<10} {words}\n")
        self._stream.flush()


class Bars:
    """Draws one bar per step on a terminal; a bar without a known share pulses."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def step(self, name: str) -> Iterator[Move]:
        """Draw the step's bar."""
        task = self._progress.add_task(name, total=None, words="")
        yield lambda share, words: self._move(task, share, words)
        self._progress.update(task, total=1.0, completed=1.0)
        self._progress.stop_task(task)

    def _move(self, task: TaskID, share: float | None, words: str) -> None:
        total = None if share is None else 1.0
        self._progress.update(task, total=total, completed=min(share or 0.0, 0.99), words=words)


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Display]:
    """Yield the display that suits the stream, standard error unless told: bars on a terminal, lines otherwise."""
    stream = sys.stderr if stream is None else stream
    console = Console(file=stream)
    if not console.is_terminal:
        yield Lines(stream)
        return
    words = TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (TextColumn("{task.description:<10}"), BarColumn(24), TimeElapsedColumn(), words)
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)


def by_stage(move: Move, n_stages: int) -> Callable[[str], None]:
    """Return what moves a step from one named stage to the next, all of them counted alike.

    Example:
        >>> announce = by_stage(lambda share, words: print(f"{share:.0%} {words}"), 4)
        >>> announce("marginals"), announce("pairs")
        0% marginals
        25% pairs
        (None, None)
    """
    numbers = itertools.count()
    return lambda stage: move(min(next(numbers) / n_stages, 1.0), stage)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:4.0%}  "
