"""Families of components: standard densities and their functions.

A component with location mu and scale s has the density f((y - mu) / s) / s, where the standard
density f is symmetric about 0. For several targets it is a product of such densities.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdncli.density.arrays import Array, Real

QUICK_ERROR = 3e-15
"""Largest error of the quick cdf of a family in double precision."""


@dataclass(frozen=True)
class Family:
    """A standard density f(z), symmetric about 0.

    Attributes:
        log_density: log f(z), elementwise.
        cdf: the probability of at most z, elementwise.
        quick_cdf: a fast cdf from z and f(z), with an absolute error within 1e-6 in single
            precision and `QUICK_ERROR` in double: in the lower tail it has no correct digits.
        score: the derivative of log f(z), elementwise.
        max_curvature: upper bound of |f''|; inf where f has a kink.
        quantile: the z at which the cdf reaches a level, elementwise.
        sample: draws of a given shape.
        log_mgf: logarithm of the moment generating function, log E exp(s z), for s >= 0,
            elementwise; inf where the tails are too heavy.
        std: the standard deviation of z.
        moments: order below which moments E |z|^m are finite; inf where all are.
        distance: mean absolute distance E|z - Z|, elementwise, for stable families, in which the
            difference of two scaled draws has the root of the sum of the squared scales; else None.

    >>> gaussian = FAMILIES["gaussian"]
    >>> float(gaussian.cdf(np.float64(0.0)))
    0.5
    """

    log_density: Callable[[Array], Array]
    cdf: Callable[[Array], Array]
    quick_cdf: Callable[[Real, Real], Real]
    score: Callable[[Array], Array]
    max_curvature: float
    quantile: Callable[[Array], Array]
    sample: Callable[[np.random.Generator, tuple[int, ...]], Array]
    log_mgf: Callable[[Array], Array]
    std: float
    moments: float = math.inf
    distance: Callable[[Array], Array] | None = None


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
    return _on_both_sides(tail, z)


def _on_both_sides(tail: Real, z: Real) -> Real:
    """Cdf from the tail probability beyond |z|, in place."""
    # 1 - tail on the right, tail on the left: the sign of z, by its bit, goes to 0.5 - tail.
    np.subtract(0.5, tail, out=tail)
    bits = tail.view(np.dtype(f"u{tail.itemsize}"))
    bits |= z.view(bits.dtype) & _SIGN[tail.dtype.name]
    tail += 0.5
    return tail


# E|z - Z| = |z| + exp(-z^2 / 2) P(k) with k = 1 / (1 + p |z|): p, and the polynomial P, constant
# term first, fitted for the least largest error, 1.2e-11.
_DISTANCE = (
    0.2,
    (
        0.008411972490107056,
        -0.14219776096427095,
        1.0593965003941475,
        -4.173196437305103,
        11.19940670288109,
        -19.228993053390937,
        22.609780999701183,
        -16.74916787525173,
        7.454169961582963,
        -1.2397264493464735,
    ),
)


def _gaussian_distance(z: Array) -> Array:
    p, (constant, *inner, last) = _DISTANCE
    away = np.abs(z)
    k = away * p
    k += 1
    np.reciprocal(k, out=k)
    near = k * last
    for term in reversed(inner):
        near += term
        near *= k
    near += constant
    np.multiply(away, away, out=k)
    k *= -0.5
    # Arithmetic on subnormal numbers is many times slower.
    np.maximum(k, -700.0, out=k)
    np.exp(k, out=k)
    near *= k
    near += away
    return near


def _gaussian_quantile(level: Array) -> Array:
    from scipy.special import ndtri

    return ndtri(level)


def _laplace_cdf(z: Array) -> Array:
    tail = np.exp(-np.abs(z)) / 2
    return np.where(z > 0, 1 - tail, tail)


def _laplace_quantile(level: Array) -> Array:
    return np.copysign(np.log(2 * np.minimum(level, 1 - level)), np.asarray(level) - 0.5)


def _laplace_log_mgf(s: Array) -> Array:
    return np.where(s < 1, -np.log1p(-(np.minimum(s, 1 - 2**-53) ** 2)), np.inf)


def _logistic_log_density(z: Array) -> Array:
    far = np.abs(z)
    return -far - 2 * np.log1p(np.exp(-far))


def _logistic_cdf(z: Array) -> Array:
    from scipy.special import expit

    return expit(z)


def _logistic_log_mgf(s: Array) -> Array:
    # E exp(s z) = pi s / sin(pi s), below 1.
    return np.where(s < 1, -np.log(np.sinc(np.minimum(s, 1 - 2**-53))), np.inf)


DEGREES_OF_FREEDOM = 4.0
"""Default degrees of freedom of Student's t."""


@functools.cache
def student_t(degrees_of_freedom: float) -> Family:
    r"""Student's t distribution; fewer degrees of freedom mean heavier tails.

    .. math:: f(z) \propto (1 + z^2 / \nu)^{-(\nu + 1) / 2}

    Args:
        degrees_of_freedom: nu, above 2, so that the standard deviation is finite.

    Raises:
        ValueError: they are not finite or not above 2.

    >>> student_t(4.0).std ** 2
    2.0...
    """
    if not 2 < degrees_of_freedom < math.inf:
        raise ValueError(f"Student's t needs above 2 degrees of freedom, not {degrees_of_freedom}")
    nu = float(degrees_of_freedom)
    constant, power = _log_gamma_step(nu / 2) - 0.5 * math.log(nu * math.pi), (nu + 1) / 2

    def log_density(z: Array) -> Array:
        return np.log1p(_square(z) / nu) * -power + constant

    return Family(
        log_density=log_density,
        cdf=functools.partial(_student_cdf, nu),
        quick_cdf=functools.partial(_student_quick_cdf, nu),
        score=lambda z: -2 * power * z / (nu + _square(z)),
        max_curvature=2 * power / nu * math.exp(constant),
        quantile=functools.partial(_student_quantile, nu),
        sample=lambda rng, shape: rng.standard_t(nu, shape),
        log_mgf=lambda s: np.where(s > 0, np.inf, 0.0),
        std=math.sqrt(nu / (nu - 2)),
        moments=nu,
    )


def _log_gamma_step(a: float) -> float:
    """Difference log Gamma(a + 1/2) - log Gamma(a), without cancellation for large a."""
    if a < 200:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return 0.5 * math.log(a) + math.log1p(-1 / (8 * a) + 1 / (128 * a**2) + 5 / (1024 * a**3))


def _square(z: Real) -> Real:
    """Square of z; inf, where the density is 0, if it overflows."""
    with np.errstate(over="ignore"):
        return np.multiply(z, z)


def _student_cdf(nu: float, z: Array) -> Array:
    from scipy.special import betainc, betaincc

    square = _square(z)
    tail = np.empty(square.shape)
    # One form of the beta function for the tails and one for the centre, for full precision.
    far = square > nu
    tail[far] = betainc(nu / 2, 0.5, nu / (nu + square[far])) / 2
    near = square[~far]
    tail[~far] = betaincc(0.5, nu / 2, near / (nu + near)) / 2
    return np.where(z > 0, 1 - tail, tail)


# Largest even degrees of freedom whose quick cdf is a finite sum.
_MOST_SUMMED = 20


def _student_quick_cdf(nu: float, z: Real, density: Real) -> Real:
    if nu % 2 or nu > _MOST_SUMMED:
        return _student_cdf(nu, z.astype(np.float64)).astype(z.dtype)
    # Abramowitz and Stegun 26.7.4, with tan(theta) = z / sqrt(nu). Further out it is 0 or 1, and
    # the square could overflow.
    tangent = np.clip(z, -1e15, 1e15) / math.sqrt(nu)
    cosine = tangent * tangent
    cosine += 1
    np.reciprocal(cosine, out=cosine)
    total = np.ones_like(cosine)
    for even in range(int(nu) - 2, 0, -2):
        total *= cosine
        total *= (even - 1) / even
        total += 1
    np.sqrt(cosine, out=cosine)
    total *= tangent
    total *= cosine
    total *= 0.5
    total += 0.5
    return total


def _student_quantile(nu: float, level: Array) -> Array:
    from scipy.special import betainccinv, betaincinv

    level = np.asarray(level)
    tail = np.minimum(level, 1 - level)
    # One form for the tails and one for the centre, as for the cdf.
    far = tail < _student_cdf(nu, np.array(-math.sqrt(nu)))
    odds = np.empty(level.shape)
    inside = betaincinv(nu / 2, 0.5, 2 * tail[far])
    odds[far] = (1 - inside) / inside
    outside = betainccinv(0.5, nu / 2, 2 * tail[~far])
    odds[~far] = outside / (1 - outside)
    return np.copysign(np.sqrt(nu * odds), level - 0.5)


# To add a family, add an entry, and its twin in `mdncli.training.families`.
FAMILIES: dict[str, Family] = {
    "gaussian": Family(
        log_density=_gaussian_log_density,
        cdf=_gaussian_cdf,
        quick_cdf=_gaussian_quick_cdf,
        score=np.negative,
        max_curvature=1 / math.sqrt(2 * math.pi),
        quantile=_gaussian_quantile,
        sample=lambda rng, shape: rng.standard_normal(shape),
        log_mgf=lambda s: 0.5 * s**2,
        std=1.0,
        distance=_gaussian_distance,
    ),
    "laplace": Family(
        log_density=lambda z: -np.abs(z) - math.log(2),
        cdf=_laplace_cdf,
        quick_cdf=lambda z, density: _on_both_sides(density.copy(), z),
        score=lambda z: -np.sign(z),
        max_curvature=math.inf,
        quantile=_laplace_quantile,
        sample=lambda rng, shape: rng.laplace(size=shape),
        log_mgf=_laplace_log_mgf,
        std=math.sqrt(2),
    ),
    "logistic": Family(
        log_density=_logistic_log_density,
        cdf=_logistic_cdf,
        quick_cdf=lambda z, density: 0.5 * np.tanh(0.5 * z) + 0.5,
        score=lambda z: -np.tanh(0.5 * z),
        max_curvature=0.125,
        quantile=lambda level: np.log(level) - np.log1p(-level),
        sample=lambda rng, shape: rng.logistic(size=shape),
        log_mgf=_logistic_log_mgf,
        std=math.pi / math.sqrt(3),
    ),
    "student_t": student_t(DEGREES_OF_FREEDOM),
}
"""Families by name; `student_t` has `DEGREES_OF_FREEDOM`."""

PARAMETRIC = {"student_t": student_t}
"""Families with degrees of freedom: constructors by name."""


def family_of(name: str, degrees_of_freedom: float | None = None) -> Family:
    """Family by its name and degrees of freedom.

    Args:
        name: a key of `FAMILIES`.
        degrees_of_freedom: for a key of `PARAMETRIC`; None for the default.

    Raises:
        ValueError: there is no such family, or it has no such degrees of freedom.

    >>> family_of("student_t", 3.0).moments
    3.0
    """
    if name not in FAMILIES:
        raise ValueError(f"no family {name!r}; known are {', '.join(FAMILIES)}")
    if degrees_of_freedom is None:
        return FAMILIES[name]
    if name not in PARAMETRIC:
        raise ValueError(f"the family {name} has no degrees of freedom")
    return PARAMETRIC[name](float(degrees_of_freedom))
