"""Elementwise transforms of columns: increasing, invertible, with their derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """An increasing function t(y) from an interval of y.

    Attributes:
        forward: t(y), elementwise, on the interval.
        backward: y(t), elementwise; it may round onto the interval's bounds, `inverse` does not.
        log_derivative: log dt/dy, elementwise: the log Jacobian, added to a log density of t.
        lower: the bound that every y is above.
        upper: the bound that every y is below.
        growth: y grows as this power of t: 0 for bounded y, inf where it grows exponentially.
        closed: whether the lower bound itself has a t. Then t starts there, while models put some
            probability below it, which `inverse` maps to the bound.

    >>> log = TRANSFORMS["log"]
    >>> log.inverse(log.forward(np.array([1.0, 20.0]))).round(6)
    array([ 1., 20.])
    >>> log.mask_outside(np.array([1.0, 0.0, np.nan])), log.domain()
    (array([False,  True,  True]), 'above 0')
    """

    forward: Function
    backward: Function
    log_derivative: Function
    lower: float = -math.inf
    upper: float = math.inf
    growth: float = math.inf
    closed: bool = False

    @property
    def start(self) -> float:
        """The smallest t of the interval."""
        return float(self.forward(np.asarray(self.lower))) if self.closed else -math.inf

    def inverse(self, t: Array) -> Array:
        """y(t), elementwise, always strictly inside the interval, or on its closed bound."""
        with np.errstate(over="ignore"):
            y = self.backward(t)
        lowest = self.lower if self.closed else np.nextafter(self.lower, math.inf)
        return np.clip(y, lowest, np.nextafter(self.upper, -math.inf))

    def mask_outside(self, y: Array, *, target: bool = False) -> NDArray[np.bool_]:
        """True for values of y outside the domain; a target also needs a finite derivative."""
        low = y >= self.lower if self.closed and not target else y > self.lower
        return ~(low & (y < self.upper))

    def domain(self, *, target: bool = False) -> str:
        """Domain of y in words that follow "must be"."""
        if math.isfinite(self.upper):
            return f"strictly between {self.lower:g} and {self.upper:g}"
        if math.isfinite(self.lower):
            return (
                f"{self.lower:g} or more" if self.closed and not target else f"above {self.lower:g}"
            )
        return "finite"


def _identity(y: Array) -> Array:
    return y


def _expit(t: Array) -> Array:
    # Unlike 1 / (1 + exp(-t)) this neither overflows nor loses the digits of small values.
    return np.exp(-np.logaddexp(0.0, -t))


# To add a transform, add an entry; the contract test then covers it.
TRANSFORMS: dict[str, Transform] = {
    "identity": Transform(
        forward=_identity,
        backward=_identity,
        log_derivative=np.zeros_like,
        growth=1.0,
    ),
    "log": Transform(
        forward=np.log,
        backward=np.exp,
        log_derivative=lambda y: -np.log(y),
        lower=0.0,
    ),
    "log1p": Transform(
        forward=np.log1p,
        backward=np.expm1,
        log_derivative=lambda y: -np.log1p(y),
        lower=-1.0,
    ),
    "asinh": Transform(
        forward=np.arcsinh,
        backward=np.sinh,
        log_derivative=lambda y: -np.log(np.hypot(1.0, y)),
    ),
    "sqrt": Transform(
        forward=np.sqrt,
        backward=lambda t: np.maximum(t, 0.0) ** 2,
        log_derivative=lambda y: -0.5 * np.log(4.0 * y),
        lower=0.0,
        growth=2.0,
        closed=True,
    ),
    "logit": Transform(
        forward=lambda y: np.log(y) - np.log1p(-y),
        backward=_expit,
        log_derivative=lambda y: -np.log(y) - np.log1p(-y),
        lower=0.0,
        upper=1.0,
        growth=0.0,
    ),
    "atanh": Transform(
        forward=np.arctanh,
        backward=np.tanh,
        log_derivative=lambda y: -np.log1p(-y) - np.log1p(y),
        lower=-1.0,
        upper=1.0,
        growth=0.0,
    ),
}
