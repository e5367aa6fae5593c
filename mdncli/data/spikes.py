"""Targets recorded so coarsely that components as thin as needles beat honest densities.

A density may put any amount of itself on a value that many rows share. The NLL then says how thin
the thinnest component may be, and no longer how good the predictions are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.data.encoding import resolution
from mdncli.data.features import Array

CROWD = 10
"""Rows that must share a value before a network can learn to put a needle there."""

LEAST_REACH = 0.05
"""Standardised distance below which values take more needles than mixtures have components."""

LEAST_GAIN = 0.25
"""Nats per row that needles must be able to gain before anyone is warned."""

LARGEST_FLOOR = 1.0
"""A component wider than all of the target says nothing, so no such floor is proposed."""

Counts = NDArray[np.intp]

_PEAK = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class SpikeTrap:
    """A target whose NLL needle-thin components could lower without predicting any better.

    Args:
        repeated: share of the rows whose value another row has too.
        gap: smallest distance between two different values, in own units.
        distinct: how many different values there are.
        crowded: share of the rows that hold a value to put a needle on.
        crowds: how many such values there are.
        commonest: the value that most rows hold.
        gain: by how much needles lower the NLL, in nats per row; infinite where scales have no
            floor.
        floor: a scale in standardised units at which they gain next to nothing; None where it would
            blur the rest of the target.
    """

    repeated: float
    gap: float
    distinct: int
    crowded: float
    crowds: int
    commonest: float
    gain: float
    floor: float | None

    def warning(self, target: str) -> str:
        """What it means and what to do, in a sentence."""
        remedy = "beside RMSE and coverage"
        if self.floor is not None:
            remedy = f"and set model.scale.floor={self.floor:g} to take the reward away"
        gain = f"by up to {self.gain:.1f} nats" if math.isfinite(self.gain) else "without end"
        return (
            f"target {target!r} {self._found}: components as thin as needles can lower its NLL "
            f"{gain} and predict no better; compare it only at one scale floor, {remedy}"
        )

    def remark(self, target: str, floor: float) -> str:
        """That a scale floor takes the reward away, in a sentence."""
        return (
            f"target {target!r} {self._found}: no component gets thinner than {floor:g} standard "
            "deviations, so that its NLL rewards no needles (model.scale.floor says otherwise)"
        )

    @property
    def _found(self) -> str:
        if self.crowded > 0.5:
            return f"has only {self.distinct:,} different values"
        held = f"is {self.commonest:g}"
        if self.crowds > 1:
            held = f"is one of {self.crowds:,} values, most often {self.commonest:g},"
        return f"{held} in {self.crowded:.0%} of the training rows"

    def to_json(self) -> dict[str, Any]:
        """What a run's result says of it."""
        return {"repeated": self.repeated, "gap": self.gap, "floor": self.floor}


def spike_trap(y: ArrayLike, standardised: ArrayLike, floor: float) -> SpikeTrap | None:
    r"""Whether needles pay for a target.

    Say c of N rows share a value, and it takes a stretch of length r on one side of it to find
    another c rows. An honest density spreads c rows over r; a needle of scale s gathers them at a
    peak of 1 / (sqrt(2 pi) s). Over all values shared by a crowd, needles gain

        sum c/N max(0, log(r / (sqrt(2 pi) s)))

    nats per row. On a regular grid of values r is their distance; around a lone atom, such as the
    days without rain, it is the width in which as many other rows lie.

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
    # To the digits that training in single precision tells apart.
    counts, reach = _crowds(np.round(np.asarray(standardised, np.float64), 7))
    needled = (counts >= CROWD) & (reach >= LEAST_REACH)
    share, reach = counts[needled] / counts.sum(), reach[needled]
    gain = _gain(share, reach, floor)
    if not gain >= LEAST_GAIN:
        return None
    own = np.asarray(y, np.float64)
    distinct, repeats = np.unique(own, return_counts=True)
    found = resolution(own)
    crowded = float(share.sum())
    return SpikeTrap(
        repeated=found.repeated,
        gap=found.gap,
        distinct=len(distinct),
        crowded=crowded,
        crowds=len(share),
        commonest=float(distinct[np.argmax(repeats)]),
        gain=gain,
        floor=_harmless(share, reach) if crowded > 0.5 else None,
    )


def _crowds(z: Array) -> tuple[Counts, Array]:
    """The c rows that hold each value, and how far it is from there to the c-th other row."""
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
    """The smallest scale of two digits at which needles gain too little to warn of, if any."""
    low, high = 1e-9, float(reach.max())
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _gain(share, reach, middle) < LEAST_GAIN else (middle, high)
    digit = 10.0 ** (math.floor(math.log10(high)) - 1)
    floor = float(f"{math.ceil(high / digit) * digit:.2g}")
    return floor if floor <= LARGEST_FLOOR else None
