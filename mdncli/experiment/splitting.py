"""Split of a table's rows as its config bounds it, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdncli.config import FileData
from mdncli.data import splits
from mdncli.data.delimited import MISSING
from mdncli.data.encoding import Encoding
from mdncli.data.naming import quote
from mdncli.data.profile import profile
from mdncli.data.spelling import PLAIN
from mdncli.data.splits import FREE, Bounds, Split
from mdncli.data.table import Table
from mdncli.errors import DataError
from mdncli.events import Note, Warned
from mdncli.wording import counted

COMPARED_ROWS = 200_000
"""Most rows among which copies are searched unasked; among more they matter little."""

LEAST_GROUPS = 3
"""Fewest groups that can be kept whole: one for each part of a split."""


def split_rows(data: FileData, whole: Table, names: Sequence[str], used: np.ndarray) -> Split:
    """Split the rows of a table.

    Without groups and order, training copies of validation rows validate, too.

    Args:
        data: the config.
        whole: all rows; a file of splits has lines for all of them.
        names: the inputs and targets.
        used: mask of the rows that are split, (N,).

    Raises:
        DataError: the split is impossible, or a column that it needs is absent or has gaps.
    """
    share, source = data.validation_share, whole.source
    bounds = _bounds(data, whole, used)
    if data.splits is not None:
        every = splits.by_file(data.splits, whole.rows, data.split, share, data.seed, bounds)
        split = every.restrict(used, source)
    else:
        rows = np.flatnonzero(used)
        bounds = bounds[rows]
        if data.folds is None:
            split = splits.by_share(len(rows), share, data.test, data.seed, source, bounds)
        else:
            split = splits.by_fold(
                len(rows), data.folds, data.fold, share, data.seed, source, bounds
            )
        train, validation, test = (rows[subset] for subset in split)
        split = replace(split, train=train, validation=validation, test=test)
    if bounds.free and whole.rows <= COMPARED_ROWS:
        split = split.without_duplicates(lambda rows: _hash_rows(whole, names, rows))
    return split


def notes(
    data: FileData, whole: Table, split: Split, encoding: Encoding
) -> Iterator[Note | Warned]:
    """Notes on the split of a table's rows.

    Args:
        data: the config.
        whole: all rows.
        split: of them.
        encoding: of the columns in use.
    """
    if data.group is not None:
        yield from _group_notes(data.group, data, whole, split)
    if data.order is not None and len(split.test):
        yield _order_note(data.order, data, whole, split)
    if data.group is None and data.order is None and data.splits is None and len(split.test):
        dates = [column.name for column in encoding.input_columns if column.kind == "date"]
        if dates:
            setting = quote(f"data.order={dates[0]}")
            yield Warned(
                f"{Path(whole.source).name}: rows are split at random, so the model has seen the "
                f"future of rows it is tested on; to test the latest rows instead, set {setting}"
            )


def _group_notes(name: str, data: FileData, whole: Table, split: Split) -> Iterator[Note | Warned]:
    file, groups = Path(whole.source).name, _codes(whole, name)
    trained, validated, tested = (np.unique(groups[rows]) for rows in split)
    if data.splits is None:
        yield Note(
            f"{file}: whole groups of {quote(name)}: {counted(len(trained), 'group')} for "
            f"training, {len(validated):,} for validation, {len(tested):,} for testing"
        )
        return
    both = np.isin(tested, np.concatenate([trained, validated]))
    if count := int(np.count_nonzero(both)):
        yield Warned(
            f"{file}: {count:,} of {counted(len(tested), 'tested group')} of {quote(name)} also "
            f"have training rows by {data.splits.name}, so scores may be too good"
        )


def _order_note(name: str, data: FileData, whole: Table, split: Split) -> Note:
    times = _times(name, data, whole)
    first = split.test[[int(np.argmin(times[split.test]))]]
    since = quote(str(whole.column(name)[first].texts()[0]))
    if data.splits is not None:
        what = f"the latest rows by {quote(name)} validate; {data.splits.name} gives the test rows"
    elif data.folds is None:
        what = f"the latest rows by {quote(name)} are tested, from {since} on"
    else:
        what = (
            f"fold {data.fold} tests rows by {quote(name)} from {since} on, and trains on earlier"
        )
    grouped = "" if data.group is None else "; a group lies where its latest row lies"
    return Note(f"{Path(whole.source).name}: {what}{grouped}")


# ------------------------------------------------------------------------------- bounds of a split


def _bounds(data: FileData, whole: Table, used: np.ndarray) -> Bounds:
    """Bounds on the split of all rows of a table; those that are not used have none."""
    found = FREE
    if data.group is not None:
        found = _grouped(data.group, data, whole, used)
    if data.order is not None:
        times = _times(data.order, data, whole)
        _require_complete(whole, data.order, np.isnan(times) & used, "order")
        times = np.where(used, times, -np.inf)
        where = f" of column {quote(data.order)}"
        found = replace(found, times=times, unit="different value", where=where)
    return found


def _grouped(name: str, data: FileData, whole: Table, used: np.ndarray) -> Bounds:
    """Bounds that keep groups whole."""
    groups = _codes(whole, name)
    _require_complete(whole, name, (groups < 0) & used, "group")
    groups = np.where(used, groups, groups.max(initial=0) + 1 + np.arange(whole.rows))
    bounds = Bounds(groups, unit="group", where=f" of column {quote(name)}")
    count = len(np.unique(groups[used]))
    if count < LEAST_GROUPS and data.splits is None:
        raise DataError(
            f"{whole.source}: {bounds.count(count)}, and there must be {LEAST_GROUPS} at least: "
            "for training, validation and test rows",
            hint="name another column in data.group",
        )
    return bounds


def _times(name: str, data: FileData, whole: Table) -> NDArray[np.float64]:
    """The numbers or dates of a column, (N,), NaN where they are missing.

    A column that is no input has not been read by its profile yet.

    Raises:
        DataError: it holds neither.
    """
    column = whole.column(name)
    if column.kind != "text" or name in whole.spellings:
        return whole.numbers(name)
    asked = {key: kind for key, kind in data.columns.items() if key == name and kind != "exclude"}
    each = profile(replace(whole, contents={name: column}), asked=asked).columns[name]
    read = whole.read_as({} if each.spelling == PLAIN else {name: each.spelling}, {})
    if each.fault or not read.spells_numbers(name).all():
        raise DataError(
            f"{whole.source}: column {quote(name)} gives rows no order: "
            f"{each.fault or 'it holds neither numbers nor dates'}",
            hint="correct it, or say its kind in data.columns",
        )
    return read.numbers(name)


def _codes(whole: Table, name: str) -> NDArray[np.int64]:
    """Number of each row's value, (N,), negative where it is missing."""
    column = whole.column(name)
    if column.kind == "text":
        return column.without(frozenset(MISSING)).values.astype(np.int64)
    codes = np.unique(column.values, return_inverse=True)[1]
    return np.where(column.missing(), -1, codes).astype(np.int64)


def _require_complete(whole: Table, name: str, gaps: np.ndarray, key: str) -> None:
    """Refuse missing values in a column that decides on the split.

    Raises:
        DataError: there are some.
    """
    rows = np.flatnonzero(gaps)
    if not len(rows):
        return
    are, first = ("is", "") if len(rows) == 1 else ("are", "the first ")
    raise DataError(
        f"{whole.source}: column {quote(name)}: {counted(len(rows), 'value')} {are} missing, "
        f"{first}{whole.position(int(rows[0]))}, and it is in data.{key}",
        hint="fill them in or remove these rows",
    )


# ------------------------------------------------------------------------------------------ copies


def _hash_rows(whole: Table, names: Sequence[str], rows: np.ndarray) -> NDArray[np.int64]:
    """Hash of each row, 63 bits, equal for rows of equal values."""
    found = np.zeros(len(rows), np.uint64)
    for name in names:
        values = whole.column(name).values[rows]
        own = np.where(values == 0, 0, values).astype(np.float64).view(np.uint64)
        found = (found ^ own) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return (found >> np.uint64(1)).astype(np.int64)
