"""Initial component locations from the training targets: quantiles or k-means centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array

_SAMPLED_ROWS = 1 << 16
"""Most rows that the initial bias is computed from."""

_CLUSTERED_ROWS = 1 << 11
"""Most rows that are clustered."""

_ROUNDS = 3
"""Iterations of k-means: a starting point needs no convergence."""


def sampled_rows(y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Targets (D, n), subsampled with replacement if there are very many."""
    if y.shape[1] <= _SAMPLED_ROWS:
        return y
    return y[:, rng.integers(y.shape[1], size=_SAMPLED_ROWS)]


def initial_locations(
    y: NDArray[np.float32], components: int, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Locations (K, D) that cover the targets (D, n).

    With one target they are its quantiles at K even levels, with several the centres of K clusters.

    >>> y = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    >>> initial_locations(y, 2, np.random.default_rng(0)).ravel()
    array([0.75, 2.25])
    """
    if len(y) == 1:
        return np.quantile(y[0], (np.arange(components) + 0.5) / components)[:, None]
    return kmeans_centres(y.T.astype(np.float64), components, rng)


def kmeans_centres(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Cluster centres of rows (n, D) by k-means++ seeding and a few rounds of Lloyd's algorithm.

    Each starting centre is a row drawn with probability proportional to its squared distance from
    the nearest one drawn before (Arthur and Vassilvitskii 2007, "k-means++"). scikit-learn's
    k-means would do, but it draws other random numbers, so that no earlier run could be repeated,
    and importing it takes longer than all of this.
    """
    if len(rows) > _CLUSTERED_ROWS:
        rows = rows[rng.choice(len(rows), _CLUSTERED_ROWS, replace=False)]
    centres = np.repeat(rows[[rng.integers(len(rows))]], count, axis=0)
    distance = np.full(len(rows), np.inf)
    for index in range(1, count):
        np.minimum(distance, _squared_distances(rows, centres[[index - 1]])[:, 0], out=distance)
        total = distance.sum()
        centres[index] = rows[rng.choice(len(rows), p=distance / total if total > 0 else None)]
    for _ in range(_ROUNDS):
        nearest = _squared_distances(rows, centres).argmin(axis=1)
        for index in np.unique(nearest):
            centres[index] = rows[nearest == index].mean(axis=0)
    return centres


def _squared_distances(rows: Array, centres: Array) -> Array:
    return ((rows[:, None] - centres) ** 2).sum(axis=2)
