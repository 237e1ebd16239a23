"""What minimises: one objective with its optimiser and averaged weights, and the objectives that share weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.seeds import substream

from .config import TrainingConfig
from .device import arithmetic
from .given import Batch
from .model import Objective, Validation

VALIDATION_ROWS, VALIDATION_LINKS = 512, 1 << 23
"""Rows that are judged at once, and pairs of a row's cells in them: what a cell is told by each other one is held."""


@dataclass(frozen=True)
class Judgement:
    """What a validation finds of a group's averaged weights.

    Attributes:
        held_out: the objectives' summed loss on held-out rows.
        seen: the same on rows that were trained on.
        best: whether an objective has its lowest loss so far on held-out rows.
        logged: what the objectives tell beside their losses, by name.
    """

    held_out: float
    seen: float
    best: bool
    logged: dict[str, float]


class Minimiser:
    """One objective with its optimiser, its averaged weights and the best of these so far."""

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        self.objective = objective
        self.parameters = list(objective.parameters)
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=objective.betas, fused=True)
        self.clip_norm, self.ema_decay = config.clip_norm, config.ema_decay
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.best = [p.detach().clone() for p in self.parameters]
        self.best_loss = math.inf
        self.stalled = 0

    def step(self, batch: Batch, rng: torch.Generator, learning_rate: float, step: int, n_steps: int) -> bool:
        """Make one step and return True; leave the weights alone and return False if loss or gradient is not finite."""
        loss = self.objective.loss(batch, rng, step / n_steps).mean()
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
        """Make the best averaged weights the model's weights; the last ones where nothing says which are best."""
        kept = self.best if self.objective.validation else self.averaged
        torch._foreach_copy_([parameter.detach() for parameter in self.parameters], kept)


class Batches:
    """An endless sequence of batches: each epoch is a permutation that only the seed and its number decide."""

    def __init__(self, data: Batch, batch_size: int, seed: int) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __getitem__(self, number: int) -> Batch:
        """Return the batch of a number, whatever was asked for before."""
        epoch, place = divmod(number, len(self.data) // self.batch_size)
        if self._epoch != epoch:
            self._epoch, self._order = epoch, permutation(self.data, substream(self.seed, f"epoch {epoch}"))
        return self.data.take(self._order[place * self.batch_size : (place + 1) * self.batch_size])


class Group:
    """Objectives that may read each other's weights, minimised in turn on random rows of their own.

    Attributes:
        minimisers: of the objectives, in their order.
        rng: of masks, noise and dropout.
        skipped: steps in a row whose loss or gradient was not finite.
    """

    def __init__(
        self, objectives: list[Objective], data: Batch, config: TrainingConfig, batch_size: int, seed: int
    ) -> None:
        self.minimisers = [Minimiser(objective, config) for objective in objectives]
        self.data, self.config = data, config
        self.rng = torch.Generator(data.tokens.device).manual_seed(substream(seed, "training"))
        self.skipped = 0
        self.batches = [Batches(data, batch_size, seed) for _ in self.minimisers]

    def step(self, step: int, n_steps: int, learning_rate: float) -> None:
        """Make one training step."""
        with arithmetic(self.config, self.data.tokens.device):
            done = [
                minimiser.step(batches[step * minimiser.objective.repeats + i], self.rng, learning_rate, step, n_steps)
                for minimiser, batches in zip(self.minimisers, self.batches, strict=True)
                for i in range(minimiser.objective.repeats)
            ]
        self.skipped = 0 if all(done) else self.skipped + 1

    def validate(self, held_out: Batch, seen: Batch, seed: int) -> Judgement:
        """Judge the averaged weights on held-out rows and on rows that were trained on."""
        judged = [(m, m.objective.validation) for m in self.minimisers if m.objective.validation]
        for minimiser in self.minimisers:
            minimiser.swap()
        losses = [self._mean_loss(validation, held_out, seed) for _, validation in judged]
        seen_losses = [self._mean_loss(validation, seen, seed) for _, validation in judged]
        logged = self._logged(held_out, seed)
        for minimiser in self.minimisers:
            minimiser.swap()
        best = [minimiser.judge(loss) for (minimiser, _), loss in zip(judged, losses, strict=True)]
        return Judgement(sum(losses), sum(seen_losses), any(best), logged)

    def stalled(self, patience: int) -> bool:
        """Return whether none of the judged objectives has become better for so many validations."""
        judged = [minimiser.stalled for minimiser in self.minimisers if minimiser.objective.validation]
        return bool(judged) and min(judged) >= patience

    @torch.no_grad()
    def _logged(self, held_out: Batch, seed: int) -> dict[str, float]:
        # A generator of its own: what is logged must not change what is trained.
        rng = torch.Generator(held_out.tokens.device).manual_seed(substream(seed, "logged"))
        found: dict[str, float] = {}
        with arithmetic(self.config, held_out.tokens.device):
            for log in (minimiser.objective.logged for minimiser in self.minimisers):
                found |= log(held_out, rng) if log else {}
        return found

    @torch.no_grad()
    def _mean_loss(self, validation: Validation, rows: Batch, seed: int) -> float:
        # The same masks and noise every time, so that a difference is the model's.
        rng = torch.Generator(rows.tokens.device).manual_seed(substream(seed, "validation"))
        total = 0.0
        with arithmetic(self.config, rows.tokens.device):
            n_rows = max(1, min(VALIDATION_ROWS, VALIDATION_LINKS // rows.tokens.shape[1] ** 2))
            for part in torch.split(torch.arange(len(rows), device=rows.tokens.device), n_rows):
                total += float(validation(rows.take(part), rng).sum())
        return total / len(rows)


def permutation(rows: Batch, seed: int) -> Tensor:
    """Return a random order of the rows, the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randperm(len(rows), generator=rng).to(rows.tokens.device)
