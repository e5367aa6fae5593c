"""Base class of distributions over numbers, with numerical defaults."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density import numerical, peaks, regions, scores
from mdncli.density.arrays import TILE, Array, Index, Rows
from mdncli.density.distribution import Distribution
from mdncli.errors import UsageError


class Conditional(Distribution):
    """A batch of N distributions over D numbers, p(y | x) with a row for each x.

    Every metric and every figure of numbers takes any of them. Arrays are rows-first, targets last.

    A new kind of distribution implements five methods: its size, `rows` and `targets`; the log
    density `_log_prob` at points (N, M, D); the marginal cdfs `_cdf` there; and `sample`. All
    others have numerical defaults, which the contract test holds to closed forms; override those
    that have one. Overriding `__getitem__` pays first: the default evaluates all rows to return
    some, and the numerical methods ask for rows again and again.

    >>> class Uniform(Conditional):
    ...     "Uniform distributions on (0, w)."
    ...     def __init__(self, w): self.w = np.asarray(w)
    ...     rows = property(lambda self: len(self.w))
    ...     targets = property(lambda self: 1)
    ...     def _cdf(self, y): return (y / self.w[:, None, None]).clip(0, 1)
    ...     def _log_prob(self, y):
    ...         w = self.w[:, None]
    ...         return np.where((y[..., 0] > 0) & (y[..., 0] < w), -np.log(w), -np.inf)
    ...     def sample(self, rng, count=1):
    ...         return rng.random((self.rows, count, 1)) * self.w[:, None, None]
    >>> pair = Uniform([1.0, 4.0])
    >>> pair.quantile([0.25]).ravel().round(6), pair.mean().ravel().round(6)
    (array([0.25, 1.  ]), array([0.5, 2. ]))
    >>> pair[1:].std().round(6), pair.crps([[0.5], [2.0]]).ravel().round(6)
    (array([[1.154701]]), array([0.083333, 0.333333]))
    """

    def __getitem__(self, rows: Rows) -> Conditional:
        """Distributions of some rows, by a slice, an index array or a mask.

        By default a view, which evaluates all rows of the batch to return some.
        """
        return _RowsView(self, np.arange(self.rows)[rows])

    def cdf(self, y: ArrayLike) -> Array:
        r"""Marginal cdf of each target, :math:`P(Y_d \le y_d)`.

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

    def quick_cdf(self, y: ArrayLike) -> Array:
        """`cdf` with an absolute error of at most 1e-13, without scipy where that is possible.

        In the lower tail it has no correct digits.

        Args:
            y: as for `cdf`.

        Returns:
            The shape of y.

        Raises:
            ValueError: y has another shape.
        """
        points = self._points(y)
        probability = self._quick_cdf(points)
        return probability if np.ndim(y) == 3 else probability[:, 0]

    def quantile(self, levels: ArrayLike) -> Array:
        r"""Marginal quantiles of each target, :math:`\inf \{y : F(y) \ge q\}`.

        By default by root finding of the cdf, see `mdncli.density.numerical.invert_cdf`.

        Args:
            levels: q, (L,), each strictly between 0 and 1.

        Returns:
            (N, L, D).

        Raises:
            UsageError: a level is not strictly between 0 and 1.
            ValueError: levels has another shape.
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
        """Central interval of each target, with equal probability below and above it.

        Args:
            mass: the probability inside, strictly between 0 and 1.

        Returns:
            Lower and upper ends, (N, 2, D).

        Raises:
            UsageError: the mass is not strictly between 0 and 1.
        """
        _require_mass(mass)
        return self.quantile([(1 - mass) / 2, (1 + mass) / 2])

    def hdr(self, mass: float) -> regions.Regions:
        r"""Highest-density regions: the smallest sets of intervals that hold the mass.

        .. math:: \{y : p(y) \ge \lambda\}, \quad P(p(Y) \ge \lambda) = c

        A density with several peaks may have a region of several intervals (Hyndman 1996,
        "Computing and graphing highest density regions"). Peaks are sought on a scan, see `scan`.

        Args:
            mass: c, strictly between 0 and 1.

        Raises:
            UsageError: the mass is not strictly between 0 and 1, or there are several targets.
        """
        _require_mass(mass)
        return regions.regions(self._require_single_target("highest-density regions"), mass)

    def region_mass(self, y: ArrayLike) -> Array:
        r"""Mass of the smallest highest-density region that holds y, :math:`P(p(Y) \ge p(y))`.

        Args:
            y: one point a row, (N, 1).

        Returns:
            (N,); uniform between 0 and 1 if y follows these distributions.

        Raises:
            UsageError: there are several targets.
        """
        return regions.region_mass(
            self._require_single_target("highest-density regions"), self._points(y)[:, 0]
        )

    def modes(self) -> peaks.Modes:
        """Modes, the local maxima of the density, each with the mass of its peak.

        Raises:
            UsageError: there are several targets.
        """
        return peaks.modes(self._require_single_target("modes"))

    def crps(self, y: ArrayLike) -> Array:
        r"""Continuous ranked probability score (CRPS), in the unit of y; lower is better.

        .. math:: \int (F(t) - 1\{t \ge y\})^2 \, dt = E|Y - y| - E|Y - Y'| / 2

        By default by quadrature of the cdf (Gneiting and Raftery 2007, "Strictly proper scoring
        rules, prediction, and estimation"). It is infinite where the mean is.

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
        r"""Differential entropy, :math:`-E \log p(Y)`, in nats, by Monte Carlo.

        Args:
            rng: source of random numbers.
            draws: number of draws of each row, at least 2.
        """
        return scores.entropy(self, rng, draws)

    def energy_score(
        self, y: ArrayLike, rng: np.random.Generator, draws: int = 200, unit: ArrayLike = 1.0
    ) -> scores.Estimate:
        r"""Energy score, the multivariate CRPS, by Monte Carlo; lower is better.

        .. math:: E\|Y - y\| - E\|Y - Y'\| / 2

        See Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation".

        Args:
            y: one point a row, (N, D).
            rng: source of random numbers.
            draws: number of draws of each row for Y and as many for Y', at least 2.
            unit: divisor of each target, so that none counts more than others, (D,).

        Raises:
            ValueError: y has another shape.
        """
        return scores.energy_score(
            self, self._points(y)[:, 0], rng, draws, np.asarray(unit, np.float64)
        )

    def marginal(self, target: int) -> Conditional:
        """Distribution of one target, by its number from 0.

        By default a view: its density is the slope of the cdf by finite differences, known to
        about 1e-12 in units of the interquartile range.
        """
        return self if self.targets == 1 else _MarginalView(self, target)

    def scan(self) -> Array:
        """Points of one target from one end of it to the other, increasing, (N, G).

        Between two neighbours the density has at most one extreme and is smooth, so that extremes
        can be bracketed and the cdf be integrated. By default by adaptive quadrature, see
        `mdncli.density.numerical.adaptive_scan`.

        Raises:
            UsageError: there are several targets.
        """
        return numerical.adaptive_scan(self._require_single_target("a scan"))

    def mean(self) -> Array:
        r"""Mean of each target, :math:`E Y_d`, (N, D); by default by quadrature."""
        return np.stack([numerical.moments(each)[0] for each in self._by_target()], axis=1)

    def std(self) -> Array:
        r"""Standard deviation of each target, (N, D); by default by quadrature."""
        return np.stack([numerical.moments(each)[1] for each in self._by_target()], axis=1)

    @abc.abstractmethod
    def _cdf(self, points: Array) -> Array:
        """Marginal cdfs at points (N, M, D), of the same shape."""

    def _quick_cdf(self, points: Array) -> Array:
        """Approximate marginal cdfs at points (N, M, D), of the same shape."""
        return self._cdf(points)

    def _quantile(self, levels: Array) -> Array:
        """Marginal quantiles at checked levels (L,), (N, L, D)."""
        each = [numerical.invert_cdf(one, levels) for one in self._by_target()]
        return np.stack(each, axis=2)

    def _crps(self, y: Array) -> Array:
        """CRPS of one target at y (N,), (N,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            score = scores.crps_by_quadrature(self, y, self._panels())
        return np.where(np.isfinite(self.mean()[:, 0]), score, np.inf)

    def _panels(self) -> Array:
        """Panel edges for quadratures of the cdf of one target, (N, G)."""
        return self.scan()

    def _by_target(self) -> list[Conditional]:
        return [self.marginal(target) for target in range(self.targets)]

    def _require_single_target(self, what: str) -> Self:
        if self.targets > 1:
            raise UsageError(
                f"{what} are for one target, not for {self.targets} at once",
                hint="take them of each target on its own, marginal(0), marginal(1), ...",
            )
        return self


class _RowsView(Conditional):
    """Some rows of a batch, which evaluates all of its rows to return some."""

    def __init__(self, whole: Conditional, at: Index) -> None:
        self._whole = whole
        self._at = at
        # The n-th occurrence of a row of the whole is in its n-th round.
        order = np.argsort(at, kind="stable")
        count = np.bincount(at, minlength=whole.rows)
        self._round = np.empty_like(at)
        self._round[order] = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        self._rounds = int(count.max(initial=0))

    @property
    def rows(self) -> int:
        return len(self._at)

    @property
    def targets(self) -> int:
        return self._whole.targets

    def __getitem__(self, rows: Rows) -> Conditional:
        return _RowsView(self._whole, self._at[rows])

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        draws = self._whole.sample(rng, count * self._rounds)
        draws = draws.reshape(self._whole.rows, self._rounds, count, self.targets)
        return draws[self._at, self._round]

    def _log_prob(self, points: Array) -> Array:
        return self._evaluate(self._whole._log_prob, points, np.empty(points.shape[:2]))

    def _cdf(self, points: Array) -> Array:
        return self._evaluate(self._whole._cdf, points, np.empty(points.shape))

    def _evaluate(self, ask: Callable[[Array], Array], points: Array, result: Array) -> Array:
        """Values of a function of the whole batch at the view's points, some rounds at a time."""
        at_once = max(1, TILE // max(1, self._whole.rows * points.shape[1] * self.targets))
        for start in range(0, self._rounds, at_once):
            stop = min(start + at_once, self._rounds)
            mine = np.flatnonzero((self._round >= start) & (self._round < stop))
            at, turn = self._at[mine], self._round[mine] - start
            spread = np.zeros((self._whole.rows, stop - start, *points.shape[1:]))
            spread[at, turn] = points[mine]
            found = ask(spread.reshape(self._whole.rows, -1, self.targets))
            result[mine] = found.reshape(*spread.shape[:3], *result.shape[2:])[at, turn]
        return result


class _MarginalView(Conditional):
    """One target of a batch of several."""

    def __init__(self, joint: Conditional, target: int) -> None:
        self._joint = joint
        self._target = target
        self._unit: Array | None = None

    @property
    def rows(self) -> int:
        return self._joint.rows

    @property
    def targets(self) -> int:
        return 1

    def __getitem__(self, rows: Rows) -> Conditional:
        other = _MarginalView(self._joint[rows], self._target)
        other._unit = None if self._unit is None else self._unit[rows]
        return other

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return self._joint.sample(rng, count)[..., [self._target]]

    def _log_prob(self, points: Array) -> Array:
        if self._unit is None:
            self._unit = np.diff(self.interval(0.5)[..., 0], axis=1)[:, 0]
        return numerical.differentiated_cdf(self, points[..., 0], self._unit)

    def _cdf(self, points: Array) -> Array:
        every = np.broadcast_to(points, (*points.shape[:2], self._joint.targets))
        return self._joint._cdf(every)[..., [self._target]]


def _require_mass(mass: float) -> None:
    if not 0 < mass < 1:
        raise UsageError(
            f"a mass of {mass:g} is not strictly between 0 and 1", hint="give one such as 0.9"
        )
