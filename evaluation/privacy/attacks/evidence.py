"""What an attacker holds: the synthetic rows, other rows of the population, and the records he asks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...features import Frame
from ...statistics import FloatArray
from ..neighbours import Neighbours, k_nearest
from ..space import Space

N_NEIGHBOURS = 10


@dataclass(frozen=True)
class Evidence:
    """Everything that an attack may use. Which of the attacked records are members is not in it.

    Attributes:
        attacked: members and others.
        synthetic: the synthetic rows.
        reference: rows of the population; none of them was trained on, none is attacked.
        space: the mixed distance.
        in_synthetic: the synthetic rows nearest to each attacked record.
        in_reference: the reference rows nearest to each attacked record.

    """

    attacked: Frame
    synthetic: Frame
    reference: Frame
    space: Space
    in_synthetic: Neighbours
    in_reference: Neighbours

    @classmethod
    def gather(cls, attacked: Frame, synthetic: Frame, reference: Frame, space: Space) -> Evidence:
        """Search the neighbours that several attacks share."""
        places = space.place(attacked)
        near = [k_nearest(space, places, space.place(rows), N_NEIGHBOURS) for rows in (synthetic, reference)]
        return cls(attacked, synthetic, reference, space, *near)


Attack = Callable[[Evidence, int], FloatArray]
"""Evidence and a seed in; a score **(n_attacked,)** out, higher where the record looks more like a member."""
