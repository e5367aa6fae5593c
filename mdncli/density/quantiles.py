"""Quantiles of one-dimensional mixtures, many at once.

A search in single precision is followed by one step in double precision and a bound of its error.
The few quantiles whose bound is not small enough are solved by safeguarded Newton steps.
"""

from __future__ import annotations

import numpy as np

from mdncli.density.arrays import TILE, Array, Index, Mask, Real, Single, tiles
from mdncli.density.families import QUICK_ERROR, Family
from mdncli.density.roots import solve_increasing

TOLERANCE = 1e-11
"""Largest difference of a quantile's cdf from its level, relative to the level."""

# Difference of the log odds from which one step of the search, which converges quadratically, and
# one in double precision, which converges cubically, suffice.
_NEAR = 5e-2
_MOST_ROUNDS = 12
# More steps in double precision before the safeguarded method.
_MORE_ARRIVALS = 3
# Least log density of a component that counts.
_FAINTEST = {"float32": -60.0, "float64": -300.0}
# Nearer to 0 or 1 a cdf is not resolved in single precision.
_FAINT = 1e-6


def mixture_quantiles(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array
) -> Array:
    r"""Quantiles of mixtures by root finding of their cdfs.

    .. math:: \sum_k \pi_k F((x - \mu_k) / \sigma_k) = q

    Args:
        family: of the components, with the cdf F.
        levels: q, strictly between 0 and 1, (L,).
        weights: of the components, (K, N).
        location: (K, N).
        scale: (K, N).

    Returns:
        x, (L, N); the cdf there is within `TOLERANCE` of the level.

    >>> from mdncli.density.families import FAMILIES
    >>> one = np.ones((1, 1))
    >>> mixture_quantiles(FAMILIES["gaussian"], np.array([0.5, 0.975]), one, 3 * one, 2 * one)
    array([[3.        ],
           [6.91992797]])
    """
    with np.errstate(all="ignore"):
        mean = (weights * location).sum(axis=0)
        away = location - mean
        # Scale of one component of the same variance.
        unit = np.sqrt((weights * (scale**2 + (away / family.std) ** 2)).sum(axis=0))
        x = mean + unit * _search(
            family,
            levels,
            np.maximum(weights, 1e-30).astype(np.float32),
            (away / unit).astype(np.float32),
            (scale / unit).astype(np.float32),
        )
        x, arrived = certified_step(family, levels[:, None], weights, location, scale, x)
        level, row = np.nonzero(~arrived)
        for _ in range(_MORE_ARRIVALS):
            if not len(row):
                return x
            parts = (part.take(row, axis=1) for part in (weights, location, scale))
            x[level, row], arrived = certified_step(
                family, levels[level], *parts, x[level, row][None]
            )
            level, row = level[~arrived[0]], row[~arrived[0]]
    weights, location, scale = (part.take(row, axis=1) for part in (weights, location, scale))
    x[level, row] = _solve(family, levels[level], weights, location, scale, x[level, row])
    return x


def _search(
    family: Family, levels: Array, weights: Single, location: Single, scale: Single
) -> Single:
    """Approximate quantiles of mixtures of mean 0, (L, N).

    Halley's method on the log odds of the cdf, which are nearly linear, safeguarded by bisection.
    """
    standard = family.quantile(levels).astype(np.float32)[:, None]
    # The quantile of a mixture lies between the least and the largest of its components.
    low, high = np.empty((2, len(levels), scale.shape[1]), np.float32)
    for level, reached in enumerate(standard):
        reach = reached * scale
        reach += location
        reach.min(axis=0, out=low[level])
        reach.max(axis=0, out=high[level])
    x = standard.clip(low, high)
    odds = np.log(levels / (1 - levels)).astype(np.float32)[:, None] + np.zeros_like(x)
    sharpness = 1 / scale
    found = np.empty_like(x)
    where = np.arange(x.size)
    for _ in range(_MOST_ROUNDS):
        below, slope, bend = _derivatives(family, weights, location, sharpness, x)
        below = below.clip(_FAINT, 1 - _FAINT)
        spread = below * (1 - below)
        excess = np.log(below / (1 - below)) - odds
        np.copyto(low, x, where=excess < 0)
        np.copyto(high, x, where=excess > 0)
        step = -excess * spread / slope
        # Newton's step, corrected for the curvature of the log odds within limits.
        turn = 1 + step * (bend / slope - slope * (1 - 2 * below) / spread) / 2
        x = x + step / turn.clip(0.5, 2.0)
        inside = (x >= low) & (x <= high)
        x = np.where(inside, x, low + (high - low) / 2)
        found.ravel()[where] = x.ravel()
        far = np.flatnonzero((np.abs(excess) >= _NEAR) | ~inside)
        if not far.size:
            break
        # Dropping solved quantiles costs as much as half a round.
        if far.size <= x.size / 2:
            row = far % x.shape[1]
            weights, location, sharpness = (
                part.take(row, axis=1) for part in (weights, location, sharpness)
            )
            low, high, x, odds = (part.ravel()[far][None] for part in (low, high, x, odds))
            where = where[far]
    return found


def certified_step(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array, x: Array
) -> tuple[Array, Mask]:
    r"""Refine quantiles x (L, N) at levels (L, 1) or (L, N) by one step; mask small errors.

    The step solves :math:`F + f \delta + f' \delta^2 / 2 = q` to second order. By Taylor's theorem
    F is off by no more than what remains of that equation and :math:`\max|f''| |\delta|^3 / 6`.
    """
    sharpness = 1 / scale
    below, density, slope = _derivatives(family, weights, location, sharpness, x)
    bend = family.max_curvature * np.einsum(
        "kn,kn,kn,kn->n", weights, sharpness, sharpness, sharpness
    )
    excess = below - levels
    step = -excess / density
    step *= 1 + step * slope / (-2 * density)
    left = np.abs(excess + step * (density + step * slope / 2)) + bend * np.abs(step) ** 3 / 6
    return x + step, left + QUICK_ERROR <= TOLERANCE * levels


def _derivatives(
    family: Family, weights: Real, location: Real, sharpness: Real, x: Real
) -> tuple[Real, Real, Real]:
    """Cdf, density and slope of the density of mixtures at x, (L, N) each."""
    derivatives = np.empty((3, *x.shape), x.dtype)
    for rows, _ in tiles(x.shape[1], len(x), len(weights), size=2 * TILE):
        parts = (part[:, rows] for part in (weights, location, sharpness, x))
        for order, values in enumerate(_tile_derivatives(family, *parts)):
            derivatives[order, :, rows] = values
    return derivatives[0], derivatives[1], derivatives[2]


def _tile_derivatives(
    family: Family, weights: Real, location: Real, sharpness: Real, x: Real
) -> tuple[Real, Real, Real]:
    z = x[:, None] - location
    z *= sharpness
    each = family.log_density(z)
    # Arithmetic on subnormal numbers is many times slower.
    np.clip(each, _FAINTEST[each.dtype.name], np.inf, out=each)
    np.exp(each, out=each)
    heights = weights * sharpness
    slope = np.einsum("kn,lkn->ln", heights, each)
    below = np.einsum("kn,lkn->ln", weights, family.quick_cdf(z, each))
    each *= family.score(z)
    heights *= sharpness
    return below, slope, np.einsum("kn,lkn->ln", heights, each)


def _solve(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array, start: Array
) -> Array:
    """Quantiles of n mixtures (K, n) at levels of their own (n,), whatever their shape."""
    reach = location + scale * family.quantile(levels)
    low = np.where(weights > 0, reach, np.inf).min(axis=0)
    high = np.where(weights > 0, reach, -np.inf).max(axis=0)
    start = np.where((start >= low) & (start <= high), start, low + (high - low) / 2)

    def excess(x: Array, active: Index) -> tuple[Array, Array]:
        weight, spread = weights.take(active, axis=1), scale.take(active, axis=1)
        z = (x - location.take(active, axis=1)) / spread
        density = weight * np.exp(family.log_density(z)) / spread
        return (weight * family.cdf(z)).sum(axis=0) - levels[active], density.sum(axis=0)

    return solve_increasing(excess, low, high, start, 1e-13 * levels)
