import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from evaluation.report import Report
from flows.cli import COMMANDS, main
from flows.cli.outcome import outcome_of
from generators import TabularGenerator, WGANGPConfig, WGANGPTraining, generator_config
from pipeline import errors
from pipeline.artifact import stage
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.publish import current
from pipeline.source import read
from tests.evaluation.mixed_table import draw

NAMES = [command.__name__.replace("_", "-") for command in COMMANDS]


@pytest.fixture
def here(config_path, monkeypatch):
    monkeypatch.chdir(config_path.parent)
    return config_path.parent


@pytest.fixture
def model(here):
    assert main(["fit", "people.parquet", "--generator", "independent", "-o", "people.model"]) == 0
    return here / "people.model"


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"$ tabmint {name} " in shown and "--json" in shown and "Exit codes" in shown


def test_the_top_lists_every_command(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


def test_help_imports_nothing_heavy():
    heavy = ("torch", "prefect", "sklearn", "scipy", "pandas", "pyarrow", "numpy", "pydantic")
    program = "import sys; from flows.cli import main; main(['--help']); main(['run', '--help']); "
    program += f"sys.exit(sum(name in sys.modules for name in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_the_module_is_the_command(here):
    command = [sys.executable, "-m", "flows", "run", "none.toml", "--no-prefect", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[-1])["error"] == "ConfigError"
    assert "none.toml" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.SchemaError("x"), 2),
        (errors.RefusedError("x"), 3),
        (errors.TrainingError("x"), 1),
        (errors.PublishError("x"), 1),
        (ZeroDivisionError("x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code(error, code):
    assert outcome_of(error).exit_code == code


@pytest.mark.parametrize(
    "tokens",
    [
        ["nonsense"],
        ["run"],
        ["run", "tabmint.toml", "--nonsense"],
        ["sample", "people.model", "--rows", "-1", "-o", "a.csv"],
        ["sample", "people.model", "--rows", "5", "-o", "a.xlsx"],
        ["sample", "none.model", "--rows", "5", "-o", "a.csv"],
        ["fit", "people.parquet", "-o", "m", "--budget", "soon"],
        ["fit", "people.parquet", "-o", "m", "--generator", "magic"],
        ["fit", "people.parquet", "-o", "m", "--target", "wealth"],
        ["fit", "none.parquet", "-o", "m"],
        ["fit", "people.parquet", "-o", "/dev/null/m", "--generator", "independent"],
        ["inspect", "none.model"],
        ["init", "people.parquet", "-o", "none/tabmint.toml"],
    ],
)
def test_bad_usage_and_bad_input_exit_with_2_and_one_line(here, capsys, tokens):
    assert main(tokens) == 2
    captured = capsys.readouterr()
    assert "tabmint: " in captured.err and "Traceback" not in captured.err
    assert captured.out == ""


def test_an_unforeseen_error_exits_with_1_and_names_the_way_to_its_traceback(here, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.source.read_query", None)
    monkeypatch.setattr("flows.inputs.read", lambda *_, **__: 1 / 0)
    assert main(["init", "people.parquet", "--force"]) == 1
    short = capsys.readouterr().err
    assert "ZeroDivisionError" in short and "--traceback" in short and "Traceback (" not in short
    assert main(["init", "people.parquet", "--force", "--traceback"]) == 1
    assert "Traceback (" in capsys.readouterr().err


def test_ctrl_c_is_told_even_where_another_error_follows_it():
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise ConnectionError("the server is gone too")
    except ConnectionError as error:
        outcome = outcome_of(error)
    assert outcome.exit_code == 130 and outcome.lines == ("tabmint: interrupted",)


def test_ctrl_c_during_a_command_reaches_the_outcome(here, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.intake.load", interrupt)
    assert main(["run", "tabmint.toml", "--no-prefect", "--json"]) == 130
    captured = capsys.readouterr()
    assert "tabmint: interrupted" in captured.err and json.loads(captured.out)["exit_code"] == 130


def test_init_writes_a_config_that_runs(here, capsys):
    assert main(["init", "people.parquet", "-o", "new.toml", "--json"]) == 0
    assert last_json(capsys)["kinds"] == {"categorical": 2, "integer": 1, "continuous": 1}
    settings = ["--set", "generator.kind=independent", "--set", "evaluation.families=['marginals']"]
    assert main(["run", "new.toml", "--no-prefect", "--json", *settings]) == 3  # nothing was measured for most gates
    assert last_json(capsys)["verdict"] == "FAIL"


def test_init_writes_over_nothing_unless_forced(here, capsys):
    before = (here / "tabmint.toml").read_bytes()
    assert main(["init", "people.parquet"]) == 2
    assert '"tabmint.toml"' in capsys.readouterr().err
    assert (here / "tabmint.toml").read_bytes() == before and not (here / "schema.json").exists()
    assert main(["init", "people.parquet", "--force"]) == 0
    assert (here / "tabmint.toml").read_bytes() != before


def test_run_publishes_and_ends_with_verdict_folder_and_report(here, capsys):
    assert main(["run", "tabmint.toml", "--no-prefect"]) == 0
    lines = capsys.readouterr().out.splitlines()
    release = current(here / "out", "people").relative_to(here)
    assert lines == [
        "Verdict    PASS, 1 gate passed",
        "Model      refit: There is no accepted release yet.",
        f"Published  {release}",
        f"Report     {release}/report.html",
    ]


def test_run_with_json_ends_with_one_line_for_machines(here, capsys):
    assert main(["run", "tabmint.toml", "--no-prefect", "--json"]) == 0
    result = last_json(capsys)
    assert (result["status"], result["exit_code"], result["verdict"]) == ("published", 0, "PASS")
    assert result["folder"] == str(current(here / "out", "people"))


def test_a_refused_run_exits_with_3_and_says_why(here, capsys, refusing):
    tokens = ["run", "tabmint.toml", "--no-prefect", "--set", refusing[0]]
    assert main(tokens) == 3
    shown = capsys.readouterr().out
    assert "FAIL, 1 of" in shown and "quarantine" in shown and "Column shape error" in shown
    assert main([*tokens, "--json"]) == 3
    result = last_json(capsys)
    assert (result["status"], result["exit_code"], len(result["failures"])) == ("refused", 3, 1)
    assert current(here / "out", "people") is None


def test_a_wrong_setting_exits_with_2_and_names_the_near_one(here, capsys):
    assert main(["run", "tabmint.toml", "--no-prefect", "--set", "generator.bugdet=1"]) == 2
    assert "bugdet" in capsys.readouterr().err


def test_sample_draws_the_same_table_for_the_same_seed(model, here, capsys):
    for name, seed in (("a.parquet", "1"), ("b.parquet", "1"), ("c.parquet", "2")):
        assert main(["sample", "people.model", "--rows", "40", "--seed", seed, "-o", name, "--json"]) == 0
    assert last_json(capsys)["rows"] == 40
    first, same, other = (pq.read_table(here / f"{name}.parquet") for name in "abc")
    assert first.equals(same) and not first.equals(other) and first.num_rows == 40


def test_sample_writes_csv_and_no_rows_at_all(model, here, people):
    assert main(["sample", "people.model", "--rows", "0", "-o", "none.csv"]) == 0
    assert (here / "none.csv").read_text().splitlines() == ['"sex","city","age","income"']


def test_sample_draws_under_conditions_and_rebalanced(model, here, capsys):
    draw = ["sample", "people.model", "--rows", "30", "-o", "drawn.parquet"]
    assert main([*draw, "--condition", "city=Oslo", "--condition", "age=40"]) == 0
    drawn = pq.read_table(here / "drawn.parquet")
    assert set(drawn["city"].to_pylist()) == {"Oslo"} and set(drawn["age"].to_pylist()) == {40}
    assert main([*draw, "--rebalance", "sex"]) == 0
    counts = pq.read_table(here / "drawn.parquet")["sex"].value_counts().field("counts").to_pylist()
    assert max(counts) - min(counts) <= 1 and len(counts) > 1
    capsys.readouterr()
    for wrong, words in (
        (["--condition", "city"], "column=value"),
        (["--condition", "city=Oslo", "--condition", "city>=A"], "values or bounds"),
        (["--condition", "city=Atlantis"], "Atlantis"),
        (["--condition", "city=Oslo", "--rebalance", "sex"], "together"),
        (["--rebalance", "age"], "age"),
        (["--guidance", "1"], "guided"),
    ):
        assert main([*draw, *wrong]) == 2
        assert words in capsys.readouterr().err


def test_a_spreadsheet_safe_csv_disarms_formulas(here):
    pq.write_table(pa.table({"cell": ["=1+1", "-2x"] * 30}), here / "formulas.parquet")
    assert main(["fit", "formulas.parquet", "--generator", "independent", "-o", "f.model"]) == 0
    assert main(["sample", "f.model", "--rows", "20", "-o", "plain.csv"]) == 0
    assert main(["sample", "f.model", "--rows", "20", "-o", "safe.csv", "--spreadsheet-safe"]) == 0
    assert set(read(here / "plain.csv").table["cell"].to_pylist()) == {"=1+1", "-2x"}
    assert set(read(here / "safe.csv").table["cell"].to_pylist()) == {"'=1+1", "'-2x"}


def test_inspect_shows_a_card(model, capsys):
    capsys.readouterr()
    assert main(["inspect", "people.model"]) == 0
    shown = capsys.readouterr().out
    assert "independent" in shown and "300 rows" in shown and "city" in shown
    assert main(["inspect", "people.model", "--json"]) == 0
    assert [column["name"] for column in last_json(capsys)["columns"]] == ["sex", "city", "age", "income"]


def test_a_damaged_model_is_refused(model, capsys):
    (model / "generator.json").write_text("{}")
    assert main(["inspect", "people.model"]) == 2
    assert "generator.json" in capsys.readouterr().err


@pytest.fixture
def halves(here, people):
    """The first tokens of an evaluation of the people's two halves."""
    pa.csv.write_csv(people.slice(0, 150), here / "train.csv")
    pa.csv.write_csv(people.slice(150), here / "holdout.csv")
    return ["evaluate", "--train", "train.csv", "--holdout", "holdout.csv", "-o", "report", "--json"]


def report_of(folder):
    return Report.model_validate_json((folder / "report" / "report.json").read_bytes())


@pytest.mark.slow
def test_evaluate_judges_tables_of_any_tool(here, halves, capsys):
    assert main([*halves, "--synthetic", "train.csv", "--target", "income"]) == 3
    result = last_json(capsys)
    assert result["verdict"] == "FAIL" and result["failures"]
    report = json.loads((here / "report" / "report.json").read_text())
    assert (here / "report" / "report.html").is_file() and report["verdict"] == "FAIL"


@pytest.mark.parametrize(
    ("synthetic", "target", "said"),
    [("people.parquet", "wealth", '"wealth"'), ("other.parquet", "income", '"city"'), ("none.csv", "age", "none.csv")],
)
def test_evaluate_refuses_what_cannot_be_compared(here, people, capsys, synthetic, target, said):
    pq.write_table(people.drop_columns(["city"]), here / "other.parquet")
    tables = ["--train", "people.parquet", "--holdout", "people.parquet", "--synthetic", synthetic]
    assert main(["evaluate", *tables, "--target", target, "-o", "report"]) == 2
    assert said in capsys.readouterr().err
    assert not (here / "report").exists()


def test_evaluate_takes_evaluation_and_gates_of_a_jobs_config(here, halves, capsys):
    judge = [*halves, "--synthetic", "holdout.csv", "--config", "tabmint.toml"]
    assert main(judge) == 0
    assert last_json(capsys)["verdict"] == "PASS"
    assert [gate.name for gate in report_of(here).judged()] == ["shape_error"]
    assert main([*judge, "--set", "gates.shape_error={at_most = -1.0}"]) == 3
    result = last_json(capsys)
    assert (result["status"], result["exit_code"], len(result["failures"])) == ("refused", 3, 1)
    judge.remove("--json")
    assert main(judge) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Verdict    PASS, 0 of 1 gates failed",
        "Report     report/report.html",
    ]


JUDGE_PRIVACY = """
[evaluation]
families = ["privacy"]
budget_s = "5m"

[evaluation.privacy]
linkable = [["income", "spent", "visits"], ["city", "since", "member"]]
secrets = ["income"]

[gates]
"""


@pytest.mark.slow
def test_evaluate_judges_declared_privacy_and_a_review_is_refused_only_where_that_is_asked(here, config_path, capsys):
    gates = "".join(line for line in config_path.read_text().splitlines(keepends=True) if '= "off"' in line)
    on = gates.replace('g1_copies = "off"\n', "")
    (here / "judge.toml").write_text(JUDGE_PRIVACY + on + 'shape_error = "off"\n')
    train = draw(600, 1)
    one_copy = pa.concat_tables([draw(599, 3), train.slice(0, 1)])
    for name, table in (("train", train), ("holdout", draw(600, 2)), ("synthetic", one_copy)):
        pq.write_table(table, here / f"{name}.parquet")
    paths = [word for name in ("train", "holdout", "synthetic") for word in (f"--{name}", f"{name}.parquet")]
    judge = ["evaluate", *paths, "--config", "judge.toml", "-o", "report"]
    assert main([*judge, "--json"]) == 0
    result = last_json(capsys)
    assert (result["status"], result["verdict"], len(result["reviews"])) == ("done", "REVIEW", 1)
    inference = next(test for test in report_of(here).privacy if test.name == "g7_inference")
    subjects = {part.subject for part in inference.parts}
    assert {"linkability", "inference of income"} <= subjects and "inference of spent" not in subjects
    assert main([*judge, "--set", "gates.review=refuse"]) == 3
    shown = capsys.readouterr().out
    assert "REVIEW, 0 of 1 gates failed" in shown and "Refused" in shown


@pytest.mark.parametrize(
    ("section", "settings", "said"),
    [
        ("evalation", [], 'did you mean "evaluation"?'),
        ("evaluation", ["evaluation.budgets=3m"], 'did you mean "evaluation.budget_s"?'),
        ("evaluation", ["source.uri=postgresql://me:hunter2@host/db"], 'found "source"'),
        ("evaluation", ["seed=3"], 'found "seed"'),
    ],
)
def test_evaluate_refuses_a_setting_that_it_does_not_have(here, halves, capsys, section, settings, said):
    (here / "judge.toml").write_text(f"[{section}]\ndetection_rows = 1000\n")
    words = [word for setting in settings for word in ("--set", setting)]
    assert main([*halves, "--synthetic", "holdout.csv", "--config", "judge.toml", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "hunter2" not in error
    assert not (here / "report").exists()


def test_evaluate_with_a_model_tells_of_the_model_and_of_everything_given(here, model, halves, people):
    assert main([*halves, "--synthetic", "holdout.csv", "--config", "tabmint.toml", "--model", "people.model"]) == 0
    report = report_of(here)
    assert report.likelihood is not None
    assert [(nats.table, nats.n_rows) for nats in report.likelihood.nats] == [
        ("train", 150),
        ("holdout", 150),
        ("synthetic", 150),
    ]
    assert report.run.generator == "independent" and report.run.created and report.run.versions["tabmint"]
    assert report.notes == ("The model was first fitted to 300 rows; the train table has 150.",)
    schema = infer(people)
    train, holdout = (fingerprint(people.slice(start, 150).cast(schema.arrow())) for start in (0, 150))
    given = [(one.role, one.name, one.sha256) for one in report.run.given[:3]]
    assert given == [
        ("train", "train.csv", train),
        ("holdout", "holdout.csv", holdout),
        ("synthetic", "holdout.csv", holdout),
    ]
    assert (report.run.given[3].role, report.run.given[3].name) == ("model", "people.model")
    assert train in (here / "report" / "report.html").read_text()


def test_evaluate_with_a_model_without_a_density_shows_its_training_alone(here, halves, people):
    config = WGANGPConfig(members=1, width=16, critic_width=16, training=WGANGPTraining(steps=2, n_validations=1))
    TabularGenerator(config).fit(people.slice(0, 150)).save(here / "gan.model")
    assert main([*halves, "--synthetic", "holdout.csv", "--config", "tabmint.toml", "--model", "gan.model"]) == 0
    report = report_of(here)
    assert report.likelihood is None and report.training and report.run.generator == "wgan_gp"
    assert report.run.fit_s is not None


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("none.model", "none.model"),
        ("other.model", 'the train table must fit the model; found column "city" is not in the schema'),
        ("sealed", "sealed must be a model's folder"),
    ],
)
def test_evaluate_refuses_a_wrong_model_before_anything_is_measured(
    here, halves, people, capsys, monkeypatch, folder, said
):
    TabularGenerator(generator_config("independent")).fit(people.drop_columns(["city"])).save(here / "other.model")
    with stage(here / "sealed") as sealed:
        (sealed / "report.json").write_text("{}")
    monkeypatch.setattr("flows.judging.judge_tables", None)
    assert main([*halves, "--synthetic", "holdout.csv", "--model", folder]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and json.loads(captured.out)["exit_code"] == 2
    assert not (here / "report").exists()


def test_evaluate_measures_values_that_no_original_has_unless_a_schema_forbids_them(
    here, model, halves, people, capsys
):
    foreign = {"age": pa.array([None, *range(149)]), "income": pa.array([None] * 10 + [-1.23456] * 140)}
    pq.write_table(pa.table({**{name: people[name].slice(0, 150) for name in ("sex", "city")}, **foreign}), "f.parquet")
    judge = [*halves, "--synthetic", "f.parquet", "--config", "tabmint.toml", "--set", "gates.shape_error=off"]
    assert main(judge) == 0
    columns = {column.name: column.nullable for column in report_of(here).schema_columns}
    assert columns == {"sex": False, "city": False, "age": True, "income": True}
    assert main([*judge, "--model", "people.model"]) == 0
    nats = {one.table: one.n_impossible for one in report_of(here).likelihood.nats}
    assert nats == {"train": 0, "holdout": 0, "synthetic": 141}
    infer(people).write("schema.json")
    assert main([*judge, "--schema", "schema.json"]) == 2
    assert 'the synthetic table must fit the schema; found column "age": 1 value missing' in capsys.readouterr().err
