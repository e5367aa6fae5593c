"""Scan points of mixtures: fixed points of every component, thinned where components overlap."""

from __future__ import annotations

import functools
import math

import numpy as np

from mdncli.density.arrays import SCAN_ENDS, Array
from mdncli.density.families import Family

# Distance below which one of two points is left out, as a share of their usual distance.
_NEAR = 0.3
# With fewer components thinning costs more than it saves.
_MANY = 5


def component_scan(family: Family, location: Array, scale: Array, ends: Array) -> Array:
    """Points between which a mixture has at most one extreme and is smooth, see `Conditional.scan`.

    The sum of all components has no finer detail than the finest of them.

    Args:
        family: of the components.
        location: (K, N).
        scale: (K, N).
        ends: first and last point of each row, (N, 2).

    Returns:
        (N, G), increasing.
    """
    own = scale[:, :, None] * _component_points(family)
    own += location[:, :, None]
    low, high = ends.T[..., None]
    points = np.concatenate([*own], axis=1).clip(low, high)
    if len(location) < _MANY:
        points.sort(axis=1)
    else:
        near = scale[:, :, None] * _spacing(family)
        points = _thin(points, np.concatenate([*near], axis=1))
    return np.concatenate([low, points, high], axis=1)


@functools.cache
def _component_points(family: Family) -> Array:
    """Points of every component, in units of its scale from its location."""
    far = [0.5, 1.0, 1.6, 2.4, 3.5, 5.0, 7.0]
    # Heavy tails are long, but smooth on the logarithm.
    while -1.5 * far[-1] > family.quantile(np.asarray(SCAN_ENDS[0])):
        far.append(1.5 * far[-1])
    # On either side of a kink the density may fall, however little.
    right = np.array(far if family.max_curvature < math.inf else [1e-4, 0.02, *far])
    return np.concatenate([-right[::-1], [0.0], right])


@functools.cache
def _spacing(family: Family) -> Array:
    """Distance to each of the component points within which another one makes it superfluous."""
    points = _component_points(family)
    near = _NEAR * np.minimum(np.diff(points, prepend=-np.inf), np.diff(points, append=np.inf))
    if family.max_curvature == math.inf:
        near[np.abs(points) < 1e-3] = 0.0
    return near


def _thin(points: Array, near: Array) -> Array:
    """Sorted points of each row, without those that have one that stays near below them.

    Args:
        points: (N, G).
        near: the distance that counts as near, (N, G).

    Returns:
        (N, at most G); rows with fewer points than others repeat their last one.
    """
    order = np.argsort(points, axis=1)
    points, near = (np.take_along_axis(part, order, axis=1).T.copy() for part in (points, near))
    kept = np.ones(points.shape, np.bool_)
    last, nearest = points[0].copy(), np.full(points.shape[1], np.inf)
    for x, own, stays in zip(points[1:], near[1:], kept[1:], strict=True):
        np.minimum(nearest, own, out=nearest)
        np.greater_equal(x - last, nearest, out=stays)
        np.copyto(last, x, where=stays)
        np.copyto(nearest, np.inf, where=stays)
    place = np.cumsum(kept, axis=0) - 1
    thinned = np.repeat(points[-1:].T, place[-1].max(initial=0) + 1, axis=1)
    _, row = np.nonzero(kept)
    thinned[row, place[kept]] = points[kept]
    return thinned
