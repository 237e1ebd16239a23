"""The words for metrics of likeness: columns, pairs, rows, groups of rows."""

from __future__ import annotations

from .term import Term

MARGINALS: dict[str, Term] = {
    "shape_error": Term(
        "Column shape error",
        "How far a column's distribution lies from train's, from 0 (equal) to 1, averaged over the columns.",
        "It looks at one column at a time and cannot see how columns belong together.",
    ),
    "missing_rate_error": Term(
        "Missing rate error",
        "The difference between the shares of missing cells, averaged over the columns that may be missing.",
        "It cannot see which other values go with a missing cell.",
    ),
    "ks": Term(
        "Kolmogorov–Smirnov",
        "The widest gap between the cumulative distributions of a column and of train's.",
        "It is slow to notice the tails, where few rows lie.",
    ),
    "tvd": Term(
        "Total variation",
        "Half the summed differences between the shares of a column's levels and of train's.",
        "It treats all levels alike, so a lost rare level hardly moves it.",
    ),
    "wasserstein": Term(
        "Wasserstein",
        "How far a column's mass must be moved to match train's, over train's range from 2.5 % to 97.5 %.",
        "Many small moves and a few long ones look alike, and values far outside that range can take it above 1.",
    ),
    "missing_pattern_error": Term(
        "Missing pattern error",
        "How far the sets of cells that are missing together in a row differ from train's, from 0 to 1.",
        "Rare patterns differ by chance; compare with the ceiling.",
    ),
    "jensen_shannon": Term(
        "Jensen–Shannon distance",
        "How different a column's distribution is from train's, in bits of information, from 0 to 1.",
        "Numbers are compared over 20 bins and lose what happens inside a bin.",
    ),
    "category_coverage": Term(
        "Category coverage",
        "The share of train's levels that occur in the synthetic table.",
        "A level counts as covered by a single row, and rare levels may better be left out for privacy.",
    ),
    "range_coverage": Term(
        "Range coverage",
        "The share of a column's range in train that the synthetic values span.",
        "It rests on two extreme values, which may be persons': so it is told in steps of .05 only.",
    ),
    "sdmetrics_shape": Term(
        "Column Shapes (SDMetrics)",
        "SDMetrics' score for single columns, 1 is best, for comparison with published tables.",
        "Missing cells do not count, and it cannot see how columns belong together.",
    ),
}

PAIRS: dict[str, Term] = {
    "trend_error": Term(
        "Column pair error",
        "How far the joint behaviour of two columns lies from train's, from 0 (equal) to 1, averaged over the pairs.",
        "It cannot see relations that need three or more columns.",
    ),
    "pearson_error": Term(
        "Pearson correlation error",
        "The mean difference of Pearson's r over pairs of numbers.",
        "It sees straight-line relations only, and outliers sway it.",
    ),
    "spearman_error": Term(
        "Rank correlation error",
        "The mean difference of Spearman's r over pairs of numbers.",
        "It sees relations that rise or fall throughout, not those that turn.",
    ),
    "cramers_v_error": Term(
        "Cramér's V error",
        "The mean difference of Cramér's V over pairs of categories.",
        "Equal strength of association can come from different levels going together.",
    ),
    "correlation_ratio_error": Term(
        "Correlation ratio error",
        "The mean difference of the correlation ratio over pairs of a category and a number.",
        "It compares the means of groups and cannot see their spread or shape.",
    ),
    "sdmetrics_trend": Term(
        "Column Pair Trends (SDMetrics)",
        "SDMetrics' score for pairs of columns, without its thresholds; 1 is best.",
        "It bins each table over its own range, so that one extreme value moves it; even shuffled columns score high.",
    ),
    "mutual_information_error": Term(
        "Mutual information error",
        "The mean difference of how much one column tells about another, over all pairs.",
        "Numbers are cut into bins; with few rows chance looks like information.",
    ),
}

JOINT: dict[str, Term] = {
    "frechet_distance": Term(
        "Fréchet distance",
        "How far the means and covariances of the rows lie from train's; 1 is the distance from train to its own mean.",
        "It sees nothing beyond means and covariances of ranks and levels.",
    ),
    "knn_precision": Term(
        "Precision",
        "The share of synthetic rows that lie among train rows.",
        "Rows that crowd in few places score well, and single outliers widen what counts as among.",
    ),
    "knn_recall": Term(
        "Recall",
        "The share of train rows that lie among synthetic rows.",
        "Scattered synthetic rows score well: shuffled columns hardly lower it.",
    ),
    "density": Term(
        "Density",
        "How crowded by train rows the places of synthetic rows are; 1 or more is as for real rows.",
        "Rows in the densest places alone score well.",
    ),
    "coverage": Term(
        "Coverage",
        "The share of train rows with a synthetic row in their neighbourhood.",
        "It depends on the number of rows compared; compare with the ceiling.",
    ),
    "alpha_precision": Term(
        "α-precision",
        "How well the synthetic rows' distances from the centre of train match train's own.",
        "It sees distances from one centre only.",
    ),
    "beta_recall": Term(
        "β-recall",
        (
            "How much of train has a synthetic row closer than its nearest train row; fresh real rows reach about one "
            "half."
        ),
        "A value well above the ceiling is a sign of copies, not of quality.",
    ),
    "three_way_error": Term(
        "Three-column error",
        "How far the joint tables of three columns lie from train's, from 0 to 1, averaged over triples.",
        "Numbers fall into 8 bins, and in wide tables only a sample of triples is looked at.",
    ),
    "equivalent_real_share": Term(
        "Worth in real rows",
        "The synthetic table is as close to holdout as this share of the train rows, drawn at random.",
        "It judges by three-column tables; above a half it is uncertain, since the errors then hardly differ.",
    ),
}

DETECTION: dict[str, Term] = {
    "c2st_auc": Term(
        "Detector AUC",
        "How well boosted trees tell synthetic rows from holdout rows: 0.5 is guessing, 1 is always right.",
        "A better classifier might find more; it says nothing about how useful or how private the table is.",
    ),
    "c2st_marginal_auc": Term(
        "Detector AUC from single columns",
        "How well a detector that adds up evidence column by column tells synthetic rows from holdout rows.",
        "It cannot use how columns belong together.",
    ),
    "c2st_dependence_gain": Term(
        "Detector gain from dependence",
        "How much the detector's AUC rises when it may combine columns.",
        "Where single columns give the table away already, little is left to gain.",
    ),
}

SUBGROUPS: dict[str, Term] = {
    "worst_subgroup_error": Term(
        "Worst subgroup error",
        "The mean column error inside the level that is most surely worse than chance.",
        "It looks at levels of one column, with at least 20 rows in train and in holdout.",
    ),
    "subgroup_error": Term(
        "Subgroup error",
        "How far the other columns lie from train's inside one level, averaged.",
        "Small groups differ by chance; compare with the ceiling.",
    ),
    "subgroup_share_error": Term(
        "Subgroup share error",
        "The difference between the level's share of rows and its share in train.",
        "It is small for every rare level, even a lost one; compare with the floor.",
    ),
}
