"""Rows that a model cannot predict: refused with a remedy, or left out and counted."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdncli.data.encoding import Encoding
from mdncli.data.naming import quote
from mdncli.data.table import Table
from mdncli.errors import DataError
from mdncli.store import RunFolder

REMEDY = "correct it, or leave such rows out with --skip-invalid"


@dataclass
class InvalidRows:
    """Count of the rows that were left out, and the place of the first."""

    source: str = ""
    rows: int = 0
    aside: int = 0
    first: str = ""

    def add(self, table: Table, kept: NDArray[np.bool_]) -> None:
        """Count the next rows."""
        if not self.aside and not kept.all():
            self.first = table.position(int(np.argmin(kept)))
        self.source = table.source
        self.rows += len(kept)
        self.aside += int(np.count_nonzero(~kept))

    def __str__(self) -> str:
        first = "" if self.aside == 1 else "the first "
        return f"{self.aside:,} of {self.rows:,} rows, {first}{self.first}"


def missing_of(run: RunFolder) -> str:
    """Treatment of missing values of a run, as `FileData.treatment`."""
    if not run.config.is_file():
        return "error"
    # Heavy, and seldom needed.
    from mdncli.config import FileData
    from mdncli.experiment import config_of

    data = config_of(run).data
    return data.treatment if isinstance(data, FileData) else "error"


def gaps(
    encoding: Encoding, tables: Iterable[Table], *, targets: bool = False, remedy: str = REMEDY
) -> DataError | None:
    """Error for missing or infinite values, if there are any, with their number and places.

    Args:
        encoding: of the model.
        tables: the rows, part by part; the others are only counted.
        targets: whether targets are needed, too.
        remedy: hint of the error.
    """
    counts: Counter[str] = Counter()
    first = ""
    # Other faults of later rows are reported once these are corrected.
    with contextlib.suppress(DataError):
        for table in tables:
            found = encoding.gaps(table, targets=targets)
            counts.update({name: int(np.count_nonzero(gap)) for name, gap in found.items()})
            if counts and not first:
                name = min(found, key=lambda name: int(np.argmax(found[name])))
                row = int(np.argmax(found[name]))
                value = "infinite" if np.isinf(table.readable(name)[row]) else "missing"
                first = f"{table.place(row, name)}: the value is {value}"
    if not first:
        return None
    if counts.total() > 1:
        first += f", the first of {counts.total():,}"
    if len(counts) > 1:
        first += f" ({', '.join(f'{quote(name)} {count:,}' for name, count in counts.items())})"
    return DataError(first, hint=remedy)


@contextlib.contextmanager
def remedied() -> Iterator[None]:
    """Add a hint to the error for a row that cannot be encoded, if it has none."""
    try:
        yield
    except DataError as error:
        raise DataError(error.message, hint=error.hint or REMEDY) from None
