"""Mixtures of location-scale components, the predictions of a mixture density network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import SCAN_ENDS, Array, Index, Real, Rows, tiles
from mdncli.density.choice import choose
from mdncli.density.cholesky import reorder, whiten
from mdncli.density.conditional import Conditional
from mdncli.density.families import Family, family_of
from mdncli.density.quantiles import mixture_quantiles
from mdncli.density.scanning import component_scan
from mdncli.density.scores import mixture_crps, thin_edges
from mdncli.errors import UsageError


class Mixture(Conditional):
    r"""Mixtures of K components over D targets, one for each of N rows.

    .. math:: p(y) = \sum_k \pi_k \prod_d f((y_d - \mu_{kd}) / \sigma_{kd}) / \sigma_{kd}

    Arrays are features-first and contiguous along the rows, as the network computes them, so that
    the reduction over components runs over long rows.

    Args:
        log_weights: log pi up to a constant of each row (logits), (K, N); -inf for a weight of 0.
        location: mu, (K, D, N).
        scale: sigma, positive, (K, D, N).
        family: the standard density f, or its name among `mdncli.density.families.FAMILIES`.
        correlation: Cholesky factors C of the correlation matrices of Gaussian components,
            (K, D, D, N): lower triangular, rows of length 1. The components are then
            N(mu, S C C^T S) with S = diag(sigma). See `correlated`.

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
        correlation: ArrayLike | None = None,
    ) -> None:
        self.log_weights = _log_normalised(np.ascontiguousarray(log_weights, np.float64))
        self.location = np.ascontiguousarray(location, np.float64)
        self.scale = np.ascontiguousarray(scale, np.float64)
        self.family = family_of(family) if isinstance(family, str) else family
        self.correlation = (
            None if correlation is None else np.ascontiguousarray(correlation, np.float64)
        )
        shape = self.location.shape
        if len(shape) != 3 or self.scale.shape != shape or self.log_weights.shape != shape[::2]:
            raise ValueError(
                "expected log_weights (K, N), location (K, D, N) and scale (K, D, N), not "
                f"{self.log_weights.shape}, {shape} and {self.scale.shape}"
            )
        if self.correlation is not None:
            if self.correlation.shape != (*shape[:2], *shape[1:]):
                raise ValueError(f"expected correlation (K, D, D, N), not {self.correlation.shape}")
            if self.family is not family_of("gaussian"):
                raise ValueError("only Gaussian components can have correlated targets")

    @classmethod
    def correlated(
        cls, log_weights: ArrayLike, location: ArrayLike, cholesky: ArrayLike
    ) -> Mixture:
        """Mixture of Gaussian components N(mu, L L^T) of full covariance.

        Args:
            log_weights: (K, N).
            location: mu, (K, D, N).
            cholesky: L, lower triangular with a positive diagonal, (K, D, D, N).

        >>> factor = np.array([[3.0, 0.0], [4.0, 3.0]])[None, :, :, None]
        >>> Mixture.correlated([[0.0]], [[[0.0], [0.0]]], factor).std()
        array([[3., 5.]])
        """
        factor = np.asarray(cholesky, np.float64)
        scale = np.sqrt(np.einsum("kdjn,kdjn->kdn", factor, factor))
        return cls(log_weights, location, scale, correlation=factor / scale[:, :, None])

    @property
    def rows(self) -> int:
        return self.location.shape[2]

    @property
    def targets(self) -> int:
        return self.location.shape[1]

    @property
    def mixtures(self) -> int:
        """Number of components, K."""
        return self.location.shape[0]

    @property
    def weights(self) -> Array:
        """Weights pi, (K, N), which sum to 1 over the components."""
        return np.exp(self.log_weights)

    def __getitem__(self, rows: Rows) -> Self:
        def picked(part: Array) -> Array:
            return np.ascontiguousarray(part[..., rows])

        return self._with_values(
            picked(self.log_weights),
            picked(self.location),
            picked(self.scale),
            None if self.correlation is None else picked(self.correlation),
        )

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        draws = np.empty((self.rows, count, self.targets))
        standard = self.family.sample
        for rows, points in tiles(self.rows, count, self.targets + self.mixtures // max(1, count)):
            part = draws[rows, points]
            chosen = self._choose(rng, rows, part.shape[1])
            noise = standard(rng, part.shape)
            for d in range(self.targets):
                # Raveled (K, rows) blocks, so that one take serves component and row.
                own = self._noise(noise, d, rows, chosen)
                np.multiply(own, self.scale[:, d, rows].ravel()[chosen], out=part[..., d])
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
        r"""Temperature scaling of weights and variances.

        Weights become proportional to :math:`\pi_k^{1/T}`: more even for T above 1, more extreme
        below; at T = 0 only the heaviest component of each row is left. Variances are multiplied by
        S, scales by :math:`\sqrt S`; at S = 0 draws are the locations themselves and there is no
        density.

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
        stretched = self.scale * math.sqrt(scale)
        return self._with_values(log_weights, self.location, stretched, self.correlation)

    def affine(self, shift: ArrayLike, factor: ArrayLike) -> Self:
        """Distribution of shift + factor * y; both are (D,), factors not 0."""
        by = np.asarray(factor, np.float64)[:, None]
        location = np.asarray(shift, np.float64)[:, None] + by * self.location
        # A change of sign on both sides keeps the diagonal of the factor positive.
        sign = np.sign(by)
        turned = None if self.correlation is None else sign[:, None] * self.correlation * sign
        return self._with_values(self.log_weights, location, abs(by) * self.scale, turned)

    def moved(self, by: ArrayLike, components: int | None = None) -> Self:
        """Mixture whose first components, or all, have moved.

        Args:
            by: distance of each target in each row, (D, N).
            components: number of components that move; None for all.
        """
        location = self.location.copy()
        location[:components] += np.asarray(by, np.float64)
        return self._with_values(self.log_weights, location, self.scale, self.correlation)

    def scaled(self, by: float, components: int | None = None) -> Self:
        """Mixture whose first components, or all, have their scales multiplied.

        Args:
            by: the factor, positive.
            components: number of components that change; None for all.
        """
        scale = self.scale.copy()
        scale[:components] *= by
        return self._with_values(self.log_weights, self.location, scale, self.correlation)

    def joined_by(self, share: float, location: ArrayLike, std: ArrayLike) -> Self:
        """Mixture with one more component in every row, without correlation.

        Args:
            share: its weight.
            location: the same for every row, (D,), or one for each, (D, N).
            std: its standard deviations, likewise.
        """
        shape = (1, self.targets, self.rows)

        def in_every_row(values: ArrayLike) -> Array:
            given = np.asarray(values, np.float64)
            return np.broadcast_to(given[:, None] if given.ndim == 1 else given, shape)

        correlation = None
        if self.correlation is not None:
            alone = np.broadcast_to(
                np.eye(self.targets)[:, :, None], (1, *self.correlation.shape[1:])
            )
            correlation = np.concatenate([self.correlation, alone])
        return self._with_values(
            np.concatenate(
                [self.log_weights + math.log1p(-share), np.full((1, self.rows), math.log(share))]
            ),
            np.concatenate([self.location, in_every_row(location)]),
            np.concatenate([self.scale, in_every_row(std) / self.family.std]),
            correlation,
        )

    def bounded(self, lowest: ArrayLike, highest: ArrayLike, widest: ArrayLike) -> Self:
        """Mixture with locations and scales held within bounds.

        Args:
            lowest: of the locations of each target, (D,).
            highest: likewise.
            widest: scale of each target, (D,).

        >>> far = Mixture([[0.0]], [[[9e9]]], [[[0.1]]])
        >>> far.bounded([-5.0], [5.0], [2.0]).mean()
        array([[5.]])
        """
        low, high, wide = (np.asarray(b, np.float64)[:, None] for b in (lowest, highest, widest))
        location, scale = np.clip(self.location, low, high), np.minimum(self.scale, wide)
        return self._with_values(self.log_weights, location, scale, self.correlation)

    def conditional(self, given: Mapping[int, ArrayLike]) -> Self:
        r"""Conditional distribution of the other targets given some of them.

        .. math:: \pi_k' \propto \pi_k \, p_k(y_\mathrm{given})

        Args:
            given: known values by the number of their target, (N,) each.

        Returns:
            A mixture over the remaining targets, in their order.

        Raises:
            ValueError: there is no such target, or nothing is given, or nothing is left.

        >>> factor = np.array([[1.0, 0.0], [0.6, 0.8]])[None, :, :, None]
        >>> both = Mixture.correlated([[0.0]], [[[0.0], [0.0]]], factor)
        >>> second = both.conditional({0: [2.0]})
        >>> second.mean(), second.std()
        (array([[1.2]]), array([[0.8]]))
        """
        known, left = sorted(given), [d for d in range(self.targets) if d not in given]
        if not known or not left or len(known) + len(left) != self.targets:
            raise ValueError(f"of {self.targets} targets, some but not all can be given: {known}")
        values = np.stack([np.broadcast_to(np.asarray(given[d]), self.rows) for d in known])
        z = list(np.moveaxis((values - self.location[:, known]) / self.scale[:, known], 1, 0))
        location, scale, correlation = self.location[:, left], self.scale[:, left], None
        evidence = -np.log(self.scale[:, known]).sum(axis=1)
        if self.correlation is not None:
            factor = reorder(self.correlation, [*known, *left])
            some = len(known)
            whiten(z, factor)
            evidence -= np.log(np.einsum("kddn->kdn", factor)[:, :some]).sum(axis=1)
            location = location + scale * sum(
                factor[:, some:, j] * z[j][:, None] for j in range(some)
            )
            inner = factor[:, some:, some:]
            shrunk = np.sqrt(np.einsum("kdjn,kdjn->kdn", inner, inner))
            scale, correlation = scale * shrunk, inner / shrunk[:, :, None]
        with np.errstate(over="ignore"):
            evidence += sum(self.family.log_density(part) for part in z)
        # Values too far from every component to tell them apart leave the weights as they are.
        evidence = np.where(np.isneginf(evidence).all(axis=0), 0.0, evidence)
        log_weights = _log_normalised(self.log_weights + evidence)
        return self._with_values(log_weights, location, scale, correlation)

    @classmethod
    def fold(cls, members: Sequence[Mixture], weights: Sequence[float] | None = None) -> Mixture:
        r"""Mixture of the members of an ensemble, with the components of all.

        .. math:: p(y) = \sum_m w_m p_m(y)

        Args:
            members: M mixtures of the same rows, targets and family.
            weights: of the members, which sum to 1, (M,); None for 1 / M each.

        Raises:
            ValueError: there are no members, or they differ in family, rows, targets or in whether
                their targets are correlated.
        """
        if len({(m.family, m.rows, m.targets, m.correlation is None) for m in members}) != 1:
            raise ValueError("members of an ensemble must share family, rows and targets")
        correlations = [m.correlation for m in members if m.correlation is not None]
        shares = np.log(np.full(len(members), 1 / len(members)) if weights is None else weights)
        return members[0]._with_values(
            np.concatenate([m.log_weights + s for m, s in zip(members, shares, strict=True)]),
            np.concatenate([m.location for m in members]),
            np.concatenate([m.scale for m in members]),
            np.concatenate(correlations) if correlations else None,
        )

    def marginal(self, target: int) -> Self:
        location, scale = (
            np.ascontiguousarray(part[:, [target]]) for part in (self.location, self.scale)
        )
        return self._with_values(self.log_weights, location, scale, None)

    def scan(self) -> Array:
        ends = self.quantile(SCAN_ENDS)[..., 0]
        return component_scan(self.family, self.location[:, 0], self.scale[:, 0], ends)

    def _with_values(
        self, log_weights: Array, location: Array, scale: Array, correlation: Array | None
    ) -> Self:
        """Mixture of the same family, from log weights that are normalised already."""
        other = copy(self)
        other.log_weights, other.location, other.scale = log_weights, location, scale
        other.correlation = correlation
        return other

    def _log_prob(self, points: Array) -> Array:
        log_density = self.family.log_density
        result = np.empty(points.shape[:2])
        width = self.mixtures if self.correlation is None else self.mixtures * self.targets
        for rows, some in tiles(self.rows, points.shape[1], width):
            constant = self.log_weights[:, rows] - np.log(self.scale[:, :, rows]).sum(axis=1)
            # So far from every component that the square overflows, the density is 0.
            with np.errstate(over="ignore", invalid="ignore"):
                if self.correlation is None:
                    joint = constant[:, None]
                    for d in range(self.targets):
                        joint = joint + log_density(self._standard(points, d, rows, some))
                else:
                    factor = self.correlation[..., rows]
                    z = [self._standard(points, d, rows, some) for d in range(self.targets)]
                    whiten(z, factor[..., None, :])
                    constant -= np.log(np.einsum("kddn->kdn", factor)).sum(axis=1)
                    joint = constant[:, None] + sum(map(log_density, z))
            result[rows, some] = _log_sum_exp(joint).T
        return result

    def _cdf(self, points: Array) -> Array:
        return self._sum_cdfs(self.family.cdf, points)

    def _quick_cdf(self, points: Array) -> Array:
        family = self.family
        # So far out the density is 0, where a cdf is 0 or 1.
        with np.errstate(over="ignore", under="ignore"):
            return self._sum_cdfs(
                lambda z: family.quick_cdf(z, np.exp(family.log_density(z))), points
            )

    def _sum_cdfs(self, cdf: Callable[[Array], Real], points: Array) -> Array:
        """Weighted sum of the components' cdfs at points (N, M, D), given that of the family."""
        result = np.empty(points.shape)
        for rows, some in tiles(self.rows, points.shape[1], self.mixtures):
            weights = np.exp(self.log_weights[:, rows])[:, None]
            for d in range(self.targets):
                below = weights * cdf(self._standard(points, d, rows, some))
                result[rows, some, d] = below.sum(axis=0).T
        return np.minimum(result, 1.0, out=result)

    def _crps(self, y: Array) -> Array:
        closed = mixture_crps(self.family, self.weights, self.location[:, 0], self.scale[:, 0], y)
        return super()._crps(y) if closed is None else closed

    def _panels(self) -> Array:
        return thin_edges(self.scan())

    def _standard(self, points: Array, d: int, rows: slice, some: slice) -> Array:
        """Standardised points, z = (y - mu) / sigma, (K, M, N)."""
        away = points[rows, some, d].T - self.location[:, d, None, rows]
        away /= self.scale[:, d, None, rows]
        return away

    def _noise(self, noise: Array, d: int, rows: slice, chosen: Index) -> Array:
        """Standardised deviations of a target's draws from the chosen components, (rows, count)."""
        if self.correlation is None:
            return noise[..., d]
        parts = (
            self.correlation[:, d, j, rows].ravel()[chosen] * noise[..., j] for j in range(d + 1)
        )
        return sum(parts, start=np.zeros(()))

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

    def _choose(self, rng: np.random.Generator, rows: slice, count: int) -> Index:
        """Draws of components, as indices of a raveled (K, rows) block, (rows, count)."""
        cumulative = np.cumsum(np.exp(self.log_weights[:, rows]), axis=0)
        # The last bound is left out, so that rounding can never choose a component K.
        component = choose(rng, cumulative[:-1] / cumulative[-1], count)
        component *= len(component)
        component += np.arange(len(component))[:, None]
        return component


def _log_sum_exp(terms: Array) -> Array:
    """Log-sum-exp over the first axis; -inf where every term is."""
    peak = np.maximum(terms.max(axis=0), np.finfo(np.float64).min)
    total = np.exp(terms - peak).sum(axis=0)
    with np.errstate(divide="ignore"):
        return np.log(total) + peak


def _moments(weights: Array, location: Array, scale: Array, inner: float) -> tuple[Array, Array]:
    """Mean and variance (N,) of mixtures (K, N) of a family with the variance inner."""
    mean = (weights * location).sum(axis=0)
    return mean, (weights * (inner * scale**2 + (location - mean) ** 2)).sum(axis=0)


def _log_normalised(logits: Array) -> Array:
    return logits - _log_sum_exp(logits)
