"""What a file holds: its values in their order, its lists of values, and its tensors. Nothing in it is executed."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Leaf = tuple[tuple[str | int, ...], Any]

FEWEST_IN_A_LIST = 20
"""Shorter lists say too little about a column."""
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
"""The element types of the safetensors format; a BF16 is the upper half of an F32."""
NUMBER = "\x1f"
"""Begins the token of a number, so that no text is taken for one."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_SEPARATORS = re.compile(r"[,;|=\t\r\n]|: ")
_BETWEEN_WORDS = re.compile(r"[\s,;|=:\"'{}\[\]<>()]+")


class UnreadableError(ValueError):
    """The file is of a format in which nothing can be searched."""


@dataclass(frozen=True)
class Tensor:
    """Numbers **(any shape)** and the element type, by its safetensors name, that they are stored in."""

    values: npt.NDArray[np.float64]
    dtype: str


@dataclass(frozen=True)
class Content:
    """What there is to search in one file.

    Attributes:
        text: all of its text, decoded.
        streams: sequences of values as tokens, in the order of the file, by name.
        lists: lists of values as tokens, by their place; so are the columns of a list of records.
        tensors: arrays of numbers by name.

    """

    text: str
    streams: Mapping[str, list[str]]
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def read_content(path: Path) -> Content:
    """Read a file by its ending: JSON, HTML, safetensors, or else UTF-8 text.

    Raises:
        UnreadableError: it is none of them.
    """
    data = path.read_bytes()
    try:
        match path.suffix:
            case ".safetensors":
                return _of_safetensors(data)
            case ".json":
                text = data.decode()
                return _of_json(text, json.loads(text))
            case ".html":
                return _of_html(data.decode())
            case _:
                return _of_text(data.decode())
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise UnreadableError(f"it is no readable {path.suffix or 'text'} file") from error


def token(value: Any) -> str:
    """Return a value as text under which equal values are equal, however they are written.

    Example:
        >>> token(39) == token("39.0") == token(" 3.9e1")
        True
        >>> token("2024-02-01T08:30:00Z"), token(True), token("State-gov ")
        ('2024-02-01 08:30:00', 'true', 'State-gov')

    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return _number(float(text))
    if _TIME.fullmatch(text):
        whole = re.sub(r"(Z|\+00:?00)$", "", text.replace("T", " "))
        return whole.rstrip("0").rstrip(".") if "." in whole else whole
    return text.lower() if text in ("True", "False") else text


def _number(value: float) -> str:
    try:
        return f"{NUMBER}{float(value) + 0.0!r}"  # minus zero is zero
    except OverflowError:
        return f"{NUMBER}inf"


def number_of(written: str) -> float | None:
    """Return the number that a token stands for, or None where it is a text.

    Example:
        >>> number_of(token("1e3")), number_of(token("#1")), number_of("")
        (1000.0, None, None)

    """
    return float(written[1:]) if written.startswith(NUMBER) else None


def words_of(text: str) -> list[str]:
    """Return the words of a text, as they are written."""
    return [word for word in _BETWEEN_WORDS.split(text) if word]


def _of_json(text: str, value: Any) -> Content:
    leaves = list(_leaves(value))
    plain = [leaf for _, leaf in leaves if leaf is not None]
    keys = [token(key) for key in _keys(value)]
    streams = {"values": _parts(plain), "keys": keys, "words": _words("\n".join(map(str, plain)))}
    return Content("\n".join([text, *map(str, plain)]), streams, _lists(leaves))


def _of_html(text: str) -> Content:
    page = _Page()
    page.feed(text)
    page.close()
    joined = "\n".join(page.found)
    nodes = {f"text {i}": _parts([node]) for i, node in enumerate(page.found)}
    long = {place: parts for place, parts in nodes.items() if len(parts) >= FEWEST_IN_A_LIST}
    return Content(joined, {"values": _parts(page.found), "words": _words(joined)}, long)


def _of_text(text: str) -> Content:
    return Content(text, {"values": _parts([text]), "words": _words(text)}, {"text": _parts([text])})


def _of_safetensors(data: bytes) -> Content:
    (size,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {name: _tensor(data[8 + size :], entry) for name, entry in header.items()}
    nested = [_loaded(value) for value in metadata.values()]
    about = _of_json(json.dumps(metadata, ensure_ascii=False), [*nested, list(tensors)])
    return Content(about.text, about.streams, about.lists, tensors)


def _tensor(data: bytes, entry: dict[str, Any]) -> Tensor:
    low, high = entry["data_offsets"]
    flat = np.frombuffer(data[low:high], DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return Tensor(np.nan_to_num(flat.astype(np.float64)).reshape(entry["shape"]), entry["dtype"])


def _loaded(text: Any) -> Any:
    """Return the value of JSON in a text; safetensors keeps its metadata so."""
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return text


def _parts(values: list[Any]) -> list[str]:
    """Return the tokens of values; a text that lists several gives them one by one."""
    found = []
    for value in values:
        pieces = _SEPARATORS.split(value) if isinstance(value, str) else [value]
        found += [token(piece) for piece in pieces if piece != "" and not str(piece).isspace()]
    return found


def _words(text: str) -> list[str]:
    return [token(word) for word in words_of(text)]


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _keys(inner)


def _lists(leaves: list[Leaf]) -> dict[str, list[str]]:
    """Return what lies at paths that differ in one step only: a list, a column of records, a level of a mapping."""
    found: dict[tuple[str | int, ...], list[str]] = {}
    for path, value in leaves:
        for i in range(len(path)):
            found.setdefault((*path[:i], "*", *path[i + 1 :]), []).append("" if value is None else token(value))
    return {"/".join(map(str, path)): cells for path, cells in found.items() if len(cells) >= FEWEST_IN_A_LIST}


class _Page(HTMLParser):
    """Collects every text, attribute and comment of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        if not data.isspace():
            self.found.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)
