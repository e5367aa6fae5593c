"""Quantiles of one-dimensional mixtures, many at once.

Most of the way is cheap: single precision, rough cdfs. One step in double precision then arrives,
with a proof that it has; the few places where the proof fails are solved with all caution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdncli.density.conditional import TILE, tiles
from mdncli.density.families import QUICK_ERROR, Family, Single
from mdncli.density.roots import solve_increasing

Array = NDArray[np.float64]

TOLERANCE = 1e-11
"""How far a quantile's cdf may be from its level, relative to the level."""

# A search ends where a step begins with less than this to go in log odds: it converges
# quadratically, and the step in double precision after it cubically.
_NEAR = 1e-2
_MOST_ROUNDS = 12
# Beyond, single precision cannot tell a cdf from 0 or 1.
_FAINT = 1e-6


def mixture_quantiles(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array
) -> Array:
    """Where mixtures reach each of the levels.

    Args:
        family: of the components.
        levels: strictly between 0 and 1, (L,).
        weights: of the components, (K, N).
        location: (K, N).
        scale: (K, N).

    Returns:
        (L, N); the cdf there is within `TOLERANCE` of the level.

    >>> from mdncli.density.families import FAMILIES
    >>> one = np.ones((1, 1))
    >>> mixture_quantiles(FAMILIES["gaussian"], np.array([0.5, 0.975]), one, 3 * one, 2 * one)
    array([[3.        ],
           [6.91992797]])
    """
    with np.errstate(all="ignore"):
        mean = (weights * location).sum(axis=0)
        spread = scale**2 + ((location - mean) / family.std) ** 2
        # The scale that one component would need for the same variance.
        unit = np.sqrt((weights * spread).sum(axis=0))
        guess = _search(
            family,
            levels,
            weights.astype(np.float32),
            ((location - mean) / unit).astype(np.float32),
            (unit / scale).astype(np.float32),
        )
        x = mean + unit * guess
        arrived = np.empty(x.shape, np.bool_)
        for rows, _ in tiles(x.shape[1], len(levels), len(weights), size=2 * TILE):
            parts = (part[:, rows] for part in (weights, location, scale, x))
            x[:, rows], arrived[:, rows] = _arrive(family, levels, *parts)
    if not arrived.all():
        level, row = np.nonzero(~arrived)
        weights, location, scale = (part.take(row, axis=1) for part in (weights, location, scale))
        x[level, row] = _solve(family, levels[level], weights, location, scale, x[level, row])
    return x


def _search(
    family: Family, levels: Array, weights: Single, location: Single, sharpness: Single
) -> Single:
    """Roughly where mixtures of mean 0 and of scale 1 / sharpness reach the levels, (L, N).

    Newton's method on the log odds of the cdf, which are nearly straight, kept in a bracket.
    """
    count, rows = len(levels), weights.shape[1]
    standard = family.quantile(levels).astype(np.float32)[:, None]
    # A mixture reaches a level between the first and the last of its components to reach it.
    reach = location[:, None] + standard / sharpness[:, None]
    low, high = reach.min(axis=0).ravel(), reach.max(axis=0).ravel()
    x = np.repeat(standard, rows).clip(low, high)
    odds = np.repeat(np.log(levels / (1 - levels)).astype(np.float32), rows)
    weights, location, sharpness = (np.tile(p, count) for p in (weights, location, sharpness))
    heights = weights * sharpness
    found = np.empty_like(x)
    where = np.arange(len(x))
    for _ in range(_MOST_ROUNDS):
        z = np.subtract(x, location)
        z *= sharpness
        density = np.exp(family.log_density(z))
        slope = np.einsum("kn,kn->n", heights, density)
        below = np.einsum("kn,kn->n", weights, family.quick_cdf(z, density))
        below = below.clip(_FAINT, 1 - _FAINT)
        excess = np.log(below / (1 - below)) - odds
        np.copyto(low, x, where=excess < 0)
        np.copyto(high, x, where=excess > 0)
        x = x - excess * below * (1 - below) / slope
        inside = (x >= low) & (x <= high)
        x = np.where(inside, x, low + (high - low) / 2)
        found[where] = x
        far = np.flatnonzero((np.abs(excess) >= _NEAR) | ~inside)
        if not far.size:
            break
        # Dropping what is found costs as much as half a round.
        if far.size <= len(x) / 2:
            weights, location, sharpness, heights = (
                part.take(far, axis=1) for part in (weights, location, sharpness, heights)
            )
            low, high, x, odds = (part[far] for part in (low, high, x, odds))
            where = where[far]
    return found.reshape(count, rows)


def _arrive(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array, x: Array
) -> tuple[Array, NDArray[np.bool_]]:
    r"""One step from x (L, N) to the levels, and whether it surely arrives.

    The step solves :math:`F + f \delta + f' \delta^2 / 2 = q` to second order. By Taylor's theorem
    F is off by no more than what remains of that equation and :math:`\max|f''| |\delta|^3 / 6`.
    """
    heights = weights / scale
    steeps = heights / scale
    bend = family.bend * (steeps / scale).sum(axis=0)
    z = x - location[:, None]
    z /= scale[:, None]
    each = np.exp(family.log_density(z))
    density = np.einsum("kn,kln->ln", heights, each)
    excess = np.einsum("kn,kln->ln", weights, family.quick_cdf(z, each)) - levels[:, None]
    each *= family.score(z)
    slope = np.einsum("kn,kln->ln", steeps, each)
    step = -excess / density
    step *= 1 + step * slope / (-2 * density)
    left = np.abs(excess + step * (density + step * slope / 2)) + bend * np.abs(step) ** 3 / 6
    return x + step, left + QUICK_ERROR <= TOLERANCE * levels[:, None]


def _solve(
    family: Family, levels: Array, weights: Array, location: Array, scale: Array, start: Array
) -> Array:
    """Where each of n mixtures (K, n) reaches its own level (n,), whatever its shape."""
    reach = location + scale * family.quantile(levels)
    low = np.where(weights > 0, reach, np.inf).min(axis=0)
    high = np.where(weights > 0, reach, -np.inf).max(axis=0)
    start = np.where((start >= low) & (start <= high), start, low + (high - low) / 2)

    def excess(x: Array, active: NDArray[np.intp]) -> tuple[Array, Array]:
        weight, spread = weights.take(active, axis=1), scale.take(active, axis=1)
        z = (x - location.take(active, axis=1)) / spread
        density = weight * np.exp(family.log_density(z)) / spread
        return (weight * family.cdf(z)).sum(axis=0) - levels[active], density.sum(axis=0)

    return solve_increasing(excess, low, high, start, 1e-13 * levels)
