"""Layout of a text table: separator, header, titles, comments and decimal marks.

It is detected from the first lines of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mdncli.data.naming import require_unique
from mdncli.errors import DataError

Lines = range | NDArray[np.int64]
"""The line of the file on which each row begins, counted from 1."""

_ABSENT = ("na", "n/a", "#n/a", "nan", "null", "none", "<na>")
MISSING = tuple(
    dict.fromkeys(
        ["", "-", ".", "?", "NaN"]
        + [spelt for word in _ABSENT for spelt in (word, word.upper(), word.capitalize())]
    )
)
"""Words for a missing number; in a column of text only the empty field is missing."""

_SNIFFED_RECORDS = 100
BLANKS = " "
_SEPARATORS = ("\t", ";", ",", "|", BLANKS)
# Separator of a table of one column: a character that no text contains.
NO_SEPARATOR = "\x1f"
# Possessive quantifiers keep the time linear for every field.
_NUMBER = re.compile(r"\s*+[+-]?(\d++\.?\d*+|\.\d++)([eE][+-]?\d++)?\s*+")
_POINT_NUMBER = re.compile(r"\s*+[+-]?(\d++\.\d*+|\.\d++)([eE][+-]?\d++)?\s*+")
COMMA_NUMBER = re.compile(r"\s*+[+-]?\d*+,\d++([eE][+-]?\d++)?\s*+")
_RUN_OF_BLANKS = re.compile(rb"[ \t]++")
_QUOTED_OR_BLANKS = re.compile(rb'("[^"]*+")|[ \t]++')
_BLANK_AT_END = re.compile(rb"^ | $", re.MULTILINE)
_SEPARATOR_LINE = re.compile(r"\"?sep=([^\w\s\"]|[\t ])\1*+\"?[ \t]*+\n")
_COMMENTS_BEFORE = re.compile(r"(?:[ \t]*+\n|#[^\n]*+\n)*+")
# A quoted field, or a line that begins with the mark of a comment and not with a gap of Excel's.
QUOTED_OR_COMMENT = re.compile(
    rb'(?<![^,;\t| \n])"(?:[^"]|"")*+"?|^(?!#[Nn]/[Aa](?:[,;\t|\n]|\Z))(#[^\n]*+\n?)',
    re.MULTILINE,
)

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


def detect_layout(piece: bytes, source: str) -> tuple[TextLayout, int]:
    """Detect the layout of a table from its first lines, and the number of lines of the header."""
    text, above, given = piece.decode(), 0, None
    if (stated := _SEPARATOR_LINE.match(text)) is not None:
        text, above, given = text[stated.end() :], 1, stated[1]
    plain, kept = drop_comments(text.encode(), 0)
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
    commas = separator == ";" or any(map(COMMA_NUMBER.fullmatch, fields))
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
    for separator in (NO_SEPARATOR, *_SEPARATORS) if given is None else (given,):
        try:
            records = list(islice(_records(text, separator), _SNIFFED_RECORDS))
        except csv.Error:
            continue
        if not records:
            continue
        split[separator] = records
        if separator == BLANKS and given is None and not _is_table(*records):
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


def drop_comments(text: bytes, line: int, layout: TextLayout | None = None) -> tuple[bytes, Lines]:
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
    for found in QUOTED_OR_COMMENT.finditer(text):
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
    if separator == BLANKS:
        lines = (collapse_blanks(line.encode()).decode() for line in lines)
    return csv.reader(lines, delimiter=separator)


def collapse_blanks(text: bytes) -> bytes:
    """Collapse blanks outside quotes, and strip those at the ends of a line."""
    if b'"' in text:
        text = _QUOTED_OR_BLANKS.sub(lambda run: run[1] or b" ", text)
    else:
        text = _RUN_OF_BLANKS.sub(b" ", text)
    return _BLANK_AT_END.sub(b"", text)
