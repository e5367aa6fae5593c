"""Joint distributions of several targets as products of mixtures of one target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import Array, Index, Rows
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import UsageError

Follow = Callable[[int, Index, Array], Mixture]
"""Function that gives the mixture of target d in rows (n,), given the targets before it (n, d)."""

DRAWS = 100
"""Number of draws behind the marginals of a chain."""

# Rows of one call of a network.
_BLOCK = 1 << 14


class Product(Conditional):
    r"""Distributions of targets that are independent given x, each a mixture.

    .. math:: p(y) = \prod_d p_d(y_d)

    All results are exact.

    Args:
        marginals: D mixtures of one target each.

    Raises:
        ValueError: there are none, or they are not of one target and as many rows.

    >>> one, two = (Mixture([[0.0]], [[[m]]], [[[1.0]]]) for m in (-1.0, 2.0))
    >>> Product([one, two]).mean()
    array([[-1.,  2.]])
    """

    def __init__(self, marginals: Sequence[Mixture]) -> None:
        if {(marginal.targets, marginal.rows) for marginal in marginals} != {
            (1, marginals[0].rows if marginals else 0)
        }:
            raise ValueError("a product is of mixtures of one target and of the same rows")
        self.marginals = list(marginals)

    @property
    def rows(self) -> int:
        return self.marginals[0].rows

    @property
    def targets(self) -> int:
        return len(self.marginals)

    def __getitem__(self, rows: Rows) -> Self:
        return type(self)([marginal[rows] for marginal in self.marginals])

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return np.concatenate([marginal.sample(rng, count) for marginal in self.marginals], axis=2)

    def mean(self) -> Array:
        return np.concatenate([marginal.mean() for marginal in self.marginals], axis=1)

    def std(self) -> Array:
        return np.concatenate([marginal.std() for marginal in self.marginals], axis=1)

    def marginal(self, target: int) -> Mixture:
        return self.marginals[target]

    def conditional(self, given: Mapping[int, ArrayLike]) -> Self:
        """Conditional distribution of the other targets given some: independent of these.

        Args:
            given: known values by the number of their target, (N,) each.

        Raises:
            ValueError: there is no such target, or nothing is given, or nothing is left.
        """
        left = [marginal for d, marginal in enumerate(self.marginals) if d not in given]
        if not left or len(left) + len(given) != self.targets or not given:
            raise ValueError(f"of {self.targets} targets, some but not all can be given")
        return type(self)(left)

    def affine(self, shift: ArrayLike, factor: ArrayLike) -> Self:
        """Distribution of shift + factor * y; both are (D,), factors not 0."""
        shifts, factors = np.asarray(shift, np.float64), np.asarray(factor, np.float64)
        return type(self)(
            [
                marginal.affine(shifts[[d]], factors[[d]])
                for d, marginal in enumerate(self.marginals)
            ]
        )

    def scan(self) -> Array:
        return self._require_single_target("a scan").marginals[0].scan()

    def _log_prob(self, points: Array) -> Array:
        each = (marginal.log_prob(points[..., [d]]) for d, marginal in enumerate(self.marginals))
        return sum(each, start=np.zeros(points.shape[:2]))

    def _cdf(self, points: Array) -> Array:
        each = [marginal.cdf(points[..., [d]]) for d, marginal in enumerate(self.marginals)]
        return np.concatenate(each, axis=2)

    def _quick_cdf(self, points: Array) -> Array:
        each = [marginal.quick_cdf(points[..., [d]]) for d, marginal in enumerate(self.marginals)]
        return np.concatenate(each, axis=2)

    def _quantile(self, levels: Array) -> Array:
        return np.concatenate([marginal.quantile(levels) for marginal in self.marginals], axis=2)


class Chain(Conditional):
    r"""Autoregressive distributions: a mixture for each target given those before it.

    .. math:: p(y) = \prod_d p(y_d | y_1 \ldots y_{d-1})

    Densities are exact and draws are ancestral. The marginal of the first target is exact; that of
    a later one is a mixture of `DRAWS` components, one for each draw of the targets before it from
    a Latin hypercube (McKay, Beckman and Conover 1979, "A comparison of three methods for selecting
    values of input variables in the analysis of output from a computer code"), with the same random
    numbers for every row. Means, standard deviations, cdfs and quantiles are those of the
    marginals.

    Args:
        rows: N.
        targets: D.
        follow: function that gives the mixture of a target given those before it, see `Follow`.

    >>> def follow(d, rows, before):
    ...     centre = np.zeros(len(rows)) if d == 0 else 2 * before[:, 0]
    ...     return Mixture(np.zeros((1, len(rows))), centre[None, None], np.ones((1, 1, len(rows))))
    >>> chain = Chain(1, 2, follow)
    >>> chain.log_prob([[0.0, 0.0]]).round(4), chain.std().round(1)
    (array([-1.8379]), array([[1. , 2.2]]))
    """

    def __init__(self, rows: int, targets: int, follow: Follow) -> None:
        self._at = np.arange(rows)
        self._targets = targets
        self._follow = follow
        self._shift, self._factor = np.zeros(targets), np.ones(targets)
        self._marginals: list[Mixture] | None = None

    @property
    def rows(self) -> int:
        return len(self._at)

    @property
    def targets(self) -> int:
        return self._targets

    def __getitem__(self, rows: Rows) -> Self:
        other = copy(self)
        other._at = self._at[rows]
        if self._marginals is not None:
            other._marginals = [each[rows] for each in self._marginals]
        return other

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        draws = np.empty((self.rows * count, self.targets))
        row = np.repeat(np.arange(self.rows), count)
        for some in _blocks(len(row)):
            for d in range(self.targets):
                draws[some, d] = self._mixture_given(d, row[some], draws[some, :d]).sample(rng)[
                    :, 0, 0
                ]
        return draws.reshape(self.rows, count, self.targets)

    def mean(self) -> Array:
        return np.concatenate([each.mean() for each in self._all_marginals()], axis=1)

    def std(self) -> Array:
        return np.concatenate([each.std() for each in self._all_marginals()], axis=1)

    def marginal(self, target: int) -> Mixture:
        """Marginal distribution of one target: exact of the first, Monte Carlo of the others."""
        return (
            self._all_marginals()[target]
            if target
            else self._mixture_given(0, np.arange(self.rows), None)
        )

    def conditional(self, given: Mapping[int, ArrayLike]) -> Chain:
        """Conditional distribution of the later targets given the first ones.

        Args:
            given: known values by the number of their target, (N,) each.

        Raises:
            UsageError: targets other than the first ones are given.
        """
        some = len(given)
        if not 0 < some < self.targets or sorted(given) != list(range(some)):
            raise UsageError(
                f"a chain of {self.targets} targets can be given its first ones only",
                hint="give some but not all of them, from the first on",
            )
        known = np.stack([np.broadcast_to(np.asarray(given[d]), self.rows) for d in range(some)], 1)

        def follow(d: int, rows: Index, before: Array) -> Mixture:
            return self._mixture_given(d + some, rows, np.hstack([known[rows], before]))

        return Chain(self.rows, self.targets - some, follow)

    def affine(self, shift: ArrayLike, factor: ArrayLike) -> Self:
        """Distribution of shift + factor * y; both are (D,), factors not 0."""
        by = np.asarray(factor, np.float64)
        other = copy(self)
        other._shift = np.asarray(shift, np.float64) + by * self._shift
        other._factor = by * self._factor
        other._marginals = None
        return other

    def scan(self) -> Array:
        return self._require_single_target("a scan").marginal(0).scan()

    def _log_prob(self, points: Array) -> Array:
        flat = points.reshape(-1, self.targets)
        row = np.repeat(np.arange(self.rows), points.shape[1])
        total = np.zeros(len(flat))
        for some in _blocks(len(flat)):
            for d in range(self.targets):
                mixture = self._mixture_given(d, row[some], flat[some, :d])
                total[some] += mixture.log_prob(flat[some, d : d + 1])
        return total.reshape(points.shape[:2])

    def _cdf(self, points: Array) -> Array:
        each = [marginal.cdf(points[..., [d]]) for d, marginal in enumerate(self._all_marginals())]
        return np.concatenate(each, axis=2)

    def _quantile(self, levels: Array) -> Array:
        return np.concatenate(
            [marginal.quantile(levels) for marginal in self._all_marginals()], axis=2
        )

    def _mixture_given(self, d: int, rows: Index, before: Array | None) -> Mixture:
        """Mixture of a target in rows (n,), given those before it (n, d)."""
        known = np.empty((len(rows), 0)) if before is None else before
        standard = (known - self._shift[:d]) / self._factor[:d]
        mixture = self._follow(d, self._at[rows], standard)
        return mixture.affine(self._shift[[d]], self._factor[[d]])

    def _all_marginals(self) -> list[Mixture]:
        """Marginals of all targets, computed once."""
        if self._marginals is None:
            every = np.arange(self.rows)
            first = self._mixture_given(0, every, None)
            parts = [
                self._kernels(every[some], first[some])
                for some in _blocks(self.rows, _BLOCK // DRAWS)
            ]
            later = [
                Mixture(np.zeros(location.shape[::2]), location, scale, first.family)
                for location, scale in (
                    (np.concatenate(part, axis=-1) for part in zip(*kernels, strict=True))
                    for kernels in zip(*parts, strict=True)
                )
            ]
            self._marginals = [first, *later]
        return self._marginals

    def _kernels(self, rows: Index, first: Mixture) -> list[tuple[Array, Array]]:
        """Locations and scales, (DRAWS, 1, n) each, of the marginals of the later targets."""
        rng = np.random.default_rng(0)
        row = np.repeat(rows, DRAWS)
        draws = np.empty((len(row), self.targets))
        mixture = first[np.repeat(np.arange(len(rows)), DRAWS)]
        found: list[tuple[Array, Array]] = []
        for d in range(self.targets):
            if d:
                mixture = self._mixture_given(d, row, draws[:, :d])
            chosen, level = (np.tile(_stratified_uniforms(rng), len(rows)) for _ in range(2))
            below = np.cumsum(mixture.weights[:-1], axis=0)
            component = (chosen >= below).sum(axis=0)
            location, scale = (
                part[component, 0, np.arange(len(row))]
                for part in (mixture.location, mixture.scale)
            )
            draws[:, d] = location + scale * mixture.family.quantile(level)
            if d:
                shape = (len(rows), DRAWS)
                found.append((location.reshape(shape).T[:, None], scale.reshape(shape).T[:, None]))
        return found


Joint = Mixture | Product | Chain
"""Distributions of all targets of a row that networks predict."""


def _stratified_uniforms(rng: np.random.Generator) -> Array:
    """Stratified uniform numbers: one in each of `DRAWS` equal intervals, in random order."""
    return (rng.permutation(DRAWS) + rng.random(DRAWS)) / DRAWS


def _blocks(rows: int, size: int = _BLOCK) -> list[slice]:
    return [slice(start, start + size) for start in range(0, rows, size)]
