"""`tabmint canaries`: does a generator with these settings repeat rows that it learned?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .options import Settings
from .outcome import Outcome


def canaries(
    config: Path, /, *, settings: Settings = (), number: Annotated[int, Parameter(validator=Number(gte=8))] = 300
) -> Outcome:
    """Plant invented rows in train, learn it, and see whether they come back: gate G6.

    A twin of the job learns train with the planted rows, a quarter each once, twice, four and eight times, and draws
    a table. It takes as long as a run, and nothing of it is kept or published. It ends with 3 if a row that was planted
    once is reproduced.

    As in:

    ```console
    $ tabmint canaries tabmint.toml --number 300
    ```

    Args:
        config: The config file, as `tabmint init` writes it.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        number: How many rows are planted, and how many others are withheld for comparison.
    """
    from flows.canaries import try_canaries
    from flows.progress import show_progress
    from flows.settings import load_config

    loaded = load_config(config, settings)
    with show_progress() as display:
        test = try_canaries(loaded, display, n=number)
    parts = (f"           {part.subject}: {part.statistic} {part.value:.4g}, {part.verdict}" for part in test.parts)
    lines = (
        f"{test.verdict:<10} {test.reason}",
        *parts,
        f"Limit      {test.detection_limit}",
        f"Rule       {test.rule}",
    )
    facts = {"verdict": test.verdict, "test": test.model_dump(mode="json")}
    failed = test.verdict == "FAIL"
    return Outcome("refused" if failed else "done", lines, facts, exit_code=3 if failed else 0)
