"""Weight of the background component, from held-out rows."""

from __future__ import annotations

import math

import numpy as np

from mdncli.density.arrays import Array

PRIOR_OUTLIERS = 8.0
"""Prior pseudo-count of outlier rows, divided by the number of rows: with a handful of rows the
background weight is at least about a fifth, with many the prior vanishes."""

_MOST = 0.99
"""Largest background weight."""

_BISECTIONS = 64
"""Halvings that take the log odds from an interval of width 700 to the last bit."""


def background_weight(log_ratio: Array, weights: Array | None = None) -> float:
    r"""Maximum a posteriori weight of a background component.

    Of n rows with densities p of the model and g of the background alone, it solves

    .. math:: \epsilon = \frac{1}{n + a} \Big( a +
              \sum_i \frac{\epsilon g_i}{(1 - \epsilon) p_i + \epsilon g_i} \Big)

    with a = `PRIOR_OUTLIERS` / n: negligible where many rows are well predicted, larger for few or
    badly predicted rows.

    Args:
        log_ratio: log p - log g of every row, (n,); -inf where the model gives no density.
        weights: of the rows in the sum, of mean 1, (n,); None where they count alike.

    >>> well_predicted = np.full(1000, 3.0)
    >>> round(background_weight(well_predicted), 6)
    8e-06
    """
    prior = PRIOR_OUTLIERS / len(log_ratio)
    # The likelihood is concave in the weight: the right side of the equation, evaluated at any
    # weight, lies on the side of the solution.
    low, high = -700.0, math.log(_MOST / (1 - _MOST))
    for _ in range(_BISECTIONS):
        odds = (low + high) / 2
        outlier = 1 / (1 + np.exp(np.clip(log_ratio - odds, -700, 700)))
        if weights is not None:
            outlier *= weights
        weight = 1 / (1 + math.exp(-odds))
        more = (prior + outlier.sum()) / (prior + len(log_ratio)) > weight
        low, high = (odds, high) if more else (low, odds)
    return 1 / (1 + math.exp(-high))
