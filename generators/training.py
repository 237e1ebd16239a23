"""The only training loop: any number of objectives, averaged weights, a budget, early stopping, exact resume.

It prints nothing and calls nobody back: it yields `Progress`, and the caller draws the bar, logs, stops or goes on.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import ArtifactError, TrainingError
from pipeline.seeds import substream

from .checkpoint import load_state, save_state
from .config import TrainingConfig
from .device import arithmetic, n_workers, workers
from .given import Batch
from .minimiser import Group, Minimiser, permutation
from .model import Model

WARM_STEPS, CALIBRATION_STEPS = 3, 12
BUDGET_RESERVE = 0.08
LEAST_SHARE_OF_STEPS = 0.75  # that are left of a plan before a member is given up
MOST_SKIPPED = 20
MOST_CELLS = 20_480


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Losses are of the averaged weights, without dropout, summed over the objectives of a member.

    Of several members they are the mean.

    Attributes:
        step, n_steps: done and planned.
        elapsed_s: since the start, earlier parts of a resumed run included.
        train_loss: on as many train rows as are held out; compare it with
        validation_loss: on the held-out rows. A growing gap is overfitting.
        best: whether this is the best state so far.
        epoch: passes over train so far.
        message: why the plan changed or training stopped; empty otherwise.
        logged: what else the family tells of the averaged weights on held-out rows, by name; see `Objective.logged`.
    """

    step: int
    n_steps: int
    elapsed_s: float
    train_loss: float
    validation_loss: float
    best: bool
    epoch: float
    message: str = ""
    logged: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a number that is not finite becomes null."""
        plain: dict[str, Any] = _null_for_nan(asdict(self))
        return plain

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Progress:
        """Rebuild a progress from `to_json`."""
        return cls(**_nan_for_null(state))


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _null_for_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan_for_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nan_for_null(inner) for name, inner in value.items()}
    return math.nan if value is None else value


@dataclass
class _Run:
    """The mutable state of a run: with the minimisers' tensors, everything that a checkpoint holds."""

    n_steps: int
    step: int = 0
    earlier_s: float = 0.0
    message: str = ""
    history: list[Progress] = field(default_factory=list)


def train(
    model: Model,
    data: Batch,
    validation: Batch,
    config: TrainingConfig,
    *,
    seed: int,
    budget_s: float | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Progress]:
    """Train `model` in place and yield `Progress` at every validation; it ends with its best averaged weights.

    The number of steps follows from the data; where `budget_s` does not allow as many, the plan is cut once, after the
    first steps were timed, and the learning rate anneals within the new plan. What `finish` is going to take is timed
    on a copy before the first step, and left of the budget.

    Args:
        model: the model, on its device.
        data: train rows, on the model's device.
        validation: held-out rows of train, on the model's device.
        config: the loop's settings.
        seed: of batches, masks, noise and dropout.
        budget_s: wall-clock seconds for the whole call and for `finish` after it.
        checkpoint: a folder for exact resume; written at each validation, and read first if it is there.

    Raises:
        TrainingError: loss or gradients stayed non-finite before anything was learned.
        ArtifactError: the checkpoint is damaged, or of a run of another seed, settings, model or number of rows.
    """
    yield from Trainer(model, data, validation, config, seed, budget_s, checkpoint).run()


@torch.no_grad()
def finish(model: Model, held_out: Batch, config: TrainingConfig, *, seed: int) -> dict[str, Any]:
    """Do what is left when training is over, and return the diagnostics of `model`."""
    device = held_out.tokens.device
    last, told = (torch.Generator(device).manual_seed(substream(seed, name)) for name in ("finish", "diagnostics"))
    with arithmetic(config, device):
        for _ in range(model.finishing_rounds):
            model.finish(last)
        return model.diagnostics(held_out, told)


@torch.no_grad()
def seconds_to_finish(model: Model, held_out: Batch, config: TrainingConfig) -> float:
    """Return about how long `finish` takes, from one round and the diagnostics of a copy that is thrown away."""
    device, rehearsed = held_out.tokens.device, copy.deepcopy(model)
    rng = torch.Generator(device).manual_seed(0)  # nothing that is drawn stays
    with arithmetic(config, device):
        started = time.monotonic()
        rehearsed.diagnostics(held_out, rng)
        told = time.monotonic()
        rehearsed.finish(rng)
        return told - started + model.finishing_rounds * (time.monotonic() - told)


class Trainer:
    """The loop behind `train`, cut into steps."""

    def __init__(
        self,
        model: Model,
        data: Batch,
        validation: Batch,
        config: TrainingConfig,
        seed: int,
        budget_s: float | None,
        checkpoint: Path | None,
    ) -> None:
        self.started = self.warm_at = time.monotonic()
        self.model, self.data, self.held_out, self.config = model, data, validation, config
        self.seed, self.budget_s, self.checkpoint = seed, budget_s, checkpoint
        self.batch_size = min(config.batch_size or auto_batch_size(*data.tokens.shape), len(data))
        self.state = _Run(n_steps=config.steps or auto_steps(len(data), self.batch_size, config))
        self.groups = [
            Group(list(objectives), data, config, self.batch_size, substream(seed, f"group {number}"))
            for number, objectives in groupby(model.objectives(), key=lambda objective: objective.group)
        ]
        self.identity = self._identity()
        self.seen = data.take(permutation(data, substream(seed, "seen"))[: len(validation)])
        self.ending_s = 0.0

    def run(self) -> Iterator[Progress]:
        """Train, validate and yield until the plan, the patience or the budget ends; then restore the best weights.

        A resumed run yields first what its earlier parts did.
        """
        self._resume()
        yield from self.state.history  # what the earlier parts of a resumed run yielded
        with workers(len(self.groups), self.data.tokens.device) as self.pool:  # groups share nothing
            if not self.state.history:
                yield self._validate()
            if self.budget_s is not None:
                self.ending_s = seconds_to_finish(self.model, self.held_out, self.config)
            while not self._ended():
                self._step()
                if self.state.step == WARM_STEPS:
                    self.warm_at = time.monotonic()
                if self.state.step == CALIBRATION_STEPS:
                    self._fit_plan_to_budget()
                if self.state.step % self._interval() == 0 or self._ended():
                    yield self._validate()
        for minimiser in self._minimisers():
            minimiser.restore_best()

    def _minimisers(self) -> list[Minimiser]:
        return [minimiser for group in self.groups for minimiser in group.minimisers]

    def elapsed_s(self) -> float:
        """Return the seconds spent, earlier parts of a resumed run included."""
        return self.state.earlier_s + time.monotonic() - self.started

    def _interval(self) -> int:
        return max(1, self.state.n_steps // self.config.n_validations)

    def _step(self) -> None:
        step, n_steps = self.state.step, self.state.n_steps
        rate = learning_rate(step, n_steps, self.config)
        list(self.pool.map(lambda group: group.step(step, n_steps, rate), self.groups))
        self.state.step += 1

    def _ended(self) -> bool:
        """Return whether the run is over, and note why where that is not simply the end of the plan."""
        if self.state.step >= self.state.n_steps:
            return True
        if any(group.skipped >= MOST_SKIPPED for group in self.groups):
            self._stop_on_non_finite()
        elif all(group.stalled(self.config.patience) for group in self.groups):
            self.state.message = "stopped early: held-out rows stopped improving"
        elif self._left_s(BUDGET_RESERVE) < 0:
            self.state.message = "stopped at the time budget with the best state so far"
        else:
            return False
        return True

    def _left_s(self, reserve: float) -> float:
        """Return the seconds of the budget that steps may still take where a part of it is kept in reserve."""
        budget_s = math.inf if self.budget_s is None else self.budget_s
        return budget_s * (1 - reserve) - self.ending_s - self.elapsed_s()

    def _stop_on_non_finite(self) -> None:
        if not any(progress.best for progress in self.state.history[1:]):
            rule, remedy = "loss and gradients must be finite", 'lower learning_rate, or set precision = "fp32"'
            raise TrainingError(rule, actual=f"lasting non-finite ones at step {self.state.step}", remedy=remedy)
        self.state.message = "stopped on non-finite losses with the best state so far"

    def _fit_plan_to_budget(self) -> None:
        """Cut the plan to what the budget allows: members first, then steps, coarsely so that runs tend to agree."""
        if self.budget_s is None or self.config.steps is not None:
            return
        left_s = self._left_s(2 * BUDGET_RESERVE)
        step_s = (time.monotonic() - self.warm_at) / (CALIBRATION_STEPS - WARM_STEPS)
        wanted, n_groups = self.state.n_steps, len(self.groups)
        at_a_time = n_workers(n_groups, self.data.tokens.device)
        rounds = math.ceil(n_groups / at_a_time)  # of groups that are trained at the same time
        share = left_s / (step_s * (wanted - self.state.step))  # of the plan with all members
        affordable_rounds = min(rounds, max(1, int(rounds * share / LEAST_SHARE_OF_STEPS)))
        self._keep(min(n_groups, affordable_rounds * at_a_time))
        affordable = self.state.step + left_s / (step_s * affordable_rounds / rounds)
        if affordable < wanted:
            self.state.n_steps = max(CALIBRATION_STEPS + 1, round_down(affordable))
        if (self.state.n_steps, len(self.groups)) != (wanted, n_groups):
            members = f" of {len(self.groups)} of {n_groups} members" if len(self.groups) < n_groups else ""
            self.state.message = f"plan cut to {self.state.n_steps} steps{members} to fit the time budget"

    def _keep(self, n_groups: int) -> None:
        """Go on with the first groups only: few members that are trained well are better than many that are not."""
        if n_groups < len(self.groups):
            self.model.keep_groups(n_groups)
            self.ending_s *= n_groups / len(self.groups)
            self.groups = self.groups[:n_groups]

    def _validate(self) -> Progress:
        judged = list(self.pool.map(lambda group: group.validate(self.held_out, self.seen, self.seed), self.groups))
        held_out = _mean([group.held_out for group in judged])
        if not math.isfinite(held_out):
            self.groups[0].skipped = MOST_SKIPPED  # weights with such losses do not recover
        self._ended()  # if this validation ends the run, its progress says why
        progress = Progress(
            step=self.state.step,
            n_steps=self.state.n_steps,
            elapsed_s=self.elapsed_s(),
            train_loss=_mean([group.seen for group in judged]),
            validation_loss=held_out,
            best=any(group.best for group in judged),
            epoch=self.state.step * self.batch_size / len(self.data),
            message=self.state.message,
            logged={name: _mean([group.logged[name] for group in judged]) for name in judged[0].logged},
        )
        self.state.message = ""
        self.state.history.append(progress)
        self._save()
        return progress

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {f"rng/{i}": group.rng.get_state() for i, group in enumerate(self.groups)}
        for minimiser in self._minimisers():
            tensors |= minimiser.tensors()
        state = asdict(self.state) | {"earlier_s": self.elapsed_s(), "run": self.identity}
        state["skipped"] = [group.skipped for group in self.groups]
        state["minimisers"] = [[minimiser.best_loss, minimiser.stalled] for minimiser in self._minimisers()]
        save_state(self.checkpoint, tensors, state)

    def _identity(self) -> dict[str, Any]:
        """Return what must agree for a run to go on from a checkpoint."""
        shapes = [[list(parameter.shape) for parameter in minimiser.parameters] for minimiser in self._minimisers()]
        settings = self.config.model_dump(mode="json")
        return {"seed": self.seed, "settings": settings, "shapes": shapes, "n_rows": len(self.data)}

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        tensors, state = load_state(self.checkpoint)
        if state.pop("run", None) != self.identity:
            rule = "a run resumes with the seed, settings, model and number of rows it began with"
            raise ArtifactError(rule, actual="others", remedy=f"delete {self.checkpoint.name}")
        self._keep(len(state["skipped"]))
        for minimiser, (best_loss, stalled) in zip(self._minimisers(), state.pop("minimisers"), strict=True):
            minimiser.best_loss, minimiser.stalled = best_loss, stalled
            minimiser.load_tensors(tensors)
        for i, (group, skipped) in enumerate(zip(self.groups, state.pop("skipped"), strict=True)):
            group.rng.set_state(tensors[f"rng/{i}"])
            group.skipped = skipped
        self.state = _Run(**state | {"history": [Progress(**progress) for progress in state["history"]]})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def learning_rate(step: int, n_steps: int, config: TrainingConfig) -> float:
    """Return the rate at a step: linear warm-up, then a cosine to zero.

    Example:
        >>> config = TrainingConfig(learning_rate=1.0, warmup_steps=10)
        >>> [round(learning_rate(step, 110, config), 2) for step in (0, 9, 60, 110)]
        [0.1, 1.0, 0.5, 0.0]
    """
    warmup = min(config.warmup_steps, max(1, n_steps // 10))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup))) / 2


def round_down(steps: float) -> int:
    """Round down to a power of 2 ** (1/8).

    Example:
        >>> round_down(1000.0)
        939
    """
    return int(2 ** (math.floor(8 * math.log2(max(1.0, steps))) / 8))


def auto_batch_size(n_rows: int, n_columns: int) -> int:
    """Return the batch size: a power of two near a 32nd of the rows, between 32 and 1,024, of at most 20,480 cells.

    Small tables overfit within as few epochs as large ones; small batches give them as many steps in these. The bound
    on the cells is one on memory; a batch has at least 32 rows all the same.

    Example:
        >>> [auto_batch_size(n, 15) for n in (100, 5_000, 500_000)], auto_batch_size(500_000, 100)
        ([32, 128, 1024], 128)
    """
    by_rows, by_cells = round(math.log2(n_rows / 32)), int(math.log2(MOST_CELLS / n_columns))
    return 1 << min(10, max(5, min(by_rows, by_cells)))


def auto_steps(n_rows: int, batch_size: int, config: TrainingConfig) -> int:
    """Return the planned steps: so many epochs, or the least.

    Example:
        >>> auto_steps(32_000, 1_024, TrainingConfig(epochs=20)), auto_steps(50, 32, TrainingConfig(least_steps=300))
        (625, 300)
    """
    return max(config.least_steps, int(config.epochs * n_rows / batch_size))
