"""The base class of distributions over numbers."""

from __future__ import annotations

import abc
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density import peaks, regions, scores
from mdncli.density.arrays import Array, Rows
from mdncli.density.distribution import Distribution
from mdncli.errors import UsageError


class Conditional(Distribution):
    """A batch of distributions over numbers.

    Every metric and every figure of numbers takes any of them. Arrays are rows-first, targets last.

    To write a new one, implement `rows` and `targets`, `_log_prob`, `_cdf`, `_quantile`,
    `sample`, `mean`, `std`, `marginal`, `scan` and `__getitem__`. The base checks shapes and
    levels, so that the underscored methods always see M points a row, (N, M, D), or L checked
    levels; what else it offers follows from these, and may be replaced where there is a closed
    form.
    """

    @abc.abstractmethod
    def __getitem__(self, rows: Rows) -> Conditional:
        """Distributions of some rows, by a slice, an index array or a mask."""

    def cdf(self, y: ArrayLike) -> Array:
        """The probability that a target is at most y, for each target on its own (marginal).

        Args:
            y: one point a row, (N, D), or M points a row, (N, M, D).

        Returns:
            The shape of y; each in [0, 1].

        Raises:
            ValueError: y has another shape.
        """
        points = self._points(y)
        probability = self._cdf(points)
        return probability if np.ndim(y) == 3 else probability[:, 0]

    def quantile(self, levels: ArrayLike) -> Array:
        """The y at which the marginal cdf reaches each level, for each target on its own.

        Args:
            levels: (L,), each strictly between 0 and 1.

        Returns:
            (N, L, D).

        Raises:
            UsageError: a level is not strictly between 0 and 1.
        """
        checked = np.asarray(levels, np.float64)
        if checked.ndim != 1:
            raise ValueError(f"levels must have one dimension, not {checked.ndim}")
        outside = checked[~((checked > 0) & (checked < 1))]
        if outside.size:
            raise UsageError(
                f"a quantile level of {outside[0]:g} is not strictly between 0 and 1",
                hint="give levels such as 0.05, 0.5, 0.95",
            )
        return self._quantile(checked)

    def interval(self, mass: float) -> Array:
        """The central interval of each target: as much probability lies below as above it.

        Args:
            mass: the probability inside, strictly between 0 and 1.

        Returns:
            Its two ends, (N, 2, D).

        Raises:
            UsageError: the mass is not strictly between 0 and 1.
        """
        _require_mass(mass)
        return self.quantile([(1 - mass) / 2, (1 + mass) / 2])

    def hdr(self, mass: float) -> regions.Regions:
        """The highest-density regions: the smallest sets of intervals that hold the mass.

        Where a density has several peaks, so may its region (Hyndman 1996, "Computing and graphing
        highest density regions"). Modes are sought on a scan, see `scan`.

        Args:
            mass: the probability inside, strictly between 0 and 1.

        Raises:
            UsageError: the mass is not strictly between 0 and 1, or there are several targets.
        """
        _require_mass(mass)
        return regions.regions(self._single("highest-density regions"), mass)

    def region_mass(self, y: ArrayLike) -> Array:
        """The mass of the smallest highest-density region that holds y: the mass above p(y).

        Args:
            y: one point a row, (N, 1).

        Returns:
            (N,); uniform between 0 and 1 if y follows these distributions.

        Raises:
            UsageError: there are several targets.
        """
        return regions.region_mass(self._single("highest-density regions"), self._points(y)[:, 0])

    def modes(self) -> peaks.Modes:
        """The locations where the density peaks, each with the mass of its peak.

        Raises:
            UsageError: there are several targets.
        """
        return peaks.modes(self._single("modes"))

    def crps(self, y: ArrayLike) -> Array:
        r"""The continuous ranked probability score, in the unit of y; lower is better.

        .. math:: \int (F(t) - 1\{t \ge y\})^2 \, dt = E|Y - y| - E|Y - Y'| / 2

        Closed where the kind has a closed form, else by quadrature of the cdf (Gneiting and
        Raftery 2007, "Strictly proper scoring rules, prediction, and estimation"). It is infinite
        where the mean is.

        Args:
            y: one point a row, (N, D).

        Returns:
            For each target on its own, (N, D).

        Raises:
            ValueError: y has another shape.
        """
        points = self._points(y)
        if points.shape[1] != 1:
            raise ValueError(f"y must be ({self.rows}, {self.targets}), not {np.shape(y)}")
        each = [self.marginal(d)._crps(points[:, 0, d]) for d in range(self.targets)]
        return np.stack(each, axis=1)

    def entropy(self, rng: np.random.Generator, draws: int = 1000) -> scores.Estimate:
        """The differential entropy, -E log p, in nats, by Monte Carlo."""
        return scores.entropy(self, rng, draws)

    def energy_score(
        self, y: ArrayLike, rng: np.random.Generator, draws: int = 200, unit: ArrayLike = 1.0
    ) -> scores.Estimate:
        r"""The energy score, which is the CRPS of all targets together, by Monte Carlo.

        .. math:: E\|Y - y\| - E\|Y - Y'\| / 2

        Args:
            y: one point a row, (N, D).
            rng: the source of the draws.
            draws: how many a row, at least 2; the second expectation is that of successive pairs.
            unit: what each target is divided by, so that none counts more than others, (D,).
        """
        return scores.energy_score(
            self, self._points(y)[:, 0], rng, draws, np.asarray(unit, np.float64)
        )

    @abc.abstractmethod
    def marginal(self, target: int) -> Conditional:
        """The distribution of one target, by its number from 0."""

    @abc.abstractmethod
    def scan(self) -> Array:
        """Points of one target from end to end of it, increasing, (N, G).

        Between two neighbours the density is to have at most one extreme, and to be smooth.
        """

    @abc.abstractmethod
    def mean(self) -> Array:
        """The expected y, (N, D)."""

    @abc.abstractmethod
    def std(self) -> Array:
        """The standard deviation of each target, (N, D)."""

    @abc.abstractmethod
    def _cdf(self, points: Array) -> Array:
        """(N, M, D) -> (N, M, D)."""

    @abc.abstractmethod
    def _quantile(self, levels: Array) -> Array:
        """(L,) -> (N, L, D)."""

    def _crps(self, y: Array) -> Array:
        """The CRPS of one target: (N,) -> (N,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            score = scores.crps_by_quadrature(self, y)
        return np.where(np.isfinite(self.mean()[:, 0]), score, np.inf)

    def _single(self, what: str) -> Self:
        if self.targets > 1:
            raise UsageError(
                f"{what} are for one target, not for {self.targets} at once",
                hint="take them of each target on its own, marginal(0), marginal(1), ...",
            )
        return self


def _require_mass(mass: float) -> None:
    if not 0 < mass < 1:
        raise UsageError(
            f"a mass of {mass:g} is not strictly between 0 and 1", hint="give one such as 0.9"
        )
