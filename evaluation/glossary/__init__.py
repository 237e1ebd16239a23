"""The words for every number, test and verdict: one sentence on what it means, one on what it cannot show."""

from __future__ import annotations

from ..measurement import Family
from .concepts import CONCEPTS, VERDICTS
from .fidelity import DETECTION, JOINT, MARGINALS, PAIRS, SUBGROUPS
from .privacy import PRIVACY, PRIVACY_TESTS
from .term import Term
from .utility import UTILITY

__all__ = ["CONCEPTS", "PRIVACY_TESTS", "TERMS", "VERDICTS", "Term", "family_of", "term"]

TERMS: dict[str, Term] = MARGINALS | PAIRS | JOINT | DETECTION | SUBGROUPS | UTILITY | PRIVACY | PRIVACY_TESTS
_FAMILIES: dict[Family, dict[str, Term]] = {
    "marginals": MARGINALS,
    "pairs": PAIRS,
    "joint": JOINT,
    "detection": DETECTION,
    "subgroups": SUBGROUPS,
    "utility": UTILITY,
    "privacy": PRIVACY | PRIVACY_TESTS,
}


def term(name: str) -> Term:
    """Return the words for a metric or a privacy test; a name such as "tstr_auc" takes those of its longest known stem.

    Example:
        >>> term("c2st_auc").title, term("tstr_auc").title, term("new_metric").title
        ('Detector AUC', 'Train on synthetic, test on holdout (auc)', 'New metric')

    """
    stem, rest = _stem(name)
    if not stem:
        return Term(name.replace("_", " ").capitalize(), "", "")
    return TERMS[stem] if not rest else Term(f"{TERMS[stem].title} ({rest})", TERMS[stem].meaning, TERMS[stem].limits)


def family_of(name: str) -> Family | None:
    """Return the family that a metric or a privacy test belongs to, None for one without words.

    Example:
        >>> family_of("tstr_auc"), family_of("g1_copies"), family_of("new_metric")
        ('utility', 'privacy', None)

    """
    stem, _ = _stem(name)
    return next((family for family, terms in _FAMILIES.items() if stem in terms), None)


def _stem(name: str) -> tuple[str, str]:
    """Return the longest beginning of a name that has words, and the rest."""
    stem, rest = name, ""
    while stem and stem not in TERMS:
        stem, _, last = stem.rpartition("_")
        rest = f"{last} {rest}".strip()
    return stem, rest
