"""Rows to be scored: predictions, observations and cached intermediate results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Nominal masses of the central intervals that are reported."""


@dataclass(frozen=True)
class Chunk:
    """Rows to evaluate: predictions, observations and, where known, exact densities.

    Args:
        predicted: N distributions over D targets.
        y: observations, (N, D), in the target's own units; of classes their codes, (N, 1).
        exact: the distributions the rows were drawn from.
        variance: of an ensemble, its aleatoric and its epistemic part, (N, D) each.
        unit: of each target, for scores of several together, (D,); 1 by default.
        rng: of scores that draw; a stream of its own by default.
        weights: of each row, in any unit, (N,); None where all rows count alike.
    """

    predicted: Distribution
    y: np.ndarray
    exact: Distribution | None = None
    variance: tuple[np.ndarray, np.ndarray] | None = None
    unit: np.ndarray | None = None
    rng: np.random.Generator | None = None
    weights: np.ndarray | None = None

    @property
    def density(self) -> Conditional:
        """The prediction, of numbers."""
        assert isinstance(self.predicted, Conditional)
        return self.predicted

    @property
    def classes(self) -> Categorical:
        """The prediction, of classes."""
        assert isinstance(self.predicted, Categorical)
        return self.predicted

    @cached_property
    def nll(self) -> np.ndarray:
        """The negative log density of each row, (N,)."""
        return -self.predicted.log_prob(self.y)

    @cached_property
    def exact_nll(self) -> np.ndarray | None:
        """The negative exact log density of each row, (N,), where it is known."""
        return None if self.exact is None else -self.exact.log_prob(self.y)

    @cached_property
    def error(self) -> np.ndarray:
        """The error y minus its predicted mean, (N, D)."""
        return self.y - self.density.mean()

    @cached_property
    def pit(self) -> np.ndarray:
        """The probability integral transform F(y|x), (N, D)."""
        return self.density.cdf(self.y)

    @cached_property
    def quantiles(self) -> np.ndarray:
        """The quantiles at `quantile_levels`, (N, 2 L + 1, D)."""
        return self.density.quantile(quantile_levels())


def bounds() -> tuple[np.ndarray, np.ndarray]:
    """The levels at which the central intervals of mass `LEVELS` begin and end, (L,) each."""
    mass = np.asarray(LEVELS)
    return (1 - mass) / 2, (1 + mass) / 2


def quantile_levels() -> np.ndarray:
    """The levels of all lower ends, of the median, and of all upper ends, (2 L + 1,)."""
    low, high = bounds()
    return np.concatenate([low, [0.5], high])
