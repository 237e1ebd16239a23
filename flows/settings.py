"""The config of one job, `tabmint.toml`: one section per step, unknown keys refused, paths relative to the file."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from evaluation.config import EvaluationConfig
from evaluation.gate import Gates
from pipeline.config import Config
from pipeline.credentials import refuse_literal_options, refuse_literal_password
from pipeline.delivery import FolderSink, SinkConfig
from pipeline.drift_rules import DriftRules
from pipeline.errors import ConfigError
from pipeline.source import SourceConfig
from pipeline.split import SplitConfig
from pipeline.transform import TransformConfig

from .decision import ScheduleSection
from .duration import parse_seconds

Seconds = Annotated[float, BeforeValidator(parse_seconds)]
AnyConfig = TypeVar("AnyConfig", bound=Config)
SECRETIVE = ("source.uri", "source.options", "sinks", "alert")
"""Settings that may hold a password: what is wrong with them is said, what they hold is not."""


class GeneratorSection(Config):
    """Which generator learns the table, for how long, and any setting of its kind beside these two."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "flow_matching"
    budget: Seconds = 120.0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that belong to the generator's kind."""
        return dict(self.model_extra or {})


class SampleSection(Config):
    """How many rows to draw; as many as train has unless told."""

    rows: Annotated[int, Field(ge=1)] | None = None


class EvaluationSection(EvaluationConfig):
    """What to measure, for how long at most, and the column that downstream models predict."""

    budget_s: Seconds | None = None
    target: str | None = None


class OutputSection(Config):
    """Where releases go, and whether a CSV (safe to open in a spreadsheet) lies beside the Parquet file."""

    root: Path = Path("out")
    csv: bool = False


class AlertSection(Config):
    """Whom to tell when a run publishes nothing though it should have.

    Attributes:
        webhook: an https or http address that a JSON object is posted to; it may hold `${NAME}` or `${secret:block}`.
        timeout_s: how long to wait for its answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    webhook: str | None = Field(default=None, repr=False)
    timeout_s: Annotated[float, Field(gt=0)] = 10.0

    @field_validator("webhook")
    @classmethod
    def _check_scheme(cls, webhook: str | None) -> str | None:
        if webhook is not None and not webhook.startswith(("https://", "http://", "${")):
            raise ConfigError("a webhook is an https or http address, or a placeholder for one", actual="another")
        return webhook


class RunConfig(Config):
    """Everything one job needs.

    Example:
        >>> RunConfig(name="flights", source={"path": "flights.parquet"}, generator={"budget": "2m"}).generator.budget
        120.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # sections may hold a password

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    seed: Annotated[int, Field(ge=0)] = 0
    schema_path: Path | None = None
    source: SourceConfig
    split: SplitConfig = SplitConfig()
    transform: TransformConfig = TransformConfig()
    generator: GeneratorSection = GeneratorSection()
    sample: SampleSection = SampleSection()
    evaluation: EvaluationSection = EvaluationSection()
    gates: Gates = Gates()
    drift: DriftRules = DriftRules()
    schedule: ScheduleSection = ScheduleSection()
    alert: AlertSection = AlertSection()
    output: OutputSection = OutputSection()
    sinks: tuple[SinkConfig, ...] = ()

    @field_validator("source")
    @classmethod
    def _check_credentials(cls, source: SourceConfig) -> SourceConfig:
        if source.uri is not None:
            refuse_literal_password(source.uri)
        refuse_literal_options(source.options)
        return source


class Judging(Config):
    """What an evaluation of tables is told: the two sections of a job's config that judge what was drawn."""

    evaluation: EvaluationSection = EvaluationSection()
    gates: Gates = Gates()

    def with_target(self, target: str | None) -> Judging:
        """Return the same with this target, or with its own where None."""
        named = {} if target is None else {"target": target}
        return self.model_copy(update={"evaluation": self.evaluation.model_copy(update=named)})


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config file and lay the overrides, each "section.key=value", over it.

    Relative paths, also those in overrides, are relative to the file's folder.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or of the wrong type.
    """
    settings = _read_toml(path)
    for override in overrides:
        _lay_over(settings, override)
    return _anchored(build_config(settings, origin=str(path)), path.resolve().parent)


def load_judging(path: Path | None, overrides: Sequence[str] = ()) -> Judging:
    """Read `[evaluation]` and `[gates]` of a config file, which may hold a whole job, and lay the overrides over them.

    Raises:
        ConfigError: as `load_config`; or an override is of another section.

    Example:
        >>> load_judging(None, ["evaluation.privacy.secrets=['income']"]).evaluation.privacy.secrets
        ('income',)
    """
    origin = "the settings" if path is None else str(path)
    others = RunConfig.model_fields.keys() - Judging.model_fields.keys()
    settings = {} if path is None else {name: part for name, part in _read_toml(path).items() if name not in others}
    for override in overrides:
        _refuse_other_section(override)
        _lay_over(settings, override)
    return _validated(Judging, settings, origin)


def build_config(settings: dict[str, Any], *, origin: str) -> RunConfig:
    """Validate settings; `origin` names where they come from in the message.

    Raises:
        ConfigError: a setting is missing, unknown or of the wrong type; it is named, with the nearest valid name.

    Example:
        >>> build_config({"name": "a", "source": {"path": "a.csv"}, "sede": 1}, origin="tabmint.toml")
        Traceback (most recent call last):
        pipeline.errors.ConfigError: tabmint.toml: "sede" is not a setting; did you mean "seed"?
    """
    return _validated(RunConfig, settings, origin)


def _validated(kind: type[AnyConfig], settings: dict[str, Any], origin: str) -> AnyConfig:
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise explain(error, origin) from None


def explain(error: ValidationError, origin: str) -> ConfigError:
    """Turn pydantic's error into a message that names every wrong setting by its dotted name."""
    complaints = [_complaint(detail) for detail in error.errors(include_url=False) if _is_meant(detail)]
    return ConfigError(f"{origin}: {'; '.join(complaints)}")


def setting_names(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting and section.

    Example:
        >>> "output.root" in set(setting_names())
        True
    """
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from setting_names(part, f"{prefix}{name}.")


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate most like `name`, or None; a right key in the wrong section counts as near.

    Example:
        >>> nearest("holdout", ["split.holdout", "seed"])
        'split.holdout'
    """
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)
    same_key = (candidate for candidate in candidates if candidate.split(".")[-1] == name.split(".")[-1])
    return close[0] if close else next(same_key, None)


def _is_branch(part: str | int) -> bool:
    """Return whether a part of a place is no key but pydantic's word for one of several types."""
    return str(part).startswith(("literal[", "function-"))


def _is_meant(detail: ErrorDetails) -> bool:
    """Return whether, of several types, the error is about the one that was meant: a table or a word."""
    if not any(_is_branch(part) for part in detail["loc"]):
        return True
    return detail["type"] != ("literal_error" if isinstance(detail["input"], dict) else "model_type")


def _complaint(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"] if not _is_branch(part))
    if detail["type"] == "missing":
        return f'"{name}" is missing'
    if detail["type"] != "extra_forbidden":
        message = detail["msg"].removeprefix("Value error, ")
        said = name.startswith(SECRETIVE) or "; found " in message
        return f'"{name}": {message}' + ("" if said else f"; found {detail['input']!r}")
    near = nearest(name, list(setting_names()))
    return f'"{name}" is not a setting' + (f'; did you mean "{near}"?' if near else "")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = 'write one with "tabmint init DATA"'
        raise ConfigError("a config file must exist", actual=f'nothing at "{path}"', remedy=remedy) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f'"{path}" must be a readable TOML file', actual=str(error)) from error


def _refuse_other_section(override: str) -> None:
    section = override.partition("=")[0].partition(".")[0].strip()
    if section not in Judging.model_fields:
        rule = f"an evaluation of tables has settings of {' and '.join(Judging.model_fields)}"
        raise ConfigError(rule, actual=f'"{section}"', remedy="such as --set evaluation.budget_s=30m")


def _lay_over(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(
            "an override reads key=value", actual=repr(override), remedy="such as --set generator.budget=60s"
        )
    *sections, name = key.strip().split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise ConfigError(f'"{section}" in the override "{override}" must be a section', actual=repr(settings))
    settings[name] = _parse_value(text)


def _parse_value(text: str) -> Any:
    """Return a TOML value, or the text itself, so that `--set name=flights` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _anchored(config: RunConfig, folder: Path) -> RunConfig:
    """Make every path absolute, that of a SQLite file too; what begins with a placeholder is not known yet."""
    source, output = config.source, config.output
    if source.path is not None and _is_local(source.path):
        source = source.model_copy(update={"path": os.path.normpath(folder / source.path)})
    if source.uri is not None and source.uri.startswith("sqlite:") and not source.uri.endswith(":memory:"):
        file = source.uri.removeprefix("sqlite:").removeprefix("///")
        source = source.model_copy(update={"uri": f"sqlite:{folder / file}"})
    output = output.model_copy(update={"root": Path(os.path.normpath(folder / output.root))})
    schema_path = None if config.schema_path is None else Path(os.path.normpath(folder / config.schema_path))
    sinks = tuple(
        sink.model_copy(update={"url": os.path.normpath(folder / sink.url)})
        if isinstance(sink, FolderSink) and _is_local(sink.url)
        else sink
        for sink in config.sinks
    )
    found = {"source": source, "output": output, "schema_path": schema_path, "sinks": sinks}
    return config.model_copy(update=found)


def _is_local(path: str) -> bool:
    return "://" not in path and not path.startswith("${")
