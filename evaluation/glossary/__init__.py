"""The words for every number, test and verdict: one sentence on what it means, one on what it cannot show."""

from __future__ import annotations

from .concepts import CONCEPTS, VERDICTS
from .fidelity import DETECTION, JOINT, MARGINALS, PAIRS, SUBGROUPS
from .privacy import PRIVACY, PRIVACY_TESTS
from .term import Term
from .utility import UTILITY

__all__ = ["CONCEPTS", "PRIVACY_TESTS", "TERMS", "VERDICTS", "Term", "term"]

TERMS: dict[str, Term] = MARGINALS | PAIRS | JOINT | DETECTION | SUBGROUPS | UTILITY | PRIVACY | PRIVACY_TESTS


def term(name: str) -> Term:
    """Return the words for a metric or a privacy test; a name such as "tstr_auc" takes those of its longest known stem.

    Example:
        >>> term("c2st_auc").title, term("tstr_auc").title, term("new_metric").title
        ('Detector AUC', 'Train on synthetic, test on holdout (auc)', 'New metric')

    """
    stem, rest = name, ""
    while stem and stem not in TERMS:
        stem, _, last = stem.rpartition("_")
        rest = f"{last} {rest}".strip()
    if not stem:
        return Term(name.replace("_", " ").capitalize(), "", "")
    return TERMS[stem] if not rest else Term(f"{TERMS[stem].title} ({rest})", TERMS[stem].meaning, TERMS[stem].limits)
