"""Several families under one budget and split: the rule that chooses, and what a comparison leaves."""

import json

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows import comparison as rooms
from flows.cli import main
from flows.comparison import compare_families, section_of
from flows.comparison_page import page
from flows.progress import Silent
from flows.settings import GeneratorSection, load_config
from flows.table_of_families import Row, cells, choose
from generators import TabularGenerator
from pipeline.artifact import Sealed, verify
from pipeline.errors import ConfigError, RefusedError, TrainingError
from pipeline.publish import current

TRAINED = ("generator.budget=1s",)


def row(kind, verdict="PASS", auc=None, interval=None, fit_s=1.0, sample_s=0.0):
    figures = {} if auc is None else {"c2st_auc": auc}
    intervals = {} if interval is None else {"c2st_auc": interval}
    return Row(kind=kind, verdict=verdict, figures=figures, intervals=intervals, fit_s=fit_s, sample_s=sample_s)


@pytest.mark.parametrize(
    ("rows", "winner", "because"),
    [
        ([row("a", "FAIL", 0.5), row("b", "FAIL", 0.6)], None, "Every family fails"),
        ([row("a", "FAIL", 0.5), row("b", "PASS", 0.7)], "b", "only one with the verdict PASS"),
        ([row("a", "REVIEW", 0.5), row("b", "PASS", 0.7)], "b", "only one with the verdict PASS"),
        ([row("a", "REVIEW", 0.5), row("b", "FAIL", 0.4)], "a", "only one with the verdict REVIEW"),
        ([row("a", auc=0.6), row("b", auc=0.55)], "b", "smallest detector AUC"),
        ([row("a", auc=0.57, fit_s=1), row("b", auc=0.55, interval=(0.53, 0.58), fit_s=2)], "a", "at most 0.58"),
        ([row("a", auc=0.59, fit_s=1), row("b", auc=0.55, interval=(0.53, 0.58), fit_s=2)], "b", "smallest"),
        ([row("a", auc=0.57, sample_s=9), row("b", auc=0.55, interval=(0.53, 0.58), fit_s=2)], "b", "at most 0.58"),
        ([row("a", fit_s=2), row("b", fit_s=1)], "b", "no detector AUC was measured"),
        ([row("a", fit_s=1), row("b", auc=0.6, fit_s=2)], "b", "smallest"),
        ([row("a"), row("b")], "a", "fastest"),
    ],
)
def test_the_rule(rows, winner, because):
    chosen, reason = choose(rows)
    assert chosen == winner and because in reason


def test_the_settings_of_the_configured_kind_are_no_others():
    configured = GeneratorSection(kind="vae", budget=60, latent=8)
    assert section_of(configured, "vae", 5.0).settings == {"latent": 8}
    assert section_of(configured, "ddpm", None) == GeneratorSection(kind="ddpm", budget=60)


@pytest.fixture
def twins(monkeypatch):
    """Two kinds that need no training: one is taken for another by its name."""
    real = rooms.new_generator

    def pretend(section, transform=None):
        return real(section.model_copy(update={"kind": "independent"}), transform)

    monkeypatch.setattr(rooms, "new_generator", pretend)
    monkeypatch.setattr("flows.steps.new_generator", pretend)
    return ("independent", "twin")


def test_a_comparison_leaves_a_sealed_table_with_its_reports_and_publishes_nothing(config, twins):
    found = compare_families(config, kinds=twins)
    assert [r.kind for r in found.rows] == list(twins) and found.winner in twins
    verify(found.folder, Sealed)
    told = json.loads((found.folder / "comparison.json").read_text())
    assert told["winner"] == found.winner and told["rows"][0]["figures"]["shape_error"] < 0.5
    assert all((found.folder / r.report).is_file() and r.size_bytes > 0 for r in found.rows)
    root = config.output.root
    assert current(root, "people") is None and not (root / "ledger").exists() and not (root / "runs").exists()
    assert not any((root / ".comparing" / place / "people").exists() for place in ("models", "work/people"))


def test_the_families_learn_the_same_rows(config, twins, monkeypatch):
    seen, fit = [], rooms.steps.fit

    def watched(job, ingested, plan, parts):
        seen.append((parts.train.sha256, parts.holdout.sha256, job.seed, job.config.generator.budget))
        return fit(job, ingested, plan, parts)

    monkeypatch.setattr(rooms.steps, "fit", watched)
    compare_families(config, kinds=twins, budget_s=7.0)
    assert len(seen) == 2 and len(set(seen)) == 1 and seen[0][3] == 7.0


def test_a_family_that_cannot_be_fitted_or_leaks_is_out_and_the_others_go_on(config, twins, monkeypatch):
    fit, check = rooms.steps.fit, rooms.steps.check_files

    def failing(job, *rest):
        if job.config.generator.kind == "twin":
            raise TrainingError("the loss is no number")
        return fit(job, *rest)

    monkeypatch.setattr(rooms.steps, "fit", failing)
    found = compare_families(config, kinds=twins)
    assert found.winner == "independent" and found.rows[1].reasons == ("the loss is no number",)
    assert not (found.folder / "twin").exists() and cells(found.rows[1])["gates failed"] == "not judged"

    def leaking(train, schema, model, report):
        if "independent" in (model.path / "generator.json").read_text():
            raise RefusedError("a model and a report must hold no row of train")
        check(train, schema, model, report)

    monkeypatch.setattr(rooms.steps, "check_files", leaking)
    found = compare_families(config, kinds=twins)
    assert found.winner is None and not list(found.folder.glob("*/report.html"))


def test_a_killed_comparison_goes_on_with_what_was_done(config, twins, monkeypatch):
    evaluate, judged = rooms.steps._evaluate, []

    def killed_at_the_second(job, *rest):
        judged.append(job.config.generator.kind)
        return 1 / 0 if len(judged) == 2 else evaluate(job, *rest)

    monkeypatch.setattr(rooms.steps, "_evaluate", killed_at_the_second)
    with pytest.raises(ZeroDivisionError):
        compare_families(config, kinds=twins)
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("fitted twice"))
    assert compare_families(config, kinds=twins).winner in twins
    assert judged == ["independent", "twin", "twin"]


@pytest.mark.parametrize("kinds", [(), ("independent", "independent"), ("independent", "gan")])
def test_kinds_are_known_and_named_once(config, kinds):
    with pytest.raises(ConfigError):
        compare_families(config, kinds=kinds)


def test_the_page_escapes_what_it_shows(config, twins):
    found = compare_families(config, kinds=twins)
    hostile = found.rows[0].model_copy(update={"reasons": ('column "<script>" \u202e is off',)})
    text = page(found.model_copy(update={"rows": (hostile,)}))
    assert "<script>" not in text and "&lt;script&gt;" in text and "⟨U+202E⟩" in text
    assert f'href="{twins[0]}/report.html"' in text and found.rule in text


def test_the_command_names_the_winner_and_exits_with_3_without_one(config_path, refusing, twins, capsys):
    tokens = ["compare", str(config_path), "--no-prefect", "--kinds", ",".join(twins), "--budget", "2m"]
    assert main(tokens) == 0
    out = capsys.readouterr().out
    assert out.startswith("family") and "Families whose AUC" in out
    assert any(f"Winner     {kind} is the" in out for kind in twins)
    assert main([*tokens, "--json", "--set", *refusing]) == 3
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["winner"] is None and told["budget_s"] == 120 and told["rows"][0]["failed"] == ["shape_error"]


def test_ctrl_c_ends_the_fit_in_the_other_thread_when_it_next_tells_how_far_it_is():
    from flows.compare import Stoppable

    display = Stoppable(Silent())
    with display.step("fit") as move:
        move(0.1, "step 1")
        display.stop()
        with pytest.raises(KeyboardInterrupt):
            move(0.2, "step 2")


@pytest.mark.slow
def test_the_flow_compares_two_real_families_one_after_the_other(config_path):
    from flows.compare import compare

    with prefect_test_harness(server_startup_timeout=120):
        found = compare(config_path, TRAINED, ("vae", "independent"))
    plain = compare_families(load_config(config_path, (*TRAINED, "output.root=plain")), kinds=("vae", "independent"))
    assert found.id == plain.id and [r.kind for r in found.rows] == ["vae", "independent"]
    assert found.rows[0].fit_s > 0 and found.rows[1].figures == plain.rows[1].figures
