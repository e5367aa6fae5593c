"""Detection of a few values that carry the spread of a column, and what helps against it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

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
        count: number of outlying values.
        of: number of all values.
        farthest: the one farthest from the median.
        std: standard deviation of all values.
        middle: that of the middle half, as if it were a Gaussian's.
        transform: key of `TRANSFORMS` that brings them near the others; None if none does.
    """

    count: int
    of: int
    farthest: float
    std: float
    middle: float
    transform: str | None

    def warning(self, name: str) -> str:
        """Warning with a remedy, in a sentence."""
        verb, such = ("lies", "it") if self.count == 1 else ("lie", "them")
        remedy = ""
        if self.transform is not None:
            remedy = f", or set 'data.transform={{{name}: {self.transform}}}'"
        return (
            f"column {quote(name)}: {self.count:,} of {self.of:,} training values, such as "
            f"{self.farthest:.6g}, {verb} far from all others; its standard deviation is "
            f"{self.std:.3g}, that of the rest about {self.middle:.3g}: correct {such}{remedy}"
        )


def outliers(values: Array, std: float) -> Outliers | None:
    """Find out whether a few values carry the standard deviation of a column.

    Args:
        values: of the training rows, without missing ones, (N,).
        std: their standard deviation.

    >>> few = np.append(np.linspace(0.0, 1.0, 999), 1e6)
    >>> found = outliers(few, few.std())
    >>> found.count, found.farthest, found.transform
    (1, 1000000.0, 'log1p')
    >>> outliers(few[:-1], few[:-1].std())
    """
    some = values[:: math.ceil(len(values) / SIFTED)]
    low, median, high = np.quantile(some, [0.25, 0.5, 0.75])
    middle = float(high - low) / 1.349
    if not middle or not std > LEAST_RATIO * middle:
        return None
    distance = np.abs(values - median)
    count = int(np.count_nonzero(distance > FAR * middle))
    if not 0 < count <= MOST * len(values):
        return None
    farthest = float(values[np.argmax(distance)])
    return Outliers(count, len(values), farthest, std, middle, _remedy(values))


def _remedy(values: Array) -> str | None:
    """The first transform under which the outlying values do not carry the spread."""
    for name in REMEDIES:
        transform = TRANSFORMS[name]
        if transform.mask_outside(values, target=True).any():
            continue
        shown = transform.forward(values)
        low, high = np.quantile(shown, [0.25, 0.75])
        if shown.std() <= TAME_RATIO * (high - low) / 1.349:
            return name
    return None
