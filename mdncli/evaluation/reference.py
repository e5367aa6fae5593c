"""Reference distributions that ignore x, fitted to the training targets alone.

The difference of a metric from that of a model without inputs shows the information in the inputs.
"""

from __future__ import annotations

import numpy as np

from mdncli.data.weights import OptionalWeights
from mdncli.data.weights import mean as mean_over_rows
from mdncli.density.arrays import Array
from mdncli.density.mixture import Mixture

MIXTURES = 10
"""Components of the unconditional mixture, if there are enough rows."""

_ROWS_EACH = 20
_MOST_ROUNDS = 100
# EM stops at an iteration that gains less, in nats a row.
_ENOUGH = 1e-5


def gaussian(y: Array, weights: OptionalWeights = None) -> Mixture:
    """One Gaussian with the mean and the standard deviation of each target of y (n, D).

    Where all values are equal but for rounding, a billionth of their size stands for the latter.
    The rows may have weights, (n,).

    >>> one = gaussian(np.array([[1.0], [3.0]]))
    >>> one.mean(), one.std()
    (array([[2.]]), array([[1.]]))
    """
    mean, std = _moments(y, weights)
    equal = std <= 4 * np.spacing(np.abs(mean))
    std = np.where(equal, 1e-9 * np.where(mean == 0, 1.0, np.abs(mean)), std)
    return Mixture(np.zeros((1, 1)), mean[None, :, None], std[None, :, None])


def _moments(y: Array, weights: OptionalWeights) -> tuple[Array, Array]:
    """Mean and standard deviation of each target, (D,)."""
    if weights is None:
        return y.mean(axis=0), y.std(axis=0)
    mean = np.average(y, axis=0, weights=weights)
    return mean, np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))


def mixture(
    y: Array, floor: float, rng: np.random.Generator, weights: OptionalWeights = None
) -> Mixture:
    """Gaussian components of diagonal covariance, fitted by expectation maximisation.

    Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm".

    Args:
        y: standardised targets, (n, D).
        floor: the least scale.
        rng: draws the rows for the initial locations.
        weights: of the rows, (n,), relative to their mean; None where they count alike.

    Returns:
        A mixture of one row.

    >>> rng = np.random.default_rng(0)
    >>> y = np.where(rng.random((4000, 1)) < 0.25, -1.0, 1.0) + 0.1 * rng.normal(size=(4000, 1))
    >>> found = mixture(y, 1e-3, rng)
    >>> bool(abs(found.cdf([[0.0]]) - 0.25) < 0.02)
    True
    """
    count = max(1, min(MIXTURES, len(y) // _ROWS_EACH))
    order = np.argsort(y[:, 0]) if y.shape[1] == 1 else rng.permutation(len(y))
    # Initial locations: at even ranks of a single target, at random rows of several.
    at = (np.arange(count) + 0.5) / count * len(y)
    if weights is None:
        at = at.astype(np.intp)
    else:
        at = np.searchsorted(np.cumsum(weights[order]), at, "right").clip(max=len(y) - 1)
    location, share = y[order[at]], np.full(count, 1 / count)
    spread = np.maximum(_moments(y, weights)[1], floor)
    scale = np.full(location.shape, max(floor, 1 / count)) * spread
    best = -np.inf
    for _ in range(_MOST_ROUNDS):
        z = (y[:, None] - location) / scale
        joint = np.log(share) - np.log(scale).sum(axis=1) - 0.5 * (z**2).sum(axis=2)
        peak = joint.max(axis=1, keepdims=True)
        shares = np.exp(joint - peak)
        total = shares.sum(axis=1, keepdims=True)
        shares /= total
        reached = mean_over_rows((np.log(total) + peak)[:, 0], weights)
        if reached < best + _ENOUGH:
            break
        best = reached
        if weights is not None:
            shares *= weights[:, None]
        held = shares.sum(axis=0) + 1e-12
        share = held / held.sum()
        location = shares.T @ y / held[:, None]
        square = shares.T @ y**2 / held[:, None] - location**2
        scale = np.sqrt(np.maximum(square, floor**2))
    return Mixture(np.log(share)[:, None], location[..., None], scale[..., None])
