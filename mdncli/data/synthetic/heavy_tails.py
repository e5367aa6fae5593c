"""A smooth curve with heavy-tailed noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic, positive_fault, range_fault
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.families import student_t
from mdncli.density.mixture import Mixture


@dataclass(frozen=True, kw_only=True)
class HeavyTails(Synthetic):
    r"""A curve with Student-t noise whose scale grows away from the middle.

    The input x is uniform and

    .. math:: y = 2 \sin(x) + 0.3 x + s(x) T_\nu, \quad s(x) = noise (0.4 + 0.15 x^2)

    With three degrees of freedom one row in a hundred lies beyond 5.8 scales, where a Gaussian of
    the same standard deviation has one in a thousand.

    Attributes:
        degrees_of_freedom: nu of the noise, above 2 so that it has a standard deviation.
        noise: factor on its scale.
        low: the smallest x.
        high: the largest x.

    >>> exact = HeavyTails().exact(np.array([[0.0]]))
    >>> exact.quantile([0.005, 0.995]).round(2).ravel(), exact.std().round(3)
    (array([-2.34,  2.34]), array([[0.693]]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("x",)
    targets: ClassVar[tuple[str, ...]] = ("y",)

    degrees_of_freedom: float = 3.0
    noise: float = 1.0
    low: float = -4.0
    high: float = 4.0

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        shape = (self.rows if rows is None else rows, 1)
        x = rng.uniform(self.low, self.high, shape)
        return x, _curve(x) + self._scale(x) * rng.standard_t(self.degrees_of_freedom, shape)

    def exact(self, x: Array) -> Conditional:
        return Mixture(
            np.zeros((1, len(x))),
            _curve(x).T[None],
            self._scale(x).T[None],
            student_t(self.degrees_of_freedom),
        )

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if not self.degrees_of_freedom > 2:
            yield f"degrees_of_freedom: must be above 2, not {self.degrees_of_freedom:g}"
        yield from positive_fault("noise", self.noise)
        yield from range_fault(self.low, self.high)

    def _scale(self, x: Array) -> Array:
        return self.noise * (0.4 + 0.15 * x**2)


def _curve(x: Array) -> Array:
    return 2 * np.sin(x) + 0.3 * x
