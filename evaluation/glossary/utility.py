"""The words for metrics of use."""

from __future__ import annotations

from .term import Term

UTILITY: dict[str, Term] = {
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
        "It is the yardstick for the score above and says nothing about the synthetic table.",
    ),
    "tstr_pr_auc": Term(
        "Precision and recall after training on synthetic",
        "The area under the precision-recall curve on holdout rows, of the rarer class or averaged over classes.",
        "Guessing reaches the share of the class, not 0.5.",
    ),
    "tstr_f1": Term(
        "F1 after training on synthetic",
        "Precision and recall on holdout rows in one number, at the threshold that served the training rows best.",
        "It speaks for one threshold only.",
    ),
    "tstr_brier": Term(
        "Brier score after training on synthetic",
        "The mean squared error of predicted probabilities on holdout rows; 0 is perfect.",
        "It mixes calibration with how well classes are told apart.",
    ),
    "tstr_calibration_error": Term(
        "Calibration error after training on synthetic",
        "How far predicted probabilities lie from the shares met among holdout rows.",
        "Chance keeps it above 0 even for a perfect model; compare it with its ceiling.",
    ),
    "tstr_rmse": Term(
        "Prediction error after training on synthetic",
        "The root mean squared error on holdout rows, in the target's unit.",
        "A few large errors decide it.",
    ),
    "augmentation_gain": Term(
        "Gain from adding synthetic rows",
        "What a model gains on holdout rows when synthetic rows are added to train; below 0 they harm.",
        "The ceiling comes from half of train, where more rows help more.",
    ),
    "importance_agreement": Term(
        "Agreement on which columns matter",
        "Rank correlation of column importances between a model learned from synthetic and one from train.",
        "Columns that say the same, or nothing, trade ranks by chance; compare it with its ceiling.",
    ),
    "learner_agreement": Term(
        "Agreement on which learner is best",
        "Rank correlation of the learners' scores after training on synthetic and on train.",
        "It ranks four learners only.",
    ),
    "every_column_gap": Term(
        "Loss over every column",
        "What is lost in predicting each column from the others when learning from synthetic rows, averaged.",
        "Small trees on at most 4,000 rows; one broken column is diluted.",
    ),
    "worst_column_gap": Term(
        "Loss of the worst column",
        "The largest loss in predicting one column from the others when learning from synthetic rows.",
        "The largest of many is above 0 by chance; compare it with its ceiling.",
    ),
    "column_utility_gap": Term(
        "Loss in predicting it",
        "What is lost in predicting this column from the others when learning from synthetic rows.",
        "Columns that nothing predicts cannot lose.",
    ),
}
