"""What a network of values knows of a row beside the noisy state: its tokens, and the values that are given."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.encoded import Layout

from .given import UNOBSERVED
from .heads import TokenEmbedding
from .nets import linear
from .schedule import draw_known
from .tokens_then_values import ValuePart
from .values import CellValues


class View(NamedTuple):
    """What the network of values may know of rows beside the state.

    Attributes:
        context: of the tokens that it sees **(batch, width)**.
        visible: which values there are for it, bool **(batch, n_valued)**.
        given: which of these it is given without noise, bool **(batch, n_valued)**; it predicts the others.
    """

    context: Tensor
    visible: Tensor
    given: Tensor

    @property
    def predicted(self) -> Tensor:
        """Which values it predicts, bool **(batch, n_valued)**."""
        return self.visible & ~self.given


class ViewedValues(ValuePart):
    """A value part whose network learns the values of all columns given any of them, without noise.

    Values that are given do not follow the path of the others: a noisy state in their place would tell the network less
    than is known, and the others would be drawn too near to their marginals.
    """

    def __init__(self, layout: Layout, width: int, condition_share: float, rng: torch.Generator) -> None:
        super().__init__()
        self.condition_share = condition_share
        self.embedding = TokenEmbedding(layout, width, rng)
        self.cells = CellValues(layout)
        self.state = linear(2 * len(layout.valued), width, rng)

    def view(self, tokens: Tensor, *, hidden: Tensor | None = None, given: Tensor | None = None) -> View:
        """Return the view of rows with these tokens; masks **(batch, n_columns)** say what is hidden, and given."""
        nothing = torch.zeros_like(tokens, dtype=torch.bool)
        seen = (tokens != UNOBSERVED) if hidden is None else (tokens != UNOBSERVED) & ~hidden
        given = nothing if given is None else given
        visible = self.cells.present(tokens) & seen[:, self.cells.columns]
        return View(self.embedding(tokens.clamp(min=0), seen), visible, given[:, self.cells.columns] & visible)

    def training_view(self, tokens: Tensor, rng: torch.Generator) -> View:
        """Draw the view of train rows: a random part of the columns is given in some, and hidden in as many."""
        kind = torch.rand(len(tokens), 1, generator=rng, device=tokens.device) / max(self.condition_share, 1e-9)
        columns = draw_known(len(tokens), torch.arange(tokens.shape[1], device=tokens.device), 0.0, rng)
        return self.view(tokens, hidden=columns & (kind < 0.5), given=columns & (kind >= 0.5) & (kind < 1))

    def hidden(self, x: Tensor, view: View) -> Tensor:
        """Return what the states x **(batch, n_valued)**, the data where they are given, and the view add up to."""
        state: Tensor = self.state(torch.cat([x * view.visible, view.given.to(x.dtype)], dim=1))
        return view.context + state
