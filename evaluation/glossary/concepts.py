"""The words for tables, intervals and verdicts."""

from __future__ import annotations

from .term import Term

CONCEPTS: dict[str, Term] = {
    "train": Term(
        "Train",
        "The original rows that the generator learned from.",
        "They are a sample themselves: what is rare in them may be common in the population, or the other way round.",
    ),
    "holdout": Term(
        "Holdout",
        "Original rows that nothing was learned from; the yardstick for every comparison.",
        "If persons have rows in both train and holdout, the yardstick itself has seen train.",
    ),
    "synthetic": Term(
        "Synthetic",
        "The rows that the generator drew.",
        "A row that looks like nobody is not for that reason safe, and one that looks like somebody may be chance.",
    ),
    "interval": Term(
        "Interval",
        (
            "How far chance in the rows at hand moves the number: a 95 % interval unless a rule names another level, "
            "and where the number is the strongest of several attacks, one so wide that all of theirs hold together "
            "(Bonferroni)."
        ),
        "It knows nothing of errors that more rows would not cure, such as a holdout from another year.",
    ),
    "p_value": Term(
        "p-value",
        (
            "How often chance alone would show at least as much against the table: near 0 chance hardly explains it, "
            "and 1 is harmless."
        ),
        "It is not the probability of a leak, nor its size, and with few rows a large one proves nothing.",
    ),
    "ceiling": Term(
        "Ceiling",
        "The same metric with original rows that the generator never saw: as good as the number can honestly get.",
        "It is measured on the rows at hand, so it moves with their number.",
    ),
    "floor": Term(
        "Floor",
        "The same metric on a table known to be bad: columns torn apart or, for privacy, rows copied from train.",
        "A number far above the floor can still be too low for a given use.",
    ),
    "gate": Term(
        "Gate",
        "A bound declared before the run; the table is released only if no gate fails.",
        "Whether a bound is strict enough for a use is a person's decision, not the gate's.",
    ),
    "detection_limit": Term(
        "Detection limit",
        "The smallest leak of a stated kind that a test would have seen with these row counts.",
        "Below it the test is blind, and a pass says nothing.",
    ),
    "joint_error": Term(
        "Joint error",
        (
            "How far the shares of the combinations of two columns' values lie from train's, numbers in bins: half the "
            "summed differences, from 0 (equal) to 1."
        ),
        "With few rows and many combinations chance keeps it above 0, and what happens inside a bin is lost.",
    ),
    "giveaway": Term(
        "Giveaway",
        (
            "A column by which the detector tells synthetic rows from holdout rows; its importance is the AUC that the "
            "detector loses when the column's cells are shuffled."
        ),
        "Columns that say the same stand in for each other, so that both can look harmless.",
    ),
    "nats": Term(
        "Nats per row",
        (
            "How surprising rows are to the model: the mean negative logarithm of their density, in which 0.69 more "
            "make a row half as likely."
        ),
        "Impossible rows are left out of the mean, and figures of different models compare only in the same units.",
    ),
    "likelihood_difference": Term(
        "Holdout less train, holdout less synthetic",
        (
            "Differences in nats per row: the first shows whether the model knows the rows it learned from better than "
            "others like them, the second whether it is surer of its own rows than of original ones."
        ),
        "Both are averages, so that a few rows known by heart among many hardly move them.",
    ),
    "column_calibration": Term(
        "Nats of a column less expected",
        (
            "How much more holdout rows surprise the model in a column than it expects to be surprised, given the "
            "columns that it draws before: 0 if its probabilities can be taken at their word, above 0 if it is surer "
            "than it is right."
        ),
        "Doubts that are too small for some rows and too large for others cancel out, and a model that knows nothing "
        "but a column's shares can be at 0 too.",
    ),
    "loss_by_time": Term(
        "Loss by time",
        (
            "The loss of a flow or a diffusion from much noise, or few known cells, to little, beside that of a model "
            "that learned nothing."
        ),
        "Much of a loss is chance that no model could predict, so its distance from 0 says nothing.",
    ),
    "together": Term(
        "Releases together",
        (
            "All published tables of one output as one: whoever has them all can look for a leak that is too small to "
            "be seen in each of them."
        ),
        "Searches see a sample of many rows, and rows that were published elsewhere are not known.",
    ),
    "since_last": Term(
        "Change since the last release",
        (
            "A figure beside that of the last accepted release: better, worse, or no clear change where the earlier "
            "value lies inside today's interval."
        ),
        "The earlier value has an interval too, and the holdout rows may be others, so a small change means little.",
    ),
    "drift": Term(
        "Drift of the source",
        "How far the distribution of a column of the source has moved since the last accepted release.",
        "It compares one column at a time and does not see columns that change only in how they hang together.",
    ),
}

VERDICTS: dict[str, Term] = {
    "PASS": Term(
        "PASS",
        "The evidence keeps the declared rule.",
        "It does not prove that nothing is wrong, only that nothing was found above the detection limit.",
    ),
    "REVIEW": Term(
        "REVIEW",
        "The evidence is not bad enough to refuse the table and not good enough to wave it through: a person decides.",
        "It does not say how likely a leak is.",
    ),
    "FAIL": Term(
        "FAIL",
        "The evidence breaks the declared rule, and one failed gate refuses the table.",
        "It does not say whose rows are affected, and by design never will.",
    ),
    "NOT TESTABLE": Term(
        "NOT TESTABLE",
        "There are too few rows for this test to find anything, so the table is refused for want of evidence.",
        "It is no sign of a leak: the risk is unknown.",
    ),
    "NOT APPLICABLE": Term(
        "NOT APPLICABLE",
        "What was declared about the table, or what its rows have in common, leaves nothing to test.",
        "A declaration that is wrong or missing leaves a risk untested.",
    ),
    "OFF": Term(
        "OFF",
        "The configuration switches this gate off, so nothing was judged.",
        "What the gate would have found is unknown.",
    ),
}
