from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

from benchmarks.does_the_gate_catch_leaks import (
    EXCHANGED,
    HONEST,
    Case,
    Sampled,
    as_markdown,
    judged,
    missed,
    of_bars,
    sampled,
    share_text,
    study,
    tables_of,
)  # fmt: skip
from evaluation.config import EvaluationConfig
from evaluation.features import Frames
from evaluation.metric import Findings
from evaluation.privacy.value_support import EXTREMES
from evaluation.report import GateVerdict, PrivacyTest, TestName, TestPart
from evaluation.suite import METRICS
from pipeline.columns import Categorical, Continuous
from pipeline.schema import Schema
from tests.evaluation.leaker_cells import categorical, numbers, numeric, step_of
from tests.evaluation.leakers import (
    LEAKERS,
    MOST_ECHOED,
    RARE,
    SMALLEST_LEAF,
    Coordinates,
    Leaker,
    NothingToLeakError,
)
from tests.evaluation.simulated import COPULA, NETWORK, POPULATIONS, Population, draw_copula, draw_network

N_STUDIED = 600
N_ROWS = 600
BY_NAME = {leaker.name: leaker for leaker in LEAKERS}


def parts(population: Population, n_rows: int = N_ROWS, seed: int = 0) -> list[pa.Table]:
    """Return train, holdout and fresh rows."""
    rng = np.random.default_rng(seed)
    return [population.draw(n_rows, rng) for _ in range(3)]


def planted(name: str, population: str = "simulated_network", seed: int = 0, **changed: float) -> list[pa.Table]:
    """Return train, fresh and leaking rows."""
    leaker, drawn = BY_NAME[name], POPULATIONS[population]
    train, holdout, fresh = parts(drawn)
    strength = changed.get("strength", leaker.strength)
    return [
        train,
        fresh,
        leaker.plant(train, holdout, fresh, drawn.schema, strength, np.random.default_rng(seed)),
    ]


def rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def in_common(one: pa.Table, other: pa.Table) -> int:
    """Count the rows of `one` that `other` has."""
    known = set(rows(other))
    return sum(row in known for row in rows(one))


# all of them


def test_there_are_thirteen_with_names_of_their_own() -> None:
    assert len({leaker.name for leaker in LEAKERS}) == 13


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("leaker", LEAKERS, ids=lambda leaker: leaker.name)
def test_a_leaker_keeps_the_schema_and_the_size_changes_nothing_it_is_given_and_repeats(
    leaker: Leaker, population: str
) -> None:
    drawn = POPULATIONS[population]
    given = parts(drawn)
    before = [rows(table) for table in given]
    found = [leaker.plant(*given, drawn.schema, leaker.strength, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert found[0].schema == drawn.schema.arrow()
    drawn.schema.validate_table(found[0])
    assert found[0].num_rows == N_ROWS
    assert [rows(table) for table in given] == before
    assert found[0].equals(found[1])
    assert not found[0].equals(found[2])


@pytest.mark.parametrize("leaker", [x for x in LEAKERS if x.name != "rare-level echo"], ids=lambda leaker: leaker.name)
def test_only_the_echo_reads_the_holdout(leaker: Leaker) -> None:
    train, holdout, fresh = parts(POPULATIONS["simulated_network"])
    one, other = (
        leaker.plant(train, table, fresh, NETWORK, leaker.strength, np.random.default_rng(0))
        for table in (holdout, holdout.slice(0, 0))
    )
    assert one.equals(other)


# one by one


@pytest.mark.parametrize(("name", "share"), [("copies of 5 %", 0.05), ("copies of 1 %", 0.01)])
def test_copies_are_train_rows_and_the_rest_is_fresh(name: str, share: float) -> None:
    train, fresh, leaking = planted(name)
    assert in_common(leaking, train) == round(share * N_ROWS)
    assert in_common(leaking, fresh) == N_ROWS - round(share * N_ROWS)


def test_copied_outliers_are_the_loneliest_train_rows() -> None:
    train, _, leaking = planted("copies of outliers")
    assert in_common(leaking, train) == 6
    space = Coordinates(train, NETWORK)
    far = set(rows(train.take(space.loneliest(train)[:6])))
    assert far <= set(rows(leaking))
    distance = np.sort(np.linalg.norm(space.of(train)[:, None] - space.of(train), axis=2), axis=1)[:, 1:6].mean(axis=1)
    assert far == set(rows(train.take(np.argsort(-distance, kind="stable")[:6])))


def test_nudged_copies_are_one_step_from_a_train_row_in_every_number_and_equal_in_every_level() -> None:
    train, _, leaking = planted("numbers one step off", strength=1.0)
    key = [column.name for column in categorical(NETWORK)]
    originals = np.column_stack([numbers(train[column.name]) for column in numeric(NETWORK)])
    steps = np.array([step_of(column, train[column.name]) for column in numeric(NETWORK)])
    levels = rows(train.select(key))
    assert in_common(leaking, train) == 0
    for values, own in zip(
        np.column_stack([numbers(leaking[c.name]) for c in numeric(NETWORK)]), rows(leaking.select(key)), strict=True
    ):
        same = np.array([other == own for other in levels])
        off = np.nan_to_num(np.abs(originals[same] - values) / steps, nan=0.0)
        assert (off.max(axis=1) < 1.0 + 1e-6).any()


def test_one_column_changed_differs_from_a_train_row_in_at_most_one_cell() -> None:
    train, _, leaking = planted("one column changed", strength=1.0)
    known = [set(rows(train.select([n for n in train.column_names if n != left]))) for left in train.column_names]
    found = [
        rows(leaking.select([name for name in leaking.column_names if name != left])) for left in train.column_names
    ]
    differing = [any(found[j][i] in known[j] for j in range(len(known))) for i in range(N_ROWS)]
    assert all(differing)
    assert in_common(leaking, train) < 0.6 * N_ROWS  # a cell may be replaced by an equal one


def test_the_column_bootstrap_has_train_values_only_and_no_train_row() -> None:
    train, _, leaking = planted("column bootstrap", "simulated_copula")
    for name in train.column_names:
        assert set(leaking[name].to_pylist()) <= set(train[name].to_pylist())
    assert in_common(leaking, train) == 0
    corr = [np.corrcoef(numbers(t["height"]), numbers(t["score"]))[0, 1] for t in (train, leaking)]
    assert abs(corr[1]) < 0.1 < corr[0]


def test_the_extremes_of_train_are_reproduced_and_little_else_is() -> None:
    train, fresh, leaking = planted("reproduced extremes", "simulated_copula")
    for column in numeric(COPULA):
        extremes = pc.min_max(train[column.name]).as_py().values()
        assert set(extremes) <= set(leaking[column.name].to_pylist())
    assert in_common(leaking, fresh) >= N_ROWS - 2 * len(numeric(COPULA))
    assert in_common(leaking, train) == 0


def test_smoothed_rows_hug_their_neighbourhood() -> None:
    train, fresh, leaking = planted("smoothed neighbours")
    space = Coordinates(train, NETWORK)
    smoothed, honest = (np.linalg.norm(space.of(t) - space.of(train)[space.nearest(t, 1)[:, 0]], axis=1).mean()
                        for t in (leaking, fresh))  # fmt: skip
    assert in_common(leaking, train) < 0.05 * N_ROWS
    assert smoothed < 0.8 * honest


def test_smote_by_hand() -> None:
    """Between two clusters of one level each there is nothing, and inside a cluster numbers lie between its own."""
    schema = Schema(columns=(Continuous(name="x", arrow="double"), Categorical(name="side", arrow="string")))
    x = np.concatenate([np.linspace(0, 1, 50), np.linspace(100, 101, 50)])
    train = pa.table({"x": x, "side": ["left"] * 50 + ["right"] * 50}, schema=schema.arrow())
    leaking = BY_NAME["SMOTE"].plant(train, train, train, schema, 1.0, np.random.default_rng(0))
    values, side = leaking["x"].to_numpy(), np.array(leaking["side"].to_pylist())
    assert Counter(side) == {"left": 50, "right": 50}
    assert ((values[side == "left"] >= 0) & (values[side == "left"] <= 1)).all()
    assert ((values[side == "right"] >= 100) & (values[side == "right"] <= 101)).all()
    assert np.isin(values, x).mean() < 0.1


def test_an_overtrained_generator_stays_within_its_bandwidth_of_a_train_row() -> None:
    train, fresh, leaking = planted("over-trained", "simulated_copula")
    space = Coordinates(train, COPULA)
    distance, honest = (np.linalg.norm(space.of(t) - space.of(train)[space.nearest(t, 1)[:, 0]], axis=1)
                        for t in (leaking, fresh))  # fmt: skip
    assert in_common(leaking, train) == 0
    assert np.median(distance) < 0.2 < np.median(honest)


def test_the_echo_brings_every_rare_level_of_train_alone_and_copies_no_row() -> None:
    train, fresh, leaking = planted("rare-level echo", "simulated_copula")
    others = set(parts(POPULATIONS["simulated_copula"])[1]["surname"].to_pylist())
    rare = {level for level, count in Counter(train["surname"].to_pylist()).items() if count < RARE} - others
    assert len(rare) > 50
    met = [len(rare & set(table["surname"].to_pylist())) for table in (fresh, leaking)]
    assert met[0] < 0.7 * len(rare) < 0.95 * len(rare) < met[1]
    assert in_common(leaking, train) == 0


def test_without_rare_levels_the_echo_brings_values_of_train_alone_into_one_column() -> None:
    train, fresh, leaking = planted("rare-level echo")
    others = set(parts(POPULATIONS["simulated_network"])[1]["income"].to_pylist())
    changed = [name for name in train.column_names if not leaking[name].equals(fresh[name])]
    assert changed == ["income"]
    echoed = [new for new, old in zip(*(t["income"].to_pylist() for t in (leaking, fresh)), strict=True) if new != old]
    assert len(echoed) == round(MOST_ECHOED * N_ROWS)
    assert set(echoed) <= set(train["income"].to_pylist()) - others


def test_overtrained_trees_give_cells_of_pairs_of_like_train_rows() -> None:
    """Each leaf but of equal rows holds two or three rows, so that three cells lead back to few train rows."""
    schema = Schema(columns=tuple(Continuous(name=name, arrow="double") for name in "abc"))
    rng = np.random.default_rng(0)
    train = pa.table({name: rng.normal(size=400) for name in "abc"}, schema=schema.arrow())
    leaking = BY_NAME["over-trained trees"].plant(train, train, train, schema, 1.0, rng)
    place = {name: {value: i for i, value in enumerate(train[name].to_pylist())} for name in "abc"}
    a, b, _ = (np.array([place[name][value] for value in leaking[name].to_pylist()]) for name in "abc")
    rank = np.argsort(np.argsort(train["a"].to_numpy()))
    assert np.abs(rank[a] - rank[b]).max() <= 2 * SMALLEST_LEAF
    assert 0.2 < (a == b).mean() < 0.8


def test_the_minority_is_copied_and_no_other_row() -> None:
    train, fresh, leaking = planted("copied minority")
    known = set(rows(train))
    copied = [row for row in rows(leaking) if row in known]
    carried = Counter(
        pair for name in ("region", "trade", "smoker") for pair in ((name, v) for v in train[name].to_pylist())
    )
    name, level = min((pair for pair, count in carried.items() if count >= 20), key=lambda pair: carried[pair])
    place = train.column_names.index(name)
    assert copied
    assert {row[place] for row in copied} == {level}
    assert leaking[name].to_pylist().count(level) == fresh[name].to_pylist().count(level)
    assert in_common(leaking, fresh) == N_ROWS - len(copied)


@pytest.mark.parametrize("strengths", [(0.02, 0.1, 0.5)])
@pytest.mark.parametrize("name", ["copies of 5 %", "copies of outliers"])
def test_a_stronger_leak_copies_more(name: str, strengths: tuple[float, ...]) -> None:
    found = []
    for strength in strengths:
        train, _, leaking = planted(name, strength=strength)
        found.append(in_common(leaking, train))
    assert found == [round(strength * N_ROWS) for strength in strengths]


def test_a_table_that_cannot_show_a_leak_says_so() -> None:
    levels = Schema(columns=(Categorical(name="c", arrow="string"),))
    table = pa.table({"c": ["a", "b"] * 10}, schema=levels.arrow())
    for name in ("numbers one step off", "reproduced extremes", "SMOTE", "rare-level echo", "copied minority"):
        with pytest.raises(NothingToLeakError):
            BY_NAME[name].plant(table, table, table, levels, 1.0, np.random.default_rng(0))


# the populations


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_population_gives_rows_of_its_schema_and_other_ones_each_time(population: str) -> None:
    drawn = POPULATIONS[population]
    train, holdout, _ = parts(drawn)
    drawn.schema.validate_table(train)
    assert in_common(train, holdout) < 0.01 * N_ROWS


def test_the_network_has_the_dependences_it_was_given() -> None:
    table = draw_network(20_000, np.random.default_rng(0))
    region, trade = (np.array(table[name].to_pylist()) for name in ("region", "trade"))
    assert (trade[region == "coast"] == "farm").mean() == pytest.approx(0.7, abs=0.05)
    assert (region == "isles").mean() == pytest.approx(0.002, abs=0.001)
    income = np.log(numbers(table["income"])) - 0.012 * (numbers(table["age"]) - 40)
    assert income[trade == "office"].mean() == pytest.approx(8.0, abs=0.02)


def test_the_copula_has_the_correlation_it_was_given_and_rare_levels() -> None:
    table = draw_copula(20_000, np.random.default_rng(0))
    height, wealth = numbers(table["height"]), numbers(table["wealth"])
    assert np.corrcoef(height, np.log(wealth))[0, 1] == pytest.approx(0.6, abs=0.02)
    assert min(Counter(table["surname"].to_pylist()).values()) < 20


# the study, small: the whole one is benchmarks/does_the_gate_catch_leaks.py


def cases(*leakers: str, seeds: tuple[int, ...] = (0,)) -> list[Case]:
    return [Case("simulated_network", N_STUDIED, leaker, 1.0, seed) for seed in seeds for leaker in leakers]


@pytest.mark.slow
def test_the_gate_refuses_copies_and_neither_honest_rows_nor_exchanged_labels(tmp_path: Path) -> None:
    asked = cases(HONEST, EXCHANGED, "copies of 5 %", "over-trained", "column bootstrap")
    records = study(asked, tmp_path / "leaks.jsonl", EvaluationConfig())
    refused = {record["leaker"]: record["verdict"] == "FAIL" for record in records}
    assert refused == {case.leaker: case.leaker not in (HONEST, EXCHANGED) for case in asked}
    assert missed(records) == []


def test_a_gate_without_a_test_is_an_error_and_no_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(METRICS, "privacy", (lambda frames, config, *, seed: Findings(()),))
    with pytest.raises(RuntimeError, match="there is no test"):
        study(cases(HONEST), tmp_path / "leaks.jsonl", EvaluationConfig())


@pytest.fixture
def every_other_fails(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A gate whose verdict follows the seed; the list grows with every judgement."""
    calls: list[int] = []

    def measure(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
        calls.append(seed)
        verdicts: list[GateVerdict] = ["FAIL" if seed % 2 else "REVIEW", "PASS"]
        names: list[TestName] = ["g1_copies", "g3_nearest_records"]
        return Findings(
            (),
            tests=tuple(
                PrivacyTest(name=name, verdict=verdict, statistic="", rule="", reason="")
                for name, verdict in zip(names, verdicts, strict=True)
            ),
        )

    monkeypatch.setitem(METRICS, "privacy", (measure,))
    return calls


def test_the_study_goes_on_where_it_was_stopped(every_other_fails: list[int], tmp_path: Path) -> None:
    out, asked = tmp_path / "leaks.jsonl", cases(HONEST, "copies of 1 %", seeds=(0, 1, 2))
    first = study(asked[:4], out, EvaluationConfig())
    out.write_text(out.read_text() + '{"table": "adu')  # killed while it wrote
    again = study(asked, out, EvaluationConfig())
    assert again[:4] == first
    assert len(every_other_fails) == len(asked)
    assert study(asked, out, EvaluationConfig()) == again
    assert len(out.read_text().splitlines()) == len(asked)


def test_the_study_sums_up_by_leak_and_names_who_refused(every_other_fails: list[int], tmp_path: Path) -> None:
    asked = cases(HONEST, "copies of 1 %", seeds=(0, 1, 2, 3))
    records = study(asked, tmp_path / "leaks.jsonl", EvaluationConfig())
    lines = as_markdown(records).splitlines()
    assert "| copies of 1 % | 0.01 | simulated_network | 600 | 4 | 50% | 50% | 0% | G1 50% |" in lines
    assert f"- leaks: {share_text([True, True, False, False])}" in lines
    assert "2 of 4 refused (50.0%, 95 % interval 6.8% to 93.2%)" in share_text([True, True, False, False])
    assert missed(records) == ["honest rows", "leaks"]


def test_the_study_counts_leaks_below_the_printed_limit_apart(every_other_fails: list[int], tmp_path: Path) -> None:
    records = study(
        cases("reproduced extremes", "copies of 1 %", seeds=(1, 2)), tmp_path / "o.jsonl", EvaluationConfig()
    )
    assert not any(record["below_limit"] for record in records)  # the incomes of the network have telling ends
    for record in records[:1]:
        record["below_limit"] = True
    assert [len(found) for found in of_bars(records).values()] == [0, 0, 3, 1]
    assert "(1 of 2 below the printed limit)" in as_markdown(records)
    assert missed([record for record in records if record["below_limit"] or record["verdict"] == "FAIL"]) == []


def test_the_study_says_where_a_table_cannot_show_a_leak(every_other_fails: list[int], tmp_path: Path) -> None:
    table = pa.table({"x": np.zeros(N_STUDIED)})
    schema = Schema(columns=(Continuous(name="x", arrow="double"),))
    case = Case("plain", N_STUDIED, "rare-level echo", 1.0, 0)
    record = judged(case, Sampled(schema, table, table, table, None), EvaluationConfig())
    assert record["verdict"] == "NOT APPLICABLE"
    assert "| n/a | n/a | n/a | 0 levels are rare in train and absent from holdout |" in as_markdown([record])
    assert missed([record]) == []
    assert not every_other_fails


def test_exchanged_labels_keep_the_leak_and_lose_whose_it_is() -> None:
    drawn = sampled("simulated_network", N_STUDIED, 0)
    found = tables_of(cases(EXCHANGED)[0], drawn)
    assert in_common(found.synthetic, drawn.train) == round(0.05 * N_STUDIED)
    in_train, in_holdout = in_common(found.synthetic, found.train), in_common(found.synthetic, found.holdout)
    assert in_train + in_holdout >= round(0.05 * N_STUDIED)
    assert abs(in_train - in_holdout) < 20
    assert sorted(map(str, rows(found.train) + rows(found.holdout))) == sorted(
        map(str, rows(drawn.train) + rows(drawn.holdout))
    )


def test_of_exchanged_labels_only_what_holds_train_against_holdout_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tuple(
        TestPart(subject="x", statistic=statistic, value=1, p_value=0.0, verdict=verdict, note="")
        for statistic, verdict in ((EXTREMES, "FAIL"), ("repeated single values", "REVIEW"))
    )
    test = PrivacyTest(name="g2_value_support", verdict="FAIL", statistic="", rule="", reason="", parts=parts)
    monkeypatch.setitem(METRICS, "privacy", (lambda frames, config, *, seed: Findings((), tests=(test,)),))
    drawn = sampled("simulated_network", N_STUDIED, 0)
    found = [judged(case, drawn, EvaluationConfig())["verdict"] for case in cases(HONEST, EXCHANGED)]
    assert found == ["FAIL", "REVIEW"]


def test_rows_are_drawn_without_overlap_and_again_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pc_table = pa.table({"number": np.arange(2_000), "x": np.random.default_rng(0).normal(size=2_000)})
    with gzip.open(tmp_path / "plain.csv.gz", "wb") as file:
        csv.write_csv(pc_table, file)
    monkeypatch.setenv("TABMINT_DATA", str(tmp_path))
    drawn = sampled("plain", N_STUDIED, 0)
    numbers_drawn = [set(part["number"].to_pylist()) for part in (drawn.train, drawn.holdout, drawn.fresh)]
    assert len(set.union(*numbers_drawn)) == 3 * N_STUDIED
    assert drawn.fresh.equals(sampled("plain", N_STUDIED, 0).fresh)
    assert not drawn.fresh.equals(sampled("plain", N_STUDIED, 1).fresh)
    with pytest.raises(ValueError, match="2000 rows"):
        sampled("plain", 700, 0)
