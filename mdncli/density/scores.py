"""Scores of distributions: CRPS, entropy, energy score and the variance parts of ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdncli.density.arrays import Array, gauss_legendre, tiles
from mdncli.density.batch import Batch, Scorable
from mdncli.density.families import Family

_NODES, _WEIGHTS = gauss_legendre(16)
# Of more scan points than this, panels have only some as their edges.
_MOST_EDGES = 256
_ENOUGH_EDGES = 64
# Draws held at once.
_AT_ONCE = 1 << 20


class Estimate(NamedTuple):
    """A Monte Carlo estimate for each row and its standard error, (N,) each."""

    value: Array
    error: Array


def mixture_crps(
    family: Family, weights: Array, location: Array, scale: Array, y: Array
) -> Array | None:
    r"""CRPS of mixtures in closed form; None where the family has none.

    .. math:: \sum_k \pi_k A(y - \mu_k, \sigma_k)
              - \tfrac12 \sum_{jk} \pi_j \pi_k A(\mu_j - \mu_k, \sqrt{\sigma_j^2 + \sigma_k^2})

    Here A(m, s) is E|m + s Z|, with Z of the family (Grimit et al. 2006, "The continuous ranked
    probability score for circular variables and its application to mesoscale forecast ensemble
    verification", for Gaussian components).

    Args:
        family: of the components.
        weights: of the components, (K, N).
        location: (K, N).
        scale: (K, N).
        y: observations, (N,).

    Returns:
        (N,).
    """
    if family.distance is None:
        return None
    result = np.empty(len(y))
    count = len(weights)
    pairs = count * (count - 1) // 2
    # Each component with itself.
    itself = float(family.distance(np.zeros(1))[0]) / math.sqrt(2)
    with np.errstate(over="ignore"):
        for rows, _ in tiles(len(y), width=-(-pairs // 2) + count):
            w, mu, s = weights[:, rows], location[:, rows], scale[:, rows]
            near = family.distance((y[rows] - mu) / s)
            near *= s
            near *= w
            result[rows] = near.sum(axis=0)
            result[rows] -= itself * np.einsum("kn,kn,kn->n", w, w, s)
            if not pairs:
                continue
            # Then each pair, once instead of twice.
            spread = _apply_to_pairs(np.add, s * s, pairs)
            np.sqrt(spread, out=spread)
            apart = _apply_to_pairs(np.subtract, mu, pairs)
            apart /= spread
            spread *= _apply_to_pairs(np.multiply, w, pairs)
            result[rows] -= np.einsum("pn,pn->n", family.distance(apart), spread)
    return result


def _apply_to_pairs(function: np.ufunc, each: Array, pairs: int) -> Array:
    """A function of every pair of components, (K, n) -> (pairs, n), in order of their distance."""
    result = np.empty((pairs, each.shape[1]))
    start = 0
    for offset in range(1, len(each)):
        end = start + len(each) - offset
        function(each[:-offset], each[offset:], out=result[start:end])
        start = end
    return result


def crps_by_quadrature(batch: Batch, y: Array, edges: Array) -> Array:
    r"""CRPS of one target by Gauss-Legendre quadrature of the cdf.

    .. math:: \int (F(t) - 1\{t \ge y\})^2 \, dt

    The integral ends with the edges, where the cdf is to be 0 or 1.

    Args:
        batch: N distributions of one target.
        y: observations, (N,).
        edges: panel edges, increasing, (N, G), such as the points of a scan.

    Returns:
        (N,).
    """
    edges = np.sort(np.concatenate([edges, y[:, None]], axis=1), axis=1)
    result = np.empty(len(y))
    width = edges.shape[1] * len(_NODES)
    for rows, _ in tiles(len(y), width=width):
        step = np.diff(edges[rows], axis=1)[..., None]
        points = edges[rows, :-1, None] + step * _NODES
        below = batch[rows].cdf(points.reshape(len(step), -1, 1)).reshape(points.shape)
        below -= points >= y[rows, None, None]
        result[rows] = (below**2 @ _WEIGHTS * step[..., 0]).sum(axis=1)
    return result


def thin_edges(scanned: Array) -> Array:
    """Panel edges from the scan of overlapping components, whose sum is smoother than each."""
    if scanned.shape[1] <= _MOST_EDGES:
        return scanned
    chosen = np.linspace(0, scanned.shape[1] - 1, _ENOUGH_EDGES).round().astype(np.intp)
    return scanned[:, chosen]


def entropy(batch: Scorable, rng: np.random.Generator, draws: int) -> Estimate:
    """Entropy by Monte Carlo; see `Conditional.entropy`."""
    value, error = np.empty((2, batch.rows))
    for rows, _ in tiles(batch.rows, draws, batch.targets, size=_AT_ONCE):
        some = batch[rows]
        value[rows], error[rows] = _mean(-some.log_prob(some.sample(rng, draws)))
    return Estimate(value, error)


def energy_score(
    batch: Scorable, y: Array, rng: np.random.Generator, draws: int, unit: Array
) -> Estimate:
    """Energy score by Monte Carlo; see `Conditional.energy_score`."""
    value, error = np.empty((2, batch.rows))
    for rows, _ in tiles(batch.rows, draws, 2 * batch.targets, size=_AT_ONCE):
        some = batch[rows]
        first, second = (some.sample(rng, draws) for _ in range(2))
        near = np.linalg.norm((first - y[rows, None]) / unit, axis=2)
        near += np.linalg.norm((second - y[rows, None]) / unit, axis=2)
        apart = np.linalg.norm((first - second) / unit, axis=2)
        value[rows], error[rows] = _mean((near - apart) / 2)
    return Estimate(value, error)


def variance_parts(members: Sequence[Batch], weights: Array | None = None) -> tuple[Array, Array]:
    r"""Variance of an ensemble in two parts, by the law of total variance.

    .. math:: \mathrm{Var}\,Y = \sum_m w_m \mathrm{Var}_m Y
              + \sum_m w_m (E_m Y - E\,Y)^2

    Args:
        members: M distributions of the same rows.
        weights: of the members for each target, which sum to 1, (M, D); None for 1 / M each.

    Returns:
        The aleatoric part (noise in the data) and the epistemic part (disagreement of the
        members), (N, D) each; the latter is NaN where means are infinite.
    """
    means = np.stack([member.mean() for member in members])
    inner = np.stack([member.std() for member in members]) ** 2
    with np.errstate(invalid="ignore"):
        if weights is None:
            return inner.mean(axis=0), means.var(axis=0)
        share = weights[:, None]
        away = means - (share * means).sum(axis=0)
        return (share * inner).sum(axis=0), (share * away**2).sum(axis=0)


def _mean(draws: Array) -> tuple[Array, Array]:
    """Mean over draws (N, M) and its standard error, (N,) each."""
    return draws.mean(axis=1), draws.std(axis=1, ddof=1) / math.sqrt(draws.shape[1])
