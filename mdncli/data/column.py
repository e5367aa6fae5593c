"""One column of a table: numbers, truth values or text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mdncli.data.spool import LARGE_BYTES, allocate, release
from mdncli.density.arrays import Rows

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["numeric", "boolean", "text"]


@dataclass(frozen=True)
class Column:
    """Values of one column.

    Args:
        kind: of the values.
        values: numeric: int64, or float64 with NaN where missing. Boolean: bool, or float64 with
            0, 1 and NaN. Text: indices into `labels`, -1 where missing.
        labels: the distinct texts in alphabetical order; no label is empty.

    >>> Column.of(["b", "a", "", "b"])
    Column(kind='text', values=array([ 1,  0, -1,  1], dtype=int32), labels=('a', 'b'))
    """

    kind: Kind
    values: NDArray[Any]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: ArrayLike) -> Column:
        """The column of a one-dimensional array of numbers, truth values, texts or dates.

        Dates become texts in the ISO notation, durations become seconds.

        Raises:
            TypeError: it holds anything else.
        """
        array = np.asarray(values)
        kind = array.dtype.kind
        if kind == "b":
            return cls("boolean", array)
        if kind in "iu" and np.can_cast(array.dtype, np.int64):
            return cls("numeric", array.astype(np.int64, copy=False))
        if kind in "iuf":
            return cls("numeric", array.astype(np.float64, copy=False))
        if kind == "M":
            return cls.of(_iso(array))
        if kind == "m":
            return cls("numeric", array / np.timedelta64(1, "s"))
        if kind == "U" or (kind == "O" and all(isinstance(value, str) for value in array)):
            labels, codes = np.unique(np.char.strip(array.astype(np.str_)), return_inverse=True)
            codes = codes.astype(np.int32)
            if len(labels) and labels[0] == "":
                labels, codes = labels[1:], codes - np.int32(1)
            return cls("text", codes, tuple(labels.tolist()))
        raise TypeError(f"{array.dtype} is neither numbers nor text")

    @classmethod
    def of_series(cls, series: pl.Series) -> Column:
        """The column of a series of type Int64, Float64, Boolean or String."""
        gathered = GrowingColumn(len(series))
        gathered.add(series)
        return gathered.column()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Column:
        return Column(self.kind, self.values[rows], self.labels)

    def without(self, words: Collection[str]) -> Column:
        """The column of text with some of its texts as missing values.

        >>> Column.of(["b", "NA", "a"]).without({"NA"})
        Column(kind='text', values=array([ 1, -1,  0], dtype=int32), labels=('a', 'b'))
        """
        kept = [label for label in self.labels if label not in words]
        if len(kept) == len(self.labels):
            return self
        place = {label: code for code, label in enumerate(kept)}
        codes = np.array([*(place.get(label, -1) for label in self.labels), -1], np.int32)
        return Column("text", codes[self.values], tuple(kept))

    def missing(self) -> NDArray[np.bool_]:
        """Mask of missing values, (N,)."""
        return self.values < 0 if self.kind == "text" else np.isnan(self.values)

    def array(self) -> NDArray[Any]:
        """The values as they are to be written, (N,): numbers, truth values or an array of str."""
        gaps = self.kind == "boolean" and self.values.dtype != np.bool_
        return self.texts() if self.kind == "text" or gaps else self.values

    def texts(self) -> NDArray[np.object_]:
        """The values as text, (N,), empty where missing; whole numbers have no decimal point.

        >>> Column.of([1.0, 2.5, float("nan")]).texts().tolist()
        ['1', '2.5', '']
        """
        if self.kind == "text":
            return np.array((*self.labels, ""), np.object_)[self.values]
        distinct, codes = np.unique(self.values, return_inverse=True)
        truth = self.kind == "boolean"
        return np.array([_text(value, truth) for value in distinct.tolist()], np.object_)[codes]


def _iso(dates: NDArray[np.datetime64]) -> NDArray[np.str_]:
    """Dates as 2019-01-05 or 2019-01-05T06:30:00.000000, empty where missing."""
    days = dates.astype("datetime64[D]")
    whole = bool((np.isnat(dates) | (days == dates)).all())
    texts = np.datetime_as_string(days if whole else dates.astype("datetime64[us]"))
    return np.where(np.isnat(dates), "", texts)


def _text(value: float, truth: bool) -> str:
    if value != value:
        return ""
    if truth:
        return "true" if value else "false"
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(value)


def allocate_column(rows: int, dtype: DTypeLike) -> NDArray[Any]:
    """Allocate memory for one column, in a temporary file if it is large.

    Raises:
        RunFault: the disk is full.
    """
    return allocate(rows, dtype, spooled=rows * np.dtype(dtype).itemsize > LARGE_BYTES)


class KindsDifferError(Exception):
    """A column holds text in one piece and something else in another."""


class GrowingColumn:
    """A column read piece by piece, in little more memory than its values take.

    Args:
        capacity: number of rows to allocate; unused pages of memory cost nothing.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows = self._released = 0
        self._kind: Kind | None = None
        self._values: NDArray[Any] | None = None
        self._texts: list[pl.Series] = []

    def add(self, series: pl.Series) -> None:
        """Append a series of type Int64, Float64, Boolean or String.

        Raises:
            KindsDifferError: text, truth values and numbers do not mix.
            RunFault: the disk is full.
        """
        kind = _kind_of(series)
        if self._rows and (
            (kind == "text") != (self._kind == "text")
            or (kind and self._kind and kind != self._kind)
        ):
            raise KindsDifferError
        self._kind = self._kind or kind
        if kind == "text":
            self._texts.append(series)
        else:
            self._append(_to_numpy(series))
        self._rows += len(series)

    def column(self) -> Column:
        """Column of all pieces so far; without any value it is numeric."""
        if self._kind == "text":
            return _text_column(self._texts)
        values = np.empty(0) if self._values is None else self._values[: self._rows]
        return Column(self._kind or "numeric", values)

    def _append(self, part: NDArray[Any]) -> None:
        needed = self._rows + len(part)
        if self._values is None:
            self._values = allocate_column(max(self._capacity, needed), part.dtype)
        dtype = part.dtype if part.dtype == self._values.dtype else np.dtype(np.float64)
        capacity = len(self._values)
        if needed > capacity or dtype != self._values.dtype:
            grown = allocate_column(capacity if needed <= capacity else needed + needed // 2, dtype)
            grown[: self._rows] = self._values[: self._rows]
            self._values = grown
        self._values[self._rows : needed] = part
        if part.itemsize * (needed - self._released) > LARGE_BYTES:
            release(self._values)
            self._released = needed


def _kind_of(series: pl.Series) -> Kind | None:
    """Kind of a series; None if it is empty and may be of any kind but text."""
    import polars as pl

    if series.dtype == pl.String:
        return "text"
    if series.null_count() == len(series):
        return None
    return "boolean" if series.dtype == pl.Boolean else "numeric"


def _to_numpy(series: pl.Series) -> NDArray[Any]:
    import polars as pl

    return (series.cast(pl.Float64) if series.null_count() else series).to_numpy()


def _text_column(pieces: list[pl.Series]) -> Column:
    import polars as pl

    texts = pl.concat(pieces).str.strip_chars()
    texts = texts.set(texts == "", None)
    labels = texts.drop_nulls().unique().sort()
    codes = texts.cast(pl.Enum(labels)).to_physical().cast(pl.Int32).fill_null(-1)
    return Column("text", codes.to_numpy(), tuple(labels.to_list()))
