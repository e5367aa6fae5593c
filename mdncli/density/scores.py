"""Scores of distributions that hold for any kind of them: by quadrature, or by draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdncli.density.arrays import Array, gauss_legendre, tiles
from mdncli.density.batch import Batch, Scorable
from mdncli.density.families import Family

_NODES, _WEIGHTS = gauss_legendre(16)
# Every scanned point is an edge of a panel, unless there are more than this.
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
    r"""The CRPS of mixtures in closed form; None where the family has none.

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
        y: what was observed, (N,).

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
            spread = _of_pairs(np.add, s * s, pairs)
            np.sqrt(spread, out=spread)
            apart = _of_pairs(np.subtract, mu, pairs)
            apart /= spread
            spread *= _of_pairs(np.multiply, w, pairs)
            result[rows] -= np.einsum("pn,pn->n", family.distance(apart), spread)
    return result


def _of_pairs(function: np.ufunc, each: Array, pairs: int) -> Array:
    """A function of every pair of components, (K, n) -> (pairs, n): by how far they are apart."""
    result = np.empty((pairs, each.shape[1]))
    start = 0
    for offset in range(1, len(each)):
        end = start + len(each) - offset
        function(each[:-offset], each[offset:], out=result[start:end])
        start = end
    return result


def crps_by_quadrature(conditional: Batch, y: Array) -> Array:
    """The CRPS of one target, (N,), by Gauss-Legendre quadrature of the cdf between scanned points.

    What it leaves out lies beyond the scan's ends, where the cdf is 0 or 1 but for 1e-13.
    """
    scanned = conditional.scan()
    if scanned.shape[1] > _MOST_EDGES:
        # So many components lie over one another: their sum needs fewer panels than they do.
        chosen = np.linspace(0, scanned.shape[1] - 1, _ENOUGH_EDGES).round().astype(np.intp)
        scanned = scanned[:, chosen]
    edges = np.sort(np.concatenate([scanned, y[:, None]], axis=1), axis=1)
    result = np.empty(len(y))
    width = edges.shape[1] * len(_NODES)
    for rows, _ in tiles(len(y), width=width):
        step = np.diff(edges[rows], axis=1)[..., None]
        points = edges[rows, :-1, None] + step * _NODES
        below = conditional[rows].cdf(points.reshape(len(step), -1, 1)).reshape(points.shape)
        below -= points >= y[rows, None, None]
        result[rows] = (below**2 @ _WEIGHTS * step[..., 0]).sum(axis=1)
    return result


def entropy(conditional: Scorable, rng: np.random.Generator, draws: int) -> Estimate:
    """The entropy by draws; see `Conditional.entropy`."""
    value, error = np.empty((2, conditional.rows))
    for rows, _ in tiles(conditional.rows, draws, conditional.targets, size=_AT_ONCE):
        some = conditional[rows]
        value[rows], error[rows] = _mean(-some.log_prob(some.sample(rng, draws)))
    return Estimate(value, error)


def energy_score(
    conditional: Scorable, y: Array, rng: np.random.Generator, draws: int, unit: Array
) -> Estimate:
    """The energy score by draws; see `Conditional.energy_score`."""
    value, error = np.empty((2, conditional.rows))
    for rows, _ in tiles(conditional.rows, draws, 2 * conditional.targets, size=_AT_ONCE):
        some = conditional[rows]
        first, second = (some.sample(rng, draws) for _ in range(2))
        near = np.linalg.norm((first - y[rows, None]) / unit, axis=2)
        near += np.linalg.norm((second - y[rows, None]) / unit, axis=2)
        apart = np.linalg.norm((first - second) / unit, axis=2)
        value[rows], error[rows] = _mean((near - apart) / 2)
    return Estimate(value, error)


def variance_parts(members: Sequence[Batch]) -> tuple[Array, Array]:
    r"""The variance of an equal-weight ensemble, split by the law of total variance.

    .. math:: \mathrm{Var}\,Y = \tfrac1M \sum_m \mathrm{Var}_m Y
              + \tfrac1M \sum_m (E_m Y - E\,Y)^2

    Args:
        members: M distributions of the same rows.

    Returns:
        The aleatoric part, which the members expect, and the epistemic part, by which they
        disagree, (N, D) each. Where the means are infinite the latter is not known: NaN.
    """
    means = np.stack([member.mean() for member in members])
    inner = np.stack([member.std() for member in members]) ** 2
    with np.errstate(invalid="ignore"):
        return inner.mean(axis=0), means.var(axis=0)


def _mean(draws: Array) -> tuple[Array, Array]:
    """The mean over draws (N, M) and its standard error."""
    return draws.mean(axis=1), draws.std(axis=1, ddof=1) / math.sqrt(draws.shape[1])
