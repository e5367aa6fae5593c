"""Detection of a few values that carry the spread of a column, and what helps against it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mdncli.data.naming import quote
from mdncli.density.arrays import Array
from mdncli.transforms import TRANSFORMS

SIFTED = 100_000
"""Most values, evenly spaced, that quantiles are taken of."""

LEAST_RATIO = 30.0
"""Standard deviation, as a multiple of that of the middle half, from which values are outlying.

The least scale of a component is a thousandth of the standard deviation: beyond this the middle of
the values is hardly to be told from a point.
"""

TAME_RATIO = 10.0
"""Largest such multiple of a transform that is worth naming."""

FAR = 20.0
"""Distance of an outlying value from the median, in standard deviations of the middle half."""

MOST = 0.05
"""Largest share of the values that can be called outlying."""

REMEDIES = ("log", "log1p", "asinh")
"""Transforms to name, the first that applies and helps."""


@dataclass(frozen=True)
class Outliers:
    """Values of a column that carry its spread.

    Args:
        low: the values below this are outlying.
        high: the values above this are.
        std: standard deviation of all training values.
        middle: that of their middle half, as if it were a Gaussian's.
        transform: key of `TRANSFORMS` that brings the others near; None if none does.
    """

    low: float
    high: float
    std: float
    middle: float
    transform: str | None

    def mask(self, values: Array) -> NDArray[np.bool_]:
        """Mask of outlying values, (N,)."""
        return (values < self.low) | (values > self.high)

    def warning(self, name: str, count: int, of: int, first: str, treatment: str = "") -> str:
        """Warning with a remedy, in a sentence.

        Args:
            name: the column.
            count: number of outlying values among the rows in use.
            of: number of the rows in use.
            first: one of the values, and its place.
            treatment: what is done with them unless something is changed, if anything.
        """
        treatment, remedy = f"{treatment}; " if treatment else "", ""
        if self.transform is not None:
            remedy = f", or if they are right set 'data.transform={{{name}: {self.transform}}}'"
        verb, such = ("lies", "its row") if count == 1 else ("lie", "such rows")
        return (
            f"column {quote(name)}: {count:,} of {of:,} values, {first}, {verb} far from all "
            f"others: the standard deviation is {self.std:.3g}, that of the rest about "
            f"{self.middle:.3g}; {treatment}correct or leave out {such}{remedy}"
        )


def outliers(values: Array, std: float, ends: Array | None = None) -> Outliers | None:
    """Find out whether a few values carry the standard deviation of a column.

    Args:
        values: of the training rows, without missing ones, (N,).
        std: their standard deviation.
        ends: least and greatest value of all rows in use, which a transform must know, too.

    >>> few = np.append(np.linspace(0.0, 1.0, 999), 1e6)
    >>> found = outliers(few, few.std())
    >>> int(found.mask(few).sum()), found.transform
    (1, 'log1p')
    >>> outliers(few[:-1], few[:-1].std())
    """
    some = values[:: math.ceil(len(values) / SIFTED)]
    lower, median, upper = np.quantile(some, [0.25, 0.5, 0.75])
    middle = float(upper - lower) / 1.349
    if not middle or not std > LEAST_RATIO * middle:
        return None
    low, high = float(median) - FAR * middle, float(median) + FAR * middle
    found = Outliers(low, high, std, middle, None)
    if not 0 < np.count_nonzero(found.mask(values)) <= MOST * len(values):
        return None
    return replace(found, transform=_remedy(values, values if ends is None else ends))


def _remedy(values: Array, ends: Array) -> str | None:
    """The first transform under which the outlying values do not carry the spread."""
    for name in REMEDIES:
        transform = TRANSFORMS[name]
        if transform.mask_outside(ends, target=True).any():
            continue
        shown = transform.forward(values)
        low, high = np.quantile(shown, [0.25, 0.75])
        if shown.std() <= TAME_RATIO * (high - low) / 1.349:
            return name
    return None
