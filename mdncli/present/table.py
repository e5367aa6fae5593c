"""Tables of text, for the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mdncli.present.formats import abridged, printable


@dataclass(frozen=True)
class TextTable:
    """A table of text for the terminal; columns of numbers are right-aligned.

    Args:
        title: line above it.
        columns: headings; all empty for none.
        rows: the cells.
        caption: line below it.
        one_line: each row takes one line, whatever the terminal's width: the first column is
            shortened as needed.

    >>> TextTable("Runs", ("run", "NLL"), (("a", "1.29"),)).rows[0]
    ('a', '1.29')
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    one_line: bool = False

    def narrowed(self, width: int) -> TextTable:
        """Narrow a `one_line` table to a width in characters, with two between columns.

        Long names in its first column are shortened in the middle, to no less than 8 characters.

        >>> rows = [("20261121-161722-sine", "1.29")]
        >>> TextTable("", ("run", "NLL"), rows, one_line=True).narrowed(20).rows
        [('2026…1722-sine', '1.29')]
        """
        if not self.one_line:
            return self
        lines = [self.columns, *self.rows]
        taken = sum(2 + max(map(len, cells)) for cells in list(zip(*lines, strict=True))[1:])
        most = max(8, width - taken)
        rows = [(abridged(row[0], most), *row[1:]) for row in self.rows]
        return replace(self, rows=rows)


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    r"""Format a table as lines of CSV: numbers in full, None empty, control characters escaped.

    >>> csv_lines(("run", "nll"), [("a,b", 0.1), ("\x1b", None)])
    ['run,nll', '"a,b",0.1', '\\x1b,']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(printable(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue().splitlines()
