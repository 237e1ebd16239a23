"""The scan: every file of a folder is read, and no train row, long text or column may be in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.columns import Categorical, Constant
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng

from ...statistics import FloatArray
from .columns import has_order, has_run, has_spacing, has_values
from .content import Content, UnreadableError, number_of, read_content, words_of
from .rows import count_rows
from .tensors import search_tensor, stored_columns
from .train_values import TrainColumn, train_column

PROTECT = 5
"""A value that fewer rows carry is rare: the default `protect` of the transform."""
LONG_TEXT, LONG_CODE = 12, 8
"""So many characters make a text, or a text with a digit in it, too special to be in a file by chance."""
N_WORDS = 4
"""Texts of so many words are searched inside other texts, too."""


@dataclass(frozen=True)
class Planted:
    """Train data in a file. It names no value and no row.

    Attributes:
        file: the file's path in the folder.
        place: the JSON path, the tensor or the part of the file.
        kind: what was found; "unreadable" where the file is of a format in which nothing can be searched.
        column: whose values they are; empty for rows.
        count: how many rows or texts; 1 for the others.

    """

    file: str
    place: str
    kind: Literal["rows", "texts", "run", "values", "order", "unreadable"]
    column: str = ""
    count: int = 1

    def __str__(self) -> str:
        what = {
            "rows": f"{self.count} train rows, their cells together",
            "texts": f'{self.count} rare texts of column "{self.column}"',
            "run": f'cells of column "{self.column}" in the order of the rows',
            "values": f'a large part of the values of column "{self.column}"',
            "order": f'column "{self.column}", rescaled or recoded, in the order of the rows',
            "unreadable": "a file that cannot be searched",
        }
        return f"{self.file}, {self.place}: {what[self.kind]}" if self.place else f"{self.file}: {what[self.kind]}"


def scan(
    folder: Path | str, train: pa.Table, schema: Schema | None = None, *, protect: int = PROTECT, seed: int = 0
) -> list[Planted]:
    """Return the train data found in the files under `folder`, none for an honest model or report.

    Searched are JSON, HTML, safetensors and any other UTF-8 text, for rows whose cells lie together, rare texts, runs
    of a column in row order, a large part of a column's values in any order, and whole columns after rescaling or
    recoding. Vocabularies, quantiles and edges of bins are no finding, nor are the levels that `schema` declares. What
    was encrypted, compressed or rounded is not recognised; a file that cannot be searched is a finding of its own.

    Args:
        folder: a saved model, a report, or any folder.
        train: the rows that must not be in it.
        schema: its declared levels are no secret; None: every value is.
        protect: values that fewer rows carry are rare.
        seed: of the shuffled table that rows are compared with.

    Example:
        >>> import tempfile
        >>> train = pa.table({"name": [f"patient-{i:04d}" for i in range(50)]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "notes.txt").write_text("as seen with patient-0017 last week")
        ...     [str(found) for found in scan(folder, train)]
        ['notes.txt: 1 rare texts of column "name"']

    """
    columns = [train_column(name, train[name]) for name in train.column_names] if train.num_rows else []
    texts = _rare_texts(train, columns, schema, protect)
    found = []
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            content = read_content(path)
        except UnreadableError:
            found.append(Planted(name, "", "unreadable"))
        else:
            found += [*_rows(name, content, columns, seed), *_texts(name, content, texts)]
            found += [*_in_lists(name, content, columns, protect), *_in_tensors(name, content, columns, protect)]
    return found


def _rows(file: str, content: Content, columns: list[TrainColumn], seed: int) -> Iterator[Planted]:
    for place, stream in content.streams.items():
        count = count_rows(stream, columns, numpy_rng(seed, "artifact scan", file, place))
        if count:
            yield Planted(file, place, "rows", count=count)


def _texts(file: str, content: Content, texts: dict[str, set[str]]) -> Iterator[Planted]:
    tokens = {each for stream in content.streams.values() for each in stream}
    words = words_of(content.text)
    phrases = {tuple(words[i : i + N_WORDS]) for i in range(len(words) - N_WORDS + 1)}
    for column, rare in texts.items():
        met = rare & tokens
        longer = (text for text in rare - met if tuple(words_of(text)[:N_WORDS]) in phrases)
        met |= {text for text in longer if text in content.text}
        if met:
            yield Planted(file, "", "texts", column, len(met))


def _rare_texts(
    train: pa.Table, columns: list[TrainColumn], schema: Schema | None, protect: int
) -> dict[str, set[str]]:
    """Return, by column, the long texts that fewer than `protect` rows carry and the schema does not declare."""
    declared = {text for column in (schema.columns if schema else ()) for text in _declared(column)}
    public = declared | set(train.column_names)
    found = {}
    for column in columns:
        if column.numbers is None:
            rare = {
                text
                for text, code in column.places.items()
                if column.counts[code] < protect and number_of(text) is None and _long(text)
            }
            found[column.name] = rare - public
    return found


def _declared(column: object) -> list[str]:
    if isinstance(column, Constant):
        return [str(column.value)]
    return [str(level) for level in column.levels or ()] if isinstance(column, Categorical) else []


def _long(text: str) -> bool:
    code = any(character.isdigit() for character in text)
    return len(text) >= (LONG_CODE if code else LONG_TEXT)


def _in_lists(file: str, content: Content, columns: list[TrainColumn], protect: int) -> Iterator[Planted]:
    for place, tokens in (*content.streams.items(), *content.lists.items()):
        for column in columns:
            codes = column.look_up(tokens)
            if has_run(codes, column):
                yield Planted(file, place, "run", column.name)
    for place, tokens in content.lists.items():
        numbers = _as_numbers(tokens)
        for column in columns:
            if has_values(column.look_up(tokens), column, protect):
                yield Planted(file, place, "values", column.name)
            elif numbers is not None and (has_order(numbers, column) or has_spacing(numbers, column)):
                yield Planted(file, place, "order", column.name)


def _as_numbers(tokens: list[str]) -> FloatArray | None:
    """Return tokens as numbers, texts as the places of their first occurrence; None where one is missing."""
    numbers = [number_of(each) for each in tokens]
    if None not in numbers:
        return np.array(numbers, np.float64)
    if "" in tokens:
        return None
    places = {each: i for i, each in enumerate(dict.fromkeys(tokens))}
    return np.array([places[each] for each in tokens], np.float64)


def _in_tensors(file: str, content: Content, columns: list[TrainColumn], protect: int) -> Iterator[Planted]:
    by_type = {dtype: stored_columns(columns, dtype) for dtype in {tensor.dtype for tensor in content.tensors.values()}}
    for name, tensor in content.tensors.items():
        for column, kind in search_tensor(tensor, columns, by_type[tensor.dtype], protect):
            yield Planted(file, name, kind, column)
