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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mdncli.data.archives import Unpacked
from mdncli.data.formats import HEAD_BYTES, kind_of
from mdncli.data.naming import require_unique, select_names
from mdncli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

Lines = range | NDArray[np.int64]
"""The line of the file on which each row begins, counted from 1."""

BLOCK_BYTES = 4 << 20
"""Bytes of text parsed at once: small enough for the cache, large enough for threads."""

LONGEST_RECORD = 32 << 20
"""Longest record in bytes; a longer one is an error."""

_ABSENT = ("na", "n/a", "#n/a", "nan", "null", "none")
MISSING = tuple(
    dict.fromkeys(
        ["", "-", ".", "?", "NaN"]
        + [spelt for word in _ABSENT for spelt in (word, word.upper(), word.capitalize())]
    )
)
"""Words for a missing number; in a column of text only the empty field is missing."""

FIRST_BYTES = 1 << 16
"""Bytes of a file that are read at first; more if its first rows are longer."""

_SNIFFED_RECORDS = 100
_BLANKS = " "
_SEPARATORS = ("\t", ";", ",", "|", _BLANKS)
# Separator of a table of one column: a character that no text contains.
_NONE = "\x1f"
# Possessive quantifiers keep the time linear for every field.
_NUMBER = re.compile(r"\s*+[+-]?(\d++\.?\d*+|\.\d++)([eE][+-]?\d++)?\s*+")
_POINT_NUMBER = re.compile(r"\s*+[+-]?(\d++\.\d*+|\.\d++)([eE][+-]?\d++)?\s*+")
_COMMA_NUMBER = re.compile(r"\s*+[+-]?\d*+,\d++([eE][+-]?\d++)?\s*+")
_RUN_OF_BLANKS = re.compile(rb"[ \t]++")
_QUOTED_OR_BLANKS = re.compile(rb'("[^"]*+")|[ \t]++')
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_BLANK_AT_END = re.compile(rb"^ | $", re.MULTILINE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SEPARATOR_LINE = re.compile(r"\"?sep=([^\w\s\"]|[\t ])\1*+\"?[ \t]*+\n")
_COMMENTS_BEFORE = re.compile(r"(?:[ \t]*+\n|#[^\n]*+\n)*+")
# A quoted field, or a line that begins with the mark of a comment.
_QUOTED_OR_COMMENT = re.compile(rb'(?<![^,;\t| \n])"(?:[^"]|"")*+"?|^(#[^\n]*+\n?)', re.MULTILINE)

TITLE_LINES = 20
"""Most lines of a title or a description above the header."""


@dataclass(frozen=True)
class TextLayout:
    """Layout of a text table.

    Args:
        names: the columns, in the file's order.
        separator: separator of fields; a blank stands for any number of blanks.
        decimal_comma: whether numbers are written as 2,5.
        nameless: the last columns, as far as the header has no name for them.
        hashed: whether rows may begin with `#`, as in a column of colours; otherwise every line
            that begins so is a comment.
    """

    names: tuple[str, ...]
    separator: str
    decimal_comma: bool
    nameless: tuple[str, ...] = ()
    hashed: bool = False


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
                    separator=_NONE,
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
                yield [f.replace(",", ".") if _COMMA_NUMBER.fullmatch(f) else f for f in fields]
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
    layout, header = _sniff(piece, source)
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
        _QUOTED_OR_COMMENT.sub(
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


# ------------------------------------------------------------------------------- the file's layout


def _sniff(piece: bytes, source: str) -> tuple[TextLayout, int]:
    """Detect the layout of a table from its first lines, and the number of lines of the header."""
    text, above, given = piece.decode(), 0, None
    if (stated := _SEPARATOR_LINE.match(text)) is not None:
        text, above, given = text[stated.end() :], 1, stated[1]
    plain, kept = _uncommented(text.encode(), 0)
    rows = plain.decode() if plain.strip() else text
    separator, (header, *records), titles = _detect_separator(rows, source, given)
    commented = rows is not text and not titles
    marked = _marked_header(text, separator, [header, *records]) if commented else None
    if marked is None:
        count = _lines_of_records(rows, separator, titles + 1)
        above += kept[count - 1] + 1 if rows is not text else count
    else:
        header, records = marked[0], [header, *records]
        above += marked[1]
    names = [name.strip() or f"column_{i}" for i, name in enumerate(header, 1)]
    place = f"{source}:{above}"
    numbered = names in ([str(i + start) for i in range(len(names))] for start in (0, 1))
    if not numbered and all(map(_NUMBER.fullmatch, names)):
        raise DataError(
            f"{place}: numbers where the columns' names should be",
            hint="add a first line of names",
        )
    fields = [field for record in records for field in record]
    # Semicolons indicate decimal commas, even if the first rows hold only whole numbers.
    commas = separator == ";" or any(map(_COMMA_NUMBER.fullmatch, fields))
    decimal_comma = commas and separator != "," and not any(map(_POINT_NUMBER.fullmatch, fields))
    named = max((i for i, name in enumerate(header, 1) if name.strip()), default=len(names))
    hashed = not records or not all(_is_value(record[0]) for record in records if record)
    layout = TextLayout(
        require_unique(names, place), separator, decimal_comma, tuple(names[named:]), hashed
    )
    return layout, int(above)


def _detect_separator(
    text: str, source: str, given: str | None
) -> tuple[str, list[list[str]], int]:
    """Most likely separator, the first records split by it, and the number of titles above.

    Args:
        text: the first lines of the table.
        source: its name in messages.
        given: the separator, where the file states it.
    """
    likeliest, most = None, 0
    split: dict[str, list[list[str]]] = {}
    for separator in (_NONE, *_SEPARATORS) if given is None else (given,):
        try:
            records = list(islice(_records(text, separator), _SNIFFED_RECORDS))
        except csv.Error:
            continue
        if not records:
            continue
        split[separator] = records
        if separator == _BLANKS and given is None and not _is_table(*records):
            continue
        fields = len(records[0])
        if _is_regular(records):
            if _is_titled(1, records):
                return separator, records[1:], 1
            return separator, records, 0
        if fields > most:
            likeliest, most = (separator, records), fields
    for titles in range(1, TITLE_LINES + 1):
        for separator, records in split.items():
            if _is_titled(titles, records):
                return separator, records[titles:], titles
    if likeliest is None:
        raise DataError(f"{source}: cannot be split into fields; is it a text table?")
    return *likeliest, 0


def _is_regular(records: Sequence[Sequence[str]]) -> bool:
    """True if all records have the same fields, and more than one."""
    fields = len(records[0])
    return fields > 1 and all(len(record) == fields for record in records)


def _is_titled(titles: int, records: Sequence[Sequence[str]]) -> bool:
    """True if the first records are titles above a header that cannot be mistaken.

    A title has other fields than the header, or all but one are empty. The header names every
    column, most rows match it, and these have a number each.
    """
    above, table = records[:titles], records[titles:]
    if len(table) < 2 or len(table[1]) != len(table[0]) or len(table[0]) < 2:
        return False
    header, *rows = table
    names = [name.strip() for name in header]
    regular = [row for row in rows if len(row) == len(names)]
    return (
        all(len(title) != len(names) or sum(map(bool, title)) == 1 for title in above)
        and all(names)
        and len(set(names)) == len(names)
        and not any(map(_is_number, names))
        and 2 * len(regular) >= len(rows)
        and all(any(map(_is_number, row)) for row in regular)
    )


def _marked_header(
    text: str, separator: str, records: Sequence[Sequence[str]]
) -> tuple[list[str], int] | None:
    """Header that is marked as a comment, `#x,y`, and the number of lines down to it.

    The last comment above the first record is the header if it has a field for each column, and
    that record is none: it holds numbers, and no text above a column of numbers.
    """
    before = _COMMENTS_BEFORE.match(text)
    assert before is not None
    lines = before[0].split("\n")
    last = max((i for i, line in enumerate(lines) if line.startswith("#")), default=None)
    if last is None:
        return None
    marked = lines[last].lstrip("#")
    first, *rest = records
    header = next(_records(marked.strip(), separator), [])
    if len(header) != len(first) or any(map(_is_number, header)):
        return None
    if len(header) == 1 and re.search(r"\s", marked.strip()):
        return None  # rather a sentence than a name
    columns = zip(first, *(row for row in rest if len(row) == len(first)), strict=True)
    if any(
        not _is_value(top) and any(map(_is_number, below)) and all(map(_is_value, below))
        for top, *below in columns
    ):
        return None
    if not any(map(_is_number, first)) and marked[:1].isspace():
        return None
    return [header[0] or "#", *header[1:]], last + 1


def _is_number(field: str) -> bool:
    return _NUMBER.fullmatch(field.replace(",", ".", 1)) is not None


def _is_value(field: str) -> bool:
    """True if a field holds a number or none."""
    return field.strip() in MISSING or _is_number(field)


def _is_table(header: list[str], *records: list[str]) -> bool:
    """True if blanks separate fields: half the records match the header, and each has a number."""
    regular = sum(len(record) == len(header) for record in records)
    return 2 * regular >= len(records) > 0 and all(
        any(_NUMBER.fullmatch(field.replace(",", ".")) for field in record) for record in records
    )


def _records(text: str, separator: str) -> Iterator[list[str]]:
    return (record for record in _reader(text, separator) if any(record))


def _lines_of_records(text: str, separator: str, count: int) -> int:
    """Number of lines that the first records take."""
    reader = _reader(text, separator)
    for _ in range(count):
        next(record for record in reader if any(record))
    return reader.line_num


def _uncommented(text: bytes, line: int, layout: TextLayout | None = None) -> tuple[bytes, Lines]:
    """Text without its comments, and the line of the file of each line that is left.

    Args:
        text: whole records.
        line: the line on which it begins.
        layout: of the table, as far as it is known.
    """
    # One byte is found several times as fast as two.
    if b"#" not in text or (not text.startswith(b"#") and b"\n#" not in text):
        return text, range(line, line + len(text))
    kept, removed, end, count = [], [], 0, 0
    for found in _QUOTED_OR_COMMENT.finditer(text):
        comment = found[1]
        if comment is None or (layout is not None and _is_hashed_row(comment, layout)):
            continue
        count += text.count(b"\n", end, found.start())
        kept.append(text[end : found.start()])
        removed.append(count)
        count, end = count + 1, found.end()
    kept.append(text[end:])
    lines = np.arange(line, line + text.count(b"\n") + 1)
    return b"".join(kept), np.delete(lines, removed)


def _is_hashed_row(text: bytes, layout: TextLayout) -> bool:
    """True if a line that begins with `#` is a row."""
    if not layout.hashed:
        return False
    fields = next(_reader(text.decode(), layout.separator), [])
    return len(fields) == len(layout.names)


def _reader(text: str, separator: str):
    lines: Iterable[str] = io.StringIO(text, newline="\n")
    if separator == _BLANKS:
        lines = (_collapse_blanks(line.encode()).decode() for line in lines)
    return csv.reader(lines, delimiter=separator)


def _collapse_blanks(text: bytes) -> bytes:
    """Collapse blanks outside quotes, and strip those at the ends of a line."""
    if b'"' in text:
        text = _QUOTED_OR_BLANKS.sub(lambda run: run[1] or b" ", text)
    else:
        text = _RUN_OF_BLANKS.sub(b" ", text)
    return _BLANK_AT_END.sub(b"", text)


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
        rows, kept = _uncommented(piece, line, self.layout)
        text = _collapse_blanks(rows) if self.layout.separator == _BLANKS else rows
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
