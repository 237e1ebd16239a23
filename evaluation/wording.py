"""How numbers, names and metrics are put before a person: one place for the report's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """The words for one metric: a title, what it means, and what it cannot show."""

    title: str
    meaning: str
    limits: str = ""


TERMS: dict[str, Term] = {
    "shape_error": Term(
        "Column shape error",
        "How far a column's distribution lies from train's, from 0 (equal) to 1, averaged over the columns.",
        "It looks at one column at a time and cannot see how columns belong together.",
    ),
    "trend_error": Term(
        "Column pair error",
        "How far the joint behaviour of two columns lies from train's, from 0 (equal) to 1, averaged over the pairs.",
        "It cannot see relations that need three or more columns.",
    ),
    "pearson_error": Term("Pearson correlation error", "The mean difference of Pearson's r over pairs of numbers."),
    "spearman_error": Term("Rank correlation error", "The mean difference of Spearman's r over pairs of numbers."),
    "cramers_v_error": Term("Cramér's V error", "The mean difference of Cramér's V over pairs of categories."),
    "correlation_ratio_error": Term(
        "Correlation ratio error", "The mean difference of the correlation ratio over pairs of a category and a number."
    ),
    "missing_rate_error": Term(
        "Missing rate error",
        "The difference between the shares of missing cells, averaged over the columns that may be missing.",
        "It cannot see which other values go with a missing cell.",
    ),
    "ks": Term("Kolmogorov–Smirnov", "The widest gap between the cumulative distributions of a column and of train's."),
    "tvd": Term(
        "Total variation", "Half the summed differences between the shares of a column's levels and of train's."
    ),
    "wasserstein": Term("Wasserstein", "How far a column's mass must be moved to match train's, over train's range."),
    "c2st_auc": Term(
        "Detector AUC",
        "How well boosted trees tell synthetic rows from holdout rows: 0.5 is guessing, 1 is always right.",
        "A better classifier might find more; it says nothing about how useful or how private the table is.",
    ),
    "utility_gap": Term(
        "Utility gap",
        "What a model loses on holdout rows when it learns from synthetic instead of train rows; 0 is no loss.",
        "It speaks for the declared target and these learners only.",
    ),
    "tstr": Term(
        "Train on synthetic, test on holdout",
        "The score on holdout rows of a model that has seen synthetic rows only.",
        "It speaks for the declared target and these learners only.",
    ),
    "trtr": Term(
        "Train on train, test on holdout",
        "The score on holdout rows of the same learner when it has seen the train rows.",
    ),
    "dcr_share": Term(
        "Closer to train than to holdout",
        "The share of synthetic rows nearer to a train row than to any holdout row; 0.5 means no preference.",
        "A few copied rows among many move it too little to be seen: it detects overfitting and proves no privacy.",
    ),
    "nndr": Term(
        "Nearest-neighbour distance ratio",
        "The distance to the nearest train row over that to the second nearest; small means close to one person.",
        "Dense regions of a table give values near 1 whatever the generator did.",
    ),
    "exact_copies": Term(
        "Exact copies",
        "The share of synthetic rows that equal a train row, but no holdout row, in every cell; some do by chance.",
        "A copy with one changed cell is not counted.",
    ),
    "exact_copies_p": Term(
        "Chance of the exact copies",
        "How often chance alone would make synthetic rows repeat train more than holdout by as much; 1 is harmless.",
        "A copy with one changed cell is not counted, and few copies cannot be told from chance.",
    ),
}

CONCEPTS: dict[str, str] = {
    "Train": "The rows that the generator learned from.",
    "Holdout": "Original rows that nothing was learned from; the yardstick for every comparison.",
    "Synthetic": "The rows that the generator drew.",
    "Interval": "A 95 % interval: how far chance in the rows at hand moves the number.",
    "Ceiling": "The same metric with original rows that the generator never saw: as good as the number can get.",
    "Floor": "The same metric on a table known to be bad: columns torn apart or, for privacy, train copied.",
    "Gate": "A bound declared before the run; the table is released only if every gate passes.",
}


def term(metric: str) -> Term:
    """Return the words for `metric`; a name such as "tstr_auc" takes those of its stem.

    Example:
        >>> term("c2st_auc").title, term("tstr_auc").title, term("new_metric").title
        ('Detector AUC', 'Train on synthetic, test on holdout (auc)', 'New metric')

    """
    stem, _, score = metric.partition("_")
    if metric in TERMS:
        return TERMS[metric]
    if stem in TERMS:
        return Term(f"{TERMS[stem].title} ({score.replace('_', ' ')})", TERMS[stem].meaning, TERMS[stem].limits)
    return Term(metric.replace("_", " ").capitalize(), "")


def number(value: float | None, digits: int | None = None) -> str:
    """Return `value` with `digits` decimals (three, or four below 0.01), grouped and whole from 100 on; "–" for None.

    Example:
        >>> number(0.8), number(0.0041), number(-0.00004), number(32561), number(None)
        ('0.800', '0.0041', '0.0000', '32,561', '–')

    """
    if value is None:
        return "–"
    decimals = digits if digits is not None else 4 if 0 < abs(value) < 0.01 else 3
    text = f"{value:,.0f}" if abs(value) >= 100 and digits is None else f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """Return a share in per cent.

    Example:
        >>> percent(0.0123), percent(0.5)
        ('1.2 %', '50.0 %')

    """
    return f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a time in seconds as a person says it.

    Example:
        >>> duration(7.25), duration(125), duration(None)
        ('7.2 s', '2 min 5 s', '–')

    """
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def visible(text: str) -> str:
    r"""Return `text` with characters that a screen would hide or obey (controls, text direction) written as codes.

    Example:
        >>> visible("a\x00b\u202ec")
        'a⟨U+0000⟩b⟨U+202E⟩c'

    """
    return "".join(char if char.isprintable() or char in _HARMLESS else f"⟨U+{ord(char):04X}⟩" for char in text)


def short(text: str, limit: int = 48) -> str:
    """Return `text` made visible and, if longer than `limit` characters, clipped in its middle, so that both ends stay.

    Example:
        >>> short("a_rather_long_name", 9), short("age")
        ('a_ra…name', 'age')

    """
    if len(text) > limit:
        text = f"{text[: limit // 2]}…{text[len(text) - (limit - 1) // 2 :]}"
    return visible(text)


_HARMLESS = frozenset("\n\t\u200d\u00a0\u202f\u3000")
