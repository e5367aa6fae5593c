"""Interleaved spirals: classification of points by their arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from mdncli.data.synthetic.base import Synthetic
from mdncli.density.arrays import Array, tiles
from mdncli.density.categorical import Categorical

# The radii between which an arm winds outwards.
_INNER, _OUTER = 0.5, 3.0

_ARMS = ("first", "second", "third")
_SHARES = (0.5, 0.3, 0.2)

_MOST_TURNS = 4.0
_LEAST_NOISE = 0.02

# Gauss-Legendre nodes and weights on (0, 1), used in every panel of an arm, and the most of the
# noise's standard deviations that a panel is long.
_NODES, _WEIGHTS = (a / 2 for a in np.polynomial.legendre.leggauss(8))
_NODES = _NODES + 0.5
_PANEL = 1.5


@dataclass(frozen=True, kw_only=True)
class Spirals(Synthetic):
    r"""Points around three interleaved spirals, with their arm as the class.

    .. math:: x = r \, (\cos \varphi_k(r), \sin \varphi_k(r)) + N(0, noise^2 I), \quad
              \varphi_k(r) = 2 \pi \, turns \, (r - 0.5) / 2.5 + 2 \pi k / 3

    Half of the points are on the first arm, 30% on the second, 20% on the third. Along an arm the
    radius r has a density proportional to r on (0.5, 3), so that points lie about as densely
    outside as inside. By Bayes' theorem

    .. math:: p(k | x) \propto share_k \int r \, N(x; x_k(r), noise^2 I) \, dr

    The integral is a sum of Gauss-Legendre quadratures of order 8 over panels that are at most 1.5
    noise long, exact to 8 digits within 10 noise of an arm; further out the nearest arm still wins.

    Attributes:
        noise: the standard deviation of the Gaussian noise in either direction.
        turns: how often an arm winds around the middle.

    >>> exact = Spirals().exact(np.array([[3.0, 0.0], [0.0, 0.0]]))
    >>> exact.labels, exact.probabilities().round(3)
    (('first', 'second', 'third'), array([[0.977, 0.023, 0.   ],
           [0.5  , 0.3  , 0.2  ]]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("x1", "x2")
    targets: ClassVar[tuple[str, ...]] = ("arm",)
    categories: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"arm": _ARMS})

    noise: float = 0.3
    turns: float = 1.0

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        count = self.rows if rows is None else rows
        arm = rng.choice(len(_ARMS), count, p=_SHARES)
        radius = np.sqrt(rng.uniform(_INNER**2, _OUTER**2, count))
        x = self._arm(radius, arm) + self.noise * rng.standard_normal((count, 2))
        return x, arm[:, None].astype(np.float64)

    def exact(self, x: Array) -> Categorical:
        width = 2 * np.pi * self.turns / (_OUTER - _INNER)
        length = (_OUTER - _INNER) * np.hypot(1, width * _OUTER)
        panels = int(np.ceil(length / (_PANEL * self.noise)))
        edges = np.linspace(_INNER, _OUTER, panels + 1)
        step = edges[1] - edges[0]
        radius = (edges[:-1, None] + step * _NODES).ravel()
        log_weight = np.log(np.tile(_WEIGHTS, panels) * radius)
        logits = np.empty((len(_ARMS), len(x)))
        for arm, share in enumerate(_SHARES):
            nodes = self._arm(radius, arm)
            for rows, _ in tiles(len(x), width=3 * len(radius)):
                here = x[rows]
                square = (here[:, :1] - nodes[:, 0]) ** 2
                square += (here[:, 1:] - nodes[:, 1]) ** 2
                square *= -0.5 / self.noise**2
                square += log_weight
                top = square.max(axis=1)
                square -= top[:, None]
                mass = np.exp(square, out=square).sum(axis=1)
                logits[arm, rows] = np.log(share * mass) + top
        return Categorical(logits, _ARMS)

    def _arm(self, radius: Array, arm: ArrayLike) -> Array:
        """Points of the arms at radii (n,), (n, 2)."""
        outwards = (radius - _INNER) / (_OUTER - _INNER)
        angle = 2 * np.pi * (self.turns * outwards + np.asarray(arm) / len(_ARMS))
        return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if not self.noise >= _LEAST_NOISE:
            yield f"noise: must be at least {_LEAST_NOISE}, not {self.noise:g}"
        if not 0 <= self.turns <= _MOST_TURNS:
            yield f"turns: must be between 0 and {_MOST_TURNS:g}, not {self.turns:g}"
