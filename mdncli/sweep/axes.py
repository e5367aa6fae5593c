"""Axes of a sweep in their text form: `2,5,10`, `0..9`, `log:1e-4:1e-2:5`, `uniform:0:1`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from mdncli.config import clip
from mdncli.errors import ConfigError

MOST_VALUES = 1_000_000
"""Most values of an axis; more are refused as a mistake."""

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?", re.ASCII)
_OPEN = re.compile(r"-?\d*\.\.-?\d*(\.\.-?\d*)?", re.ASCII)
_KINDS = {"log": 3, "lin": 3, "loguniform": 2, "uniform": 2}
_FORMS = "write 2,5,10 or 0..9 or log:1e-4:1e-1:4"


@dataclass(frozen=True)
class Values:
    """Values of an axis, each as written in an override.

    >>> len(Values(("1", "2")))
    2
    """

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def draw(self, random: np.random.Generator) -> str:
        """Draw one of the values, all equally likely."""
        return self.texts[random.integers(len(self.texts))]


@dataclass(frozen=True)
class Interval:
    """Interval of numbers to draw from.

    Args:
        low, high: its ends.
        log: whether the logarithm is uniform.
        whole: whether only whole numbers are drawn.
    """

    low: float
    high: float
    log: bool
    whole: bool

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest number, as written in an override."""
        return float(self.format(self.low)), float(self.format(self.high))

    def format(self, number: float) -> str:
        """Format a number of the interval as an override."""
        return format_number(number, whole=self.whole)

    def draw(self, random: np.random.Generator) -> str:
        """Draw a number, to six digits.

        >>> Interval(1e-4, 1e-1, log=True, whole=False).draw(np.random.default_rng(0))
        '0.00814489'
        """
        if self.whole and not self.log:
            return str(random.integers(int(self.low), int(self.high), endpoint=True))
        low, high = (math.log(v) if self.log else v for v in (self.low, self.high))
        value = float(random.uniform(low, high))
        return self.format(math.exp(value) if self.log else value)


Axis = Values | Interval


def read(key: str, text: str, kind: Literal["whole", "number", "list", "other"]) -> Axis | None:
    """Parse the value of an override as an axis; None for a single value.

    Args:
        key: the key path, for messages.
        text: the text after `=`.
        kind: kind of value by the schema: commas in the value of a list key are part of it.

    Raises:
        ConfigError: it is an axis without values, without an end, or otherwise invalid.

    >>> read("seed", "0..3", "whole")
    Values(texts=('0', '1', '2', '3'))
    >>> read("train.learning_rate", "log:1e-4:1e-2:3", "number")
    Values(texts=('0.0001', '0.001', '0.01'))
    >>> read("model.hidden", "[16],[32,32]", "list")
    Values(texts=('[16]', '[32,32]'))
    >>> read("model.hidden", "32,32", "list") is None
    True
    """
    label = f"{key}={clip(text)}"
    text = text.strip()
    word, colon, rest = text.partition(":")
    if not text:
        raise ConfigError([f"{label}: is an axis without values; {_FORMS}"])
    if colon and word in _KINDS and kind != "other":
        return _spread(label, word, rest.split(":"), whole=kind == "whole")
    if kind in ("whole", "number") and _OPEN.fullmatch(text):
        return Values(_range(label, text))
    parts = _split_at_commas(text)
    if kind == "list" and not any(part.startswith("[") for part in parts):
        return None
    if len(parts) == 1:
        return None
    if empty := [place for place, part in enumerate(parts, 1) if not part]:
        raise ConfigError([f"{label}: value {empty[0]} is empty; remove a comma"])
    texts: list[str] = []
    for part in parts:
        ranged = kind in ("whole", "number") and _OPEN.fullmatch(part)
        texts += _range(label, part) if ranged else [part]
    return Values(tuple(texts))


def _range(label: str, text: str) -> tuple[str, ...]:
    found = _RANGE.fullmatch(text)
    if found is None:
        what = "is a range that never ends" if text.endswith("..") else "is a range without a start"
        raise ConfigError([f"{label}: {what}; write both ends, such as 0..9"])
    low, high, step = (int(part) if part else 1 for part in found.groups())
    if step == 0 or (high - low) * step < 0:
        which = "never ends" if step == 0 else "is empty"
        raise ConfigError([f"{label}: is a range that {which}; write it like 0..9 or 0..90..10"])
    whole = range(low, high + (1 if step > 0 else -1), step)
    if len(whole) > MOST_VALUES:
        raise ConfigError([f"{label}: has {len(whole):,} values; give at most {MOST_VALUES:,}"])
    return tuple(map(str, whole))


def _spread(label: str, word: str, parts: Sequence[str], *, whole: bool) -> Axis:
    """`log:LOW:HIGH:COUNT`, `loguniform:LOW:HIGH` and their like."""
    form = f"{word}:LOW:HIGH" + (":COUNT" if _KINDS[word] == 3 else "")
    if len(parts) != _KINDS[word]:
        raise ConfigError([f"{label}: must be {form}"])
    try:
        low, high = float(parts[0]), float(parts[1])
        count = int(parts[2]) if len(parts) == 3 else 2
    except ValueError:
        raise ConfigError([f"{label}: must be {form}, of numbers"]) from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError([f"{label}: LOW and HIGH must be finite"])
    if word.startswith("log") and min(low, high) <= 0:
        raise ConfigError([f"{label}: LOW and HIGH must be above 0 to be spread evenly in log"])
    if word.endswith("uniform"):
        if not low < high:
            raise ConfigError([f"{label}: LOW must be below HIGH"])
        return Interval(low, high, log=word == "loguniform", whole=whole)
    if not 1 <= count <= MOST_VALUES:
        raise ConfigError([f"{label}: COUNT must be from 1 to {MOST_VALUES:,}"])
    numbers = np.geomspace(low, high, count) if word == "log" else np.linspace(low, high, count)
    return Values(tuple(dict.fromkeys(format_number(float(n), whole=whole) for n in numbers)))


def format_number(number: float, *, whole: bool = False) -> str:
    """Format a number as an override, to six digits.

    >>> format_number(10 ** -3.5), format_number(31.6, whole=True)
    ('0.000316228', '32')
    >>> format_number(1e-7), format_number(200.0)
    ('1e-07', '200')
    """
    return str(round(number)) if whole else f"{number:.6g}"


def _split_at_commas(text: str) -> list[str]:
    """Split a text at commas outside brackets and quotes.

    >>> _split_at_commas("[1,2],'a,b',c")
    ['[1,2]', "'a,b'", 'c']
    """
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if char == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def kind_of(annotation: Any) -> Literal["whole", "number", "list", "other"]:
    """Kind of value of a key by its type in the schema, as far as relevant for axes.

    A key that takes a number or a list of numbers is numeric: its lists go in brackets.

    >>> kind_of(int), kind_of(float | None), kind_of(tuple[int, ...]), kind_of(str)
    ('whole', 'number', 'list', 'other')
    """
    types = set(_plain_types(annotation))
    if float in types:
        return "number"
    if int in types:
        return "whole"
    return "list" if {tuple, dict} & types else "other"


def _plain_types(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _plain_types(part)]
    return [origin or annotation]
