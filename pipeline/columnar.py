"""Read tables whose columns have types already: Parquet, Feather or Arrow files, and pandas DataFrames."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather

from pipeline.errors import SchemaError, SourceError
from pipeline.schema import refuse_repeated_names

if TYPE_CHECKING:  # whoever gives a DataFrame has imported it; whoever reads a file should not wait for it
    import pandas as pd

FEATHER = (".feather", ".arrow", ".ipc")
"""The endings of Arrow IPC files."""


def read_columnar(path: str, max_bytes: int) -> pa.Table:
    """Read a Feather file by its ending, or else Parquet as `read_parquet` does, and check every cell.

    Raises:
        SourceError: as `read_parquet` and `read_feather`, or the table takes more than `max_bytes` in memory.

    Example:
        >>> import pyarrow.parquet
        >>> pa.parquet.write_table(pa.table({"n": [1, 2]}), "numbers.parquet")
        >>> read_columnar("numbers.parquet", max_bytes=1)
        Traceback (most recent call last):
            ...
        pipeline.errors.SourceError: a table takes at most 1 bytes (source.max_bytes); found "numbers.parquet" of at \
least 16; raise the limit if the file is no forgery, or read fewer rows
    """
    is_feather = path.lower().endswith(FEATHER) and not Path(path).is_dir()
    table = read_feather(path) if is_feather else read_parquet(path, max_bytes)
    _refuse_larger(path, table.nbytes, max_bytes)
    return table


def _bits(arrow_type: pa.DataType) -> int:
    """Return the fewest bits that a cell takes in memory; those of text are its place."""
    try:
        return int(arrow_type.bit_width)
    except ValueError:
        return 32


def _refuse_larger(path: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        rule = f"a table takes at most {max_bytes:,} bytes (source.max_bytes)"
        remedy = "raise the limit if the file is no forgery, or read fewer rows"
        raise SourceError(rule, actual=f'"{path}" of at least {size_bytes:,}', remedy=remedy)


def files_of(path: str) -> list[str]:
    """Return the file, the Parquet files of a folder or those that match a pattern, in the order of their names.

    Example:
        >>> files_of("no-such-folder/*.parquet")
        []
    """
    pattern = f"{glob.escape(path)}/**/*.parquet" if Path(path).is_dir() else path
    files = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    return files or [path] * Path(path).is_file()  # the name of a file may look like a pattern


def read_parquet(path: str, max_bytes: int | None = None) -> pa.Table:
    """Read a Parquet file, all files of a folder, or all that match a pattern, in the order of their names.

    Folders named "key=value" become columns, as Hive writes them.

    Raises:
        SourceError: there is no such file, one is damaged, one has other columns than the first, or they declare more
            cells than `max_bytes` could hold.

    Example:
        >>> import tempfile, pyarrow.parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pa.parquet.write_table(pa.table({"n": [1, 2]}), f"{folder}/part-0.parquet")
        ...     read_parquet(folder).num_rows
        2
    """
    folder = path if Path(path).is_dir() else None
    files = files_of(path)
    if not files:
        raise SourceError(f'"{path}" holds no Parquet file', actual="none", remedy="check the path or the pattern")
    with _reading(path):
        hive = ds.partitioning(flavor="hive") if folder else None
        dataset = ds.dataset(files, format="parquet", partitioning=hive, partition_base_dir=folder)
        _refuse_other_columns(dataset)
        if max_bytes is not None:
            n_rows = sum(file.metadata.num_rows for file in dataset.get_fragments())
            _refuse_larger(path, n_rows * sum(map(_bits, dataset.schema.types)) // 8, max_bytes)
        return _valid(dataset.to_table())


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
        return _valid(pyarrow.feather.read_table(path))


def _valid(table: pa.Table) -> pa.Table:
    """Refuse what only looks like a table: text that is no text, levels that are not there, lengths that are lies."""
    table.validate(full=True)
    return table


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, MemoryError, UnicodeError) as error:
        actual, remedy = str(error).partition("\n")[0], "check the path, or write the file again"
        raise SourceError(f'"{path}" cannot be read', actual=actual, remedy=remedy) from error


def read_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as a table; its index is dropped, and its missing values of all sorts become missing cells.

    Raises:
        SchemaError: a column has a name that is not text, or values of mixed types; names every such column.

    Example:
        >>> import pandas as pd
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
