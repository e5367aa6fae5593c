"""Tables in JSON: one object for each row, on lines of their own or in one array."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np

from mdncli.data.archives import Unpacked
from mdncli.data.binary import Contents
from mdncli.data.column import Column, GrowingColumn, KindsDifferError
from mdncli.data.delimited import LONGEST_RECORD
from mdncli.data.formats import HEAD_BYTES, kind_of
from mdncli.data.layout import Lines
from mdncli.data.naming import quote
from mdncli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

ROWS_AT_ONCE = 1 << 14
"""Rows whose objects are held at once."""

CHUNK_BYTES = 1 << 18
"""Bytes of text that are read at once."""

_NESTED = {list: "lists", dict: "objects"}
_BLANK = re.compile(r"[ \t\r\n]*+")
_Record = dict[str, Any]


def read_json(
    stream: BinaryIO, source: str, columns: Collection[str] | None, text: Collection[str]
) -> Contents:
    """The columns of objects in JSON, compressed or not: a key that a row lacks is a gap.

    Args:
        stream: the bytes of the file, read again where a column turns out to be text.
        source: its name in messages.
        columns: the columns to keep, all by default.
        text: columns to read as text even where they hold numbers.

    Raises:
        DataError: the stream does not hold objects in JSON, or is damaged.
    """
    if not stream.seekable():
        raise DataError(f"{source}: JSON in a pipe cannot be read", hint="save it to a file first")
    start, as_text = stream.tell(), set(text)
    while True:
        stream.seek(start)
        gathered = _Gathered(columns, as_text)
        records = _records(stream, source)
        while batch := list(islice(records, ROWS_AT_ONCE)):
            gathered.add(batch)
            if gathered.mixed:
                break
        if not gathered.mixed:
            return gathered.contents()
        as_text |= gathered.mixed


class _Gathered:
    """Columns of the objects so far.

    Args:
        columns: the columns to keep, all by default.
        text: columns to keep as text.
    """

    def __init__(self, columns: Collection[str] | None, text: Collection[str]) -> None:
        self.mixed: set[str] = set()
        self._wanted = None if columns is None else set(columns)
        self._text = text
        self._rows = 0
        self._names: dict[str, None] = {}
        self._growing: dict[str, GrowingColumn] = {}
        self._passed_over: dict[str, str] = {}
        self._lines: list[int] = []

    def add(self, batch: Sequence[tuple[int, _Record]]) -> None:
        """Append rows with their lines; `mixed` then has columns to be read as text."""
        self._lines += [line for line, _ in batch]
        records = [record for _, record in batch]
        for record in records:
            self._names.update(dict.fromkeys(record))
        for name in self._names:
            if name not in self._passed_over and (self._wanted is None or name in self._wanted):
                self._extend(name, [record.get(name) for record in records])
        self._rows += len(records)

    def _extend(self, name: str, values: list[Any]) -> None:
        kinds = set(map(type, values))
        if nested := kinds & _NESTED.keys():
            self._passed_over[name] = " and ".join(sorted(_NESTED[kind] for kind in nested))
            self._growing.pop(name, None)
            return
        series = _series(name, values, kinds, as_text=name in self._text)
        try:
            if name not in self._growing:
                self._growing[name] = GrowingColumn(ROWS_AT_ONCE)
                if self._rows:
                    self._growing[name].add(series.clear(self._rows))
            self._growing[name].add(series)
        except KindsDifferError:
            self.mixed.add(name)

    def contents(self) -> Contents:
        columns: dict[str, Column] = {n: grown.column() for n, grown in self._growing.items()}
        ordered = {name: columns[name] for name in self._names if name in columns}
        return Contents(list(self._names), ordered, self._passed_over, _in_order(self._lines))


def _in_order(lines: list[int]) -> Lines | None:
    """The lines of the rows, if each row has its own."""
    if not lines or (np.diff(lines) < 1).any():
        return None
    whole = range(lines[0], lines[-1] + 1)
    return whole if len(whole) == len(lines) else np.array(lines)


def _series(name: str, values: list[Any], kinds: set[type], *, as_text: bool) -> pl.Series:
    import polars as pl

    kinds = kinds - {type(None)}
    if as_text or not (kinds <= {int, float} or kinds == {bool}):
        texts = [v if isinstance(v, str) or v is None else json.dumps(v) for v in values]
        return pl.Series(name, texts, pl.String)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if float not in kinds and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pl.Series(name, values, pl.Int64)
    filled = [np.nan if v is None else v for v in values]
    try:
        numbers = np.array(filled, np.float64)
    except OverflowError:  # of whole numbers, but not of their digits
        numbers = np.array([float(str(v)) for v in filled])
    return pl.Series(name, numbers)


class _Repeated(dict[str, Any]):
    """An object in which a key occurs more than once."""

    key = ""


def _unique(pairs: list[tuple[str, Any]]) -> _Record:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    repeated = _Repeated(record)
    repeated.key, _ = Counter(name for name, _ in pairs).most_common(1)[0]
    return repeated


def _records(stream: BinaryIO, source: str) -> Iterator[tuple[int, _Record]]:
    """Objects of a stream, each with the line on which it begins."""
    text = _Text(Unpacked(stream, source), source)
    mark = text.mark()
    if not mark:
        raise DataError(f"{source}: empty", hint="expected an object for each row")
    if mark not in "[{" and (kind := kind_of(text.upcoming(HEAD_BYTES))) is not None:
        raise DataError(f"{source}: holds {kind.name}, not JSON", hint=kind.hint)
    in_array = mark == "["
    if in_array:
        text.skip()
        mark = text.mark()
    while mark and not (in_array and mark == "]"):
        if mark != "{":
            text.refuse(
                "not an object in JSON", 'write one for each row, such as {"x": 1.5, "y": 2}'
            )
        yield text.line, text.decoded()
        mark = text.mark()
        if in_array and mark == ",":
            text.skip()
            mark = text.mark() if text.mark() != "]" else ","
        elif in_array and mark and mark != "]":
            text.refuse("no comma between two objects")
    if in_array:
        if not mark:
            text.refuse("the array is never closed")
        text.skip()
        if text.mark():
            text.refuse("text follows the array")


class _Text:
    """Text of a stream that is decoded value by value."""

    def __init__(self, stream: Unpacked, source: str) -> None:
        self.line = 1
        self._stream = stream
        self._source = source
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder(object_pairs_hook=_unique).raw_decode
        self._text, self._at, self._ended = "", 0, False

    def mark(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            assert blank is not None
            self.line += self._text.count("\n", self._at, blank.end())
            self._at = blank.end()
            if self._at < len(self._text) or not self._read_on():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        """Pass over one character."""
        self._at += 1

    def upcoming(self, count: int) -> bytes:
        """The next characters."""
        return self._text[self._at : self._at + count].encode()

    def decoded(self) -> _Record:
        """The next object."""
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError:
                # Its end may not have been read yet.
                if len(self._text) - self._at >= LONGEST_RECORD or not self._read_on():
                    self.refuse("not JSON")
            except (RecursionError, ValueError):
                self.refuse("nested too deeply, or a number of too many digits")
            else:
                if isinstance(value, _Repeated):
                    self.refuse(f"key {quote(value.key)} occurs more than once", "rename one")
                self.line += self._text.count("\n", self._at, end)
                self._at = end
                return value

    def refuse(self, fault: str, hint: str | None = None) -> NoReturn:
        """Raise an error about the current line."""
        raise DataError(f"{self._source}:{self.line}: {fault}", hint=hint)

    def _read_on(self) -> bool:
        """Read at least as much again as is held; False at the end."""
        rest = self._text[self._at :]
        buffer = bytearray(max(CHUNK_BYTES, len(rest)))
        while not self._ended:
            with memoryview(buffer) as view:
                count = self._stream.readinto(view)
                self._ended = not count
                try:
                    more = self._utf8.decode(view[:count], final=self._ended)
                except UnicodeDecodeError:
                    raise DataError(
                        f"{self._source}: binary data, or text that is not UTF-8",
                        hint="save the file as UTF-8",
                    ) from None
            if more:
                self._text, self._at = rest + more, 0
                return True
        return False
