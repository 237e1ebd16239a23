"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import sys
import traceback as tracebacks
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated

from cyclopts import App, Group, Parameter

from .augment import augment
from .backfill import backfill
from .canaries import canaries
from .compare import compare
from .deploy import deploy
from .evaluate import evaluate
from .fit import fit
from .impute import impute
from .init import init
from .inspect import inspect
from .latent import latent
from .options import Flag
from .outcome import Outcome, outcome_of
from .releases import prune, rollback, verify
from .run import run
from .runs import runs, show
from .sample import sample
from .score import score
from .serve import serve
from .what_if import what_if

app = App(
    name="tabmint",
    help="Learn a table, draw a synthetic one, measure it four ways, publish it only if it passes.",
    help_epilogue="Exit codes: 0 published, skipped or done, 2 bad input or usage, 3 refused by a gate, 1 unforeseen.",
    help_format="markdown",
    version=lambda: version("tabmint"),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
COMMANDS: tuple[Callable[..., Outcome], ...] = (
    init, run, backfill, compare, serve, deploy, runs, show, rollback, verify, prune, fit, sample, evaluate, canaries,
    inspect, what_if, augment, impute, score, latent,
)  # fmt: skip
for place, command in enumerate(COMMANDS):
    app.command(command, sort_key=place)
app.meta.group_parameters = Group("Every command", sort_key=9)


@app.meta.default
def _with_common_options(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Flag = False,
    traceback: Flag = False,
) -> int:
    """Run a command.

    Args:
        *tokens: the command and what is given to it.
        json: End standard output with one line of JSON instead of text.
        traceback: Show where an error happened.
    """
    try:
        outcome = app(tokens)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost frame: every error becomes an exit code
        if traceback:
            tracebacks.print_exception(error)
        outcome = outcome_of(error)
    if isinstance(outcome, Outcome):
        _show(outcome, as_json=json)
        return outcome.exit_code
    return 0  # help and version have shown themselves


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line on `tokens`, the process's own unless given, and return its exit code."""
    code = app.meta(sys.argv[1:] if tokens is None else tokens)
    return code if isinstance(code, int) else 0


def _show(outcome: Outcome, *, as_json: bool) -> None:
    failed = outcome.status == "error"
    if failed or not as_json:
        stream = sys.stderr if failed else sys.stdout
        stream.write("".join(f"{line}\n" for line in outcome.lines))
    if as_json:
        sys.stdout.write(outcome.to_json() + "\n")
