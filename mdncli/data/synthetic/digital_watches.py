"""Prices of one category alone: a single density, without inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic
from mdncli.data.synthetic.watches import Watches
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional

_DIGITAL = float(Watches.categories["type"].index("digital"))


@dataclass(frozen=True, kw_only=True)
class DigitalWatches(Synthetic):
    r"""Listing prices of digital watches in three bands, with no input: x is (N, 0).

    .. math:: p(price) = \sum_b share_b LogNormal(price; mean_b, std_b)

    The bands are those of `Watches`: shares of 0.5, 0.3 and 0.2, means 300, 1,100 and 2,000,
    standard deviations 100, 100 and 200.

    >>> exact = DigitalWatches().exact(np.empty((1, 0)))
    >>> exact.mean().round(3), exact.std().round(1)
    (array([[880.]]), array([[670.5]]))
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    targets: ClassVar[tuple[str, ...]] = ("price",)

    rows: int = 1_500

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        count = self.rows if rows is None else rows
        drawn = self.exact(np.empty((1, 0))).sample(rng, count)[0]
        rng.shuffle(drawn)
        return np.empty((count, 0)), drawn

    def exact(self, x: Array) -> Conditional:
        return Watches().exact(np.full((len(x), 1), _DIGITAL))
