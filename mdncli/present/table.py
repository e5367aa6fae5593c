"""Small tables, for people and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mdncli.present.formats import abridged, printable


@dataclass(frozen=True)
class TextTable:
    """A small table for people; cells are text already, numbers are right-aligned.

    Args:
        title: stands above it.
        columns: their headings; all empty where there is nothing to say.
        rows: the cells.
        caption: stands below it.
        one_line: each row takes one line, whatever the terminal's width: what the first column
            holds is shortened as far as needed, no other is broken.

    >>> TextTable("Runs", ("run", "NLL"), (("a", "1.29"),)).rows[0]
    ('a', '1.29')
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    one_line: bool = False

    def narrowed(self, width: int) -> TextTable:
        """The table of so many characters at most, two between columns, if it is `one_line`.

        The middle of long names in its first column is left out, but at least 8 characters stay.

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
    r"""A table as lines of CSV: numbers in full, nothing for None, control characters escaped.

    >>> csv_lines(("run", "nll"), [("a,b", 0.1), ("\x1b", None)])
    ['run,nll', '"a,b",0.1', '\\x1b,']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(printable(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue().splitlines()
