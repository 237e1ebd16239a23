"""Which steps of a run are done, so that a killed run goes on after the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.artifact import make_folder, replace_text, sync, sync_tree
from pipeline.config import Config
from pipeline.errors import ArtifactError

from .references import Reference

Result = TypeVar("Result", bound=Config)


def once(folder: Path, step: str, kind: type[Result], do: Callable[[], Result]) -> Result:
    """Return what `do` returns; where an earlier process did it and its files are whole, what that one returned.

    Args:
        folder: the working folder of the run: the same inputs, the same folder.
        step: the step's name.
        kind: what the step returns.
        do: the step.

    Example:
        >>> class Sum(Config):
        ...     total: int
        >>> once(Path("work"), "add", Sum, lambda: Sum(total=3)).total
        3
        >>> once(Path("work"), "add", Sum, lambda: Sum(total=4)).total
        3
    """
    make_folder(folder)
    path = folder / f"{step}.done.json"
    done = _remembered(path, kind)
    if done is None:
        done = do()
        _remember(path, done)
    return done


def _remembered(path: Path, kind: type[Result]) -> Result | None:
    """Return what was noted, None where nothing was or where it leads to something missing or changed."""
    if not path.is_file():
        return None
    try:
        done = kind.model_validate_json(path.read_bytes())
        for reference in _references(done):
            reference.verified()
    except (ValidationError, ArtifactError):
        return None
    return done


def _references(done: Config) -> Iterator[Reference]:
    yield from (done,) if isinstance(done, Reference) else (v for _, v in done if isinstance(v, Reference))


def _remember(path: Path, done: Config) -> None:
    for reference in _references(done):
        (sync_tree if reference.path.is_dir() else sync)(reference.path)
    replace_text(path, done.model_dump_json())
