"""The words for the privacy gate's tests, and for the numbers beside them."""

from __future__ import annotations

from .term import Term

PRIVACY_TESTS: dict[str, Term] = {
    "g0_identifiers": Term(
        "G0 Identifiers",
        "Whether a value of an identifier or free-text column was carried over from the original rows.",
        "It compares whole values and does not see a name inside a changed text or an identifier declared otherwise.",
    ),
    "g1_copies": Term(
        "G1 Copies",
        (
            "Whether synthetic rows repeat records that only train has more often than records that only holdout has, "
            "in every cell, in all but one, with every number a little off, or in the declared quasi-identifiers, and, "
            "where hardly a record is unique, in combinations that few rows share."
        ),
        "A copy with two other levels, or two numbers off by more than 1 % of their range, is left to other tests.",
    ),
    "g2_value_support": Term(
        "G2 Values",
        "Whether rare values and exact extremes that only train has come back more often than chance would bring them.",
        "It looks at one column at a time and does not see rare combinations of common values.",
    ),
    "g3_nearest_records": Term(
        "G3 Nearest records",
        (
            "Whether synthetic rows lie nearer to train than to as many rows the generator never saw, on the whole and"
            " among the closest."
        ),
        "A few copied rows among thousands hardly move it: it finds overfitting and is no proof of privacy.",
    ),
    "g4_membership": Term(
        "G4 Membership",
        "Whether the best of several attacks can tell from the synthetic table who was in train.",
        "Only the attacks listed were tried, and a stronger or better informed one may succeed.",
    ),
    "g5_outliers": Term(
        "G5 Outliers and minorities",
        "Whether the copy and membership tests find more among unusual records and in each small class.",
        "Groups of fewer than some hundred records are too small for it, and unusual is taken as far from others.",
    ),
    "g6_canaries": Term(
        "G6 Canaries",
        "Whether made-up records planted in a twin training, which is never published, come back out.",
        "It tests the method with these settings, not this very table.",
    ),
    "g7_inference": Term(
        "G7 Inference",
        (
            "How much better the table lets an attacker single out, link or infer than the same attack on people who "
            "are not in train."
        ),
        "It speaks for the secrets and column groups that were tried, and a correct guess from statistics is no leak.",
    ),
}

PRIVACY: dict[str, Term] = {
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
    "membership_tpr": Term(
        "Members found at 1 % false positives",
        (
            "The share of train rows that the strongest of eight attacks recognises while it wrongly accuses 1 % of "
            "other rows; 1 % is guessing."
        ),
        "A better attack might find more, and outliers are at more risk than the average row.",
    ),
    "membership_auc": Term(
        "Membership AUC",
        (
            "How well the strongest of eight attacks tells train rows from other rows by the synthetic table; 0.5 is "
            "guessing."
        ),
        "An average over all records: a few rows that are fully exposed move it too little to be seen.",
    ),
    "attribute_inference_risk": Term(
        "Attribute inference",
        (
            "What somebody who knows the rest of a train row learns about one cell, beyond what he learns about rows "
            "the generator never saw."
        ),
        "It speaks for the columns that were attacked and one kind of attack.",
    ),
    "singling_out_risk": Term(
        "Singling out",
        (
            "How much more often conditions read off the synthetic table hold for exactly one train row than for "
            "exactly one holdout row."
        ),
        "Copies of a few per cent of the rows move it too little to be seen.",
    ),
    "linkability_risk": Term(
        "Linkability",
        (
            "How much more often the synthetic table links two parts of one train row than two parts of a row that the"
            " generator never saw."
        ),
        "It speaks for the two declared groups of columns only.",
    ),
    "canaries_reproduced": Term(
        "Canaries reproduced",
        "The share of invented rows, put into train for a twin run, that come back in the synthetic table.",
        "Canaries are unlikely combinations; it says little about common rows.",
    ),
    "canary_auc": Term(
        "Canary ranking",
        "How well nearness to a synthetic row tells canaries in train from canaries left out; 0.5 is guessing.",
        "It mixes canaries inserted once with those inserted up to eight times.",
    ),
}
