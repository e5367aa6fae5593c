"""Fit the encoders of columns to the training rows, and refuse invalid columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mdncli.data.codes import Codes
from mdncli.data.column import Column
from mdncli.data.features import (
    PERIODS,
    Classes,
    Input,
    Scaled,
    as_text,
    fault,
    standardise,
)
from mdncli.data.naming import quote
from mdncli.data.outliers import SIFTED, Outliers, outliers
from mdncli.data.spelling import PLAIN
from mdncli.data.table import Table
from mdncli.density.arrays import Array, Rows
from mdncli.errors import DataError
from mdncli.transforms import TRANSFORMS

MOST_CATEGORIES = 1000
"""Most categories of a text column that are told apart; of more, the rarer ones are pooled."""

LEAST_ROWS = 3
"""Fewest training rows of a category that has a feature of its own; rarer ones share one."""

SHORTEST_SPAN = {"year": PERIODS["year"], "week": 2 * PERIODS["week"], "day": 2 * PERIODS["day"]}
"""Shortest time from the first to the last training row in which a cycle can be seen."""

MOST_SPACING = 0.5
"""Largest typical distance of two dates, as a share of a period, that still shows its cycle."""

FAR_INPUTS = "networks are shown only the logarithm of how far away they are"
"""Treatment of the values of an input that lie far from all others."""

FAR_TARGETS = "networks do not learn from such rows, one component for all rows predicts them"
"""Treatment of rows whose target lies far from all others."""

_NAMED_COLUMNS = 5

_Column = TypeVar("_Column", Scaled, Input)


@dataclass(frozen=True)
class Fit:
    """Fit of encoders to the columns of one table.

    Args:
        table: the data.
        training: numbers of the training rows.
        used: all rows that are in use; their values are checked.
        imputes: whether inputs may miss values.
        bins: most codes of a number; 0 for none.
        frequency: of periodic codes; None for piecewise-linear ones.
        warnings: collects warnings for the user.
        outlying: collects the columns of which a few values carry the spread, with their number.
    """

    table: Table
    training: NDArray[np.int64]
    used: Rows
    imputes: bool
    bins: int = 0
    frequency: float | None = None
    warnings: list[str] = field(default_factory=list)
    outlying: dict[str, int] = field(default_factory=dict)

    def is_number(self, name: str) -> bool:
        """True if a column that is no category is shown as a number, of which there are codes."""
        spelling = self.table.spellings.get(name, PLAIN)
        numeric = self.table.column(name).kind == "numeric" or spelling != PLAIN
        return numeric and not spelling.cyclic

    def _codes(self, shown: NDArray[np.float64]) -> Codes:
        """Codes of a number, from its standardised training values."""
        if self.frequency is None:
            return Codes.fit(shown, self.bins)
        return Codes.fit_periodic(shown, self.bins, self.frequency)

    def fit_input(self, name: str, categorical: bool, transform: str) -> Input:
        """Fit the encoder of an input column.

        Raises:
            DataError: it cannot be.
        """
        kind = self.table.column(name).kind
        spelling = self.table.spellings.get(name, PLAIN)
        if spelling.cyclic and not categorical:
            if transform == "identity":
                return self._date(name)
        elif (kind == "numeric" or spelling != PLAIN) and not categorical:
            column = self.fit_scaled(name, transform, Input)
            shown = np.empty(len(training := self._training(name)), np.float32)
            standardise(column, training, shown)
            return replace(
                column,
                codes=self._codes(shown.astype(np.float64)),
                **self._imputation(name, np.median),
            )
        if transform != "identity":
            raise DataError(
                f"{self.table.source}: column {quote(name)} is not numeric",
                hint=f"leave out its transform {transform!r}",
            )
        if kind == "boolean" and not categorical:
            training = self._training(name)
            if training.min() == training.max():
                self._warn_constant(name, "true" if training[0] else "false")
            return Input(name, kind="boolean", **self._imputation(name, _majority))
        if not categorical:
            refuse_stray_text(self.table, name)
        return self._categorical(name)

    def fit_scaled(self, name: str, transform: str, cls: type[_Column]) -> _Column:
        """Fit the scaling of a numeric column.

        Args:
            name: the column.
            transform: a key of `TRANSFORMS`.
            cls: `Input`, or `Scaled` for a target.

        Raises:
            DataError: a value cannot be transformed or is too large, or no training row has one.
        """
        if transform not in TRANSFORMS:
            raise DataError(
                f"{self.table.source}: column {quote(name)}: no transform {transform!r}",
                hint=f"choose from {', '.join(TRANSFORMS)}",
            )
        target = cls is Scaled
        training = self._training(name)
        column = cls(name, transform, spelling=self.table.spellings.get(name, PLAIN))
        own = self.table.numbers(name, self.used)
        # Transforms are increasing, so checking the extremes is enough.
        extremes = np.array([np.fmin.reduce(own), np.fmax.reduce(own)])
        outside = TRANSFORMS[transform].mask_outside
        if outside(extremes, target=target).any():
            wrong = outside(own, target=target) & ~np.isnan(own)
            raise fault(column, self.table, self.used, own, wrong, target=target)
        near, shown = training, TRANSFORMS[transform].forward(training)
        mean, scale = self._moments(name, shown)
        found = core = None
        if transform == "identity":
            found = outliers(training, scale, extremes)
        if not target and (core := _core(shown)) is not None:
            mean, scale = self._moments(name, shown.clip(*core))
        elif target and found is not None:
            core = found.low, found.high
            near = training[(training >= found.low) & (training <= found.high)]
            mean, scale = self._moments(name, near)
        self.table.release()
        if not scale:
            self._warn_constant(name, f"{training[0]:g}")
        column = replace(column, mean=mean, scale=scale or 1.0)
        if core is not None:
            low, high = ((end - mean) / column.scale for end in core)
            column = replace(column, low=low, high=high)
        encoded = np.empty(2, np.float32)
        standardise(column, extremes, encoded)
        if not np.isfinite(encoded).all():
            wrong = own == extremes[np.argmin(np.isfinite(encoded))]
            raise fault(column, self.table, self.used, own, wrong, target=target)
        if found is not None:
            treatment = FAR_TARGETS if target else FAR_INPUTS if core is not None else ""
            self._warn_outlying(name, own, found, treatment)
        return column.bounded(near)

    def fit_classes(self, name: str, transform: str) -> Classes:
        """Collect the classes of a target column, from all its rows, so that folds agree.

        Raises:
            DataError: they are too many or too few, or are to be transformed.
        """
        column = self.table.column(name)
        if transform != "identity":
            raise DataError(
                f"{self.table.source}: column {quote(name)} holds classes, not numbers",
                hint=f"leave out its transform {transform!r}",
            )
        if column.kind == "text":
            labels = column.labels
        else:
            labels = tuple(Column.of(np.unique(column.values[~column.missing()])).texts().tolist())
        if len(labels) > MOST_CATEGORIES:
            raise DataError(
                f"{self.table.source}: column {quote(name)} has {len(labels):,} different values, "
                f"at most {MOST_CATEGORIES:,} can be classes",
                hint="set data.task to regression"
                if column.kind == "numeric"
                else "choose another target",
            )
        training = as_text(column[self.training])
        seen = {training.labels[code] for code in np.unique(training.values[training.values >= 0])}
        if len(seen) < 2:
            only = f"only the class {quote(*seen)}" if seen else "no class"
            raise DataError(
                f"{self.table.source}: column {quote(name)} has {only} in "
                f"{len(self.training):,} training rows, so there is nothing to tell apart",
                hint="choose another target" if len(labels) < 2 else "add rows of other classes",
            )
        if unseen := [label for label in labels if label not in seen]:
            occur = "occurs" if len(unseen) == 1 else "occur"
            self.warnings.append(
                f"column {quote(name)}: {len(unseen)} of its {len(labels)} classes, such as "
                f"{quote(unseen[0])}, {occur} in no training row and cannot be learned"
            )
        if 2 * len(seen) > len(self.training) > _NAMED_COLUMNS:
            self.warnings.append(
                f"column {quote(name)} has {len(seen)} classes in {len(self.training)} training "
                "rows, too few of each to learn from"
            )
        return Classes(name, column.kind, labels)

    def _training(self, name: str) -> Array:
        """Values of the training rows."""
        values = self.table.numbers(name, self.training)
        missing = np.isnan(values)
        if missing.all():
            raise DataError(
                f"{self.table.source}: column {quote(name)} has no value in the training rows",
                hint="leave it out",
            )
        return values[~missing] if missing.any() else values

    def _moments(self, name: str, values: Array) -> tuple[float, float]:
        """Mean and standard deviation, which is 0 where all values are equal."""
        # Shifted and shrunk first, so that no square overflows or loses its digits.
        centre = float(values[0])
        with np.errstate(over="ignore"):
            away = values - centre
        reach = float(max(away.max(), -away.min()))
        if not np.isfinite(reach):
            raise DataError(
                f"{self.table.source}: column {quote(name)} spans more than numbers can",
                hint="correct it, or choose a transform such as log",
            )
        away /= reach or 1.0
        mean = float(away.mean())
        away -= mean
        return centre + reach * mean, reach * math.sqrt(away @ away / len(away))

    def _imputation(self, name: str, typical: Callable[[Array], float]) -> dict[str, Any]:
        """Fill value and indicator for missing numbers of an input."""
        if not self.imputes:
            return {}
        missing = np.isnan(self.table.numbers(name, self.training)).any()
        fill = float(typical(self._training(name)))
        return {"imputes": True, "fill": fill, "indicator": bool(missing)}

    def _date(self, name: str) -> Input:
        """Fit the encoder of dates or times of day: a trend, and the cycles that can be seen."""
        spelling = self.table.spellings[name]
        training = self._training(name)
        mean, scale = self._moments(name, training)
        if not scale:
            self._warn_constant(name, "the same date")
        distinct = np.unique(training)
        kind, cycles = "time", ("day",)
        if spelling.kind == "date":
            kind, cycles = "date", tuple(cycle for cycle in PERIODS if _shows(distinct, cycle))
        return Input(
            name,
            "identity",
            mean,
            scale or 1.0,
            spelling,
            kind=kind,
            cycles=cycles,
            first=float(distinct[0]),
            last=float(distinct[-1]),
            **self._imputation(name, np.median),
        ).bounded(training)

    def _categorical(self, name: str) -> Input:
        column = as_text(self.table.column(name))
        training, used = column.values[self.training], column.values[self.used]
        known, frequency = np.unique(training[training >= 0], return_counts=True)
        if not len(known):
            raise DataError(
                f"{self.table.source}: column {quote(name)} has no value in the training rows",
                hint="leave it out",
            )
        if len(known) > MOST_CATEGORIES and 2 * len(known) > len(training):
            raise DataError(
                f"{self.table.source}: column {quote(name)} has {len(known):,} different texts in "
                f"{len(training):,} training rows, too many to be categories",
                hint="leave it out of the inputs if it identifies rows",
            )
        unseen = np.setdiff1d(used[used >= 0], known)
        # Of equally frequent ones the first in the alphabet, as `known` is sorted.
        chosen = np.sort(np.argsort(-frequency, kind="stable")[:MOST_CATEGORIES])
        common = chosen[frequency[chosen] >= LEAST_ROWS]
        if len(common) < 2:
            common = chosen
        rare = np.setdiff1d(known, known[common])
        categories = tuple(column.labels[code] for code in known[common])
        count = len(known)
        if count == 1:
            self._warn_constant(name, quote(categories[0]))
        if 2 * count > len(training) > _NAMED_COLUMNS:
            self.warnings.append(
                f"column {quote(name)} has {count} different texts in {len(training)} training "
                "rows; leave it out if it identifies them"
            )
        if len(unseen) and not len(rare):
            first = column.labels[unseen[0]]
            self.warnings.append(
                f"column {quote(name)}: {len(unseen)} of its categories, such as "
                f"{quote(first)}, occur in no training row"
            )
        return Input(
            name,
            kind="categorical",
            categories=categories,
            unseen=tuple(column.labels[code] for code in unseen),
            imputes=self.imputes,
            indicator=self.imputes and bool((training < 0).any()),
            pools=True,
            rare=tuple(column.labels[code] for code in rare),
        )

    def find_outlying(self, name: str, *, target: bool | None) -> None:
        """Warn of outlying values of a numeric column, as `fit_scaled` does.

        Args:
            name: the column, which no transform is for.
            target: whether it is a target; None where that is not decided yet.
        """
        own = self.table.numbers(name, self.used)
        training = self.table.numbers(name, self.training)
        if not len(training := training[np.isfinite(training)]):
            return
        scale = self._moments(name, training)[1]
        found = outliers(training, scale, np.array([np.fmin.reduce(own), np.fmax.reduce(own)]))
        if found is not None:
            known = target is False and _core(training) is not None
            treatment = FAR_TARGETS if target else FAR_INPUTS if known else ""
            self._warn_outlying(name, own, found, treatment)

    def _warn_outlying(self, name: str, own: Array, found: Outliers, treatment: str) -> None:
        """Warn of outlying values among those of the rows in use, (N,), and of their treatment."""
        outlying = found.mask(own)
        farthest = int(np.nanargmax(np.abs(own - (found.low + found.high) / 2)))
        row = int(np.arange(self.table.rows)[self.used][farthest])
        first = f"such as {own[farthest]:.6g} {self.table.position(row)}"
        count = self.outlying[name] = int(outlying.sum())
        self.warnings.append(found.warning(name, count, len(own), first, treatment))

    def _warn_constant(self, name: str, value: str) -> None:
        self.warnings.append(f"column {quote(name)} is {value} in every training row")


def _core(values: Array) -> tuple[float, float] | None:
    """Bounds of all values but those far from the others; None where no value is beyond them.

    They lie, on either side, as far beyond the middle 95% of the values as these span.
    """
    some = values[:: math.ceil(len(values) / SIFTED)]
    low, high = (float(end) for end in np.quantile(some, [0.025, 0.975]))
    span = high - low
    low, high = low - span, high + span
    if not 0 < span < math.inf or (values.min() >= low and values.max() <= high):
        return None
    return (low, high) if math.isfinite(high - low) else None


def _shows(distinct: Array, cycle: str) -> bool:
    """True if dates span a cycle and lie densely enough to see it."""
    period = PERIODS[cycle]
    if distinct[-1] - distinct[0] < SHORTEST_SPAN[cycle]:
        return False
    phases = np.unique(np.floor(np.mod(distinct, period) / period * 24))
    return len(phases) > 2 and float(np.median(np.diff(distinct))) <= MOST_SPACING * period


def refuse_stray_text(table: Table, name: str, *, target: bool = False) -> None:
    """Refuse a text column that is mostly numbers: it is a numeric one with invalid entries.

    Raises:
        DataError: it names the first value that is not a number.
    """
    if table.mostly_numbers(name) and not table.spells_numbers(name).all():
        hint = "correct it, leave it empty, or list the column in data.categorical"
        if target:
            hint = "correct it, or leave it empty and set data.missing to drop"
        raise DataError(table.not_a_number(name).message, hint=hint)


def refuse_gaps(
    table: Table, inputs: Sequence[str], targets: Sequence[str], *, imputes: bool
) -> None:
    """Refuse infinite numbers, and missing values that are neither imputed nor left out.

    Raises:
        DataError: there are some; it names their number in each column, the place of the first, and
            a remedy.
    """
    found, empty, imputable = [], [], True
    for name in (*inputs, *targets):
        column = table.column(name)
        missing = column.missing()
        if missing.any() and (not imputes or (name in targets and missing.all())):
            found.append(_gaps(table, name, "missing", missing))
            imputable &= name in inputs
            if missing.all():
                empty.append(name)
        if column.values.dtype.kind == "f":
            infinite = np.isinf(column.values)
            if infinite.any():
                found.append(_gaps(table, name, "infinite", infinite))
                imputable = False
        table.release()
    if not found:
        return
    more = len(found) - _NAMED_COLUMNS
    said = "; ".join(found[:_NAMED_COLUMNS]) + (f"; and {more} more columns" if more > 0 else "")
    if any(name in targets for name in empty):
        hint = "choose another target"
    elif empty:
        hint = "leave such columns out of the inputs"
    elif imputable:
        hint = "set data.missing to drop or impute, or correct them"
    elif imputes:
        hint = "set data.missing to drop: only inputs can be imputed, and nothing infinite"
    else:
        hint = "set data.missing to drop, or correct them"
    raise DataError(f"{table.source}: {said}", hint=hint)


def _gaps(table: Table, name: str, what: str, where: NDArray[np.bool_]) -> str:
    count, first = int(where.sum()), table.position(int(np.argmax(where)))
    if count == len(where):
        return f"column {quote(name)}: all {count} values are {what}"
    if count == 1:
        return f"column {quote(name)}: 1 value is {what}, {first}"
    return f"column {quote(name)}: {count} values are {what}, the first {first}"


def _majority(values: Array) -> float:
    return float(values.mean() >= 0.5)
