"""The standard densities that components are made of.

A component with location mu and scale s has the density f((y - mu) / s) / s. A family is the
standard density f: symmetric about 0 and, for several targets, independent in each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Real: TypeAlias = NDArray[np.floating[Any]]

QUICK_ERROR = 3e-15
"""What a family's quick cdf may be off by in double precision."""


@dataclass(frozen=True)
class Family:
    """A standard density f(z), symmetric about 0.

    Attributes:
        log_density: log f(z), elementwise.
        cdf: the probability of at most z, elementwise.
        quick_cdf: the cdf at the least cost, from z and f(z): within 1e-6 in single precision and
            `QUICK_ERROR` in double, which far out is more than the cdf itself.
        score: the derivative of log f(z), elementwise.
        bend: the most that the second derivative of f comes to; inf where f has a kink.
        quantile: the z at which the cdf reaches a level, elementwise.
        sample: draws of a given shape.
        log_mean_exp: log E exp(s z) for s >= 0, elementwise; inf where the tails are too heavy.
        std: the standard deviation of z.

    >>> gaussian = FAMILIES["gaussian"]
    >>> float(gaussian.cdf(np.float64(0.0)))
    0.5
    """

    log_density: Callable[[Array], Array]
    cdf: Callable[[Array], Array]
    quick_cdf: Callable[[Real, Real], Real]
    score: Callable[[Array], Array]
    bend: float
    quantile: Callable[[Array], Array]
    sample: Callable[[np.random.Generator, tuple[int, ...]], Array]
    log_mean_exp: Callable[[Array], Array]
    std: float


def _gaussian_log_density(z: Array) -> Array:
    log_density = np.multiply(z, z)
    log_density *= -0.5
    log_density -= 0.5 * math.log(2 * math.pi)
    return log_density


def _gaussian_cdf(z: Array) -> Array:
    from scipy.special import ndtr

    return ndtr(z)


# p, and the ratio of tail to density at t = |z| as a polynomial in k = 1 / (1 + p t), constant term
# first. Single precision: Abramowitz and Stegun 26.2.17. Double: the same form, fitted anew for the
# least largest error.
_QUICK: dict[str, tuple[float, tuple[float, ...]]] = {
    "float32": (
        0.2316419,
        (0.0, 0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429),
    ),
    "float64": (
        0.25,
        (
            0.0001966444083400885,
            0.24620134593139306,
            0.2836125881356632,
            0.054168542282679866,
            0.8550319107907149,
            -1.515918379579862,
            3.236884823865051,
            -4.201545061075562,
            4.178114554246049,
            -2.795565727674488,
            1.152140195390745,
            -0.26689934408275295,
            0.02689204467753106,
        ),
    ),
}


_SIGN = {"float32": np.uint32(1 << 31), "float64": np.uint64(1 << 63)}


def _gaussian_quick_cdf(z: Real, density: Real) -> Real:
    p, (constant, *inner, last) = _QUICK[z.dtype.name]
    k = np.abs(z)
    k *= p
    k += 1
    np.reciprocal(k, out=k)
    tail = k * last
    for term in reversed(inner):
        tail += term
        tail *= k
    tail += constant
    tail *= density
    # 1 - tail on the right, tail on the left: the sign of z, by its bit, goes to 0.5 - tail.
    np.subtract(0.5, tail, out=tail)
    bits = tail.view(np.dtype(f"u{tail.itemsize}"))
    bits |= z.view(bits.dtype) & _SIGN[tail.dtype.name]
    tail += 0.5
    return tail


def _gaussian_quantile(level: Array) -> Array:
    from scipy.special import ndtri

    return ndtri(level)


FAMILIES: dict[str, Family] = {
    "gaussian": Family(
        log_density=_gaussian_log_density,
        cdf=_gaussian_cdf,
        quick_cdf=_gaussian_quick_cdf,
        score=np.negative,
        bend=1 / math.sqrt(2 * math.pi),
        quantile=_gaussian_quantile,
        sample=lambda rng, shape: rng.standard_normal(shape),
        log_mean_exp=lambda s: 0.5 * s**2,
        std=1.0,
    ),
}
