"""Tables of named columns: read from files of many formats, and written back.

Missing numbers are NaN. Every value has a known place in the file, for error messages.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.data import formats
from mdncli.data.binary import Contents, read_arrow, read_excel, read_npz, read_parquet
from mdncli.data.column import Column, GrowingColumn, Kind, KindsDifferError
from mdncli.data.delimited import blocks
from mdncli.data.layout import MISSING, Lines
from mdncli.data.naming import absent_error, quote, select_names
from mdncli.data.records import read_json
from mdncli.data.sources import (
    Source,
    fingerprint_arrays,
    fingerprint_file,
    open_source,
    source_name,
)
from mdncli.data.spelling import PLAIN, Spelling
from mdncli.data.spool import is_spooled, release
from mdncli.data.watching import Hear, Watched
from mdncli.data.writing import Columns, SeparatedRows, open_appender, write
from mdncli.density.arrays import Rows
from mdncli.errors import DataError

__all__ = [
    "Column",
    "Kind",
    "Table",
    "fingerprint_arrays",
    "fingerprint_file",
    "open_appender",
    "pieces",
    "read",
    "read_once",
    "scan",
    "scan_records",
    "write",
]

SCAN_ROWS = 1 << 16
"""Most rows that `scan` yields at once."""

_BINARY = {
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".ipc": read_arrow,
    ".xlsx": read_excel,
    ".npz": read_npz,
}
_Reader: TypeAlias = Callable[[BinaryIO, str, Collection[str] | None, Collection[str]], Contents]
_Contents: TypeAlias = Mapping[str, Column]
_EVERY = slice(None)
_GAPS = frozenset(MISSING)


@dataclass(frozen=True)
class Table:
    """Named columns of one length, and their source.

    Args:
        contents: the columns by name, in order.
        source: name of the table in messages.
        lines: the line of the file on which each row begins, where there are lines.
        counted: number of each row where there are none: 1, 2, ... by default.
        decimal_comma: whether texts that spell numbers do so with a comma.
        passed_over: the columns of the file that hold neither numbers nor text and were not asked
            for, by name, with the type of each.
        spellings: notations of columns, in which their texts are read as numbers; see `read_as`.

    >>> table = Table.of({"x": [1.5, 2.5], "city": ["Oslo", "Rome"]}, source="trips.npz")
    >>> table.columns, table.rows, table[1:].numeric(["x"])
    (('x', 'city'), 2, array([[2.5]]))
    >>> table.numeric(["x", "city"])
    Traceback (most recent call last):
    mdncli.errors.DataError: trips.npz: row 1, column 'city': 'Oslo' is not a number
    """

    contents: _Contents
    source: str = "table"
    lines: Lines | None = field(default=None, repr=False)
    counted: Lines | None = field(default=None, repr=False)
    decimal_comma: bool = field(default=False, repr=False)
    passed_over: Mapping[str, str] = field(default_factory=dict, repr=False)
    spellings: Mapping[str, Spelling] = field(default_factory=dict, repr=False)
    decoded: dict[tuple[str, bool], tuple[NDArray[np.float64], NDArray[np.bool_]]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Cache of the numbers that texts spell, shared by all rows of the table."""

    @classmethod
    def of(cls, arrays: Mapping[str, ArrayLike], source: str = "table") -> Table:
        """A table of arrays in memory, (N,) each."""
        return cls({name: Column.of(values) for name, values in arrays.items()}, source)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self.contents)

    @property
    def rows(self) -> int:
        """Number of rows, N; of a table without columns, of those it counts."""
        for held in (*self.contents.values(), self.lines, self.counted):
            if held is not None:
                return len(held)
        return 0

    def __getitem__(self, rows: Rows) -> Table:
        contents = {name: _take_rows(column, rows) for name, column in self.contents.items()}
        if self.lines is not None:
            return replace(self, contents=contents, lines=_lines_of(self.lines, rows))
        counted = range(1, self.rows + 1) if self.counted is None else self.counted
        return replace(self, contents=contents, counted=_lines_of(counted, rows))

    def require(self, names: Collection[str]) -> None:
        """Check that the table has some columns.

        Raises:
            DataError: the table lacks some, all of which are named, or has passed over one.
        """
        _refuse_passed_over(names, self.passed_over, self.source)
        select_names(names, self.columns, self.source)

    def column(self, name: str) -> Column:
        """One column.

        Raises:
            DataError: there is none of this name.
        """
        try:
            return self.contents[name]
        except KeyError:
            _refuse_passed_over([name], self.passed_over, self.source)
            raise absent_error([name], self.columns, self.source) from None

    def numbers(
        self, name: str, rows: Rows = _EVERY, *, truths: bool = False
    ) -> NDArray[np.float64]:
        """One column as numbers, (N,): truth values are 0 and 1, missing values NaN.

        Args:
            name: the column.
            rows: which of its rows; all by default.
            truths: whether a text may spell a truth value, too.

        Raises:
            DataError: it holds text; the first value that is not a number is named.
        """
        if self.column(name).kind == "text" and not self.spells_numbers(name, truths=truths).all():
            raise self.not_a_number(name, truths=truths)
        return self.readable(name, rows, truths=truths)

    def readable(
        self, name: str, rows: Rows = _EVERY, *, truths: bool = False
    ) -> NDArray[np.float64]:
        """One column as numbers as far as it holds any, (N,); NaN also where it holds text."""
        column = self.column(name)
        if column.kind != "text":
            return column.values[rows].astype(np.float64, copy=False)
        return np.append(self._numbers_of(name, truths)[0], np.nan)[column.values[rows]]

    def numeric(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Several columns as numbers, (N, len(names)); see `numbers`."""
        self.require(names)
        return np.stack([self.numbers(name) for name in names], axis=1)

    def position(self, row: int) -> str:
        """Position of a row (counted from 0) in words: `on line 7` or `in row 6`."""
        return f"in row {self._number(row)}" if self.lines is None else f"on line {self.lines[row]}"

    def place(self, row: int, name: str) -> str:
        """Position of the value of a row (counted from 0) and column, in words."""
        separator = ", " if self.lines is None else ": "
        return f"{self.at(row)}{separator}column {quote(name)}"

    def at(self, row: int) -> str:
        """Position of a row (counted from 0), with the source, in words."""
        if self.lines is None:
            return f"{self.source}: row {self._number(row)}"
        return f"{self.source}:{self.lines[row]}"

    def _number(self, row: int) -> int:
        return row + 1 if self.counted is None else int(self.counted[row])

    def release(self) -> None:
        """Free cached pages of columns in files; see `spool`."""
        for values in self._spooled:
            release(values)

    @functools.cached_property
    def _spooled(self) -> list[NDArray[Any]]:
        # Found once: a wide table is released after each of its columns.
        return [column.values for column in self.contents.values() if is_spooled(column.values)]

    def write(self, path: str | Path) -> None:
        """Write all columns to a file; see `write`."""
        write(path, self.arrays())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All columns as they are to be written, (N,) each."""
        return {name: column.array() for name, column in self.contents.items()}

    def spells_numbers(self, name: str, *, truths: bool = False) -> NDArray[np.bool_]:
        """Mask of values that are numbers, spell one, or are missing, (N,)."""
        column = self.column(name)
        if column.kind != "text":
            return np.ones(len(column), np.bool_)
        return np.append(self._numbers_of(name, truths)[1], True)[column.values]

    def mostly_numbers(self, name: str) -> bool:
        """True if more than half of a column's texts spell numbers; missing ones do not count."""
        column = self.column(name)
        gap = np.array([*(label in MISSING for label in column.labels), True])[column.values]
        present = int(np.count_nonzero(~gap))
        return 2 * int(np.count_nonzero(self.spells_numbers(name) & ~gap)) > present

    def not_a_number(self, name: str, *, truths: bool = False) -> DataError:
        """Error for a text column where numbers are expected: it names the first text."""
        wrong = np.flatnonzero(~self.spells_numbers(name, truths=truths))
        if not len(wrong):
            return DataError(f"{self.source}: column {quote(name)} was read as text")
        row, column = int(wrong[0]), self.column(name)
        value = quote(column.labels[column.values[row]])
        spelling = self._spelling(name)
        due = "neither true nor false" if truths else _DUE[spelling.kind]
        if not (truths or spelling.pointed):
            due += f", as the other rows have it ({spelling.words()})"
        return DataError(f"{self.place(row, name)}: {value} is {due}")

    def read_as(
        self, spellings: Mapping[str, Spelling], categories: Mapping[str, Collection[str]]
    ) -> Table:
        """The table with its texts read as a profile or a model understands them.

        Args:
            spellings: notations of columns that are numbers; their texts are kept.
            categories: columns of text, each with the words such as `NA` that are categories
                nonetheless; elsewhere these are gaps.

        Raises:
            DataError: a column of dates holds numbers.

        >>> table = Table.of({"price": ["$1,200", "NA"], "colour": ["red", "NA"]})
        >>> read = table.read_as({"price": Spelling(prefix="$", group=",")}, {"colour": ()})
        >>> read.numbers("price"), read.column("colour").labels
        (array([1200.,   nan]), ('red',))
        """
        contents, known = dict(self.contents), dict(self.spellings)
        for name, spelling in spellings.items():
            if name in contents and name not in known:
                known[name] = spelling
                place = f"{self.source}: column {quote(name)}"
                contents[name] = _as_written(contents[name], spelling, place).without(_GAPS)
        for name, words in categories.items():
            if name in contents and contents[name].kind == "text":
                contents[name] = contents[name].without(_GAPS - {*words})
        if known == self.spellings and all(self.contents[n] is contents[n] for n in contents):
            return self  # with what it has decoded already
        return replace(self, contents=contents, spellings=known, decoded={})

    def _spelling(self, name: str) -> Spelling:
        return self.spellings.get(name, PLAIN)

    def _numbers_of(self, name: str, truths: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Numbers of a column's texts, NaN where there is none, and the mask of numbers or gaps."""
        if (name, truths) not in self.decoded:
            labels, spelling = self.column(name).labels, self._spelling(name)
            if spelling != PLAIN:
                self.decoded[name, truths] = spelling.read(labels)
            else:
                numbers = [self._number_of(label, truths) for label in labels]
                values = np.array([np.nan if n is None else n for n in numbers], np.float64)
                known = np.array([number is not None for number in numbers], np.bool_)
                self.decoded[name, truths] = values, known
        return self.decoded[name, truths]

    def _number_of(self, text: str, truths: bool) -> float | None:
        """The number that a text spells, NaN for a word for missing; None of any other text."""
        if text in MISSING:
            return math.nan
        if truths and text.lower() in ("true", "false"):
            return float(text.lower() == "true")
        # Unlike Python, tables do not accept digits of other scripts or 1_000.
        if not text.isascii() or "_" in text:
            return None
        try:
            return float(text.replace(",", ".", 1) if self.decimal_comma else text)
        except ValueError:
            return None


_DUE = {
    "number": "not a number",
    "date": "not a date",
    "time": "not a time of day",
    "duration": "not a duration",
}
"""Kind of a column's spelling -> end of the message for a text that is not written in it."""


def _as_written(column: Column, spelling: Spelling, place: str) -> Column:
    """The column as text if its numbers are those of dates, such as 20190105."""
    if column.kind == "text" or spelling.kind != "date":
        return column
    if spelling.counted:
        return Column.of(column.texts().astype(np.str_))
    raise DataError(
        f"{place} holds numbers, and the model knows dates", hint="write them as 2019-01-05"
    )


def _take_rows(column: Column, rows: Rows) -> Column:
    picked = column[rows]
    if not isinstance(rows, slice):
        # Scattered rows bring nearly every page of a file into memory.
        release(column.values)
    return picked


def _lines_of(lines: Lines, rows: Rows) -> Lines:
    if isinstance(rows, slice):
        return lines[rows]
    if isinstance(lines, range):
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return lines.start + lines.step * index.astype(np.int64)
    return lines[rows]


# ---------------------------------------------------------------------------------------- reading


def read(
    source: Source,
    *,
    columns: Collection[str] | None = None,
    text: Collection[str] = (),
    name: str | None = None,
) -> Table:
    """Read a whole table.

    Text may be separated by commas, tabs, semicolons, bars or blanks and may use a decimal comma;
    its first line names the columns. JSON has an object for each row. Both may be compressed. In an
    NPZ file every array is a column, and a two-dimensional array `a` of several columns makes
    `a_0`, `a_1`, ... A column of lists, objects or the like is passed over.

    Args:
        source: a path whose suffix tells the format, or a stream of text.
        columns: the columns to read, all by default.
        text: columns to read as text even where they look like numbers.
        name: name of the source in messages.

    Raises:
        DataError: the source cannot be read, is not a table, has no rows or lacks a column, or a
            column that is asked for holds neither numbers nor text.
    """
    name = name or source_name(source)
    with open_source(source, name) as stream:
        return _read_binary(stream, source, name, columns, text)


def read_once(
    path: str | Path,
    *,
    text: Collection[str] = (),
    name: str | None = None,
    hear: Hear = lambda done, total: None,
) -> tuple[Table, str]:
    """`read` a file and its fingerprint, see `fingerprint_file`, in one pass.

    Args:
        path: the file.
        text: columns to read as text even where they look like numbers.
        name: name of the file in messages.
        hear: receives the number of bytes read.

    Raises:
        DataError: as `read` does; or the file changes while it is read.
    """
    name = name or source_name(path)
    with open_source(path, name, functools.partial(Watched, hear=hear)) as stream:
        with stream.blame_change():
            whole = _read_binary(cast(BinaryIO, stream), path, name, None, text)
        return whole, stream.fingerprint()


def scan(
    source: Source,
    *,
    columns: Collection[str] | None = None,
    text: Collection[str] = (),
    name: str | None = None,
) -> Iterator[Table]:
    """Read a table in consecutive pieces of at most `SCAN_ROWS` rows; text in bounded memory.

    A column of a text table may be of another kind in each piece. Arguments and errors are those of
    `read`; an error comes when its piece is due.
    """
    name = name or source_name(source)
    if _reader(source, name) is not None:
        yield from pieces(read(source, columns=columns, text=text, name=name))
        return
    with open_source(source, name) as stream:
        rows = 0
        for block in blocks(stream, name, columns, text):
            contents = {n: Column.of_series(series) for n, series in block.columns.items()}
            rows += len(block.lines)
            comma = block.layout.decimal_comma
            yield from pieces(Table(contents, name, block.lines, decimal_comma=comma))
    if not rows:
        _refuse_empty(name)


def scan_records(
    source: Source,
    *,
    columns: Collection[str],
    optional: Collection[str] = (),
    text: Collection[str] = (),
    name: str | None = None,
    separator: str = ",",
) -> Iterator[tuple[Table, Columns | SeparatedRows]]:
    """`scan` some columns, with all columns of the source beside each piece.

    For text these are its records, which keep leading zeros and the last digits of long keys.
    Records with another separator are rewritten.

    Args:
        source: a path or a stream of text, as for `read`.
        columns: the columns to scan.
        optional: columns to scan as well if the source has all of them.
        text: columns to read as text even where they look like numbers.
        name: name of the source in messages.
        separator: separator of the fields of the records.
    """
    name = name or source_name(source)
    if _reader(source, name) is not None:
        for piece in pieces(read(source, text=text, name=name)):
            piece.require(columns)
            yield piece, piece.arrays()
        return
    with open_source(source, name) as stream:
        rows = 0
        for block in blocks(stream, name, columns, text, optional):
            contents = {n: Column.of_series(series) for n, series in block.columns.items()}
            records = block.records(separator)
            for start in range(0, len(block.lines), SCAN_ROWS):
                some = slice(start, start + SCAN_ROWS)
                comma = block.layout.decimal_comma
                table = Table(contents, name, block.lines, decimal_comma=comma)[some]
                yield table, SeparatedRows(block.layout.names, records[some])
            rows += len(block.lines)
    if not rows:
        _refuse_empty(name)


def _read_binary(
    stream: BinaryIO,
    source: Source,
    name: str,
    columns: Collection[str] | None,
    text: Collection[str],
) -> Table:
    reader = _reader(source, name)
    if reader is None:
        return _read_text(stream, name, columns, set(text))
    found = reader(stream, name, columns, text)
    if found.sheet is not None:
        name = f"{name}, sheet {quote(found.sheet)}"
    wanted = select_names(columns, found.names, name)
    if columns is not None or not found.columns:
        _refuse_passed_over(wanted, found.passed_over, name)
    table = Table(found.columns, name, found.lines, passed_over=found.passed_over)
    return table if table.rows else _refuse_empty(name)


def _refuse_passed_over(names: Iterable[str], passed_over: Mapping[str, str], source: str) -> None:
    for name in names:
        if name in passed_over:
            raise DataError(
                f"{source}: column {quote(name)} holds {passed_over[name]}, "
                "neither numbers nor text",
                hint="leave it out, or convert it",
            )


def _read_text(
    stream: BinaryIO, name: str, columns: Collection[str] | None, text: set[str]
) -> Table:
    """Read all blocks as one table, restarting whenever a numeric column turns out to be text."""
    if not stream.seekable():
        stream = io.BytesIO(stream.read())
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    while True:
        stream.seek(start)
        growing: dict[str, GrowingColumn] = {}
        lines: list[Lines] = []
        comma = False
        nameless: Collection[str] = ()
        mixed = set()
        for block in blocks(stream, name, columns, text):
            capacity = int(1.1 * size / block.size * len(block.lines))
            lines.append(block.lines)
            comma = block.layout.decimal_comma
            nameless = block.layout.nameless if columns is None else ()
            for n, series in block.columns.items():
                try:
                    growing.setdefault(n, GrowingColumn(capacity)).add(series)
                except KindsDifferError:
                    mixed.add(n)
            if mixed:
                break
        if not mixed:
            break
        text |= mixed
    if not lines:
        _refuse_empty(name)
    contents = {n: column.column() for n, column in growing.items()}
    for n in nameless:
        if contents[n].missing().all():  # as separators at the ends of lines make it
            del contents[n]
    return Table(contents, name, _join_lines(lines), decimal_comma=comma)


def _join_lines(lines: Sequence[Lines]) -> Lines:
    whole = range(lines[0][0], lines[-1][-1] + 1)
    gapless = len(whole) == sum(map(len, lines))
    regular = gapless and all(isinstance(piece, range) for piece in lines)
    return whole if regular else np.concatenate(lines)


def pieces(table: Table) -> Iterator[Table]:
    """A table in consecutive pieces of at most `SCAN_ROWS` rows."""
    for start in range(0, table.rows, SCAN_ROWS):
        yield table[start : start + SCAN_ROWS]


def _refuse_empty(name: str) -> NoReturn:
    raise DataError(f"{name}: no rows of data")


def _reader(source: Source, name: str) -> _Reader | None:
    """The reader of a format other than separated values, by the suffix of a path.

    Raises:
        DataError: the suffix is not that of a table.
    """
    if not isinstance(source, str | Path):
        return None
    plain, compressed = formats.suffix(source)
    if plain in (*formats.TEXT, ""):
        return None
    if plain in formats.JSON:
        return read_json
    if plain in _BINARY and not compressed:
        binary = _BINARY[plain]
        return lambda stream, name, columns, _: binary(stream, name, columns)
    with contextlib.suppress(OSError, ValueError):
        kind = formats.kind_of(formats.head(Path(source)))
        if kind is not None and not compressed:
            raise DataError(f"{name}: holds {kind.name}", hint=kind.hint)
    known = ", ".join(formats.EVERY)
    suffix = Path(source).suffix.lower()
    hint = "unpack it first" if plain in _BINARY else f"known are {known}"
    raise DataError(f"{name}: not a table by its suffix {suffix!r}", hint=hint)
