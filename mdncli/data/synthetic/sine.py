"""The forward problem: a noisy curve, one y for each x."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic, positive_fault, range_fault
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture

# Finer noise than this would need more quadrature nodes than is sensible.
_FINEST_NOISE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Sine(Synthetic):
    r"""A sine on a slope, with noise: x is uniform and y = 7 sin(0.75 x) + 0.5 x + noise.

    Attributes:
        noise: the standard deviation of the Gaussian noise.
        low: the smallest x.
        high: the largest x.
        grid: whether the x are evenly spaced from low to high instead of drawn.

    >>> x, y = Sine(rows=4, grid=True).draw(np.random.default_rng(0))
    >>> x.ravel()
    array([-10.5,  -3.5,   3.5,  10.5])
    """

    inputs: ClassVar[tuple[str, ...]] = ("x",)
    targets: ClassVar[tuple[str, ...]] = ("y",)

    noise: float = 1.0
    low: float = -10.5
    high: float = 10.5
    grid: bool = False

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        shape = (self.rows if rows is None else rows, 1)
        if self.grid:
            x = np.linspace(self.low, self.high, shape[0])[:, None]
        else:
            x = rng.uniform(self.low, self.high, shape)
        return x, curve(x) + self.noise * rng.standard_normal(shape)

    def exact(self, x: Array) -> Conditional:
        location = curve(x).T[None]
        scale = np.full_like(location, self.noise)
        return Mixture(np.zeros((1, len(x))), location, scale)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from positive_fault("noise", self.noise)
        yield from range_fault(self.low, self.high)
        finest = _FINEST_NOISE * (self.high - self.low)
        if 0 < self.noise < finest < math.inf:
            yield f"noise: must be at least {finest:g} for this range, not {self.noise:g}"


def curve(t: Array) -> Array:
    """7 sin(0.75 t) + 0.5 t, elementwise."""
    return 7 * np.sin(0.75 * t) + 0.5 * t


def steepest() -> float:
    """The largest slope of the curve."""
    return 7 * 0.75 + 0.5
