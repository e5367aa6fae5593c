"""The inverse problem: the same noisy curve with its axes swapped, up to five y for one x."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mdncli.data.synthetic.sine import Sine, curve, steepest
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.gridded import Gridded


@dataclass(frozen=True, kw_only=True)
class InverseSine(Sine):
    r"""Predict y from x where y is uniform and x = 7 sin(0.75 y) + 0.5 y + noise.

    The exact density is the posterior of y, up to a factor the likelihood of x:

    .. math:: p(y | x) \propto N(x; 7 \sin(0.75 y) + 0.5 y, noise^2), \quad low < y < high

    Attributes:
        noise: the standard deviation of the Gaussian noise.
        low: the smallest y.
        high: the largest y.
        grid: whether the y are evenly spaced from low to high instead of drawn.

    >>> InverseSine().exact(np.ones((1, 1))).quantile([0.1, 0.5, 0.9]).round(3).ravel()
    array([-7.386,  0.055,  7.763])
    """

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        y, x = super().draw(rng, rows)
        return x, y

    def exact(self, x: Array) -> Conditional:
        # Along one panel the curve rises by at most the noise's standard deviation.
        panels = math.ceil((self.high - self.low) * steepest() / self.noise)
        edges = np.linspace(self.low, self.high, max(panels, 16) + 1)
        return Gridded(self._log_likelihood, x, edges)

    def _log_likelihood(self, y: Array, x: Array) -> Array:
        return -0.5 * ((x - curve(y)) / self.noise) ** 2
