"""The base of every configuration model: frozen, and unknown keys are refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen pydantic model that refuses keys it does not know.

    Example:
        >>> class Size(Config):
        ...     n_rows: int = 1
        >>> Size(n_rows=3).n_rows
        3
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
