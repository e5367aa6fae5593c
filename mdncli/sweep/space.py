"""Points of a sweep: a grid, random points, or a list."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mdncli.config import FileData, clip, fields, synthetic_data, to_yaml
from mdncli.config.overrides import OVERRIDE
from mdncli.data.synthetic import DATASETS
from mdncli.errors import ConfigError, UsageError
from mdncli.store import parse_json
from mdncli.sweep.axes import Axis, Interval, Values, kind_of, read

Point = Mapping[str, str]
"""Key path -> value as written in an override."""

REPEATED = "seed"
"""Axis that repeats points rather than makes others: random points are trained with each seed."""

LIST_LIMIT = 64 << 20
"""Largest list of trials in bytes."""


@dataclass(frozen=True)
class Space:
    """Varying keys of a sweep, and their values.

    Args:
        factors: one for each axis: the list of its settings, each of one key or of several
            keys that vary together.
        intervals: key path -> numbers to draw from.

    >>> space = Space([[{"a": "1"}, {"a": "2"}], [{"seed": "0"}, {"seed": "1"}]])
    >>> len(space), [*space.grid()][1]
    (4, {'a': '1', 'seed': '1'})
    """

    factors: Sequence[Sequence[Point]] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of points of the grid."""
        return math.prod(len(factor) for factor in self.factors)

    @property
    def keys(self) -> list[str]:
        """Varying key paths, in the given order."""
        named = (key for factor in self.factors for point in factor for key in point)
        return [*dict.fromkeys([*named, *self.intervals])]

    def first(self) -> dict[str, str]:
        """Point of all first alternatives and lower ends."""
        firsts = [factor[0] for factor in self.factors]
        return _merge(firsts) | {k: each.format(each.low) for k, each in self.intervals.items()}

    def to_json(self) -> dict[str, Any]:
        """The space as JSON."""
        factors = [[dict(alternative) for alternative in factor] for factor in self.factors]
        return {
            "factors": factors,
            "intervals": {key: asdict(each) for key, each in self.intervals.items()},
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Space:
        """Rebuild a space from `to_json`.

        Raises:
            KeyError, TypeError, AttributeError: it is invalid.

        >>> space = Space([[{"a": "1"}]], {"b": Interval(0.0, 1.0, log=False, whole=False)})
        >>> Space.of_json(space.to_json()) == space
        True
        """
        intervals = {key: Interval(**each) for key, each in document["intervals"].items()}
        return cls(document["factors"], intervals)

    def grid(self) -> Iterator[dict[str, str]]:
        """All combinations; the last key varies fastest."""
        for parts in itertools.product(*self.factors):
            yield _merge(parts)

    def random(self, count: int, random: np.random.Generator) -> Iterator[dict[str, str]]:
        """Random points, each with every seed, so that comparisons are paired."""
        points, again = self.repeats()
        for _ in range(count):
            drawn = points.draw(random)
            for seeded in again.grid():
                yield drawn | seeded

    def repeats(self) -> tuple[Space, Space]:
        """Split the space into keys that define points, and seeds that repeat them."""
        again = [
            f for f in self.factors if all(set(alternative) == {REPEATED} for alternative in f)
        ]
        rest = [f for f in self.factors if not any(f is other for other in again)]
        return Space(rest, self.intervals), Space(again)

    def draw(self, random: np.random.Generator) -> dict[str, str]:
        """Draw one point, with all alternatives equally likely."""
        parts = [factor[int(random.integers(len(factor)))] for factor in self.factors]
        return _merge(parts) | {key: i.draw(random) for key, i in self.intervals.items()}


def _merge(points: Sequence[Point]) -> dict[str, str]:
    return {key: text for point in points for key, text in point.items()}


def divide_overrides(overrides: Sequence[str]) -> tuple[list[str], Space]:
    """Split overrides into those that set one value, and the space spanned by the others.

    >>> plain, space = divide_overrides(["model.mixtures=2,5", "train.steps=100", "seed=0..9"])
    >>> plain, space.keys, len(space)
    (['train.steps=100'], ['model.mixtures', 'seed'], 20)
    """
    plain: list[str] = []
    axes: dict[str, Axis] = {}
    faults: list[str] = []
    for argument in overrides:
        key, _, text = argument.partition("=")
        try:
            axis = read(key, text, kind_of_key(key))
        except ConfigError as error:
            faults += error.faults
            continue
        if axis is None:
            plain.append(argument)
        elif key == "name":
            faults.append(f"{clip(argument)}: a name makes no trial another; it is the sweep's own")
        elif key in axes:
            faults.append(f"{clip(argument)}: {key} is an axis already; keep one")
        else:
            axes[key] = axis
    if faults:
        raise ConfigError(faults)
    return plain, span(axes)


def span(axes: Mapping[str, Axis]) -> Space:
    """Space of some axes that vary independently."""
    factors = [[{k: text} for text in a.texts] for k, a in axes.items() if isinstance(a, Values)]
    return Space(factors, {k: a for k, a in axes.items() if isinstance(a, Interval)})


def kind_of_key(key: str) -> Any:
    """Kind of values of a key, as far as relevant for axes; `other` for an unknown key."""
    path = tuple(key.split("."))
    known = fields(FileData)
    if path in known:
        return kind_of(known[path].annotation)
    if path[0] == "data":
        for name in DATASETS:
            if (found := fields(synthetic_data(name)).get(path)) is not None:
                return kind_of(found.annotation)
    return "other"


def multiply(one: Space, other: Space) -> Space:
    """Product of two spaces.

    Raises:
        ConfigError: both set a key.
    """
    if both := [key for key in one.keys if key in other.keys]:
        raise ConfigError([f"{both[0]}: varies twice; keep one of its axes"])
    return Space([*one.factors, *other.factors], {**one.intervals, **other.intervals})


# ------------------------------------------------------------------------------ lists of trials


def parse_points(text: str, label: str) -> list[Point]:
    r"""Points of a list: JSON Lines, a JSON list, or CSV with a column for each key.

    Args:
        text: its content.
        label: its name in messages.

    Raises:
        ConfigError: it is invalid.

    >>> parse_points('{"model.mixtures": 5}\n{"model": {"hidden": [8, 8]}}', "t.jsonl")
    [{'model.mixtures': '5'}, {'model.hidden': '[8, 8]'}]
    >>> parse_points("seed,model.mixtures\n1,5\n2,\n", "t.csv")
    [{'seed': '1', 'model.mixtures': '5'}, {'seed': '2'}]
    """
    start = text.lstrip()[:1]
    points = _json_points(text, label) if start in ("{", "[") else _csv_points(text, label)
    if not points:
        raise ConfigError([f"{label}: lists no trials; write a line for each"])
    for line, point in enumerate(points, 1):
        for key in point:
            if not OVERRIDE.fullmatch(f"{key}="):
                raise ConfigError([f"{label}: trial {line}: '{clip(key)}' is no key of a config"])
    return points


def _json_points(text: str, label: str) -> list[Point]:
    whole = text.lstrip().startswith("[")
    lines = [text] if whole else text.splitlines()
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = parse_json(line.encode(errors="surrogatepass"))
        except ValueError:
            what = "is not valid JSON; write an object a line"
            raise ConfigError([f"{label}:{number}: {what}"]) from None
        rows += [(at, row) for at, row in enumerate(found, 1)] if whole else [(number, found)]
    if wrong := [number for number, row in rows if not isinstance(row, dict)]:
        raise ConfigError([f"{label}:{wrong[0]}: is no object of keys and values"])
    return [dict(_flatten(row)) for _, row in rows]


def _flatten(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in row.items():
        if isinstance(value, dict) and key != "transform":
            yield from _flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", "null" if value is None else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return to_yaml(tuple(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else to_yaml(value)


def _csv_points(text: str, label: str) -> list[Point]:
    rows = csv.reader(io.StringIO(text))
    names = next(rows, [])
    points: list[Point] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            counts = f"{len(row)} values for {len(names)} columns"
            raise ConfigError(
                [f"{label}:{rows.line_num}: has {counts}; an empty one is the default"]
            )
        points.append({n.strip(): v.strip() for n, v in zip(names, row, strict=True) if v.strip()})
    return points


def read_list(path: str) -> list[Point]:
    """The points of a file, or of standard input for `-`."""
    import sys

    if path == "-":
        return parse_points(sys.stdin.read(LIST_LIMIT), "standard input")
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(LIST_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"--list {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--list {path}: is no text", hint="save it as UTF-8") from None
    if len(text) > LIST_LIMIT:
        raise UsageError(f"--list {path}: is larger than 64 MiB", hint="give fewer trials")
    return parse_points(text, path)
