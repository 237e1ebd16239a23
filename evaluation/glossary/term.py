"""What the words for one name are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """The words for one name: a title, what it means, and what it cannot show; a sentence each."""

    title: str
    meaning: str
    limits: str
