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
        batches: distributions over the same targets, whose rows follow one another.

    Raises:
        ValueError: there are none, or they differ in their targets.

    >>> from mdncli.density.mixture import Mixture
    >>> one, two = (Mixture([[0.0]], [[[m]]], [[[1.0]]]) for m in (-1.0, 2.0))
    >>> Joined([one, two]).mean().ravel()
    array([-1.,  2.])
    """

    def __init__(self, batches: Sequence[Conditional]) -> None:
        if len({batch.targets for batch in batches}) != 1:
            raise ValueError("conditionals that are joined must have the same targets")
        self.batches = list(batches)
        self._ends = np.cumsum([batch.rows for batch in batches])

    @property
    def rows(self) -> int:
        return int(self._ends[-1])

    @property
    def targets(self) -> int:
        return self.batches[0].targets

    def __getitem__(self, rows: Rows) -> Self:
        wanted = np.arange(self.rows)[rows]
        owner = np.searchsorted(self._ends, wanted, side="right")
        # Each run of rows from one batch becomes a batch, however often they alternate.
        cuts = np.flatnonzero(np.diff(owner)) + 1
        starts = self._ends - [batch.rows for batch in self.batches]
        stretches = [stretch for stretch in np.split(wanted, cuts) if len(stretch)]
        owners = [int(np.searchsorted(self._ends, s[0], side="right")) for s in stretches]
        picked = [
            self.batches[at][stretch - starts[at]]
            for at, stretch in zip(owners, stretches, strict=True)
        ]
        return type(self)(picked or [self.batches[0][:0]])

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return np.concatenate([batch.sample(rng, count) for batch in self.batches])

    def mean(self) -> Array:
        return np.concatenate([batch.mean() for batch in self.batches])

    def std(self) -> Array:
        return np.concatenate([batch.std() for batch in self.batches])

    def marginal(self, target: int) -> Self:
        return type(self)([batch.marginal(target) for batch in self.batches])

    def scan(self) -> Array:
        scans = [batch.scan() for batch in self.batches]
        longest = max(points.shape[1] for points in scans)
        # A repeated point does no harm.
        return np.concatenate(
            [np.pad(s, ((0, 0), (0, longest - s.shape[1])), mode="edge") for s in scans]
        )

    def _log_prob(self, points: Array) -> Array:
        return self._evaluate(lambda batch, own: batch.log_prob(own), points)

    def _cdf(self, points: Array) -> Array:
        return self._evaluate(lambda batch, own: batch.cdf(own), points)

    def _quantile(self, levels: Array) -> Array:
        return np.concatenate([batch.quantile(levels) for batch in self.batches])

    def _crps(self, y: Array) -> Array:
        return self._evaluate(lambda batch, own: batch.crps(own), y[:, None])[:, 0]

    def _evaluate(self, ask: Callable[[Conditional, Array], Array], points: Array) -> Array:
        """Values of a function of each batch and the points of its rows."""
        own = np.split(points, self._ends[:-1])
        return np.concatenate(
            [ask(batch, some) for batch, some in zip(self.batches, own, strict=True)]
        )
