"""Distributions of targets that follow a mixture after a transform, such as the logarithm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import Array, Rows, gauss_legendre, tiles
from mdncli.density.conditional import Conditional
from mdncli.density.factored import Joint
from mdncli.density.families import Family
from mdncli.density.regions import Regions
from mdncli.density.scores import thin_edges
from mdncli.transforms import TRANSFORMS, Transform

_NODES, _WEIGHTS = gauss_legendre(16)
# Probability left out beyond either end of the quadrature, and for heavy tails.
_TAIL, _HEAVY_TAIL = 1e-18, 1e-40
# Panels are even within this many scales of the location: all of them, for a Gaussian.
_INNER = 9.0
# Panels for a scale of 1; wider components see a sharper transform and need more.
_PANELS = 6
# Distance from a closed bound to the first point of a scan, as a share of its length.
_ABOVE_BOUND = 1e-12
# Enough for scales up to 32 in the units of t.
_MOST_PANELS = 192


class Transformed(Conditional):
    r"""Distributions of y where the transformed targets t_d(y_d) follow a mixture.

    .. math:: p(y) = p_t(t(y)) \prod_d t_d'(y_d)

    Densities, cdfs, quantiles and draws are exact, because every transform is increasing. Means and
    standard deviations are closed forms for `identity`, `log`, `log1p` and `asinh`, and quadratures
    over each component for the others. Where a transform does not reach every number (`sqrt`), the
    probability below its lower bound sits on the bound itself, where it has no density.

    Args:
        base: distribution of t over D targets, each of which follows a mixture.
        transforms: a key of `TRANSFORMS` for each target, (D,).

    Raises:
        ValueError: there is not one transform for each target.

    >>> from mdncli.density.mixture import Mixture
    >>> price = Transformed(Mixture([[0.0]], [[[4.0]]], [[[0.5]]]), ["log"])
    >>> price.quantile([0.5]).ravel().round(3), price.mean().ravel().round(3)
    (array([54.598]), array([61.868]))
    """

    def __init__(self, base: Joint, transforms: Sequence[str]) -> None:
        if len(transforms) != base.targets:
            raise ValueError(f"{len(transforms)} transforms for {base.targets} targets")
        self.base = base
        self.transforms = tuple(transforms)

    @property
    def rows(self) -> int:
        return self.base.rows

    @property
    def targets(self) -> int:
        return self.base.targets

    def __getitem__(self, rows: Rows) -> Self:
        return type(self)(self.base[rows], self.transforms)

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return self._inverse(self.base.sample(rng, count))

    def mean(self) -> Array:
        return self._moments()[0]

    def std(self) -> Array:
        return self._moments()[1]

    def conditional(self, given: Mapping[int, ArrayLike]) -> Self:
        """Conditional distribution of the other targets given some; see `Mixture.conditional`."""
        each = self._each()
        known = {
            d: each[d].forward(np.clip(y, each[d].lower, each[d].upper)) for d, y in given.items()
        }
        left = [name for d, name in enumerate(self.transforms) if d not in given]
        return type(self)(self.base.conditional(known), left)

    def marginal(self, target: int) -> Self:
        return type(self)(self.base.marginal(target), [self.transforms[target]])

    def scan(self) -> Array:
        points = self._inverse(self.base.scan()[..., None])[..., 0]
        # A closed bound has probability but no density: the scan begins just above it.
        (transform,) = self._each()
        if transform.closed:
            reach = points[:, -1:] - transform.lower
            points = np.maximum(points, transform.lower + _ABOVE_BOUND * reach)
        return points

    def hdr(self, mass: float) -> Regions:
        found = super().hdr(mass)
        (transform,) = self._each()
        if not transform.closed:
            return found
        # A region that begins just above the bound includes it.
        reach = np.abs(self.quantile([1 - 1e-9])[:, 0])
        at_bound = found.low <= transform.lower + 2 * _ABOVE_BOUND * reach
        return replace(found, low=np.where(at_bound, transform.lower, found.low))

    def _log_prob(self, points: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            result = self.base.log_prob(self._forward(points))
            for d, transform in enumerate(self._each()):
                result += transform.log_derivative(points[..., d])
        for d, transform in enumerate(self._each()):
            y = points[..., d]
            result[transform.mask_outside(y, target=True) & ~np.isnan(y)] = -np.inf
        return result

    def _cdf(self, points: Array) -> Array:
        return self._within_bounds(self.base.cdf, points)

    def _quick_cdf(self, points: Array) -> Array:
        return self._within_bounds(self.base.quick_cdf, points)

    def _within_bounds(self, cdf: Callable[[Array], Array], points: Array) -> Array:
        """Cdf of the base at transformed points, 0 below a lower bound."""
        with np.errstate(divide="ignore"):
            result = cdf(self._forward(points))
        for d, transform in enumerate(self._each()):
            result[..., d][points[..., d] < transform.lower] = 0.0
        return result

    def _quantile(self, levels: Array) -> Array:
        return self._inverse(self.base.quantile(levels))

    def _panels(self) -> Array:
        return thin_edges(self.scan())

    def _each(self) -> list[Transform]:
        return [TRANSFORMS[name] for name in self.transforms]

    def _forward(self, y: Array) -> Array:
        """Transformed targets t(y), (N, M, D), with y clipped to the bounds."""
        t = np.empty_like(y)
        for d, transform in enumerate(self._each()):
            t[..., d] = transform.forward(y[..., d].clip(transform.lower, transform.upper))
        return t

    def _inverse(self, t: Array) -> Array:
        for d, transform in enumerate(self._each()):
            t[..., d] = transform.inverse(t[..., d])
        return t

    def _moments(self) -> tuple[Array, Array]:
        """Mean and standard deviation, (N, D) each, by the law of total variance."""
        mean, std = np.empty((2, self.rows, self.targets))
        for d, name in enumerate(self.transforms):
            one = self.base.marginal(d)
            family = one.family
            for rows, _ in tiles(self.rows, width=one.mixtures * len(_NODES)):
                weights = np.exp(one.log_weights[:, rows])
                location, scale = one.location[:, 0, rows], one.scale[:, 0, rows]
                with np.errstate(over="ignore", invalid="ignore"):
                    each_mean, each_variance = (
                        _CLOSED_FORMS[name](family, location, scale)
                        if name in _CLOSED_FORMS
                        else _quadrature(TRANSFORMS[name], family, location, scale)
                    )
                    mean[rows, d] = total = _weighted_sum(weights, each_mean)
                    spread = each_variance + (each_mean - total) ** 2
                    std[rows, d] = np.sqrt(_weighted_sum(weights, spread))
        std[np.isinf(mean)] = np.inf
        return mean, std


def _weighted_sum(weights: Array, each: Array) -> Array:
    """Weighted sum over components; those of weight 0 do not count, even where infinite."""
    return np.where(weights > 0, weights * each, 0.0).sum(axis=0)


def _identity_moments(family: Family, location: Array, scale: Array) -> tuple[Array, Array]:
    return location, (scale * family.std) ** 2


def _log_moments(family: Family, location: Array, scale: Array) -> tuple[Array, Array]:
    once, twice = family.log_mgf(scale), family.log_mgf(2 * scale)
    mean = np.exp(location + once)
    return mean, mean**2 * np.expm1(twice - 2 * once)


def _log1p_moments(family: Family, location: Array, scale: Array) -> tuple[Array, Array]:
    mean, variance = _log_moments(family, location, scale)
    return mean - 1, variance


def _asinh_moments(family: Family, location: Array, scale: Array) -> tuple[Array, Array]:
    # Of a symmetric z, E sinh(m + s z) = sinh(m) M(s) with the moment-generating function M.
    once, twice = family.log_mgf(scale), family.log_mgf(2 * scale)
    mean = np.where(np.isinf(once), np.inf, np.sinh(location) * np.exp(once))
    variance = np.expm1(twice) / 2 + mean**2 * np.expm1(twice - 2 * once)
    return mean, np.where(np.isinf(twice), np.inf, variance)


# Mean and variance of y for each component of t, all (K, N).
_CLOSED_FORMS = {
    "identity": _identity_moments,
    "log": _log_moments,
    "log1p": _log1p_moments,
    "asinh": _asinh_moments,
}


def _quadrature(
    transform: Transform, family: Family, location: Array, scale: Array
) -> tuple[Array, Array]:
    """Mean and variance of y for each component of t, all (K, N), by quadrature."""
    with np.errstate(divide="ignore"):
        start = (transform.start - location) / scale
    edges = _edges(family, max(1.0, scale.max(initial=0.0)))
    centre = transform.backward(location)
    first, second = np.zeros_like(location), np.zeros_like(location)
    if transform.closed:
        on_bound, drop = family.cdf(start), transform.lower - centre
        first += on_bound * drop
        second += on_bound * drop**2
    for low, high in pairwise(edges):
        low = np.maximum(low, start)
        width = np.maximum(high - low, 0.0)
        z = low + width * _NODES[:, None, None]
        share = _WEIGHTS[:, None, None] * width * np.exp(family.log_density(z))
        away = transform.backward(location + scale * z) - centre
        first += (share * away).sum(axis=0)
        second += (share * away**2).sum(axis=0)
    mean = centre + first if transform.growth < family.moments else np.full_like(centre, np.inf)
    if 2 * transform.growth >= family.moments:
        return mean, np.full_like(centre, np.inf)
    return mean, np.maximum(second - first**2, 0.0)


def _edges(family: Family, sharpness: float) -> list[float]:
    """Panel edges of the quadrature over z; one is at 0, where a density may have a kink.

    Panels are even in the centre and grow geometrically in heavy tails.
    """
    tail = _TAIL if family.moments == math.inf else _HEAVY_TAIL
    reach = -float(family.quantile(np.asarray(tail)))
    side = math.ceil(min(_PANELS * sharpness, _MOST_PANELS) / 2)
    inner = min(reach, _INNER)
    edges = [inner * index / side for index in range(1, side + 1)]
    while edges[-1] < reach:
        edges.append(min(edges[-1] * 2, reach))
    return [*(-edge for edge in reversed(edges)), 0.0, *edges]
