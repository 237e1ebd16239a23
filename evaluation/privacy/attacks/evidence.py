"""What an attacker holds: the synthetic rows, other rows of the population, and the records he asks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...features import Frame
from ...statistics import FloatArray
from ..boxes import Boxes
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
    def gather(cls, attacked: Frame, synthetic: Frame, reference: Frame, space: Space, cut: Boxes) -> Evidence:
        """Search the neighbours that several attacks share; `cut` are the synthetic rows in boxes."""
        places = space.place(attacked)
        in_synthetic = Neighbours(*cut.nearest(places, N_NEIGHBOURS))
        in_reference = k_nearest(space, places, space.place(reference), N_NEIGHBOURS)
        return cls(attacked, synthetic, reference, space, in_synthetic, in_reference)


Attack = Callable[[Evidence, int], FloatArray]
"""Evidence and a seed in; a score **(n_attacked,)** out, higher where the record looks more like a member."""
