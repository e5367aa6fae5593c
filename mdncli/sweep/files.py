"""Sweeps described in YAML files: axes, zipped keys, search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import PydanticCustomError

from mdncli.config import document, to_yaml
from mdncli.config.document import Key, Marks
from mdncli.config.scalars import Text, nearest, read_whole
from mdncli.errors import ConfigError
from mdncli.sweep.axes import Axis, Values, read
from mdncli.sweep.space import Point, Space, kind_of_key, multiply, span

KEYS = ("axes", "zip", "search", "trials")


@dataclass(frozen=True)
class SweepFile:
    """Content of a sweep's file.

    Args:
        space: spanned by its axes and zipped keys.
        search: method to choose points; None if not given.
        trials: number of points to draw; None if not given.
    """

    space: Space
    search: str | None = None
    trials: int | None = None


def read_file(path: Path) -> SweepFile:
    """Read the file of a sweep.

    Raises:
        ConfigError: it is invalid; the line is named.
    """
    tree, marks = document.read(path, str(path))
    for key in tree:
        if key not in KEYS:
            guess = nearest(key, KEYS)
            hint = f"did you mean {guess}?" if guess else f"known here: {', '.join(KEYS)}"
            _refuse(marks, (key,), f"unknown key; {hint}")
    search, trials = tree.get("search"), tree.get("trials")
    if search is not None and not isinstance(search, Text):
        _refuse(marks, ("search",), "must be a word, such as grid or random")
    try:
        count = None if trials is None else read_whole(trials)
    except PydanticCustomError as error:
        _refuse(marks, ("trials",), error.message())
    assert count is None or isinstance(count, int)
    space = multiply(_read_axes(tree.get("axes"), marks), _read_zipped(tree.get("zip"), marks))
    return SweepFile(space, None if search is None else search.text, count)


def _read_axes(section: Any, marks: Marks) -> Space:
    """`axes:`, with the values of each key, in a list or as on the command line."""
    if section is None:
        return Space()
    if not isinstance(section, dict):
        _refuse(marks, ("axes",), "must be a section, such as model.mixtures: [2, 5, 10]")
    axes: dict[str, Axis] = {}
    for key, value, place in _walk_leaves(section, ("axes",)):
        if isinstance(value, list):
            if not value:
                _refuse(marks, place, "is an axis without values")
            axes[key] = Values(tuple(map(_text, value)))
            continue
        try:
            text = _text(value)
            axes[key] = read(key, text, kind_of_key(key)) or Values((text,))
        except ConfigError as error:
            _refuse(marks, place, error.faults[0])
    return span(axes)


def _read_zipped(section: Any, marks: Marks) -> Space:
    """`zip:`, a list of sections whose keys take their values side by side."""
    if section is None:
        return Space()
    if not isinstance(section, list):
        _refuse(marks, ("zip",), "must be a list of sections, each with lists of one length")
    whole = Space()
    for number, part in enumerate(section):
        place: Key = ("zip", number)
        if not isinstance(part, dict) or not part:
            _refuse(marks, place, "must be a section of keys with lists of one length")
        columns: dict[str, list[str]] = {}
        for key, value, inner in _walk_leaves(part, place):
            if not isinstance(value, list) or not value:
                _refuse(marks, inner, "must be a list of values")
            columns[key] = [*map(_text, value)]
            first = next(iter(columns.values()))
            if len(first) != len(columns[key]):
                counts = f"has {len(columns[key])} values beside {len(first)}"
                _refuse(marks, inner, f"{counts}; what varies together needs as many")
        rows = zip(*columns.values(), strict=True)
        factor: list[Point] = [dict(zip(columns, row, strict=True)) for row in rows]
        whole = multiply(whole, Space([factor]))
    return whole


def _walk_leaves(section: Mapping[str, Any], above: Key) -> Iterator[tuple[str, Any, Key]]:
    """Key path, value and mark of all entries of a section of axes."""
    for key, value in section.items():
        if isinstance(value, dict):
            for inner, leaf, place in _walk_leaves(value, (*above, key)):
                yield f"{key}.{inner}", leaf, place
        else:
            yield key, value, (*above, key)


def _text(value: Any) -> str:
    """A value as written in an override."""
    if value is None:
        return "null"
    if isinstance(value, Text):
        return to_yaml(value.text) if value.quoted else value.text
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return f"{{{', '.join(f'{key}: {_text(inner)}' for key, inner in value.items())}}}"


def _refuse(marks: Marks, place: Key, what: str) -> NoReturn:
    at = place
    while at not in marks:
        at = at[:-1]
    raise ConfigError([marks[at].says(what, place)])
