"""Mixtures of located and scaled components: what an MDN predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.density.choice import interval
from mdncli.density.conditional import Array, Conditional, Rows, tiles
from mdncli.density.families import Family, family_of
from mdncli.density.quantiles import mixture_quantiles
from mdncli.errors import UsageError


class Mixture(Conditional):
    r"""A mixture of K components for each of N rows, over D targets.

    .. math:: p(y) = \sum_k \pi_k \prod_d f((y_d - \mu_{kd}) / \sigma_{kd}) / \sigma_{kd}

    Arrays are features-first and contiguous along the rows, as the network computes them, so that
    the reduction over components runs over long rows.

    Args:
        log_weights: log pi up to a constant a row (the logits), (K, N); -inf for a weight of 0.
        location: mu, (K, D, N).
        scale: sigma, positive, (K, D, N).
        family: the standard density f, or its name among `mdncli.density.families.FAMILIES`.

    Raises:
        ValueError: the shapes do not fit each other.

    >>> coin = Mixture([[0.0], [0.0]], [[[-1.0]], [[1.0]]], [[[0.1]], [[0.1]]])
    >>> coin.mean(), coin.std().round(3)
    (array([[0.]]), array([[1.005]]))
    >>> coin.quantile([0.25, 0.75]).ravel().round(6)
    array([-1.,  1.])
    """

    def __init__(
        self,
        log_weights: ArrayLike,
        location: ArrayLike,
        scale: ArrayLike,
        family: str | Family = "gaussian",
    ) -> None:
        self.log_weights = _log_normalised(np.ascontiguousarray(log_weights, np.float64))
        self.location = np.ascontiguousarray(location, np.float64)
        self.scale = np.ascontiguousarray(scale, np.float64)
        self.family = family_of(family) if isinstance(family, str) else family
        shape = self.location.shape
        if len(shape) != 3 or self.scale.shape != shape or self.log_weights.shape != shape[::2]:
            raise ValueError(
                "expected log_weights (K, N), location (K, D, N) and scale (K, D, N), not "
                f"{self.log_weights.shape}, {shape} and {self.scale.shape}"
            )

    @property
    def rows(self) -> int:
        return self.location.shape[2]

    @property
    def targets(self) -> int:
        return self.location.shape[1]

    @property
    def mixtures(self) -> int:
        """The number of components, K."""
        return self.location.shape[0]

    @property
    def weights(self) -> Array:
        """The weights pi, (K, N), which sum to 1 over the components."""
        return np.exp(self.log_weights)

    def __getitem__(self, rows: Rows) -> Self:
        parts = (self.log_weights, self.location, self.scale)
        return self._like(*(np.ascontiguousarray(part[..., rows]) for part in parts))

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        draws = np.empty((self.rows, count, self.targets))
        standard = self.family.sample
        for rows, points in tiles(self.rows, count, self.targets + self.mixtures // max(1, count)):
            part = draws[rows, points]
            chosen = self._choose(rng, rows, part.shape[1])
            noise = standard(rng, part.shape)
            for d in range(self.targets):
                # Raveled (K, rows) blocks, so that one take serves component and row.
                np.multiply(noise[..., d], self.scale[:, d, rows].ravel()[chosen], out=part[..., d])
                part[..., d] += self.location[:, d, rows].ravel()[chosen]
        return draws

    def mean(self) -> Array:
        return np.einsum("kn,kdn->nd", self.weights, self.location)

    def std(self) -> Array:
        result = np.empty((self.rows, self.targets))
        inner = self.family.std**2
        for rows, _ in tiles(self.rows, width=self.mixtures):
            weights = np.exp(self.log_weights[:, rows])
            for d in range(self.targets):
                _, variance = _moments(
                    weights, self.location[:, d, rows], self.scale[:, d, rows], inner
                )
                result[rows, d] = np.sqrt(variance)
        return result

    def tempered(self, weights: float = 1.0, scale: float = 1.0) -> Self:
        r"""The mixture made bolder (above 1) or more cautious (below 1).

        Weights become proportional to :math:`\pi_k^{1/T}`; at T = 0 only the heaviest component
        of each row is left. Every variance is multiplied by S, so every scale by sqrt(S); at S = 0
        draws fall on the locations themselves and there is no density.

        Args:
            weights: T, at least 0.
            scale: S, at least 0.

        Raises:
            UsageError: a temperature is negative or not finite.
        """
        for name, value in (("temperature", weights), ("scale temperature", scale)):
            if not 0 <= value < math.inf:
                raise UsageError(f"a {name} of {value} is not usable", hint="give 0 or more")
        if weights == 0:
            heaviest = self.log_weights.argmax(axis=0)
            kept = np.arange(self.mixtures)[:, None] == heaviest
            log_weights = np.where(kept, 0.0, -np.inf)
        else:
            behind = self.log_weights - self.log_weights.max(axis=0)
            with np.errstate(over="ignore"):
                log_weights = _log_normalised(behind / weights)
        return self._like(log_weights, self.location, self.scale * math.sqrt(scale))

    def affine(self, shift: ArrayLike, factor: ArrayLike) -> Self:
        """The distribution of shift + factor * y; both are (D,), factors not 0."""
        by = np.asarray(factor, np.float64)[:, None]
        location = np.asarray(shift, np.float64)[:, None] + by * self.location
        return self._like(self.log_weights, location, abs(by) * self.scale)

    @classmethod
    def fold(cls, members: Sequence[Mixture]) -> Mixture:
        """The equal-weight mixture of an ensemble's members: all their components side by side.

        Raises:
            ValueError: there are no members, or they differ in family, rows or targets.
        """
        if len({(m.family, m.rows, m.targets) for m in members}) != 1:
            raise ValueError("members of an ensemble must share family, rows and targets")
        share = math.log(len(members))
        return members[0]._like(
            np.concatenate([m.log_weights - share for m in members]),
            np.concatenate([m.location for m in members]),
            np.concatenate([m.scale for m in members]),
        )

    def _like(self, log_weights: Array, location: Array, scale: Array) -> Self:
        """Another mixture of this family, from log-weights that are normalised already."""
        other = copy(self)
        other.log_weights, other.location, other.scale = log_weights, location, scale
        return other

    def _log_prob(self, points: Array) -> Array:
        log_density = self.family.log_density
        result = np.empty(points.shape[:2])
        for rows, some in tiles(self.rows, points.shape[1], self.mixtures):
            constant = self.log_weights[:, rows] - np.log(self.scale[:, :, rows]).sum(axis=1)
            joint = constant[:, None]
            for d in range(self.targets):
                # So far from every component that the square overflows, the density is 0.
                with np.errstate(over="ignore"):
                    joint = joint + log_density(self._standard(points, d, rows, some))
            result[rows, some] = _log_sum_exp(joint).T
        return result

    def _cdf(self, points: Array) -> Array:
        cdf = self.family.cdf
        result = np.empty(points.shape)
        for rows, some in tiles(self.rows, points.shape[1], self.mixtures):
            weights = np.exp(self.log_weights[:, rows])[:, None]
            for d in range(self.targets):
                below = weights * cdf(self._standard(points, d, rows, some))
                result[rows, some, d] = below.sum(axis=0).T
        return np.minimum(result, 1.0, out=result)

    def _standard(self, points: Array, d: int, rows: slice, some: slice) -> Array:
        """How many scales each point lies above each location, (K, M, N)."""
        away = points[rows, some, d].T - self.location[:, d, None, rows]
        away /= self.scale[:, d, None, rows]
        return away

    def _quantile(self, levels: Array) -> Array:
        result = np.empty((self.rows, len(levels), self.targets))
        # Mostly single precision, in place: tiles may be larger than elsewhere.
        for rows, some in tiles(self.rows, len(levels), -(-self.mixtures // 8)):
            weights = np.exp(self.log_weights[:, rows])
            for d in range(self.targets):
                location, scale = self.location[:, d, rows], self.scale[:, d, rows]
                result[rows, some, d] = mixture_quantiles(
                    self.family, levels[some], weights, location, scale
                ).T
        return result

    def _choose(self, rng: np.random.Generator, rows: slice, count: int) -> NDArray[np.intp]:
        """Draw components: where they are in a raveled (K, rows) block, (rows, count)."""
        cumulative = np.cumsum(np.exp(self.log_weights[:, rows]), axis=0)
        # The last bound is left out, so that rounding can never choose a component K.
        component = interval(rng, cumulative[:-1] / cumulative[-1], count)
        component *= len(component)
        component += np.arange(len(component))[:, None]
        return component


def _log_sum_exp(terms: Array) -> Array:
    """log of the sum of exp over the first axis; -inf where every term is."""
    peak = np.maximum(terms.max(axis=0), np.finfo(np.float64).min)
    total = np.exp(terms - peak).sum(axis=0)
    with np.errstate(divide="ignore"):
        return np.log(total) + peak


def _moments(weights: Array, location: Array, scale: Array, inner: float) -> tuple[Array, Array]:
    """Mean and variance (N,) of mixtures (K, N) whose standard density has the variance inner."""
    mean = (weights * location).sum(axis=0)
    return mean, (weights * (inner * scale**2 + (location - mean) ** 2)).sum(axis=0)


def _log_normalised(logits: Array) -> Array:
    return logits - _log_sum_exp(logits)
