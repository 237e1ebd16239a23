"""The advice about synthetic rows: measured without leaks, by intervals that are wide enough, in words that follow."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import t as students_t

from evaluation.features import Feature, Frame
from evaluation.utility.advice import advise, compare, corrected_interval, table_of
from evaluation.utility.augmentation import (
    LEARNERS,
    REAL,
    Exercise,
    Splits,
    Trial,
    prior_corrected,
    scores_of,
    trials,
)
from evaluation.utility.resampling import (
    SIMPLE,
    Lesson,
    class_weights,
    lacking,
    random_oversampling,
    remedies,
    smote,
)
from pipeline.columns import Categorical, Continuous
from pipeline.errors import ConfigError, DataError
from pipeline.inference import infer

LOGISTIC = tuple(learner for learner in LEARNERS if learner.name == "logistic regression")


def people(n, seed=0, share=0.1):
    """Rows whose rare class lies apart in two of four columns."""
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < share
    return pa.table(
        {
            "row": np.arange(n) + 0.5 + 1e6 * seed,
            "dose": np.round(rng.normal(1.2 * ill, 1.0), 3),
            "age": np.round(rng.normal(50 + 10 * ill, 10.0), 2),
            "town": rng.choice(["Oslo", "Hamar"], n),
            "state": np.where(ill, "ill", "well"),
        }
    )


def splits(table, **settings):
    return Splits(table, infer(table), "state", **{"n": 3, **settings})


def lesson(n=200, rare=20):
    rng = np.random.default_rng(0)
    labels = (np.arange(n) < rare).astype(np.int64)
    numbers = np.where(np.arange(n) % 7 == 0, np.nan, rng.normal(1000 + 500 * labels, 100))
    codes = np.where(labels == 1, rng.integers(-1, 2, n), 2)
    features = (
        Feature("number", Continuous(name="number", arrow="double", nullable=True)),
        Feature("town", Categorical(name="town", arrow="string", nullable=True), ("a", "b", "c")),
    )
    return Lesson(Frame(features, (numbers, codes), n), labels, np.ones(n))


def scripted(differences, *, brier=(0.0, 0.0, 0.0), learner="boosted trees", base=0.5, remedy="vae"):
    """Trials with given differences between a remedy and real rows only."""
    found = []
    for split, (gain, change) in enumerate(zip(differences, brier, strict=True)):
        real = dict.fromkeys(("pr_auc", "f1", "balanced_accuracy"), base) | {"brier": 0.1}
        more = {name: value + gain for name, value in real.items()} | {"brier": 0.1 + change}
        found += [Trial(split, REAL, learner, real), Trial(split, remedy, learner, more)]
    return found


def test_the_three_parts_share_no_row_and_hold_their_part_of_every_class():
    made = splits(people(1000))
    parts = made.parts(0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert np.abs(np.bincount(made.labels[part]) - share * np.bincount(made.labels)).max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, made.parts(0), strict=True))
    assert not np.array_equal(parts[0], made.parts(1)[0])
    assert len(splits(people(1000), most_rows=300).parts(0)[0]) == pytest.approx(300, abs=1)


def test_a_generator_sees_the_rows_to_learn_from_and_no_other():
    table, seen = people(600), []

    def augment(known, wanted, seed):
        seen.append((known, wanted))
        return known.filter(pa.array(np.array(known["state"]) == "ill")).slice(0, 5)

    made = splits(table)
    exercise = made.exercise(1, augment)
    [(known, wanted)] = seen
    assert known["row"].to_pylist() == table["row"].take(pa.array(made.parts(1)[0])).to_pylist()
    counts = np.bincount(made.labels[made.parts(1)[0]])
    assert wanted == {"ill": counts.max() - counts.min()}
    assert exercise.lesson.frame.n_rows == known.num_rows + 5 == len(exercise.lesson.labels)
    ill = made.classes.index("ill")
    assert (exercise.lesson.labels[-5:] == ill).all() and exercise.judged().tolist() == [ill]


def test_rows_without_a_class_or_of_a_tiny_one_are_left_out():
    table = people(400, share=0.3)
    states = [None, "dead", *table["state"].to_pylist()[2:]]
    made = Splits(table.set_column(4, "state", pa.array(states)), infer(table), "state", n=2)
    assert len(made.labels) == 398 and sorted(made.classes) == ["ill", "well"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"target": "dose"}, DataError, "must be a class"),
        ({"n": 1}, ConfigError, "2 splits"),
        ({"ratio": 0.0}, ConfigError, "ratio"),
        ({"table": people(300, share=0.05)}, DataError, "two classes of at least 50"),
    ],
)
def test_what_gives_no_advice_is_refused(change, kind, words):
    settings = {"table": people(600), "target": "state", "n": 2, **change}
    table, target = settings.pop("table"), settings.pop("target")
    with pytest.raises(kind, match=words):
        Splits(table, infer(table), target, **settings)


def test_weights_count_classes_alike_and_change_no_row():
    plain = lesson()
    weighted = class_weights(plain, 1.0, 0)
    assert np.bincount(weighted.labels, weighted.weights) == pytest.approx([100, 100])
    assert weighted.frame is plain.frame and weighted.shares() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("remedy", [random_oversampling, smote])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_rows_are_added_to_the_rare_class_alone(remedy, ratio):
    plain = lesson()
    more = remedy(plain, ratio, 1)
    assert np.bincount(more.labels).tolist() == [180, int(180 * ratio)]
    for old, new in zip(plain.frame.columns, more.frame.columns, strict=True):
        assert np.array_equal(old, new[:200], equal_nan=old.dtype == np.float64)
    assert (more.labels[200:] == 1).all() and len(more.weights) == more.frame.n_rows == len(more.labels)


def test_repeated_rows_are_rows_of_the_class():
    plain = lesson()
    more = random_oversampling(plain, 1.0, 1)
    rare = {repr(row) for row in zip(*(column[:20] for column in plain.frame.columns), strict=True)}
    assert {repr(row) for row in zip(*(column[200:] for column in more.frame.columns), strict=True)} <= rare


def test_smote_keeps_to_the_levels_of_the_class_and_between_its_numbers():
    number, town = smote(lesson(), 1.0, 1).frame.columns
    plain = lesson().frame.columns[0]
    known = np.where(np.isnan(plain), np.nanmedian(plain), plain)[:20]
    assert known.min() - 1e-6 <= number[200:].min() and number[200:].max() <= known.max() + 1e-6
    assert set(town[200:]) <= {-1, 0, 1} and -1 in town[200:], "level 2 is of the other class; missing is a level"


@pytest.mark.parametrize("kept", [(0,), (1,)])
def test_smote_takes_tables_of_one_kind_of_column(kept):
    plain = lesson()
    frame = Frame(
        tuple(plain.frame.features[i] for i in kept), tuple(plain.frame.columns[i] for i in kept), plain.frame.n_rows
    )
    assert np.bincount(smote(Lesson(frame, plain.labels, plain.weights), 1.0, 0).labels).tolist() == [180, 180]


def test_smote_refuses_a_class_of_one_row():
    plain = lesson(rare=1)
    with pytest.raises(DataError, match="two rows"):
        smote(plain, 1.0, 0)


def test_without_the_library_smote_is_left_out(monkeypatch):
    assert set(remedies()) - set(SIMPLE) == {"SMOTE"}
    monkeypatch.setattr("evaluation.utility.resampling.find_spec", lambda name: None)
    assert set(remedies()) == set(SIMPLE)


def test_several_classes_lack_rows_each_on_its_own():
    assert lacking(np.array([0] * 10 + [1] * 4 + [2]), 0.5).tolist() == [0, 1, 4]


def test_the_correction_undoes_a_change_of_shares_exactly():
    x = np.linspace(-3, 3, 50)
    densities = np.stack([np.exp(-(x**2) / 2), np.exp(-((x - 1) ** 2) / 2)], axis=1)

    def posterior(shares):
        return densities * shares / (densities * shares).sum(axis=1, keepdims=True)

    balanced, real = np.array([0.5, 0.5]), np.array([0.97, 0.03])
    assert prior_corrected(posterior(balanced), balanced, real) == pytest.approx(posterior(real))


def test_the_interval_is_that_of_nadeau_and_bengio_and_wider_than_the_plain_one():
    differences = np.array([0.02, 0.05, 0.03, 0.04])
    low, high = corrected_interval(differences, test_to_learning=1 / 3)
    reach = students_t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    assert (low, high) == pytest.approx((0.035 - reach, 0.035 + reach))
    plain = corrected_interval(differences, test_to_learning=0.0)
    assert plain[0] > low and plain[1] < high


def exercise_of(truth, shares):
    nothing = Frame((), (), len(truth))
    return Exercise(Lesson(nothing, truth, np.ones(len(truth))), nothing, truth, nothing, truth, np.array(shares))


def test_perfect_probabilities_have_perfect_scores_and_swapped_ones_the_worst():
    truth = np.array([0] * 90 + [1] * 10)
    exercise, learned = exercise_of(truth, [0.9, 0.1]), np.array([0.9, 0.1])
    best = scores_of(exercise, learned, np.eye(2)[truth], np.eye(2)[truth])
    assert best["pr_auc"] == best["f1"] == best["f1_untuned"] == best["balanced_accuracy"] == 1.0
    assert best["brier"] == best["calibration_error"] == 0.0
    worst = scores_of(exercise, learned, np.eye(2)[truth], np.eye(2)[1 - truth])
    assert worst["f1"] == worst["balanced_accuracy"] == 0.0 and worst["brier"] == 1.0


def test_balanced_lessons_are_judged_by_corrected_probabilities():
    rng = np.random.default_rng(0)
    truth = (rng.random(20_000) < 0.1).astype(np.int64)
    said = np.full((20_000, 2), 0.5)  # a learner that knows nothing, after a balanced lesson
    found = scores_of(exercise_of(truth, [0.9, 0.1]), np.array([0.5, 0.5]), said, said)
    assert found["calibration_error"] < 0.02 and found["calibration_error_uncorrected"] > 0.35
    assert found["brier"] == pytest.approx(0.09, abs=0.01) and found["brier_uncorrected"] == pytest.approx(0.25)


def test_all_of_three_classes_are_judged():
    truth = np.array([0] * 50 + [1] * 30 + [2] * 20)
    exercise = exercise_of(truth, [0.5, 0.3, 0.2])
    assert exercise.judged().tolist() == [0, 1, 2]
    assert scores_of(exercise, np.array([0.5, 0.3, 0.2]), np.eye(3)[truth], np.eye(3)[truth])["f1"] == 1.0


@pytest.mark.parametrize(
    ("differences", "brier", "use", "words"),
    [
        ((0.09, 0.10, 0.11), (0.0, 0.0, 0.0), True, "Use synthetic rows"),
        ((0.09, 0.10, 0.11), (-0.05, -0.04, -0.06), True, "no worse"),
        ((0.09, 0.10, 0.11), (0.05, 0.05, 0.05), False, "but its probabilities are worse"),
        ((-0.09, -0.10, -0.11), (0.0, 0.0, 0.0), False, "it is worse with them"),
        ((-0.1, 0.3, 0.1), (0.0, 0.0, 0.0), False, "no difference that the splits can tell from chance"),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), False, "no difference"),
    ],
)
def test_the_advice_is_to_use_them_only_if_better_beyond_the_interval_and_no_worse_calibrated(
    differences, brier, use, words
):
    advice = advise(scripted(differences, brier=brier), "vae")
    assert advice.use is use and words in advice.sentence and "boosted trees" in advice.sentence


def test_the_learner_that_is_best_without_them_decides():
    weak = scripted((0.09, 0.10, 0.11), learner="logistic regression", base=0.3)
    strong = scripted((0.0, 0.0, 0.0), learner="boosted trees", base=0.6)
    advice = advise(weak + strong, "vae")
    assert not advice.use and "boosted trees does best" in advice.sentence


def test_a_remedy_that_costs_nothing_and_does_as_much_is_named():
    rival = [each for each in scripted((0.10, 0.11, 0.12), remedy="class weights") if each.remedy != REAL]
    assert "Class weights does as much" in advise(scripted((0.09, 0.10, 0.11)) + rival, "vae").sentence
    assert "does as much" not in advise(scripted((0.19, 0.20, 0.21)) + rival, "vae").sentence


def test_one_split_is_no_evidence():
    with pytest.raises(DataError, match="2 splits"):
        compare(scripted((0.1, 0.1, 0.1))[:2], "vae", "boosted trees", "pr_auc")
    with pytest.raises(ConfigError, match="known"):
        advise(scripted((0.1, 0.1, 0.1)), "vae", "accuracy")


def test_the_table_marks_what_is_beyond_chance():
    lines = table_of(scripted((0.09, 0.10, 0.11), brier=(0.05, 0.05, 0.05))).splitlines()
    assert lines[0].count("|") == lines[2].count("|") == lines[3].count("|")
    assert "+0.100 [" in lines[3] and lines[3].count("▲") == 3 and lines[3].count("▼") == 1


def test_fresh_rows_help_and_rows_of_the_other_class_harm():
    table = people(400, share=0.15)
    fresh = people(20_000, seed=1, share=0.15)
    ill, well = (fresh.filter(pa.array(np.array(fresh["state"]) == state)) for state in ("ill", "well"))
    mislabelled = well.set_column(4, "state", pa.array(["ill"] * well.num_rows))

    def drawing(source):
        return lambda known, wanted, seed: source.slice(0, sum(wanted.values()))

    made = splits(table.drop_columns("row"), n=4)
    drawn = {"fresh": drawing(ill.drop_columns("row")), "mislabelled": drawing(mislabelled.drop_columns("row"))}
    found = list(trials(made, SIMPLE, drawn, LOGISTIC))
    assert len(found) == 4 * (3 + 2)
    harm = compare(found, "mislabelled", "logistic regression", "brier")
    help_ = compare(found, "fresh", "logistic regression", "brier")
    assert harm.difference > 0.02 > 0.005 > help_.difference and not help_.worse
    assert not advise(found, "mislabelled").use
    assert [each.scores for each in found] == [each.scores for each in trials(made, SIMPLE, drawn, LOGISTIC)]


@pytest.mark.parametrize("learner", LEARNERS, ids=[learner.name for learner in LEARNERS])
def test_every_learner_heeds_weights_and_gives_probabilities(learner):
    exercise = splits(people(500, share=0.2)).exercise(0)
    plain, weighted = (
        learner.learn(each, 0)(exercise.test) for each in (exercise.lesson, class_weights(exercise.lesson, 1.0, 0))
    )
    assert plain.shape == (len(exercise.test_labels), 2) and plain.sum(axis=1) == pytest.approx(1.0)
    [rare] = exercise.judged()
    assert weighted[:, rare].mean() > plain[:, rare].mean() + 0.05


def test_a_column_without_any_cell_is_no_obstacle():
    table = people(300, share=0.3).set_column(1, "dose", pa.nulls(300, pa.float64()))
    schema = infer(people(300, share=0.3))
    columns = [each.model_copy(update={"nullable": True}) if each.name == "dose" else each for each in schema.columns]
    exercise = Splits(table, schema.model_copy(update={"columns": tuple(columns)}), "state", n=2).exercise(0)
    for learner in LEARNERS:
        assert np.isfinite(learner.learn(exercise.lesson, 0)(exercise.test)).all()
