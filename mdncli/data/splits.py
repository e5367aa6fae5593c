"""Splits of the rows into training, validation and test rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdncli.data import table
from mdncli.data.naming import quote
from mdncli.data.streams import stream
from mdncli.errors import DataError

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
    """

    train: RowNumbers
    validation: RowNumbers
    test: RowNumbers
    share: float = 0.0

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
        return Split(*subsets, share=self.share)


def by_share(
    rows: int, validation: OptionalShare, test: float, seed: int, source: str = "table"
) -> Split:
    """Draw validation and test rows at random; the others train.

    Args:
        rows: how many rows there are.
        validation: share of all rows, at least one row unless it is 0; or None, see
            `validation_rows`.
        test: likewise a share.
        seed: of the data; the same rows and shares give the same split.
        source: name of the data in messages.

    Raises:
        DataError: too few rows are left to train on.

    >>> [len(subset) for subset in by_share(100, 0.15, 0.2, seed=0)]
    [65, 15, 20]
    """
    order = stream(seed, "split").permutation(rows)
    tested = _count(rows, test)
    others = rows - tested
    chosen = tested + (validation_rows(others) if validation is None else _count(rows, validation))
    held_out = f"{chosen - tested} for validation and {tested} for testing"
    _require(rows - chosen, source, f"of {rows} rows after {held_out}")
    share = (chosen - tested) / rows
    return _sort(order[chosen:], order[tested:chosen], order[:tested], share)


def by_file(path: str | Path, rows: int, split: int, validation: OptionalShare, seed: int) -> Split:
    """Read the test rows from a table with a row per data row and a column per split.

    Args:
        path: the table; 1 marks a test row, 0 any other.
        rows: how many rows the data has.
        split: which column, counted from 0.
        validation: share of the rows that are not tested; or None, see `validation_rows`.
        seed: of the data; draws the validation rows.

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
    chosen = validation_rows(len(others), validation)
    _require(len(others) - chosen, given.source, f"in split {split}")
    return _sort(others[chosen:], others[:chosen], test, chosen / len(others))


def by_fold(
    rows: int, folds: int, fold: int, validation: OptionalShare, seed: int, source: str = "table"
) -> Split:
    """Split the rows into folds of nearly equal size, one of which is the test rows.

    Args:
        rows: how many rows there are.
        folds: number of subsets, at least 2.
        fold: which of them is tested, counted from 0.
        validation: share of the rows that are not tested; or None, see `validation_rows`.
        seed: of the data.
        source: name of the data in messages.

    Raises:
        DataError: there are fewer rows than folds, or too few to train on.

    >>> [by_fold(7, 3, fold, validation=0.2, seed=1).test.tolist() for fold in range(3)]
    [[0, 1, 6], [4, 5], [2, 3]]
    """
    if not 2 <= folds <= rows:
        raise DataError(
            f"{source}: {rows} rows cannot make {folds} folds", hint=f"choose 2 to {rows}"
        )
    subsets = np.array_split(stream(seed, "folds").permutation(rows), folds)
    others = np.concatenate([subset for i, subset in enumerate(subsets) if i != fold])
    others = stream(seed, "folds", fold).permutation(others)
    chosen = validation_rows(len(others), validation)
    _require(len(others) - chosen, source, f"in a fold of {rows} rows")
    return _sort(others[chosen:], others[:chosen], subsets[fold], chosen / len(others))


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
