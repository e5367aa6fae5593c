"""Concatenation of the rows of several distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from mdncli.density.arrays import Array, Rows
from mdncli.density.conditional import Conditional


class Joined(Conditional):
    """Distributions of different kinds as one batch, such as those of all folds.

    Args:
        parts: distributions over the same targets, whose rows follow one another.

    Raises:
        ValueError: there are none, or they differ in their targets.

    >>> from mdncli.density.mixture import Mixture
    >>> one, two = (Mixture([[0.0]], [[[m]]], [[[1.0]]]) for m in (-1.0, 2.0))
    >>> Joined([one, two]).mean().ravel()
    array([-1.,  2.])
    """

    def __init__(self, parts: Sequence[Conditional]) -> None:
        if len({part.targets for part in parts}) != 1:
            raise ValueError("conditionals that are joined must have the same targets")
        self.parts = list(parts)
        self._ends = np.cumsum([part.rows for part in parts])

    @property
    def rows(self) -> int:
        return int(self._ends[-1])

    @property
    def targets(self) -> int:
        return self.parts[0].targets

    def __getitem__(self, rows: Rows) -> Self:
        wanted = np.arange(self.rows)[rows]
        owner = np.searchsorted(self._ends, wanted, side="right")
        # Each run of rows from one part becomes a part, however often they alternate.
        cuts = np.flatnonzero(np.diff(owner)) + 1
        starts = self._ends - [part.rows for part in self.parts]
        stretches = [stretch for stretch in np.split(wanted, cuts) if len(stretch)]
        owners = [int(np.searchsorted(self._ends, s[0], side="right")) for s in stretches]
        picked = [
            self.parts[at][stretch - starts[at]]
            for at, stretch in zip(owners, stretches, strict=True)
        ]
        return type(self)(picked or [self.parts[0][:0]])

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return np.concatenate([part.sample(rng, count) for part in self.parts])

    def mean(self) -> Array:
        return np.concatenate([part.mean() for part in self.parts])

    def std(self) -> Array:
        return np.concatenate([part.std() for part in self.parts])

    def marginal(self, target: int) -> Self:
        return type(self)([part.marginal(target) for part in self.parts])

    def scan(self) -> Array:
        scans = [part.scan() for part in self.parts]
        longest = max(points.shape[1] for points in scans)
        # A repeated point does no harm.
        return np.concatenate(
            [np.pad(s, ((0, 0), (0, longest - s.shape[1])), mode="edge") for s in scans]
        )

    def _log_prob(self, points: Array) -> Array:
        return self._evaluate(lambda part, own: part.log_prob(own), points)

    def _cdf(self, points: Array) -> Array:
        return self._evaluate(lambda part, own: part.cdf(own), points)

    def _quantile(self, levels: Array) -> Array:
        return np.concatenate([part.quantile(levels) for part in self.parts])

    def _crps(self, y: Array) -> Array:
        return self._evaluate(lambda part, own: part.crps(own), y[:, None])[:, 0]

    def _evaluate(self, ask: Callable[[Conditional, Array], Array], points: Array) -> Array:
        """Values of a function of each part and the points of its rows."""
        own = np.split(points, self._ends[:-1])
        return np.concatenate([ask(part, some) for part, some in zip(self.parts, own, strict=True)])
