"""Splits of the rows into training, validation and test rows.

Rows are drawn one by one, or in whole blocks of rows that belong together, or cut off at the end of
an order in time; see `Bounds`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdncli.data import table
from mdncli.data.naming import quote
from mdncli.data.streams import stream
from mdncli.data.weights import require_some
from mdncli.errors import DataError
from mdncli.wording import counted

RowNumbers: TypeAlias = NDArray[np.int64]

OptionalShare: TypeAlias = float | None
"""Share of the rows; None for the default of `validation_rows`."""

VALIDATION_SHARE = 0.06
"""Default share of validation rows: enough to choose the best step, few enough to be spared in
training."""

FEW_VALIDATED, MANY_VALIDATED = 30, 5000
"""Bounds on the default number of validation rows; the lower one is at most a fifth of the rows."""

MOST_COPIES = 3
"""Mean number of copies of a validation row up to which they count as duplicated entries."""

LEAST_TRAINING_ROWS = 2
"""Least number of training rows, for a standard deviation to exist."""


@dataclass(frozen=True)
class Split:
    """Row numbers in increasing order; no row is in two of the subsets.

    Args:
        train: rows that the model and its encoding are fitted to.
        validation: rows that choose the best step.
        test: rows for scoring only.
        share: the share of the rows by which the validation rows were drawn; of all rows where
            test rows are a share, too, and of the others where they are given.
        later: number of rows in no subset because they are later than the test rows of a fold.
        together: whether rows that are equal in all columns are in one subset.
        weightless: number of rows in no subset because they would train or validate with a weight
            of 0.
    """

    train: RowNumbers
    validation: RowNumbers
    test: RowNumbers
    share: float = 0.0
    later: int = 0
    together: bool = False
    weightless: int = 0

    def __iter__(self) -> Iterator[RowNumbers]:
        return iter((self.train, self.validation, self.test))

    def without_duplicates(self, alike: Callable[[RowNumbers], NDArray[np.int64]]) -> Split:
        """Move training duplicates of validation rows into validation (prevents leakage).

        With copies on both sides, an overfitted network has a good validation score. Where more
        than `MOST_COPIES` per validation row would be moved, rows are equal because values are
        coarse, and nothing is moved.

        Args:
            alike: function that gives each row a number, equal for copies.

        >>> rows = np.array([7, 7, 8, 9, 9])
        >>> split = Split(np.array([1, 2, 3]), np.array([0]), np.array([4]))
        >>> split.without_duplicates(lambda i: rows[i]).train
        array([2, 3])
        """
        twins = np.isin(alike(self.train), alike(self.validation))
        moved = self.train[twins]
        if not len(moved) or len(moved) > MOST_COPIES * len(self.validation):
            return self
        if len(self.train) - len(moved) < LEAST_TRAINING_ROWS:
            return self
        joined = np.concatenate([self.validation, moved])
        return _sort(self.train[~twins], joined, self.test, self.share)

    def restrict(self, kept: NDArray[np.bool_], source: str = "table") -> Split:
        """The split without the rows that are not kept, such as those with missing values.

        Args:
            kept: one truth value for each row of the table, (N,).
            source: name of the table in messages.

        Raises:
            DataError: too few training rows are left, or none of another subset that had some.
        """
        subsets = [rows[kept[rows]] for rows in self]
        for name, before, after in zip(
            ("validation", "test"), [*self][1:], subsets[1:], strict=True
        ):
            if len(before) and not len(after):
                raise DataError(
                    f"{source}: no {name} row is left of {len(before)}, all miss a value",
                    hint="set data.missing to impute, or split in another way",
                )
        _require(len(subsets[0]), source, "without the rows that miss a value")
        return replace(self, train=subsets[0], validation=subsets[1], test=subsets[2])

    def without_weightless(self, weights: NDArray[np.float64], source: str, name: str) -> Split:
        """The split without training and validation rows of weight 0, which count for nothing.

        Test rows of weight 0 stay: they are predicted like the others.

        Args:
            weights: of each row of the table, (N,).
            source: name of the table in messages.
            name: column of the weights.

        Raises:
            DataError: every row of a subset has a weight of 0, or too few training rows are left.

        >>> split = Split(np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6]))
        >>> left = split.without_weightless(np.array([1, 2, 0, 0, 1, 0, 1.0]), "t.csv", "w")
        >>> [rows.tolist() for rows in left], left.weightless
        ([[0, 1], [4], [5, 6]], 2)
        """
        for rows, what in zip(self, ("training", "validation", "test"), strict=True):
            require_some(weights[rows], source, name, f"{what} row")
        train, validation = (rows[weights[rows] > 0] for rows in (self.train, self.validation))
        _require(len(train), source, "with a weight above 0")
        weightless = len(self.train) + len(self.validation) - len(train) - len(validation)
        return replace(self, train=train, validation=validation, weightless=weightless)


@dataclass(frozen=True)
class Bounds:
    """Bounds on the split of some rows.

    Without an order blocks are drawn at random; their parts hold as nearly the asked number of rows
    as whole blocks allow. With an order the latest rows are cut off, and a block lies where its
    latest row lies; rows of one time are never parted.

    Args:
        blocks: number of the block of each row, (N,): rows of one block are in one subset. None
            without blocks.
        times: position of each row in time, (N,), in any unit. None without an order.
        unit: noun for a block, or for a time, in messages.
        where: end of the noun phrase in messages, such as ` of column 'patient'`.

    >>> Bounds(np.array([4, 4, 7]))[np.array([0, 2])].blocks
    array([4, 7])
    """

    blocks: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None
    unit: str = "block"
    where: str = ""

    @property
    def free(self) -> bool:
        """True if every row may be in any subset."""
        return self.blocks is None and self.times is None

    def __getitem__(self, rows: RowNumbers) -> Bounds:
        blocks, times = (None if each is None else each[rows] for each in (self.blocks, self.times))
        return replace(self, blocks=blocks, times=times)

    def count(self, number: int) -> str:
        """A number of blocks or times in words."""
        return f"{counted(number, self.unit)}{self.where}"


FREE = Bounds()
"""No bounds."""


def by_share(
    rows: int,
    validation: OptionalShare,
    test: float,
    seed: int,
    source: str = "table",
    bounds: Bounds = FREE,
) -> Split:
    """Draw validation and test rows at random; the others train.

    Args:
        rows: how many rows there are.
        validation: share of all rows, at least one row unless it is 0; or None, see
            `validation_rows`.
        test: likewise a share.
        seed: of the data; the same rows and shares give the same split.
        source: name of the data in messages.
        bounds: bounds on the split of these rows.

    Raises:
        DataError: too few rows or blocks are left to train on.

    >>> [len(subset) for subset in by_share(100, 0.15, 0.2, seed=0)]
    [65, 15, 20]
    >>> [subset.tolist() for subset in by_share(6, 0.2, 0.3, 0, bounds=Bounds(times=np.arange(6)))]
    [[0, 1, 2], [3], [4, 5]]
    """
    if not bounds.free:
        return _by_bounded_share(rows, validation, test, seed, source, bounds)
    order = stream(seed, "split").permutation(rows)
    tested = _count(rows, test)
    others = rows - tested
    chosen = tested + (validation_rows(others) if validation is None else _count(rows, validation))
    held_out = f"{chosen - tested} for validation and {tested} for testing"
    _require(rows - chosen, source, f"of {rows} rows after {held_out}")
    share = (chosen - tested) / rows
    return _sort(order[chosen:], order[tested:chosen], order[:tested], share)


def by_file(
    path: str | Path,
    rows: int,
    split: int,
    validation: OptionalShare,
    seed: int,
    bounds: Bounds = FREE,
) -> Split:
    """Read the test rows from a table with a row per data row and a column per split.

    Args:
        path: the table; 1 marks a test row, 0 any other.
        rows: how many rows the data has.
        split: which column, counted from 0.
        validation: share of the rows that are not tested; or None, see `validation_rows`.
        seed: of the data; draws the validation rows.
        bounds: bounds on the split of the other rows; the test rows are those that are given.

    Raises:
        DataError: the table does not fit the data, has no such column, holds anything but 0 and 1,
            marks no row, or leaves too few rows to train on.
    """
    given = table.read(path)
    if given.rows != rows:
        raise DataError(f"{given.source}: has {given.rows} rows, but the data has {rows}")
    count = len(given.columns)
    if not 0 <= split < count:
        raise DataError(
            f"{given.source}: has {count} splits, so there is no split {split}",
            hint=f"count from 0 to {count - 1}",
        )
    name = given.columns[split]
    marks = given.numbers(name)
    wrong = np.flatnonzero((marks != 0) & (marks != 1))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{given.place(row, name)}: {marks[row]:g} is neither 0 (train) nor 1 (test)"
        )
    test = np.flatnonzero(marks)
    if not len(test):
        raise DataError(f"{given.source}: column {quote(name)} marks no row as test")
    others = stream(seed, "split").permutation(np.flatnonzero(marks == 0))
    return _validate(others, test, validation, bounds, given.source, f"in split {split}")


def by_fold(
    rows: int,
    folds: int,
    fold: int,
    validation: OptionalShare,
    seed: int,
    source: str = "table",
    bounds: Bounds = FREE,
) -> Split:
    """Split the rows into folds of nearly equal size, one of which is the test rows.

    In an order of time there is one more subset: the first one is only trained on, and each fold
    trains on all that is before its test rows.

    Args:
        rows: how many rows there are.
        folds: number of subsets, at least 2.
        fold: which of them is tested, counted from 0.
        validation: share of the rows that are not tested; or None, see `validation_rows`.
        seed: of the data.
        source: name of the data in messages.
        bounds: bounds on the split of these rows.

    Raises:
        DataError: there are fewer rows or blocks than folds, or too few to train on.

    >>> [by_fold(7, 3, fold, validation=0.2, seed=1).test.tolist() for fold in range(3)]
    [[0, 1, 6], [4, 5], [2, 3]]
    >>> rolled = by_fold(9, 2, fold=0, validation=0.2, seed=1, bounds=Bounds(times=np.arange(9)))
    >>> [subset.tolist() for subset in rolled], rolled.later
    ([[0, 1], [2], [3, 4, 5]], 3)
    """
    if bounds.times is not None:
        return _by_window(folds, fold, validation, source, bounds)
    if not 2 <= folds <= rows:
        raise DataError(
            f"{source}: {rows} rows cannot make {folds} folds", hint=f"choose 2 to {rows}"
        )
    order = stream(seed, "folds").permutation(rows)
    if bounds.blocks is None:
        subsets = np.array_split(order, folds)
    else:
        subsets = _deal_blocks(order, folds, source, bounds)
    others = np.concatenate([subset for i, subset in enumerate(subsets) if i != fold])
    others = stream(seed, "folds", fold).permutation(others)
    where = f"in a fold of {rows} rows"
    return _validate(others, subsets[fold], validation, bounds, source, where)


def split_count(path: str | Path) -> int:
    """Number of splits in a table of splits."""
    return len(table.read(path).columns)


def validation_rows(rows: int, share: OptionalShare = None) -> int:
    """Number of validation rows among the rows that are not test rows.

    >>> [validation_rows(rows) for rows in (20, 250, 1000, 20_000, 1_000_000)]
    [4, 30, 60, 1200, 5000]
    """
    if share is not None:
        return _count(rows, share)
    least = min(FEW_VALIDATED, max(1, rows // 5))
    return min(MANY_VALIDATED, max(least, _count(rows, VALIDATION_SHARE)))


# ------------------------------------------------------------------------ whole blocks, and times


def _validate(
    others: RowNumbers,
    test: RowNumbers,
    validation: OptionalShare,
    bounds: Bounds,
    source: str,
    where: str,
) -> Split:
    """The split with these test rows; the validation rows are the first of the others, or bound."""
    chosen = validation_rows(len(others), validation)
    if bounds.free:
        held, kept = others[:chosen], others[chosen:]
    else:
        held, kept = _hold_out(others, chosen, 1, source, bounds, f" left {where}")
    _require(len(kept), source, where)
    return _sort(kept, held, test, chosen / len(others))


def _by_bounded_share(
    rows: int, validation: OptionalShare, test: float, seed: int, source: str, bounds: Bounds
) -> Split:
    order = stream(seed, "split").permutation(rows)
    spared = 1 if validation == 0 else 2
    tested, others = _hold_out(order, _count(rows, test), spared, source, bounds)
    chosen = validation_rows(len(others)) if validation is None else _count(rows, validation)
    held, kept = _hold_out(others, chosen, 1, source, bounds)
    _require(len(kept), source, f"of {rows} rows")
    return _sort(kept, held, tested, chosen / rows)


def _hold_out(
    order: RowNumbers, wanted: int, spared: int, source: str, bounds: Bounds, where: str = ""
) -> tuple[RowNumbers, RowNumbers]:
    """Rows of whole blocks, as nearly a number of them as blocks allow, and the other rows.

    Args:
        order: the rows, in the order in which they are drawn.
        wanted: how many are wanted; at least one block is taken for any.
        spared: how many blocks are left over at least.
        source: name of the data in messages.
        bounds: on the split of all rows.
        where: end of the message if there are too few.

    Raises:
        DataError: there are too few blocks.
    """
    if not wanted:
        return order[:0], order
    of = _blocks_drawn(order, bounds) if bounds.times is None else _times_back(bounds[order])
    sizes = np.bincount(of)
    most = len(sizes) - spared
    if most < 1:
        raise DataError(
            f"{source}: {bounds.count(len(sizes))}{where}: too few to divide into training, "
            "validation and test rows",
            hint="choose another split of the rows",
        )
    if bounds.times is None:
        taken = _nearest_blocks(sizes, wanted)[:most]
    else:
        taken = np.arange(_nearest_end(sizes[:most], wanted))
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[taken] = True
    held = chosen[of]
    return order[held], order[~held]


def _blocks_drawn(order: RowNumbers, bounds: Bounds) -> NDArray[np.int64]:
    """Number of each row's block, from 0, in the order in which the blocks are drawn.

    A block is drawn with its first row of the table, so that large ones are drawn no sooner than
    others, and blocks of one row are drawn as rows are.
    """
    assert bounds.blocks is not None
    rows = np.sort(order)
    _, first, of = np.unique(bounds.blocks[rows], return_index=True, return_inverse=True)
    of_row = np.empty(rows[-1] + 1, np.int64)
    of_row[rows] = of
    is_first = np.zeros(rows[-1] + 1, np.bool_)
    is_first[rows[first]] = True
    drawn = of_row[order[is_first[order]]]
    number = np.empty(len(first), np.int64)
    number[drawn] = np.arange(len(first))
    return number[of_row[order]]


def _times_back(bounds: Bounds) -> NDArray[np.int64]:
    """Number of each row's time, from 0 for the latest; of a block, that of its latest row."""
    assert bounds.times is not None
    latest = bounds.times.astype(np.float64)
    if bounds.blocks is not None:
        _, of = np.unique(bounds.blocks, return_inverse=True)
        last = np.full(of.max(initial=-1) + 1, -np.inf)
        np.maximum.at(last, of, latest)
        latest = last[of]
    return np.unique(-latest, return_inverse=True)[1].astype(np.int64)


def _nearest_blocks(sizes: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Blocks with nearly so many rows, at least one: in turn, but for those that do not fit in.

    >>> _nearest_blocks(np.array([3, 9, 2, 2]), 6), _nearest_blocks(np.array([9, 8]), 3)
    (array([0, 2]), array([1]))
    """
    taken = [np.arange(0)]
    left, rest = wanted, np.arange(len(sizes))
    while len(rest := rest[sizes[rest] <= left]):
        fitting = int(np.searchsorted(np.cumsum(sizes[rest]), left, side="right"))
        taken.append(rest[:fitting])
        rest = rest[fitting:]
        left -= int(sizes[taken[-1]].sum())
    chosen = np.concatenate(taken)
    others = np.ones(len(sizes), np.bool_)
    others[chosen] = False
    if others.any():
        smallest = int(np.argmin(np.where(others, sizes, sizes.max() + 1)))
        if not len(chosen) or sizes[smallest] < 2 * left:
            chosen = np.append(chosen, smallest)
    return chosen


def _nearest_end(sizes: NDArray[np.int64], wanted: float) -> int:
    """Number of blocks, at least one, whose rows are nearest to a number.

    >>> _nearest_end(np.array([3, 9, 2]), 5), _nearest_end(np.array([3, 9, 2]), 0)
    (1, 1)
    """
    return 1 + int(np.argmin(np.abs(np.cumsum(sizes) - wanted)))


def _deal_blocks(
    order: RowNumbers, folds: int, source: str, bounds: Bounds
) -> list[NDArray[np.int64]]:
    """Rows of each fold, nearly equally many: each block, large ones first, to the smallest fold.

    Raises:
        DataError: there are fewer blocks than folds.
    """
    of = _blocks_drawn(order, bounds)
    sizes = np.bincount(of)
    if len(sizes) < folds:
        raise DataError(
            f"{source}: {bounds.count(len(sizes))} cannot make {folds} folds",
            hint=f"choose 2 to {len(sizes)}",
        )
    smallest = [(0, fold) for fold in range(folds)]
    fold_of = np.empty(len(sizes), np.int64)
    for block in np.argsort(-sizes, kind="stable").tolist():
        rows, fold = smallest[0]
        fold_of[block] = fold
        heapq.heapreplace(smallest, (rows + int(sizes[block]), fold))
    return [order[fold_of[of] == fold] for fold in range(folds)]


def _by_window(
    folds: int, fold: int, validation: OptionalShare, source: str, bounds: Bounds
) -> Split:
    """Train on all rows before those of a fold, the latest of which validate."""
    back = _times_back(bounds)
    sizes = np.bincount(back)[::-1]
    of = len(sizes) - 1 - back
    if len(sizes) < folds + 2:
        most = len(sizes) - 2
        raise DataError(
            f"{source}: {bounds.count(len(sizes))} cannot make {folds} folds and rows before them",
            hint=f"choose 2 to {most}" if most >= 2 else "divide the rows in another way",
        )
    # The first subset is of two times at least: one to train on, and one to validate on.
    ends = [1]
    for number in range(1, folds + 1):
        most = len(sizes) - (folds - number) - 1
        near = _nearest_end(sizes, len(of) * number / (folds + 1))
        ends.append(min(max(near, ends[-1] + 1), most))
    first, after = [*ends[1:], len(sizes)][fold : fold + 2]
    test = np.flatnonzero((of >= first) & (of < after))
    where = f"before fold {fold}"
    split = _validate(np.flatnonzero(of < first), test, validation, bounds, source, where)
    return replace(split, later=int(np.count_nonzero(of >= after)))


def _count(rows: int, share: float) -> int:
    return max(1, round(share * rows)) if share > 0 else 0


def _require(training: int, source: str, where: str) -> None:
    if training < LEAST_TRAINING_ROWS:
        raise DataError(
            f"{source}: too few rows: {max(training, 0)} left to train on {where}",
            hint="add rows or make data.validation and data.test smaller",
        )


def _sort(train: RowNumbers, validation: RowNumbers, test: RowNumbers, share: float) -> Split:
    subsets = (np.sort(subset).astype(np.int64) for subset in (train, validation, test))
    return Split(*subsets, share=share)
