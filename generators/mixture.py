"""A mixture of models of one family that differ in their random start, their batches and their masks.

Each member errs in its own way, and a mixture errs by their average: on Adult three members halve the distance of one
to real rows (docs/measurements.md). Unlike an average of their logits it costs nothing when sampling, because each row
is drawn by one member; and its density is the mean of theirs.

Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles",
arXiv:1612.01474, section 2.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.encoded import Encoded

from .given import Batch, Given
from .model import DensityKind, Model, Objective


class Mixture(Model):
    """Equal shares of its members. Given conditions, too, each member draws an equal share."""

    def __init__(self, members: Sequence[Model]) -> None:
        super().__init__(members[0].layout)
        self.members = nn.ModuleList(members)
        self.guided, self.finishing_rounds = members[0].guided, members[0].finishing_rounds

    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives of all members; those of different members share nothing and form groups."""
        return tuple(
            replace(objective, name=f"{i}.{objective.name}", group=i)
            for i, member in enumerate(self._models())
            for objective in member.objectives()
        )

    def keep_groups(self, n: int) -> None:
        """Forget all but the first n members."""
        self.members = self.members[:n]

    def finish(self, rng: torch.Generator) -> None:
        """Do a round for each member."""
        for member in self._models():
            member.finish(rng)

    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        """Draw rows, as equal a part by each member as can be; which rows fall to which is random."""
        n, members = len(given), self._models()
        first = int(torch.randint(len(members), (1,), generator=rng, device=rng.device))
        counts = [(n + (i - first) % len(members)) // len(members) for i in range(len(members))]
        order = torch.randperm(n, generator=rng, device=rng.device)
        parts = [
            member.sample(given.take(rows), rng, guidance)
            for member, rows in zip(members, torch.split(order, counts), strict=True)
            if len(rows) or n == 0
        ]
        return Encoded.concat(parts).take(order.argsort().cpu().numpy())

    @property
    def condition_columns(self) -> Sequence[int]:
        """Those of every member."""
        return self._models()[0].condition_columns

    @property
    def density_kind(self) -> DensityKind:
        """That of every member: a mean of lower bounds is one."""
        return self._models()[0].density_kind

    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the log of the mean of the members' densities **(batch,)** in nats."""
        logs = torch.stack([member.log_density(batch, rng) for member in self._models()])
        return logs.logsumexp(0) - math.log(len(logs))

    @property
    def joint_terms(self) -> tuple[str, ...]:
        """Those of every member, and what it costs that a row does not tell its member."""
        return (*self._models()[0].joint_terms, "choice of member")

    def nats_by_term(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the members' terms, weighted by how likely each drew the row, and what the sum lacks.

        With r_m = p_m / sum of all, -log of the mean of p_m is the sum of -r_m log p_m and r_m log(M r_m); the last is
        between 0 and log M for M members.
        """
        terms = torch.stack([member.nats_by_term(batch, rng) for member in self._models()])
        logs = -terms.sum(2)
        mean = (logs.softmax(0).unsqueeze(2) * terms).sum(0)
        score = math.log(len(logs)) - logs.logsumexp(0)
        return torch.cat([mean, (score - mean.sum(1)).unsqueeze(1)], dim=1)

    def token_nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the means over the members, each along its own chain.

        The mixture's own p(token | tokens before it) would weigh the members by the tokens before it. What is judged
        here is how well each member knows its own doubt, on average; so rows of the mixture itself, of which each
        member drew a part, cost the more above what is expected the less the members agree.
        """
        realised, expected = zip(*(member.token_nats(batch) for member in self._models()), strict=True)
        return torch.stack(realised).mean(0), torch.stack(expected).mean(0)

    def conditionals(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:
        """Return the log of the mean of the members' probabilities: as a cell is drawn where all others are given."""
        members = zip(*(member.conditionals(batch, rng) for member in self._models()), strict=True)
        return [torch.stack(logs).logsumexp(0) - math.log(len(logs)) for logs in members]

    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return the diagnostics of each member."""
        return {"members": [member.diagnostics(held_out, rng) for member in self._models()]}

    def _models(self) -> list[Model]:
        return [member for member in self.members if isinstance(member, Model)]
