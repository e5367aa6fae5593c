"""Fitted encoders of single columns, as features and targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from mdncli.data.codes import NO_CODES, Codes
from mdncli.data.column import Column, Kind
from mdncli.data.naming import quote
from mdncli.data.spelling import DAY, PLAIN, Spelling
from mdncli.data.table import Table
from mdncli.density.arrays import Array, Rows
from mdncli.errors import DataError
from mdncli.transforms import TRANSFORMS

Encoded: TypeAlias = NDArray[np.float32]
InputKind = Literal["numeric", "boolean", "categorical", "date", "time"]

PERIODS = {"year": 365.2425 * DAY, "week": 7 * DAY, "day": DAY}
"""Cycles of dates and times of day: seconds of a period."""

UNBOUNDED = float(np.finfo(np.float32).max)
"""Bound of a column that has none."""

BEYOND = 0.5
"""Distance that a network may go beyond the training rows, as a share of their range."""

FARTHEST = 1e15
"""Largest standardised target that lies far from all others."""

_SHOWN_CATEGORIES = 8
_WAVES = {"sine": np.sin, "cosine": np.cos}


@dataclass(frozen=True)
class Scaled:
    """A column of numbers as (t(y) - mean) / scale.

    Args:
        name: the column.
        transform: t, a key of `TRANSFORMS`.
        mean: of t(y) over the training rows.
        scale: the standard deviation of t(y) over them, or 1 where all are equal.
        spelling: notation in which the column writes its numbers.
        lowest: bound of what a network is shown of an input, or of the locations of a target's
            components, in standardised units. A network extrapolates without limit: an impossible
            input must not make an impossible answer.
        highest: likewise, from above.
        low: standardised value below which a number lies far from all others. Of such an input
            only the logarithm of the distance is shown, so that it neither squeezes the others
            together nor is cut off; rows of such a target are predicted by a component of their
            own, see `mdncli.data.encoding.Apart`.
        high: likewise, above which.

    Raises:
        ValueError: the transform is not known, the numbers cannot scale anything, or the bounds
            leave no number between them.
    """

    name: str
    transform: str = "identity"
    mean: float = 0.0
    scale: float = 1.0
    spelling: Spelling = PLAIN
    lowest: float = -UNBOUNDED
    highest: float = UNBOUNDED
    low: float = -UNBOUNDED
    high: float = UNBOUNDED

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"{quote(self.name)}: nothing between {self.low} and {self.high}")
        if not self.lowest <= self.highest:
            raise ValueError(f"{quote(self.name)}: no bounds: {self.lowest} to {self.highest}")
        if self.transform not in TRANSFORMS:
            raise ValueError(f"{quote(self.name)}: no transform {self.transform!r}")
        if not (math.isfinite(self.mean) and 0 < self.scale < math.inf):
            raise ValueError(
                f"{quote(self.name)}: cannot be scaled by {self.mean} and {self.scale}"
            )

    @property
    def range(self) -> float:
        """Range of the training rows that the bounds follow from."""
        return (self.highest - self.lowest) / (1 + 2 * BEYOND)

    def compress(self, values: Array) -> Array:
        """Standardised values as a network is shown them, but for their bounds; in place.

        Networks do not learn from targets far from all others, whose squares must not overflow.
        """
        if self.high < UNBOUNDED:
            finite = np.isfinite(values)
            np.clip(values, -FARTHEST, FARTHEST, out=values, where=finite)
        return values

    def bounded(self, values: Array) -> Self:
        """Copy with bounds `BEYOND` the range of values of the column, (N,)."""
        with np.errstate(all="ignore"):
            ends = np.array([values.min(), values.max()])
            low, high = self.compress(
                (TRANSFORMS[self.transform].forward(ends) - self.mean) / self.scale
            )
            lowest, highest = low - BEYOND * (high - low), high + BEYOND * (high - low)
        return replace(
            self,
            lowest=float(np.clip(lowest, -UNBOUNDED, UNBOUNDED)),
            highest=float(np.clip(highest, -UNBOUNDED, UNBOUNDED)),
        )


@dataclass(frozen=True)
class Input(Scaled):
    """Encoder of one input column; only numbers and dates are scaled.

    A date is a trend and, for each of its cycles, the sine and cosine of its phase; a time of day
    is its cycle alone.

    Args:
        kind: of the column's values.
        categories: the texts of the training rows, a feature each.
        unseen: texts that occur in the data but in no training row; they have no feature.
        imputes: whether values may be missing.
        fill: value that replaces a missing number, in the column's own units.
        indicator: whether the last feature indicates a missing value.
        cycles: keys of `PERIODS` of a date or time.
        pools: whether any other text is accepted, as one of the rare categories.
        first: earliest training row of dates, in seconds since 1970.
        last: latest training row of dates.
        codes: further features of a number, of its standardised value.
        rare: texts of too few training rows for a feature each. They share one, after the others;
            without any of them another text has none.
    """

    kind: InputKind = "numeric"
    categories: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    imputes: bool = False
    fill: float = 0.0
    indicator: bool = False
    cycles: tuple[str, ...] = ()
    pools: bool = False
    rare: tuple[str, ...] = ()
    first: float = 0.0
    last: float = 0.0
    codes: Codes = NO_CODES

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.cycles) <= PERIODS.keys():
            raise ValueError(f"{quote(self.name)}: not cycles of dates: {self.cycles}")
        if self.kind not in get_args(InputKind) or not math.isfinite(self.fill):
            raise ValueError(f"{quote(self.name)}: not an input: {self.kind!r}, {self.fill}")

    def compress(self, values: Array) -> Array:
        for beyond, end, sign in (
            (values > self.high, self.high, 1),
            (values < self.low, self.low, -1),
        ):
            if abs(end) < UNBOUNDED and beyond.any():
                values[beyond] = end + sign * np.log1p(sign * (values[beyond] - end))
        return values

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features of this column, without its codes."""
        own = (self.name,)
        if self.kind == "categorical":
            own = tuple(f"{self.name}={category}" for category in self.categories)
            own += (f"{self.name}: other",) * bool(self.rare)
        elif self.kind in ("date", "time"):
            waves = [f"{self.name} {cycle} {wave}" for cycle in self.cycles for wave in _WAVES]
            own = (*own[self.kind == "time" :], *waves)
        return (*own, f"{self.name} missing") if self.indicator else own

    @property
    def code_features(self) -> tuple[str, ...]:
        """Names of the codes of this column, which follow the features of all columns."""
        return tuple(f"{self.name} part {number}" for number in range(1, len(self.codes) + 1))


@dataclass(frozen=True)
class Classes:
    """A target column whose values are classes, known by their codes 0, 1, ...

    Args:
        name: the column.
        kind: of the column's values.
        labels: the classes as text, in the order of their codes.

    Raises:
        ValueError: these are no classes.
    """

    name: str
    kind: Kind = "text"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"{quote(self.name)}: not classes: {self.kind!r}, {self.labels}")
        if len(self.labels) < 2 or "" in self.labels:
            raise ValueError(f"{quote(self.name)}: too few classes, or one without a name")


Target = Scaled | Classes


def codes(column: Classes, table: Table, rows: Rows) -> Array:
    """Codes of the classes of some rows, (N,); NaN where they are missing.

    Raises:
        DataError: a class is not one of those known; its place is named.
    """
    found = _codes(column, table.column(column.name)[rows])
    if (found < 0).any():
        first = int(np.argmax(found < 0))
        place = table.place(int(np.arange(table.rows)[rows][first]), column.name)
        label = str(table.column(column.name)[rows].texts()[first])
        raise DataError(
            f"{place}: the training data has no class {quote(label)}",
            hint=f"it has {_join_some(column.labels)}",
        )
    return found


def _codes(column: Classes, own: Column) -> Array:
    """Codes, (N,): -1 for an unknown class, NaN for a missing one."""
    own = as_text(own)
    code_of = {label: code for code, label in enumerate(column.labels)}
    return np.array([*(code_of.get(label, -1) for label in own.labels), np.nan])[own.values]


def encode(column: Input, table: Table, rows: Rows, out: Encoded) -> None:
    """Write the features of one column, (features, N).

    Raises:
        DataError: a value cannot be encoded; its place is named.
    """
    _ENCODERS[column.kind](column, table, rows, out)


def gaps(column: Target, table: Table) -> NDArray[np.bool_]:
    """Mask of values that are infinite, or missing and not imputed, (N,)."""
    if isinstance(column, Classes):
        return table.column(column.name).missing()
    imputes = isinstance(column, Input) and column.imputes
    if isinstance(column, Input) and column.kind == "categorical":
        own = table.column(column.name)
        return np.zeros(len(own), np.bool_) if imputes else own.missing()
    truths = isinstance(column, Input) and column.kind == "boolean"
    values = table.readable(column.name, truths=truths)
    missing = np.isnan(values) & table.spells_numbers(column.name, truths=truths)
    return np.isinf(values) if imputes else np.isinf(values) | missing


def encodable(column: Target, table: Table) -> NDArray[np.bool_]:
    """Mask of values that can be encoded, (N,); a column that is no `Input` is a target."""
    if isinstance(column, Classes):
        return _codes(column, table.column(column.name)) >= 0
    good = ~gaps(column, table)
    if isinstance(column, Input) and column.kind == "categorical":
        if column.pools:
            return good
        own = as_text(table.column(column.name))
        known = {*column.categories, *column.unseen}
        return good & np.array([*(label in known for label in own.labels), True])[own.values]
    truths = isinstance(column, Input) and column.kind == "boolean"
    good &= table.spells_numbers(column.name, truths=truths)
    own = table.readable(column.name, truths=truths)
    if truths:
        return good & ((own == 0) | (own == 1) | np.isnan(own))
    encoded = np.empty(len(own), np.float32)
    standardise(column, own, encoded)
    if not isinstance(column, Input):
        good &= ~TRANSFORMS[column.transform].mask_outside(own, target=True)
    return good & (np.isfinite(encoded) | np.isnan(own))


def unknown(column: Input, table: Table) -> NDArray[np.bool_]:
    """Mask of texts that no row of the training data has, (N,)."""
    own = as_text(table.column(column.name))
    known = {*column.categories, *column.unseen, *column.rare}
    return np.array([*(label not in known for label in own.labels), False])[own.values]


def standardise(column: Scaled, own: Array, out: Encoded) -> None:
    """Write (t(y) - mean) / scale, compressed; not finite where it overflows single precision."""
    with np.errstate(all="ignore"):
        centred = TRANSFORMS[column.transform].forward(own) - column.mean
        centred /= column.scale
        out[:] = column.compress(centred)


def fault(
    column: Scaled,
    table: Table,
    rows: Rows,
    own: Array,
    wrong: NDArray[np.bool_],
    *,
    target: bool = False,
) -> DataError:
    """Error for the first invalid one of some numbers, (N,), of the table's `rows`."""
    first = int(np.argmax(wrong))
    value = own[first]
    place = table.place(int(np.arange(table.rows)[rows][first]), column.name)
    transform = TRANSFORMS[column.transform]
    if math.isnan(value):
        return _missing(place)
    if math.isinf(value):
        return DataError(f"{place}: the value is infinite")
    if transform.mask_outside(np.asarray(value), target=target):
        domain = transform.domain(target=target)
        return DataError(
            f"{place}: {value:g} has no {column.transform}",
            hint=f"values must be {domain}, or choose another transform",
        )
    return DataError(
        f"{place}: {value:g} is too far from the training rows for single precision",
        hint="correct it, or choose a transform such as log",
    )


def from_json(cls: type[_Column], part: Mapping[str, Any]) -> _Column:
    """A `Scaled`, `Input` or `Classes` from its fields, each checked to be of the default's type.

    Raises:
        ValueError: a field is absent, unknown or of another type.
    """
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name not in part and field.name in _LATER:
            continue
        value = part[field.name]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = tuple(value)
        elif isinstance(field.default, Spelling | Codes) and isinstance(value, Mapping):
            value = type(field.default).from_json(value)
        wanted = str if field.name == "name" else type(field.default)
        if type(value) is not wanted:
            raise ValueError(f"{field.name}: {value!r} is not a {wanted.__name__}")
        values[field.name] = value
    return cls(**values)


_LATER = (
    "spelling",
    "lowest",
    "highest",
    "cycles",
    "pools",
    "rare",
    "first",
    "last",
    "codes",
    "low",
    "high",
)
"""Fields that the first models lack; their defaults mean what was done then."""

_Column = TypeVar("_Column", Scaled, Input, Classes)


# ------------------------------------------------------------------------- one encoder for a kind


def _encode_numeric(column: Input, table: Table, rows: Rows, out: Encoded) -> None:
    own = _fill_missing(column, table.numbers(column.name, rows), out)
    standardise(column, own, out[0])
    finite = np.isfinite(out[0])
    if not finite.all():
        raise fault(column, table, rows, own, ~finite)
    np.clip(out[0], column.lowest, column.highest, out=out[0])


def _encode_date(column: Input, table: Table, rows: Rows, out: Encoded) -> None:
    own = _fill_missing(column, table.numbers(column.name, rows), out)
    if np.isnan(own).any():
        raise fault(column, table, rows, own, np.isnan(own))
    place = 0
    if column.kind == "date":
        standardise(column, own, out[0])
        np.clip(out[0], column.lowest, column.highest, out=out[0])
        place = 1
    for cycle in column.cycles:
        phase = 2 * np.pi / PERIODS[cycle] * np.mod(own, PERIODS[cycle])
        for wave in _WAVES.values():
            out[place] = wave(phase)
            place += 1


def _encode_boolean(column: Input, table: Table, rows: Rows, out: Encoded) -> None:
    own = _fill_missing(column, table.numbers(column.name, rows, truths=True), out)
    wrong = (own != 0) & (own != 1)
    if wrong.any():
        first = int(np.argmax(wrong))
        place = table.place(int(np.arange(table.rows)[rows][first]), column.name)
        if math.isnan(own[first]):
            raise _missing(place)
        raise DataError(f"{place}: {own[first]:g} is neither true nor false")
    out[0] = own


def _encode_categorical(column: Input, table: Table, rows: Rows, out: Encoded) -> None:
    own = as_text(table.column(column.name)[rows])
    absent, unknown = len(out), len(out) + 1
    other = len(column.categories) if column.rare else absent
    feature = dict.fromkeys((*column.unseen, *column.rare), other)
    feature |= {category: i for i, category in enumerate(column.categories)}
    missing = len(out) - 1 if column.indicator else absent
    of_label = [feature.get(label, other if column.pools else unknown) for label in own.labels]
    # Code -1, of a missing text, selects the last one.
    chosen = np.array([*of_label, missing if column.imputes else unknown])[own.values]
    if (chosen == unknown).any():
        first = int(np.argmax(chosen == unknown))
        place = table.place(int(np.arange(table.rows)[rows][first]), column.name)
        if own.values[first] < 0:
            raise _missing(place)
        raise _unknown(column, own.labels[own.values[first]], place)
    out[:] = 0
    seen = np.flatnonzero(chosen < len(out))
    out[chosen[seen], seen] = 1


def as_text(own: Column) -> Column:
    """Convert a column to text."""
    return own if own.kind == "text" else Column.of(own.texts().astype(np.str_))


def _fill_missing(column: Input, own: Array, out: Encoded) -> Array:
    """Numbers with missing ones replaced, and their indicator."""
    if not column.imputes:
        return own
    missing = np.isnan(own)
    if column.indicator:
        out[-1] = missing
    return np.where(missing, column.fill, own)


def _missing(place: str) -> DataError:
    return DataError(f"{place}: the value is missing")


def _unknown(column: Input, label: str, place: str) -> DataError:
    return DataError(
        f"{place}: the training data has no {quote(label)}",
        hint=f"it has {_join_some(column.categories)}",
    )


def _join_some(labels: Sequence[str]) -> str:
    known = ", ".join(map(quote, labels[:_SHOWN_CATEGORIES]))
    more = len(labels) - _SHOWN_CATEGORIES
    return f"{known}{f' and {more} more' if more > 0 else ''}"


_ENCODERS: dict[str, Callable[[Input, Table, Rows, Encoded], None]] = {
    "numeric": _encode_numeric,
    "boolean": _encode_boolean,
    "categorical": _encode_categorical,
    "date": _encode_date,
    "time": _encode_date,
}
