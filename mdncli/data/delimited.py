"""Delimited text tables with any separator, read block by block in bounded memory.

Polars does the parsing, a few megabytes at a time. Each block is first split into records and
counted here, so that a ragged row, an unclosed quote or another encoding is reported with its line;
a block that polars refuses is parsed again, field by field, by the standard library.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mdncli.data.archives import Unpacked
from mdncli.data.formats import HEAD_BYTES, kind_of
from mdncli.data.layout import (
    BLANKS,
    COMMA_NUMBER,
    MISSING,
    NO_SEPARATOR,
    QUOTED_OR_COMMENT,
    Lines,
    TextLayout,
    collapse_blanks,
    detect_layout,
    drop_comments,
)
from mdncli.data.naming import select_names
from mdncli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 4 << 20
"""Bytes of text parsed at once: small enough for the cache, large enough for threads."""

LONGEST_RECORD = 32 << 20
"""Longest record in bytes; a longer one is an error."""

FIRST_BYTES = 1 << 16
"""Bytes of a file that are read at first; more if its first rows are longer."""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Consecutive rows: a series of type Int64, Float64, Boolean or String for each column.

    Args:
        columns: the series by name.
        lines: where each row begins in the file.
        size: the bytes of text that the rows took.
        text: the rows.
        layout: layout of the text.
    """

    columns: Mapping[str, pl.Series]
    lines: Lines
    size: int
    text: bytes
    layout: TextLayout

    def records(self, separator: str = ",") -> pl.Series:
        """Each row as separated values, unchanged if the file has this separator.

        A decimal comma becomes a point, as in the other columns of the output.
        """
        import polars as pl

        text, own, wanted = self.text, self.layout.separator.encode(), separator.encode()
        commas = self.layout.decimal_comma and b"," in text
        if own != wanted and b'"' not in text and wanted not in text:
            text, own = text.replace(own, wanted), wanted
        if own == wanted and not commas and text.count(b"\n") == len(self.lines):
            with contextlib.suppress(pl.exceptions.PolarsError):
                frame = pl.read_csv(
                    text,
                    has_header=False,
                    schema={"record": pl.String()},
                    separator=NO_SEPARATOR,
                    quote_char=None,
                )
                if frame.height == len(self.lines):
                    return frame["record"]
        rows = (_record(fields, separator) for fields in self._by_field())
        return pl.Series("record", rows, pl.String)

    def _by_field(self) -> Iterator[list[str]]:
        names, comma = self.layout.names, self.layout.decimal_comma
        for fields in csv.reader(
            io.StringIO(self.text.decode(), newline="\n"), delimiter=self.layout.separator
        ):
            if fields and comma:
                yield [f.replace(",", ".") if COMMA_NUMBER.fullmatch(f) else f for f in fields]
            elif fields or len(names) == 1:
                yield fields or [""]


def blocks(
    stream: BinaryIO,
    source: str,
    columns: Collection[str] | None = None,
    text: Collection[str] = (),
    optional: Collection[str] = (),
) -> Iterator[Block]:
    """Read a text table with a header, compressed or not; without rows there are no blocks.

    The first block is small. A column's type may widen from block to block, from Int64 to Float64
    or from anything to String; it never narrows.

    Args:
        stream: the bytes of the file.
        source: its name in messages.
        columns: the columns to read, all by default.
        text: columns to read as text, even if they look like numbers.
        optional: columns to read as well if the file has all of them.

    Raises:
        DataError: the stream does not hold a table, or a row does not fit the header.
    """
    import polars as pl

    pieces = _pieces(stream, source)
    piece, line = next(pieces, (b"", 1))
    if not piece:
        raise DataError(f"{source}: empty", hint="expected a header and rows of data")
    layout, header = detect_layout(piece, source)
    if columns is not None and set(optional) <= set(layout.names):
        columns = [*columns, *optional]
    names = select_names(columns, layout.names, source)
    types = {n: pl.String() if n in text else pl.Int64() for n in names}
    parser = _Parser(source, layout)
    first = (_drop_lines(piece, header), line + header)
    for piece, line in chain([first], pieces):
        if piece:
            block = parser.parse(piece, line, types)
            types = {name: series.dtype for name, series in block.columns.items()}
            if len(block.lines):
                yield block


# --------------------------------------------------------------------------- from bytes to pieces


def _pieces(stream: BinaryIO, source: str) -> Iterator[tuple[bytes, int]]:
    """Whole records as text with LF line ends, each piece with the line on which it begins.

    The first piece is small. All are read into one buffer: fresh memory costs more than parsing.
    """
    unpacked = Unpacked(stream, source)
    buffer, held, line = bytearray(FIRST_BYTES), 0, 1
    while True:
        with memoryview(buffer) as view, view[held:] as free:
            count = unpacked.readinto(free)
        held += count
        if count and line == 1 and held < len(buffer):
            continue  # the layout is told by as many rows as there are
        if count:
            end = _record_end(buffer, held)
            if not end and held < len(buffer):
                continue
            if not end and held < LONGEST_RECORD:
                buffer.extend(bytes(held))
                continue
            # An unclosed quote may hide the ends of records; if not, parsing reports it.
            end = end or buffer.rfind(b"\n", 0, held) + 1
            if not end:
                raise DataError(f"{source}:{line}: a line too long for a table")
            with memoryview(buffer) as view:
                piece = bytes(view[:end])
            buffer[: held - end] = buffer[end:held]
            held -= end
            buffer.extend(bytes(max(0, BLOCK_BYTES - len(buffer))))
        else:
            piece = bytes(buffer[:held]).rstrip(b"\r\n") + b"\n"
        if line == 1:
            _refuse_foreign(piece, source, unpacked)
            piece = piece.removeprefix(_BYTE_ORDER_MARK)
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        ends = _count(np.frombuffer(piece, np.uint8), "\n")
        if ends < len(piece):
            _refuse_undecodable(piece, source, line)
            yield piece, line
        line += ends
        if not count:
            return


def _record_end(text: bytearray, length: int) -> int:
    """Number of leading bytes that are whole records; 0 if none ends."""
    if text.find(b'"', 0, length) < 0:
        return text.rfind(b"\n", 0, length) + 1
    if text.find(b"#", 0, length) >= 0 and (text.startswith(b"#") or b"\n#" in text):
        text = _without_quotes_in_comments(text[:length])
    quotes, stop = text.count(b'"', 0, length), length
    while end := text.rfind(b"\n", 0, stop) + 1:
        quotes -= text.count(b'"', end, stop)
        if quotes % 2 == 0:
            break
        stop = end - 1
    return end


def _count(marks: NDArray[np.uint8], mark: str) -> int:
    """Count a byte, in parts that stay in cache."""
    starts = range(0, len(marks), 1 << 16)
    return sum(int(np.count_nonzero(marks[i : i + (1 << 16)] == ord(mark))) for i in starts)


def _mask_unquoted(marks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask of bytes outside quotes; a doubled quote opens and closes at once."""
    return ~np.logical_xor.accumulate(marks == ord('"'))


def _without_quotes_in_comments(text: bytearray) -> bytearray:
    """Text of the same length without quotes that begin or end no field."""
    return bytearray(
        QUOTED_OR_COMMENT.sub(
            lambda found: found[0] if found[1] is None else found[0].replace(b'"', b" "), text
        )
    )


def _refuse_foreign(first: bytes, source: str, unpacked: Unpacked) -> None:
    if (kind := kind_of(first[:HEAD_BYTES])) is not None:
        hint = "unpack it first" if unpacked.compressed else kind.hint
        raise DataError(f"{source}: holds {kind.name}, not a text table", hint=hint)


def _refuse_undecodable(piece: bytes, source: str, line: int) -> None:
    if b"\0" in piece:
        wrong, fault, hint = piece.index(b"\0"), "binary data, not a text table", None
    elif piece.isascii():
        return
    else:
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            wrong = error.start
        else:
            return
        if _CONTROL.search(piece):
            fault, hint = "binary data, not a text table", None
        else:
            fault, hint = f"byte 0x{piece[wrong]:02x} is not UTF-8", "save the file as UTF-8"
    line += piece.count(b"\n", 0, wrong)
    raise DataError(f"{source}:{line}: {fault}", hint=hint)


def _drop_lines(text: bytes, count: int) -> bytes:
    start = 0
    for _ in range(count):
        start = text.index(b"\n", start) + 1
    return text[start:]


# -------------------------------------------------------------------------- from pieces to columns


def _record_lines(text: bytes, lines: Lines) -> Lines | None:
    """Line on which each record begins, given those of the lines; None after an unclosed quote."""
    marks = np.frombuffer(text, np.uint8)
    if b'"' not in text:
        return lines[: _count(marks, "\n")]
    unquoted = _mask_unquoted(marks)
    if not unquoted[-1]:
        return None
    ends = np.flatnonzero(unquoted[marks == ord("\n")])
    starts = np.concatenate([[0], ends[:-1] + 1])
    return lines.start + starts if isinstance(lines, range) else lines[starts]


@dataclass(frozen=True)
class _Parser:
    source: str
    layout: TextLayout

    def parse(self, piece: bytes, line: int, types: Mapping[str, pl.DataType]) -> Block:
        """Parse the rows of a piece that begins on `line`, in these types or wider ones."""
        rows, kept = drop_comments(piece, line, self.layout)
        text = collapse_blanks(rows) if self.layout.separator == BLANKS else rows
        lines = _record_lines(text, kept)
        if lines is not None:
            for attempt in (types, {}):
                frame = self._polars(text, attempt)
                if frame is not None and self._is_whole(frame, text, len(lines)):
                    return self._block(frame.to_dict(), types, lines, len(piece), text)
        columns, lines = self._by_field(text, kept, types)
        return self._block(columns, types, lines, len(piece), text)

    def _polars(self, text: bytes, types: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        """Parse all columns by polars, as text where no type is given."""
        import polars as pl

        try:
            return pl.read_csv(
                text,
                has_header=False,
                schema={name: types.get(name, pl.String()) for name in self.layout.names},
                separator=self.layout.separator,
                decimal_comma=self.layout.decimal_comma,
            )
        except pl.exceptions.PolarsError:
            return None

    def _is_whole(self, frame: pl.DataFrame, text: bytes, rows: int) -> bool:
        """True if no record was too short for polars.

        It refuses records that are too long, but pads those that are too short; if the last column
        has no missing value, none was padded.
        """
        if frame.height != rows:
            return False
        if not frame[self.layout.names[-1]].null_count():
            return True
        marks = np.frombuffer(text, np.uint8)
        between = marks == ord(self.layout.separator)
        if b'"' in text:
            between &= _mask_unquoted(marks)
        return np.count_nonzero(between) == rows * (len(self.layout.names) - 1)

    def _by_field(
        self, text: bytes, kept: Lines, types: Mapping[str, pl.DataType]
    ) -> tuple[dict[str, pl.Series], Lines]:
        """Parse record by record; `kept` has the line of the file of each line of the text."""
        import polars as pl

        names = self.layout.names
        reader = csv.reader(
            io.StringIO(text.decode(), newline="\n"), delimiter=self.layout.separator, strict=True
        )
        records, lines, start = [], [], 0
        try:
            for record in reader:
                # A blank line is ignored, but in a table of one column it is a value.
                record = record or [""] * (len(names) == 1)
                if record and len(record) != len(names):
                    fields = "1 field" if len(record) == 1 else f"{len(record)} fields"
                    raise DataError(
                        f"{self.source}:{kept[start]}: {fields}, but the header has {len(names)}"
                    )
                if record:
                    records.append(record)
                    lines.append(kept[start])
                start = reader.line_num
        except csv.Error:
            fault, hint = self._fault(_drop_lines(text, start).decode())
            raise DataError(f"{self.source}:{kept[start]}: {fault}", hint=hint) from None
        columns = {
            name: pl.Series(name, [record[i] for record in records], pl.String)
            for i, name in enumerate(names)
            if name in types
        }
        return columns, np.array(lines, np.int64)

    def _fault(self, text: str) -> tuple[str, str]:
        """Error for text from whose start no record can be read, with a remedy."""
        end = re.escape(self.layout.separator)
        sound = re.match(rf'(?:(?:"(?:[^"]|"")*+"|[^"{end}\n][^{end}\n]*+)?{end})*+', text)
        rest = text[sound.end() if sound else 0 :]
        if rest.startswith('"'):
            quoted = re.match(r'"(?:[^"]|"")*+"', rest)
            if quoted is None:
                return "a quote is opened and never closed", "close it"
            if not rest.startswith("\n", quoted.end()):
                return "text follows a closing quote", "write a quote within a field twice"
        return f"a field of more than {csv.field_size_limit():,} characters", "shorten it"

    def _block(
        self,
        columns: Mapping[str, pl.Series],
        types: Mapping[str, pl.DataType],
        lines: Lines,
        size: int,
        text: bytes,
    ) -> Block:
        comma = self.layout.decimal_comma
        typed = {
            name: _convert_type(columns[name], wanted, comma) for name, wanted in types.items()
        }
        return Block(typed, lines, size, text, self.layout)


def _record(fields: list[str], separator: str = ",") -> str:
    """Join fields to a record of separated values.

    >>> _record(["1", "Rome, Italy", ""])
    '1,"Rome, Italy",'
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerow(fields)
    return text.getvalue().removesuffix("\n")


def _convert_type(series: pl.Series, wanted: pl.DataType, decimal_comma: bool) -> pl.Series:
    """Convert text to the expected type, or to the first type that fits all values."""
    import polars as pl

    if series.dtype == wanted:
        return series
    plain = series.str.strip_chars()
    plain = plain.set(plain.is_in(MISSING), None)
    if decimal_comma:
        plain = plain.str.replace(",", ".", literal=True)
    for type_ in dict.fromkeys((wanted, pl.Int64(), pl.Float64(), pl.Boolean())):
        if type_ == pl.Boolean():
            lower = plain.str.to_lowercase()
            values = (lower == "true").set(~lower.is_in(["true", "false"]), None)
        else:
            values = plain.cast(type_, strict=False)
        if values.null_count() == plain.null_count():
            return values
    return series
