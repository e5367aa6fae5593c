"""New rows unlike any training row: categories never seen, numbers and dates outside the range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mdncli.data.naming import quote
from mdncli.data.table import Table
from mdncli.errors import DataError
from mdncli.predictor import Predictor
from mdncli.wording import counted

MOST_NAMED = 4
"""Columns named in a line; of more their number is said."""


@dataclass
class Unfamiliar:
    """Count of rows that no training row prepared the model for.

    Args:
        strict: whether a category never seen is refused.
    """

    strict: bool = False
    source: str = ""
    rows: int = 0
    outside: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)

    def add(self, predictor: Predictor, table: Table) -> None:
        """Count the next rows, which have all input columns.

        Raises:
            DataError: one has a category that training never saw, and that is to be refused.
        """
        self.source = table.source
        self.rows += table.rows
        for name, where in predictor.encoding.unknown(table).items():
            row = int(np.argmax(where))
            label = str(table.column(name)[row : row + 1].texts()[0])
            if self.strict:
                raise DataError(
                    f"{table.place(row, name)}: the training data has no {quote(label)}",
                    hint="correct it, or leave out --strict to take it as one of the rare ones",
                )
            self.first.setdefault(name, label)
            self.categories[name] += int(np.count_nonzero(where))
        read = predictor.encoding.understood(table)
        beyond = np.zeros(table.rows, np.bool_)
        for name, (low, high) in {**predictor.ranges, **_dates(predictor)}.items():
            values = read.readable(name)
            own = (values < low) | (values > high)
            self.columns[name] += int(np.count_nonzero(own))
            beyond |= own
        self.ends = {name: _day(last) for name, (_, last) in _dates(predictor).items()}
        self.outside += int(np.count_nonzero(beyond))

    def lines(self) -> Iterator[str]:
        """Sentences on the counts, at most two."""
        if self.categories:
            said = _named(
                f"{quote(name)} in {counted(count, 'row')}, such as {quote(self.first[name])}"
                for name, count in self.categories.most_common()
            )
            yield f"{self.source}: categories that training never saw: {said}"
        if self.outside:
            said = _named(
                f"{quote(name)} in {counted(count, 'row')}{self._end(name)}"
                for name, count in self.columns.most_common()
                if count
            )
            lie = "lies" if self.rows == 1 else "lie"
            yield (
                f"{self.source}: {self.outside:,} of {self.rows:,} rows {lie} outside the range of "
                f"the training rows ({said}): trust them less"
            )

    def _end(self, name: str) -> str:
        """The last date that a column has in training, in words; empty for numbers."""
        return f", training ended {self.ends[name]}" if name in self.ends else ""


def _dates(predictor: Predictor) -> dict[str, tuple[float, float]]:
    """The first and the last date of each column of dates in training."""
    columns = predictor.encoding.input_columns
    return {each.name: (each.first, each.last) for each in columns if each.kind == "date"}


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _named(parts: Iterator[str]) -> str:
    every = list(parts)
    more = len(every) - MOST_NAMED
    return ", ".join(every[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
