"""Targets with repeated values, on which degenerate components lower the NLL.

A component of vanishing scale on a value that many rows share has an unbounded density there. The
NLL then measures the smallest scale allowed, and not the quality of the predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.data.encoding import resolution
from mdncli.density.arrays import Array

CROWD = 10
"""Least number of rows with the same value for a degenerate component to be learned there."""

LEAST_REACH = 0.05
"""Standardised distance of values below which there are more of them than components."""

LEAST_GAIN = 0.25
"""Gain of degenerate components, in nats per row, from which a warning is given."""

LARGEST_FLOOR = 1.0
"""Largest scale floor to propose, the standard deviation of the target."""

Counts = NDArray[np.intp]

_PEAK = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class SpikeTrap:
    """A target whose NLL degenerate components can lower without better predictions.

    Args:
        repeated: share of the rows whose value another row has too.
        gap: smallest distance between two different values, in own units.
        distinct: number of different values.
        crowded: share of the rows with a value that attracts a degenerate component.
        crowds: number of such values.
        commonest: most frequent value.
        gain: decrease of the NLL by degenerate components, in nats per row; infinite without a
            scale floor.
        floor: a scale floor in standardised units that makes the gain negligible; None where it
            would blur the rest of the target.
        coarse: whether most of the rows without the commonest value share theirs, too.
    """

    repeated: float
    gap: float
    distinct: int
    crowded: float
    crowds: int
    commonest: float
    gain: float
    floor: float | None
    coarse: bool = True

    def warning(self, target: str) -> str:
        """Warning with a remedy, in a sentence."""
        remedy = "judge by CRPS and coverage, and compare NLLs only at one model.scale.floor"
        if self.floor is not None:
            remedy = f"set model.scale.floor={self.floor:g} to prevent it"
        gain = f"by up to {self.gain:.1f} nats" if math.isfinite(self.gain) else "without limit"
        return (
            f"target {target!r} {self._reason}: very narrow components there can lower its NLL "
            f"{gain} without better predictions; {remedy}{self._classes}"
        )

    def remark(self, target: str, floor: float) -> str:
        """Note that a scale floor removes the gain, in a sentence."""
        return (
            f"target {target!r} {self._reason}: the smallest scale is {floor:g} standard "
            "deviations, so that very narrow components do not lower its NLL (set "
            f"model.scale.floor to change it){self._classes}"
        )

    @property
    def _classes(self) -> str:
        """Advice for a target of two values, which are mostly classes."""
        two = self.distinct == 2
        return "; if they are classes, set data.task=classification" if two else ""

    @property
    def _reason(self) -> str:
        if self.coarse:
            return f"has only {self.distinct:,} different values"
        held = f"is {self.commonest:g}"
        if self.crowds > 1:
            held = f"is one of {self.crowds:,} values, most often {self.commonest:g},"
        return f"{held} in {self.crowded:.0%} of the training rows"

    def to_json(self) -> dict[str, Any]:
        """Entry in a run's result."""
        return {"repeated": self.repeated, "gap": self.gap, "floor": self.floor}


def spike_trap(y: ArrayLike, standardised: ArrayLike, floor: float) -> SpikeTrap | None:
    r"""Detect a target on which degenerate components lower the NLL.

    Let c of N rows share a value, and let r be the distance within which another c rows lie on one
    side of it. A smooth density spreads c rows over r; a component of scale s has a peak of 1 /
    (sqrt(2 pi) s) there. Over all values shared by at least `CROWD` rows, degenerate components
    gain

        sum c/N max(0, log(r / (sqrt(2 pi) s)))

    nats per row. On a regular grid of values r is their distance; around a single atom, such as
    days without rain, it is the width that holds as many other rows.

    Args:
        y: the target of the training rows in own units, (N,).
        standardised: the same as the network sees it, (N,).
        floor: the smallest scale s of a component, in standardised units.

    >>> grades = np.repeat([1.0, 2.0, 3.0], 20)
    >>> trap = spike_trap(grades, (grades - 2) / grades.std(), 0.001)
    >>> round(trap.gain, 1), trap.floor, trap.gap
    (6.2, 0.39, 1.0)
    >>> spike_trap(grades, (grades - 2) / grades.std(), trap.floor)
    """
    # Rounded to the digits that single precision distinguishes.
    counts, reach = _crowds(np.round(np.asarray(standardised, np.float64), 7))
    degenerate = (counts >= CROWD) & (reach >= LEAST_REACH)
    share, reach = counts[degenerate] / counts.sum(), reach[degenerate]
    gain = _gain(share, reach, floor)
    if not gain >= LEAST_GAIN:
        return None
    own = np.asarray(y, np.float64)
    distinct, repeats = np.unique(own, return_counts=True)
    found = resolution(own)
    crowded = float(share.sum())
    # A single value, such as zero on days without rain, says nothing about the resolution of the
    # others, which a scale floor fit for it would blur.
    others = np.arange(len(counts)) != np.argmax(counts)
    coarse = counts[others & degenerate].sum() > 0.5 * counts[others].sum()
    return SpikeTrap(
        repeated=found.repeated,
        gap=found.gap,
        distinct=len(distinct),
        crowded=crowded,
        crowds=len(share),
        commonest=float(distinct[np.argmax(repeats)]),
        gain=gain,
        floor=_harmless(share, reach) if coarse else None,
        coarse=bool(coarse),
    )


def _crowds(z: Array) -> tuple[Counts, Array]:
    """Count c of each value, and the distance from it to the c-th other row."""
    ordered = np.sort(z)
    values, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    before, after = first - counts, first + 2 * counts - 1
    last = len(ordered) - 1
    left = np.where(before >= 0, values - ordered[np.maximum(before, 0)], np.inf)
    right = np.where(after <= last, ordered[np.minimum(after, last)] - values, np.inf)
    return counts, np.minimum(np.minimum(left, right), ordered[-1] - ordered[0])


def _gain(share: Array, reach: Array, scale: float) -> float:
    with np.errstate(divide="ignore"):
        return float(share @ np.maximum(0, np.log(reach / (_PEAK * np.float64(scale)))))


def _harmless(share: Array, reach: Array) -> float | None:
    """Smallest scale, to two digits, with a gain below `LEAST_GAIN`, if any."""
    low, high = 1e-9, float(reach.max())
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _gain(share, reach, middle) < LEAST_GAIN else (middle, high)
    digit = 10.0 ** (math.floor(math.log10(high)) - 1)
    floor = float(f"{math.ceil(high / digit) * digit:.2g}")
    return floor if floor <= LARGEST_FLOOR else None
