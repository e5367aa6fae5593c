"""Scale maps: increasing functions from raw outputs to positive scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdncli.density.arrays import Array


@dataclass(frozen=True)
class ScaleMap:
    """An increasing map from the real numbers to the positive ones.

    Attributes:
        forward: the map, elementwise.
        inverse: its inverse, elementwise.

    >>> softplus = SCALE_MAPS["softplus"]
    >>> round(float(softplus.forward(softplus.inverse(np.float64(0.25)))), 12)
    0.25
    """

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


SCALE_MAPS: dict[str, ScaleMap] = {
    "softplus": ScaleMap(
        forward=lambda raw: np.maximum(raw, 0) + np.log1p(np.exp(-np.abs(raw))),
        inverse=lambda scale: scale + np.log(-np.expm1(-scale)),
    ),
    "exp": ScaleMap(forward=np.exp, inverse=np.log),
    "elu": ScaleMap(
        forward=lambda raw: np.maximum(raw, 0) + np.exp(np.minimum(raw, 0)),
        inverse=lambda scale: np.where(scale > 1, scale - 1, np.log(np.minimum(scale, 1))),
    ),
}
"""Scale maps by name; `elu` is elu + 1: exponential below 0, linear above."""
