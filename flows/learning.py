"""The flows' side of a generator. Importing `generators` takes seconds (torch), so it happens inside functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.transform import TransformConfig

from .progress import Move
from .settings import GeneratorSection

if TYPE_CHECKING:
    from generators import Progress, TabularGenerator


def new_generator(section: GeneratorSection, transform: TransformConfig | None = None) -> TabularGenerator:
    """Return an unfitted generator.

    Raises:
        ConfigError: its kind is unknown, or a setting is none of that kind's.
    """
    from generators import TabularGenerator, generator_config

    return TabularGenerator(generator_config(section.kind, **section.settings), transform=transform)


def shown(move: Move) -> Callable[[Progress], None]:
    """Return what shows a training's progress through `move`."""

    def on_progress(progress: Progress) -> None:
        losses = {"loss": progress.train_loss, "held out": progress.validation_loss, **progress.logged}
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in losses.items())
        words = f"step {progress.step:,} of {progress.n_steps:,}, {numbers}"
        move(progress.step / max(progress.n_steps, 1), f"{words}, {progress.message}" if progress.message else words)

    return on_progress
