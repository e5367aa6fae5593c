"""Base class of all distributions, over numbers or classes."""

from __future__ import annotations

import abc

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import Array, Rows


class Distribution(abc.ABC):
    """A batch of N distributions over D targets, one for each row of x.

    Predictions of trained models, exact densities of synthetic datasets and baselines are all
    `Distribution`s. This class holds what numbers and classes have in common: log probabilities
    and draws. Numbers (`mdncli.density.conditional.Conditional`) also have means, quantiles and
    more; classes are a `mdncli.density.categorical.Categorical`.
    """

    @property
    @abc.abstractmethod
    def rows(self) -> int:
        """Number of distributions, N."""

    @property
    @abc.abstractmethod
    def targets(self) -> int:
        """Number of targets, D."""

    def __len__(self) -> int:
        return self.rows

    @abc.abstractmethod
    def __getitem__(self, rows: Rows) -> Distribution:
        """Distributions of some rows, by a slice, an index array or a mask."""

    def log_prob(self, y: ArrayLike) -> Array:
        r"""Log density of y, :math:`\log p(y | x)`, in nats; for classes, log probability.

        Args:
            y: one point a row, (N, D), or M points a row, (N, M, D).

        Returns:
            (N,) or (N, M); -inf where the density is zero.

        Raises:
            ValueError: y has another shape.
        """
        points = self._points(y)
        log_density = self._log_prob(points)
        return log_density if np.ndim(y) == 3 else log_density[:, 0]

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        """Independent draws, (N, count, D); those of one row are in no particular order.

        Args:
            rng: source of random numbers.
            count: number of draws of each row.
        """

    @abc.abstractmethod
    def _log_prob(self, points: Array) -> Array:
        """Log density at points (N, M, D), (N, M)."""

    def _points(self, y: ArrayLike) -> Array:
        points = np.asarray(y, np.float64)
        if points.ndim == 2:
            points = points[:, None, :]
        if points.ndim != 3 or points.shape[0] != self.rows or points.shape[2] != self.targets:
            raise ValueError(
                f"y must be ({self.rows}, {self.targets}) or ({self.rows}, M, {self.targets}), "
                f"not {np.shape(y)}"
            )
        return points
