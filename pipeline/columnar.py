"""Read tables whose columns have types already: Parquet, Feather or Arrow files, and pandas DataFrames."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather

from pipeline.errors import SchemaError, SourceError
from pipeline.schema import refuse_repeated_names


def read_parquet(path: str) -> pa.Table:
    """Read a Parquet file, all files of a folder, or all that match a pattern, in the order of their names.

    Folders named "key=value" become columns, as Hive writes them.

    Raises:
        SourceError: there is no such file, one is damaged, or one has other columns than the first.

    Example:
        >>> import tempfile, pyarrow.parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pa.parquet.write_table(pa.table({"n": [1, 2]}), f"{folder}/part-0.parquet")
        ...     read_parquet(folder).num_rows
        2
    """
    folder = path if Path(path).is_dir() else None
    pattern = f"{glob.escape(path)}/**/*.parquet" if folder else path
    files = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    files = files or [path] * Path(path).is_file()  # the name of a file may look like a pattern
    if not files:
        raise SourceError(f'"{path}" holds no Parquet file', actual="none", remedy="check the path or the pattern")
    with _reading(path):
        hive = ds.partitioning(flavor="hive") if folder else None
        dataset = ds.dataset(files, format="parquet", partitioning=hive, partition_base_dir=folder)
        _refuse_other_columns(dataset)
        return dataset.to_table()


def _refuse_other_columns(dataset: ds.Dataset) -> None:
    """Refuse files of different schemas: Arrow would fill what one of them lacks with missing cells."""
    first, *others = dataset.get_fragments()
    for other in others:
        if not other.physical_schema.equals(first.physical_schema):
            rule = "the Parquet files of one table need the same columns and types"
            remedy = "read them apart, or write them alike"
            raise SourceError(rule, actual=f'others in "{other.path}" than in "{first.path}"', remedy=remedy)


def read_feather(path: str) -> pa.Table:
    """Read a Feather or Arrow IPC file.

    Raises:
        SourceError: the file is missing or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pyarrow.feather.write_feather(pa.table({"n": [1, 2]}), f"{folder}/table.arrow")
        ...     read_feather(f"{folder}/table.arrow").num_rows
        2
    """
    with _reading(path):
        return pyarrow.feather.read_table(path)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        actual, remedy = str(error).partition("\n")[0], "check the path, or write the file again"
        raise SourceError(f'"{path}" cannot be read', actual=actual, remedy=remedy) from error


def read_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as a table; its index is dropped, and its missing values of all sorts become missing cells.

    Raises:
        SchemaError: a column has a name that is not text, or values of mixed types; names every such column.

    Example:
        >>> read_frame(pd.DataFrame({"name": ["Ada", None]}))["name"].to_pylist()
        ['Ada', None]
    """
    unnamed = [repr(name) for name in frame.columns if not isinstance(name, str)]
    if unnamed:
        remedy = "rename them: frame.columns = frame.columns.astype(str)"
        raise SchemaError("column names must be text", actual=", ".join(unnamed), remedy=remedy)
    refuse_repeated_names(list(frame.columns))
    columns = {name: _from_series(frame[name]) for name in frame.columns}
    mixed = [f'column "{name}" ({frame[name].dtype})' for name, values in columns.items() if values is None]
    if mixed:
        remedy = "convert each to one type, for instance with astype(str)"
        raise SchemaError("a column's values must be of one type", actual=", ".join(mixed), remedy=remedy)
    return pa.table(columns)


def _from_series(series: pd.Series) -> pa.Array | pa.ChunkedArray | None:
    """Return the values as Arrow, or None if they are of no one type; text gets the type that a file would give it."""
    try:
        values = pa.Array.from_pandas(series)
    except (pa.ArrowException, OverflowError):
        return None
    if pa.types.is_large_string(values.type):
        return values.cast(pa.string())
    if pa.types.is_dictionary(values.type) and pa.types.is_large_string(values.type.value_type):
        return values.cast(pa.dictionary(values.type.index_type, pa.string(), values.type.ordered))
    return values
