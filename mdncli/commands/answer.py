"""What a subcommand gives back: the answer itself, in every form it may be asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Table:
    """A small table for people; cells are text already, numbers are right-aligned.

    Args:
        title: stands above it.
        columns: their headings; all empty where there is nothing to say.
        rows: the cells.
        caption: stands below it.
        one_line: each row takes one line, whatever the terminal's width: what the first column
            holds is shortened as far as needed, no other is broken.

    >>> Table("Runs", ("run", "NLL"), (("a", "1.29"),)).rows[0]
    ('a', '1.29')
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    one_line: bool = False

    def narrowed(self, width: int) -> Table:
        """The table of so many characters at most, two between columns, if it is `one_line`.

        The middle of long names in its first column is left out, but at least 8 characters stay.

        >>> rows = [("20261121-161722-sine", "1.29")]
        >>> Table("", ("run", "NLL"), rows, one_line=True).narrowed(20).rows
        [('2026…1722-sine', '1.29')]
        """
        if not self.one_line:
            return self
        lines = [self.columns, *self.rows]
        taken = sum(2 + max(map(len, cells)) for cells in list(zip(*lines, strict=True))[1:])
        most = max(8, width - taken)
        rows = [(abridged(row[0], most), *row[1:]) for row in self.rows]
        return replace(self, rows=rows)


@dataclass(frozen=True)
class Answer:
    """The result of a subcommand.

    Args:
        lines: what goes to stdout, a line each.
        document: the same as one JSON document, for `--json`.
        tables: for a person; they are the answer itself where `lines` is empty.
        faults: what failed while the rest was done, a line each.
        exit_code: not zero where the command did its work but some of it failed.
    """

    lines: Sequence[str] = ()
    document: Any = None
    tables: Sequence[Table] = ()
    faults: Sequence[str] = ()
    exit_code: int = 0


def number(value: float | None, digits: int = 4) -> str:
    """A figure for a table, or a dash where there is none.

    >>> number(1.2876), number(None), number(-0.00001)
    ('1.2876', '–', '0.0000')
    >>> number(31510, 0), number(12345.67, 1)
    ('31,510', '12,345.7')
    """
    if value is None or value - value != 0:
        return "–"
    if abs(value) < (1e6 if digits else 1e15):
        return f"{round(value, digits) + 0.0:,.{digits}f}"
    return f"{value:.4g}"


def significant(value: float | None, digits: int = 4) -> str:
    """A figure in a unit of its own, such as an error, which may be of any size.

    >>> significant(0.00123456), significant(12.3456), significant(123456.7), significant(None)
    ('0.001235', '12.35', '123,457', '–')
    >>> significant(1.5e-9), significant(-3e20), significant(0.0)
    ('1.500e-09', '-3.000e+20', '0')
    """
    if value is None or value - value != 0:
        return "–"
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if not -5 < exponent < 15:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; what is left out is a sign.

    >>> shortened("mixtures", 4), shortened("mix", 4)
    ('mix…', 'mix')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def abridged(text: str, most: int) -> str:
    """A text of at most so many characters, its middle left out: names often differ at the end.

    >>> abridged("loss-by-family-student-t", 14), abridged("sine", 14)
    ('loss…student-t', 'sine')
    """
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    r"""A table as lines of CSV: numbers in full, nothing for None, control characters escaped.

    >>> csv_lines(("run", "nll"), [("a,b", 0.1), ("\x1b", None)])
    ['run,nll', '"a,b",0.1', '\\x1b,']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(printable(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue().splitlines()


def printable(text: str) -> str:
    r"""The text with every control character escaped, so that a file cannot drive a terminal.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
