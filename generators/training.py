"""The only training loop: any number of objectives, averaged weights, a budget, early stopping, exact resume.

It prints nothing and calls nobody back: it yields `Progress`, and the caller draws the bar, logs, stops or goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import ArtifactError, TrainingError
from pipeline.seeds import substream

from .checkpoint import load_state, save_state
from .config import TrainingConfig
from .device import arithmetic
from .model import Batch, Model, Objective

WARM_STEPS, CALIBRATION_STEPS = 5, 25
BUDGET_RESERVE = 0.08
MOST_SKIPPED = 20
EPOCHS = 20
VALIDATION_CHUNK = 8_192


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Losses are sums over the objectives, of the averaged weights, without dropout.

    Attributes:
        step, n_steps: done and planned.
        elapsed_s: since the start, earlier parts of a resumed run included.
        train_loss: on as many train rows as are held out; compare it with
        validation_loss: on the held-out rows. A growing gap is overfitting.
        best: whether this is the best state so far.
        epoch: passes over train so far.
        message: why the plan changed or training stopped; empty otherwise.
    """

    step: int
    n_steps: int
    elapsed_s: float
    train_loss: float
    validation_loss: float
    best: bool
    epoch: float
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a loss that is not finite becomes null."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Progress:
        """Rebuild a progress from `to_json`."""
        values: dict[str, Any] = {name: math.nan if value is None else value for name, value in state.items()}
        return cls(**values)


class Minimiser:
    """One objective with its optimiser, its averaged weights and the best of these so far."""

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        self.objective = objective
        self.parameters = list(objective.parameters)
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.clip_norm, self.ema_decay = config.clip_norm, config.ema_decay
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.best = [p.detach().clone() for p in self.parameters]
        self.best_loss = math.inf
        self.stalled = 0

    def step(self, batch: Batch, rng: torch.Generator, learning_rate: float, step: int) -> bool:
        """Make one step and return True; leave the weights alone and return False if loss or gradient is not finite."""
        loss = self.objective.loss(batch, rng).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        # Early averages forget fast, so that the random start does not linger: Karras et al. 2024, arXiv:2312.02696.
        decay = min(self.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - decay)
        return True

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights with their averages; calling it twice changes nothing."""
        for parameter, average in zip(self.parameters, self.averaged, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def judge(self, loss: float) -> bool:
        """Keep the averaged weights if `loss` is the lowest so far, and return whether it is."""
        if not loss < self.best_loss:
            self.stalled += 1
            return False
        self.best_loss, self.stalled = loss, 0
        torch._foreach_copy_(self.best, self.averaged)
        return True

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that resuming needs, under names that begin with the objective's."""
        name = self.objective.name
        found = {f"{name}/{kind}/{i}": t for kind, ts in self._lists().items() for i, t in enumerate(ts)}
        for i, state in self.optimizer.state_dict()["state"].items():
            found |= {f"{name}/adam/{i}/{key}": value for key, value in state.items()}
        return found

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        name = self.objective.name
        for kind, own in self._lists().items():
            torch._foreach_copy_(own, [tensors[f"{name}/{kind}/{i}"] for i in range(len(own))])
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}/adam/"):
                _, _, i, field_name = key.split("/")
                adam.setdefault(int(i), {})[field_name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": adam})

    def _lists(self) -> dict[str, list[Tensor]]:
        weights = [parameter.detach() for parameter in self.parameters]
        return {"weights": weights, "averaged": self.averaged, "best": self.best}

    @torch.no_grad()
    def restore_best(self) -> None:
        """Make the best averaged weights the model's weights."""
        torch._foreach_copy_([parameter.detach() for parameter in self.parameters], self.best)


@dataclass
class _Run:
    """The mutable state of a run: with the minimisers' tensors, everything that a checkpoint holds."""

    n_steps: int
    step: int = 0
    skipped: int = 0
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
    first steps were timed, and the learning rate anneals within the new plan.

    Args:
        model: the model, on its device.
        data: train rows, on the model's device.
        validation: held-out rows of train, on the model's device.
        config: the loop's settings.
        seed: of batches, masks, noise and dropout.
        budget_s: wall-clock seconds for the whole call.
        checkpoint: a folder for exact resume; written at each validation, and read first if it is there.

    Raises:
        TrainingError: loss or gradients stayed non-finite before anything was learned.
        ArtifactError: the checkpoint is damaged, or of a run of another seed, settings, model or number of rows.
    """
    yield from Trainer(model, data, validation, config, seed, budget_s, checkpoint).run()


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
        self.batch_size = min(config.batch_size or auto_batch_size(len(data)), len(data))
        self.state = _Run(n_steps=config.steps or auto_steps(len(data), self.batch_size))
        self.minimisers = [Minimiser(objective, config) for objective in model.objectives()]
        self.rng = torch.Generator(data.tokens.device).manual_seed(substream(seed, "training"))
        self.seen = data.take(self._permutation("seen")[: len(validation)])
        self.epoch_rows = (-1, torch.empty(0, dtype=torch.long))

    def run(self) -> Iterator[Progress]:
        """Train, validate and yield until the plan, the patience or the budget ends; then restore the best weights."""
        self._resume()
        if not self.state.history:
            yield self._validate()
        while not self._ended():
            self._step()
            if self.state.step == WARM_STEPS:
                self.warm_at = time.monotonic()
            if self.state.step == CALIBRATION_STEPS:
                self._fit_plan_to_budget()
            if self.state.step % self._interval() == 0 or self._ended():
                yield self._validate()
        for minimiser in self.minimisers:
            minimiser.restore_best()

    def elapsed_s(self) -> float:
        """Return the seconds spent, earlier parts of a resumed run included."""
        return self.state.earlier_s + time.monotonic() - self.started

    def _interval(self) -> int:
        return max(1, self.state.n_steps // self.config.n_validations)

    def _step(self) -> None:
        batch = self.data.take(self._rows(self.state.step))
        rate = learning_rate(self.state.step, self.state.n_steps, self.config)
        with arithmetic(self.config, self.data.tokens.device):
            done = [
                minimiser.step(batch, self.rng, rate, self.state.step)
                for minimiser in self.minimisers
                for _ in range(minimiser.objective.repeats)
            ]
        self.state.skipped = 0 if all(done) else self.state.skipped + 1
        self.state.step += 1

    def _ended(self) -> bool:
        """Return whether the run is over, and note why where that is not simply the end of the plan."""
        if self.state.step >= self.state.n_steps:
            return True
        if self.state.skipped >= MOST_SKIPPED:
            self._stop_on_non_finite()
        elif all(minimiser.stalled >= self.config.patience for minimiser in self.minimisers):
            self.state.message = "stopped early: held-out rows stopped improving"
        elif self.budget_s is not None and self.elapsed_s() > self.budget_s * (1 - BUDGET_RESERVE):
            self.state.message = "stopped at the time budget with the best state so far"
        else:
            return False
        return True

    def _stop_on_non_finite(self) -> None:
        if not any(progress.best for progress in self.state.history[1:]):
            rule, remedy = "loss and gradients must be finite", 'lower learning_rate, or set precision = "fp32"'
            raise TrainingError(rule, actual=f"lasting non-finite ones at step {self.state.step}", remedy=remedy)
        self.state.message = "stopped on non-finite losses with the best state so far"

    def _fit_plan_to_budget(self) -> None:
        """Cut the plan to what the budget allows, in coarse steps so that repeated runs tend to agree."""
        if self.budget_s is None or self.config.steps is not None:
            return
        left_s = self.budget_s * (1 - 2 * BUDGET_RESERVE) - self.elapsed_s()
        step_s = (time.monotonic() - self.warm_at) / (CALIBRATION_STEPS - WARM_STEPS)
        affordable = self.state.step + left_s / step_s
        if affordable < self.state.n_steps:
            self.state.n_steps = max(CALIBRATION_STEPS + 1, round_down(affordable))
            self.state.message = f"plan cut to {self.state.n_steps} steps to fit the time budget"

    def _rows(self, step: int) -> Tensor:
        """Return the rows of a step: each epoch is a permutation that only the seed and its number decide."""
        epoch, place = divmod(step, len(self.data) // self.batch_size)
        if self.epoch_rows[0] != epoch:
            self.epoch_rows = (epoch, self._permutation(f"epoch {epoch}"))
        return self.epoch_rows[1][place * self.batch_size : (place + 1) * self.batch_size]

    def _permutation(self, name: str) -> Tensor:
        rng = torch.Generator().manual_seed(substream(self.seed, name))
        return torch.randperm(len(self.data), generator=rng).to(self.data.tokens.device)

    def _validate(self) -> Progress:
        for minimiser in self.minimisers:
            minimiser.swap()
        held_out = [self._mean_loss(m.objective, self.held_out) for m in self.minimisers]
        seen = [self._mean_loss(m.objective, self.seen) for m in self.minimisers]
        for minimiser in self.minimisers:
            minimiser.swap()
        best = [minimiser.judge(loss) for minimiser, loss in zip(self.minimisers, held_out, strict=True)]
        if not math.isfinite(sum(held_out)):
            self.state.skipped = MOST_SKIPPED  # weights with such losses do not recover
        self._ended()  # if this validation ends the run, its progress says why
        progress = Progress(
            step=self.state.step,
            n_steps=self.state.n_steps,
            elapsed_s=self.elapsed_s(),
            train_loss=sum(seen),
            validation_loss=sum(held_out),
            best=any(best),
            epoch=self.state.step * self.batch_size / len(self.data),
            message=self.state.message,
        )
        self.state.message = ""
        self.state.history.append(progress)
        self._save()
        return progress

    @torch.no_grad()
    def _mean_loss(self, objective: Objective, rows: Batch) -> float:
        # The same masks and noise every time, so that a difference is the model's.
        rng = torch.Generator(rows.tokens.device).manual_seed(substream(self.seed, "validation"))
        total = 0.0
        with arithmetic(self.config, rows.tokens.device):
            for part in torch.split(torch.arange(len(rows), device=rows.tokens.device), VALIDATION_CHUNK):
                total += float(objective.validation(rows.take(part), rng).sum())
        return total / len(rows)

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {"rng": self.rng.get_state()}
        for minimiser in self.minimisers:
            tensors |= minimiser.tensors()
        state = asdict(self.state) | {"earlier_s": self.elapsed_s(), "run": self._identity()}
        state["minimisers"] = [[minimiser.best_loss, minimiser.stalled] for minimiser in self.minimisers]
        save_state(self.checkpoint, tensors, state)

    def _identity(self) -> dict[str, Any]:
        """Return what must agree for a run to go on from a checkpoint."""
        shapes = [[list(parameter.shape) for parameter in minimiser.parameters] for minimiser in self.minimisers]
        settings = self.config.model_dump(mode="json")
        return {"seed": self.seed, "settings": settings, "shapes": shapes, "n_rows": len(self.data)}

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        tensors, state = load_state(self.checkpoint)
        if state.pop("run", None) != self._identity():
            rule = "a run resumes with the seed, settings, model and number of rows it began with"
            raise ArtifactError(rule, actual="others", remedy=f"delete {self.checkpoint.name}")
        for minimiser, (best_loss, stalled) in zip(self.minimisers, state.pop("minimisers"), strict=True):
            minimiser.best_loss, minimiser.stalled = best_loss, stalled
            minimiser.load_tensors(tensors)
        self.rng.set_state(tensors["rng"])
        self.state = _Run(**state | {"history": [Progress(**progress) for progress in state["history"]]})


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


def auto_batch_size(n_rows: int) -> int:
    """Return the batch size: a power of two near a 32nd of the rows, between 32 and 1,024.

    Small tables overfit within as few epochs as large ones; small batches give them as many steps in these.

    Example:
        >>> [auto_batch_size(n) for n in (100, 5_000, 500_000)]
        [32, 128, 1024]
    """
    return min(1_024, 1 << max(5, round(math.log2(n_rows / 32))))


def auto_steps(n_rows: int, batch_size: int) -> int:
    """Return the planned steps: 20 epochs, at least 200 steps.

    Example:
        >>> auto_steps(32_000, 1_024)
        625
    """
    return max(200, EPOCHS * n_rows // batch_size)
