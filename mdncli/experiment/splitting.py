"""Split of a table's rows as its config bounds it, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdncli.config import FileData
from mdncli.data import splits
from mdncli.data.encoding import Encoding, resolution
from mdncli.data.layout import MISSING
from mdncli.data.naming import quote
from mdncli.data.spelling import PLAIN
from mdncli.data.splits import FREE, Bounds, Split
from mdncli.data.table import Table
from mdncli.data.weights import checked
from mdncli.errors import DataError
from mdncli.events import Note, Warned
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.data.profile import Profile
    from mdncli.experiment.columns import ColumnChoice

COMPARED_ROWS = 200_000
"""Most rows among which copies are searched unasked; among more they matter little."""

LEAST_GROUPS = 3
"""Fewest groups that can be kept whole: one for each part of a split."""

SIFTED_ROWS = 20_000
"""About how many different rows tell how likely equal ones are."""

RARE = 0.01
"""Probability that a column agrees in two rows up to which it counts as continuous."""

SUSPICIOUS = 10
"""Ratio of equal pairs of rows to those expected by chance from which they are no coincidence."""


def split_rows(data: FileData, whole: Table, names: Sequence[str], used: np.ndarray) -> Split:
    """Split the rows of a table.

    Without groups and order, training copies of validation rows validate, too. Rows of weight 0
    neither train nor validate.

    Args:
        data: the config.
        whole: all rows; a file of splits has lines for all of them.
        names: the inputs and targets.
        used: mask of the rows that are split, (N,).

    Raises:
        DataError: the split is impossible, a column that it needs is absent or has gaps, or a
            weight is none.
    """
    share, source = data.validation_share, whole.source
    bounds, together = _bounds(data, whole, names, used)
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
    split = replace(split, together=together)
    if data.weight is None:
        return split
    return split.without_weightless(checked(whole, data.weight, used), source, data.weight)


def notes(
    data: FileData, columns: ColumnChoice, split: Split, encoding: Encoding
) -> Iterator[Note | Warned]:
    """Notes on the split of a table's rows.

    Args:
        data: the config.
        columns: the columns in use.
        split: of their rows.
        encoding: of the columns in use.
    """
    whole = columns.table
    if data.group is not None:
        yield from _group_notes(data.group, data, whole, split)
    elif columns.profile is not None and data.splits is None and not data.columns:
        yield from _owner_note(columns.profile, whole, encoding)
    yield from _copy_notes(data, whole, split, [*encoding.inputs, *encoding.targets])
    if data.order is not None and len(split.test):
        yield _order_note(data.order, data, whole, split)
    if split.weightless:
        yield Note(
            f"{Path(whole.source).name}: {counted(split.weightless, 'row')} of weight 0 by "
            f"{quote(str(data.weight))} neither train nor validate"
        )
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


def _owner_note(seen: Profile, whole: Table, encoding: Encoding) -> Iterator[Warned]:
    from mdncli.data.profile import repeats

    owners = [name for name in encoding.inputs if repeats(seen.columns[name])]
    if owners:
        name = owners[0]
        yield Warned(
            f"{Path(whole.source).name}: {quote(name)} repeats ({seen.columns[name].reason}): if "
            f"the rows of one belong together, 'data.group={name}' keeps them on one side of the "
            "split"
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


def _bounds(
    data: FileData, whole: Table, names: Sequence[str], used: np.ndarray
) -> tuple[Bounds, bool]:
    """Bounds on the split of all rows, and whether they keep copies together.

    Rows that are not used have none.
    """
    found = FREE if data.group is None else _grouped(data.group, data, whole, used)
    kept = _with_copies(found, data, whole, names, used)
    together = kept is not None
    found = found if kept is None else kept
    if data.order is not None:
        times = _times(data.order, data, whole)
        _require_complete(whole, data.order, np.isnan(times) & used, "order")
        times = np.where(used, times, -np.inf)
        unit, where = "different value", f" of column {quote(data.order)}"
        if data.group is not None:
            unit, where = "group", f"{found.where}, in the order of their latest rows"
        found = replace(found, times=times, unit=unit, where=where)
    return found, together


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
    # Few runs need it, so that the others need not wait for this import.
    from mdncli.data.profile import profile

    each = profile(replace(whole, contents={name: column}), asked=asked).columns[name]
    read = whole.read_as({} if each.spelling == PLAIN else {name: each.spelling}, {})
    if each.fault or not read.spells_numbers(name).all():
        raise DataError(
            f"{whole.source}: column {quote(name)} gives rows no order: "
            f"{each.fault or 'it holds neither numbers nor dates'}",
            hint=""
            if each.fault and "data.columns" in each.fault
            else "correct it, or say its kind in data.columns",
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


def _with_copies(
    bounds: Bounds, data: FileData, whole: Table, names: Sequence[str], used: np.ndarray
) -> Bounds | None:
    """Bounds that keep copies together, too; None where they are drawn like other rows."""
    asked, rows = data.asked_copies, np.flatnonzero(used)
    # The past may hold copies of the future, and a given split is nobody's to change unasked.
    unasked = data.order is None and data.splits is None and whole.rows <= COMPARED_ROWS
    if asked == "apart" or (asked is None and not unasked):
        return None
    alike = _hash_rows(whole, names, rows)
    if asked is None and not unlikely_by_chance(whole, names, rows, alike):
        return None
    blocks = np.arange(whole.rows)
    blocks[rows] = np.unique(alike, return_inverse=True)[1]
    blocks[~used] += whole.rows
    unit, where = "different row", ""
    if bounds.blocks is not None:
        blocks = join_blocks(bounds.blocks, blocks)
        unit, where = "group", f"{bounds.where} without copies in another"
    if asked is None and len(np.unique(blocks[rows])) < max(LEAST_GROUPS, (data.folds or 0) + 1):
        return None
    return Bounds(blocks, unit=unit, where=where)


def join_blocks(one: np.ndarray, other: np.ndarray) -> NDArray[np.int64]:
    """Smallest blocks that part no block of two divisions of the rows, (N,).

    >>> join_blocks(np.array([0, 0, 1, 1, 2]), np.array([5, 6, 6, 7, 8])).tolist()
    [0, 0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.unique(each, return_inverse=True)[1] for each in (one, other))
    shift = int(first.max(initial=-1)) + 1
    size = shift + int(second.max(initial=-1)) + 1
    links = coo_array((np.ones(len(first), np.bool_), (first, second + shift)), (size, size))
    return connected_components(links, directed=False)[1][first].astype(np.int64)


def unlikely_by_chance(
    whole: Table, names: Sequence[str], rows: np.ndarray, alike: np.ndarray
) -> bool:
    """True if some rows are equal, and that many are no coincidence.

    Rows of a few categories or ratings are equal by chance. So at least half of the columns must
    rarely agree in two rows, and there must be many more equal pairs than if half of the columns
    followed from the others and the rest were independent.

    Args:
        whole: all rows.
        names: the columns in use.
        rows: the rows in use, (n,).
        alike: a number for each of them, equal for equal rows, (n,).
    """
    _, first, counts = np.unique(alike, return_index=True, return_counts=True)
    pairs = float(np.sum(counts * (counts - 1.0))) / 2
    if not pairs or len(first) < LEAST_GROUPS:
        return False
    different = rows[np.sort(first)]
    different = different[:: 1 + len(different) // SIFTED_ROWS]
    chances = np.array([_chance(whole, name, different) for name in names])
    if np.mean(chances <= RARE) < 0.5:
        return False
    expected = len(rows) * (len(rows) - 1.0) / 2 * float(np.sqrt(np.prod(chances)))
    return pairs > SUSPICIOUS * expected


def _chance(whole: Table, name: str, rows: np.ndarray) -> float:
    """Approximate probability that a column agrees in two different rows.

    It is what is seen in rows without copies, or, if larger, that of as many equally likely values
    as the resolution of the column has room for.
    """
    column = whole.column(name)
    values = column.values[rows]
    counts = np.unique(values, return_counts=True)[1]
    seen = float(np.sum(counts * (counts - 1.0))) / (len(rows) * (len(rows) - 1.0))
    room = float(len(counts))
    if column.kind == "numeric":
        finite = values[np.isfinite(values)].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            width = float(np.nan_to_num(np.std(finite))) * 12**0.5 if len(finite) else 0.0
        room = max(room, 1 + width / resolution(finite).gap)
    return max(seen, 1 / room)


def _copy_notes(data: FileData, whole: Table, split: Split, names: Sequence[str]) -> Iterator[Note]:
    """Note on test rows that also stand in training, and on copies that are kept together."""
    if whole.rows > COMPARED_ROWS and not split.together:
        return
    train, validation, test = (_hash_rows(whole, names, rows) for rows in split)
    both, file = int(np.count_nonzero(np.isin(test, train))), Path(whole.source).name
    where = "test rows" if data.folds is None else f"test rows of fold {data.fold}"
    if split.together:
        counts = np.unique(np.concatenate([train, validation, test]), return_counts=True)[1]
        if copies := int(counts[counts > 1].sum()):
            seen = f"{both or 'none'} of {len(test):,} {where} also stand"
            yield Note(
                f"{file}: {copies:,} of {int(counts.sum()):,} rows equal another one in all inputs "
                f"and targets; data.copies keeps copies together, so {seen} in training"
            )
    elif both:
        remedy = "; data.copies=together keeps them on one side"
        yield Note(
            f"{file}: {both:,} of {len(test):,} {where} also stand in training, equal in all "
            f"inputs and targets{remedy if data.splits is None else ''}"
        )


def _hash_rows(whole: Table, names: Sequence[str], rows: np.ndarray) -> NDArray[np.int64]:
    """Hash of each row, 63 bits, equal for rows of equal values."""
    found = np.zeros(len(rows), np.uint64)
    for name in names:
        values = whole.column(name).values[rows]
        own = np.where(values == 0, 0, values).astype(np.float64).view(np.uint64)
        found = (found ^ own) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return (found >> np.uint64(1)).astype(np.int64)
