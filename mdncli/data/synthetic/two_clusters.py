"""Two branches of one curve whose spreads grow away from the middle, one of them far faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic, positive_fault, range_fault
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture

# Distance of the second branch above the first.
_GAP = 12.0


@dataclass(frozen=True, kw_only=True)
class TwoClusters(Synthetic):
    r"""Two equally likely branches with spreads of their own.

    The input x is uniform and y, around m(x),

    .. math:: y \sim \tfrac12 N(m, (x^2 / 15)^2 + noise^2)
              + \tfrac12 N(m + 12, (x^2 / 100)^2 + noise^2), \quad m = 3 \sin(0.5 x) + 0.5 x

    Attributes:
        noise: the standard deviation of the Gaussian noise that both branches share.
        low: the smallest x.
        high: the largest x.

    >>> exact = TwoClusters().exact(np.array([[0.0], [10.0]]))
    >>> exact.mean().ravel().round(3), exact.scale[:, 0].round(3)
    (array([6.   , 8.123]), array([[1.   , 6.741],
           [1.   , 1.414]]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("x",)
    targets: ClassVar[tuple[str, ...]] = ("y",)

    rows: int = 20_000
    noise: float = 1.0
    low: float = -10.0
    high: float = 10.0

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        shape = (self.rows if rows is None else rows, 1)
        x = rng.uniform(self.low, self.high, shape)
        second = rng.random(shape) < 0.5
        spread = np.where(second, x**2 / 100, x**2 / 15) * rng.standard_normal(shape)
        y = _middle(x) + _GAP * second + spread + self.noise * rng.standard_normal(shape)
        return x, y

    def exact(self, x: Array) -> Conditional:
        middle, square = _middle(x).T, x.T**2
        location = np.stack([middle, middle + _GAP])
        scale = np.hypot(np.stack([square / 15, square / 100]), self.noise)
        return Mixture(np.zeros((2, len(x))), location, scale)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from positive_fault("noise", self.noise)
        yield from range_fault(self.low, self.high)


def _middle(x: Array) -> Array:
    """Centre of the first branch, elementwise."""
    return 3 * np.sin(0.5 * x) + 0.5 * x
