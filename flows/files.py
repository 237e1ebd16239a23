"""Writing one table to one file, as a command is told to."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa

from pipeline.artifact import MANIFEST, make_folder
from pipeline.errors import ArtifactError, ConfigError
from pipeline.sink import write_csv, write_parquet

ENDINGS = (".csv", ".parquet")


def check_output_file(path: Path) -> None:
    """Refuse a file that could not be written in the end, before time is spent on its content.

    Raises:
        ConfigError: the ending is unknown, or there is no such folder.

    Example:
        >>> check_output_file(Path("table.xlsx"))
        Traceback (most recent call last):
        pipeline.errors.ConfigError: an output file ends in .csv or .parquet; found "table.xlsx"
    """
    if path.suffix not in ENDINGS:
        raise ConfigError(f"an output file ends in {' or '.join(ENDINGS)}", actual=f'"{path}"')
    if not path.resolve().parent.is_dir():
        raise ConfigError("an output file needs an existing folder", actual=f'"{path}"', remedy="make its folder first")


def check_output_folder(path: Path) -> None:
    """Refuse a folder that could not be written in the end, before time is spent on its content.

    Raises:
        ConfigError: the folder above it cannot be written.
        ArtifactError: something that tabmint did not write lies there.
    """
    if path.exists() and not (path / MANIFEST).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError("only a folder that tabmint wrote is replaced", actual=f'"{path}"', remedy="choose another")
    check_writable(path.resolve().parent)


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing, and refuse it if nothing can be written there.

    Raises:
        ConfigError: says what the system said.
    """
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "choose another, or mend its permissions"
        raise ConfigError(f'the output folder "{folder}" must be writable', actual=str(error), remedy=remedy) from error


def write_table(table: pa.Table, path: Path, *, spreadsheet_safe: bool) -> None:
    """Write a table in the format that the file's ending says."""
    if path.suffix == ".csv":
        write_csv(table, path, spreadsheet_safe=spreadsheet_safe)
    else:
        write_parquet(table, path)
