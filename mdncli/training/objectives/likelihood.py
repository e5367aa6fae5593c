"""NLL of a head's predictions: its objective, and its mean in nats from what is added up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdncli.head import AnyHead, ClassHead, Head, PointHead
from mdncli.training.families import family_of


def likelihood_of(head: AnyHead) -> str:
    """Name of the objective that is the NLL of a head's predictions, up to a constant.

    >>> [likelihood_of(head) for head in (Head(3, 2), PointHead(1, "laplace"), ClassHead(2))]
    ['nll', 'absolute', 'cross_entropy']
    """
    if isinstance(head, Head):
        return "nll"
    if isinstance(head, ClassHead):
        return "cross_entropy"
    return {"gaussian": "squared", "laplace": "absolute"}[head.family]


def mean_nll(head: AnyHead, mean: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Mean NLL of a row, from the mean of what the objective adds up.

    For a point head it is the NLL at the scale, common to all targets, that fits these rows best:
    with a loss of l in D targets and errors to the power p, D / p (1 + log(p l / D)) and the
    family's constant.

    >>> mean_nll(Head(mixtures=3, targets=2), np.array([0.5])).round(4)
    array([2.3379])
    >>> mean_nll(PointHead(targets=1), np.array([0.5])).round(4)
    array([1.4189])
    """
    values = np.asarray(mean, np.float64)
    if not isinstance(head, PointHead):
        return values + nll_constant(head)
    each = head.targets / head.power
    # Errors of 0 have no finite NLL: no scale is too small for them.
    fitted = each * (1 + np.log(np.maximum(values, 1e-18) / each))
    return np.where(np.isnan(values), np.nan, fitted) + nll_constant(head)


def nll_constant(head: AnyHead) -> float:
    """Constant of the NLL of every row, which the objectives leave out.

    >>> round(nll_constant(Head(mixtures=3, targets=2)), 4)
    1.8379
    """
    if isinstance(head, ClassHead):
        return 0.0
    nu = head.degrees_of_freedom if isinstance(head, Head) else None
    return head.targets * family_of(head.family, nu).constant
