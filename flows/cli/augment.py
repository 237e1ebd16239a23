"""`tabmint augment`: add synthetic rows of rare classes, or measure first whether they help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.errors import ConfigError

from .options import Budget, Flag, Seed
from .outcome import Outcome

if TYPE_CHECKING:
    from flows.settings import GeneratorSection
    from generators import TabularGenerator

Ratio = Annotated[float, Parameter(validator=Number(gt=0, lte=1))]
Counts = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), show_default=False)]
Measure = Literal["pr_auc", "f1", "balanced_accuracy"]


def augment(
    data: str,
    /,
    *,
    target: str,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    model: Path | None = None,
    generator: str = "flow_matching",
    budget: Budget = 120.0,
    schema: Path | None = None,
    ratio: Ratio = 1.0,
    counts: Counts = (),
    guidance: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    synthetic_only: Flag = False,
    mark: str = "synthetic",
    seed: Seed = 0,
    advise: Flag = False,
    splits: Annotated[int, Parameter(validator=Number(gte=2))] = 5,
    measure: Measure = "pr_auc",
) -> Outcome:
    """Add synthetic rows of the rarer classes of a column, or say with --advise whether they would help.

    The original rows stay as they are and come first; the synthetic ones are drawn given their class. A table that
    holds original rows is written as Parquet, is marked as not shareable, and no release and no evaluation takes it.

    As in:

    ```console
    $ tabmint augment visits.parquet --target readmitted --advise
    $ tabmint augment visits.parquet --target readmitted -o more.parquet
    $ tabmint augment visits.parquet --target ward --counts icu=500 burns=200 --model visits.model -o more.parquet
    ```

    Args:
        data: The table; every row of it needs a class.
        target: The column of the classes: categories, truth values or a few whole numbers.
        output: The Parquet file to write; a CSV file too with --synthetic-only.
        model: A model folder to draw from; without it a generator is fitted to the table.
        generator: The kind of generator to fit: flow_matching, ddpm, vae or wgan_gp.
        budget: The most wall-clock time for each fit, as 90, 120s, 2m or 1h.
        schema: The schema file of the table; the model's own, or inferred, unless given.
        ratio: How frequent the rarer classes become, as a part of the most frequent one; 1 balances them.
        counts: How many rows classes are to have in the end, as in ill=100; in place of the ratio.
        guidance: How much the class is strengthened; 0 draws what was learned.
        synthetic_only: Write the synthetic rows alone, without the column that marks them.
        mark: The name of the added column that is true for synthetic rows.
        seed: Of everything random.
        advise: Write nothing; measure on splits of the table whether synthetic rows help a classifier.
        splits: How many splits the advice is of; each takes a fit.
        measure: What the advice is about.
    """
    from flows.settings import GeneratorSection

    section = GeneratorSection(kind=generator, budget=budget)
    if advise:
        if output or model or counts:
            rule = "the advice fits generators of its own on splits of the table, for a ratio, and writes nothing"
            remedy = "leave --output, --model and --counts out, or --advise"
            raise ConfigError(rule, actual="one of --output, --model and --counts", remedy=remedy)
        return _advised(
            data, target, section, schema, ratio=ratio, guidance=guidance, seed=seed, splits=splits, measure=measure
        )
    if output is None:
        raise ConfigError("an augmented table needs a file", actual="none", remedy="give --output, or --advise")
    _check_output(output, synthetic_only=synthetic_only)
    return _augmented(
        data, target, output, model, section, schema, ratio=ratio, counts=counts, guidance=guidance,
        synthetic_only=synthetic_only, mark=mark, seed=seed,
    )  # fmt: skip


def _check_output(output: Path, *, synthetic_only: bool) -> None:
    from flows.files import check_output_file

    check_output_file(output)
    if output.suffix != ".parquet" and not synthetic_only:
        rule = "a table with original rows is written as Parquet, which can say that it must not be shared"
        raise ConfigError(rule, actual=f'"{output}"', remedy="name a .parquet file, or give --synthetic-only")


def _augmented(
    data: str, target: str, output: Path, model: Path | None, section: GeneratorSection, schema: Path | None, *,
    ratio: float, counts: tuple[str, ...], guidance: float, synthetic_only: bool, mark: str, seed: int,
) -> Outcome:  # fmt: skip
    from flows.augmentation import classes_to_add, count_classes, draw_synthetic, refuse_taken, with_original_rows
    from flows.files import write_table
    from flows.inputs import read_with_schema
    from flows.learning import shown
    from flows.progress import show_progress
    from generators import TabularGenerator
    from generators.augmentation import refuse_unconditional
    from pipeline.checks import check_table
    from pipeline.source import read

    generator = TabularGenerator.load(model) if model else _new(section)
    refuse_unconditional(generator.config)
    with show_progress() as display:
        with display.step("read") as move:
            if model:
                declared, table = generator.schema, read(data, schema=generator.schema).table
            else:
                declared, source = read_with_schema(data, schema)
                table = source.table
            if not synthetic_only:
                refuse_taken(table, mark)
            found = count_classes(table, declared, target)
            added = classes_to_add(found, ratio, counts, fewest=generator.transform_config.protect)
            move(1.0, f"{table.num_rows:,} rows, {len(found)} classes")
        if not model:
            with display.step("fit") as move:
                generator.fit(table, declared, seed=seed, budget_s=section.budget, on_progress=shown(move))
        with display.step("sample"):
            drawn = draw_synthetic(generator, target, added, seed=seed, guidance=guidance)
            check_table(drawn, declared)
    written = drawn if synthetic_only else with_original_rows(table, drawn, mark)
    write_table(written, output, spreadsheet_safe=False)
    fitted = () if model else (_training(generator),)
    return _told(output, found, added, fitted, synthetic_only=synthetic_only, mark=mark, seed=seed)


def _training(generator: TabularGenerator) -> str:
    """Return how far a fit came: rows that little training has drawn are not worth much."""
    last = generator.history[-1]
    return f"Learned in {last.step:,} of {last.n_steps:,} steps" + (f": {last.message}." if last.message else ".")


def _new(section: GeneratorSection) -> TabularGenerator:
    from flows.learning import new_generator

    return new_generator(section)


def _told(
    output: Path, found: dict[object, int], added: dict[object, int], fitted: tuple[str, ...], *,
    synthetic_only: bool, mark: str, seed: int,
) -> Outcome:  # fmt: skip
    from flows.augmentation import text_of

    original = 0 if synthetic_only else sum(found.values())
    caution = (
        "Synthetic rows follow what was learned; `tabmint evaluate` judges how well, and whether they may be shared."
        if synthetic_only
        else f'Not shareable: it holds original rows. "{mark}" is true for the synthetic ones.'
    )
    lines = (
        f"{original + sum(added.values()):,} rows in {output}",
        *(f"  {text_of(c)}: {n:,} original rows, {added.get(c, 0):,} synthetic" for c, n in found.items()),
        *fitted,
        caution,
        "Whether they help a classifier: tabmint augment --advise.",
    )
    classes = {text_of(c): {"original": n, "synthetic": added.get(c, 0)} for c, n in found.items()}
    facts = {"output": str(output), "seed": seed, "classes": classes, "shareable": synthetic_only}
    return Outcome("done", lines, facts)


def _advised(
    data: str, target: str, section: GeneratorSection, schema: Path | None, *,
    ratio: float, guidance: float, seed: int, splits: int, measure: str,
) -> Outcome:  # fmt: skip
    from evaluation.utility.advice import advise, table_of
    from evaluation.utility.augmentation import Splits, trials
    from evaluation.utility.resampling import remedies
    from flows.augmentation import count_classes, new_augmenter
    from flows.inputs import read_with_schema
    from flows.progress import show_progress
    from generators.augmentation import refuse_unconditional

    refuse_unconditional(_new(section).config)
    declared, source = read_with_schema(data, schema)
    count_classes(source.table, declared, target)
    tried = Splits(source.table, declared, target, n=splits, ratio=ratio, seed=seed)
    simple = remedies()
    with show_progress() as display:
        augmenter = new_augmenter(section, declared, target, guidance, display)
        found = list(trials(tried, simple, {section.kind: augmenter}))
    advice = advise(found, section.kind, measure)
    left_out = () if "SMOTE" in simple else ("SMOTE was left out: imbalanced-learn is not installed.",)
    lines = (table_of(found), *left_out, "", advice.sentence)
    return Outcome("done", lines, {"use": advice.use, "advice": advice.sentence, "measure": measure})
