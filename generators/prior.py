"""A learned prior of latent vectors: a normalising flow whose density is exact and whose draws take one pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .nets import linear

LARGEST_LOG_SCALE = 2.0
COUPLING_WIDTH = 64


def normal_log_prob(z: Tensor) -> Tensor:
    """Return the log density of a standard normal vector **(..., size)** as **(...)**.

    Example:
        >>> round(normal_log_prob(torch.zeros(1, 2)).item(), 4)
        -1.8379
    """
    return -(z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi)) / 2


class LatentFlow(nn.Module):
    """Affine couplings between a latent vector and a standard normal one; it starts as the identity.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", arXiv:1605.08803, equations 7 and 8; as a prior of a
    variational autoencoder Chen et al. 2017, "Variational lossy autoencoder", arXiv:1611.02731, section 3.2.
    """

    def __init__(self, size: int, depth: int, rng: torch.Generator) -> None:
        super().__init__()
        self.size = size
        self.couplings = nn.ModuleList(Coupling(size, COUPLING_WIDTH, rng) for _ in range(depth))

    def _couplings(self) -> list[Coupling]:
        return [coupling for coupling in self.couplings if isinstance(coupling, Coupling)]

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density of latent vectors **(batch, size)** as **(batch,)**, in float32."""
        x, total = z.float(), torch.zeros(len(z), device=z.device)
        for coupling in self._couplings():
            x, log_determinant = coupling.to_noise(x)
            total = total + log_determinant
        return total + normal_log_prob(x)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw latent vectors **(n, size)**."""
        device = next(self.parameters()).device
        x = torch.randn(n, self.size, generator=rng, device=device)
        for coupling in reversed(self._couplings()):
            x = coupling.to_latent(x)
        return x


class Coupling(nn.Module):
    """One half of the vector shifts and scales the other; then the halves trade places."""

    def __init__(self, size: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.kept, self.changed = size - size // 2, size // 2
        self.first = linear(self.kept, width, rng)
        self.second = linear(width, width, rng)
        self.out = linear(width, 2 * self.changed, rng, scale=0.0)

    def _shift_and_log_scale(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.silu(self.second(F.silu(self.first(kept))))
        shift, log_scale = self.out(hidden).float().chunk(2, dim=1)
        return shift, LARGEST_LOG_SCALE * torch.tanh(log_scale / LARGEST_LOG_SCALE)

    def to_noise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vector one step nearer to the normal, and the log determinant of that step."""
        kept, changed = z[:, : self.kept], z[:, self.kept :]
        shift, log_scale = self._shift_and_log_scale(kept)
        return torch.cat([(changed - shift) * torch.exp(-log_scale), kept], dim=1), -log_scale.sum(1)

    def to_latent(self, x: Tensor) -> Tensor:
        """Invert `to_noise`."""
        changed, kept = x[:, : self.changed], x[:, self.changed :]
        shift, log_scale = self._shift_and_log_scale(kept)
        return torch.cat([kept, changed * torch.exp(log_scale) + shift], dim=1)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of a diagonal normal from the standard one, in nats per dimension, of the same shape.

    Source: Kingma and Welling 2014, "Auto-encoding variational Bayes", arXiv:1312.6114, appendix B.

    Example:
        >>> kl_divergence(torch.tensor([0.0, 2.0]), torch.zeros(2)).tolist()
        [0.0, 2.0]
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def keep_one(log_weights: Tensor, rng: torch.Generator) -> Tensor:
    """Draw, for each row of weights **(n, n_candidates)**, one in proportion to them: its index among all **(n,)**.

    Example:
        >>> weights = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> keep_one(weights.log(), torch.Generator().manual_seed(0)).tolist()
        [1, 2]
    """
    n, n_candidates = log_weights.shape
    kept = torch.multinomial(log_weights.softmax(1), 1, generator=rng).squeeze(1)
    return torch.arange(n, device=kept.device) * n_candidates + kept


def systematic_resample(log_weights: Tensor, pool: Tensor, n: Tensor, rng: torch.Generator) -> Tensor:
    """Draw indices in proportion to weights from several pools, each index as often as expected to within one.

    Source: Douc et al. 2005, "Comparison of resampling schemes for particle filtering", arXiv:cs/0507025, section 2.4.

    Args:
        log_weights: **(batch,)**.
        pool: int64 **(batch,)**, to which pool each belongs, ascending from 0.
        n: int64 **(n_pools,)**, how many indices to draw from each pool.
        rng: of the draw.

    Returns:
        int64 **(n.sum(),)**, in the order of the pools.

    Example:
        >>> weights, pool = torch.tensor([0.5, 0.0, 0.25, 0.25, 1.0]), torch.tensor([0, 0, 0, 0, 1])
        >>> systematic_resample(weights.log(), pool, torch.tensor([4, 2]), torch.Generator().manual_seed(0)).tolist()
        [0, 0, 2, 3, 4, 4]
    """
    largest = log_weights.new_full((len(n),), -math.inf).scatter_reduce(0, pool, log_weights, "amax")
    weights = (log_weights - largest[pool]).double().exp()
    total = weights.new_zeros(len(n)).index_add(0, pool, weights)
    # A pool has as much weight as indices are drawn from it, so that points at distance one meet it as often.
    cumulative = (weights / total[pool] * n[pool]).cumsum(0)
    shift = torch.rand(1, generator=rng, dtype=torch.float64, device=log_weights.device)
    owner = torch.repeat_interleave(n)
    found = torch.searchsorted(cumulative, torch.arange(len(owner), device=owner.device) + shift, right=True)
    first, last = torch.searchsorted(pool, owner), torch.searchsorted(pool, owner, right=True) - 1
    return found.clamp(first, last)
