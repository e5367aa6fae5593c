from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.families import FAMILIES
from mdncli.density.quantiles import TOLERANCE, certified_step, mixture_quantiles

GAUSSIAN = FAMILIES["gaussian"]
LEVELS = np.array([1e-12, 1e-6, 1e-3, 0.05, 0.3, 0.5, 0.9, 0.95, 0.999, 1 - 1e-6])

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def mixtures(mixtures: int, rows: int, spread: float, thinnest: float = 0.1) -> Parts:
    """Random weights, locations and scales, (K, N) each; scales spread evenly in the logarithm."""
    rng = np.random.default_rng(mixtures)
    logits = rng.normal(size=(mixtures, rows)) * 3
    weights = np.exp(logits - logits.max(axis=0))
    scale = np.exp(rng.uniform(np.log(thinnest), 0, (mixtures, rows)))
    return weights / weights.sum(axis=0), spread * rng.normal(size=scale.shape), scale


def cdf(x: np.ndarray, weights: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = (x - location[:, None]) / scale[:, None]
    return (weights[:, None] * GAUSSIAN.cdf(z)).sum(axis=0)


PLAIN = mixtures(5, 50, 1.0)
CASES: dict[str, Parts] = {
    "one component": mixtures(1, 50, 1.0),
    "overlapping": mixtures(10, 300, 0.5),
    "apart": mixtures(10, 300, 100.0),
    "an ensemble": mixtures(50, 200, 2.0),
    "needles in hay": mixtures(8, 300, 2.0, thinnest=1e-9),
    "far from 0": (PLAIN[0], PLAIN[1] + 1e6, PLAIN[2]),
    "tiny": (PLAIN[0], PLAIN[1] * 1e-200, PLAIN[2] * 1e-200),
    "huge": (PLAIN[0], PLAIN[1] * 1e200, PLAIN[2] * 1e200),
    "some without weight": (
        np.array([[0.0], [0.4], [0.6], [0.0]]),
        np.array([[-1e9], [0.0], [1.0], [1e9]]),
        np.array([[1e-9], [0.1], [2.0], [1e9]]),
    ),
    "no rows": mixtures(3, 0, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cdf_there_is_the_level(name: str) -> None:
    parts = CASES[name]
    x = mixture_quantiles(GAUSSIAN, LEVELS, *parts)
    assert x.shape == (len(LEVELS), parts[0].shape[1])
    # Where a component is too thin for its location's precision, the neighbours must enclose it.
    reached, below, above = (
        cdf(at, *parts) for at in (x, *np.nextafter(x, [[[-1e300]], [[1e300]]]))
    )
    wanted = LEVELS[:, None]
    near = abs(reached - wanted) <= 1e-10 * wanted
    assert (near | ((below <= wanted) & (wanted <= above))).all()
    assert (np.diff(x, axis=0) >= 0).all()


def test_many_levels_at_once() -> None:
    parts, levels = mixtures(4, 3, 2.0), np.linspace(0.001, 0.999, 999)
    reached = cdf(mixture_quantiles(GAUSSIAN, levels, *parts), *parts)
    np.testing.assert_allclose(reached, levels[:, None] + np.zeros(3), atol=1e-12)


@pytest.mark.parametrize("off", [1e-1, 1e-2, 1e-3, 1e-5, 0.0])
def test_a_step_that_claims_to_arrive_has_arrived(off: float) -> None:
    levels = np.array([0.01, 0.2, 0.5, 0.99])
    for parts in (mixtures(6, 2000, 2.0, thinnest=1e-3), mixtures(2, 2000, 1.0)):
        exact = mixture_quantiles(GAUSSIAN, levels, *parts)
        start = exact + off * np.random.default_rng(0).normal(size=exact.shape)
        with np.errstate(all="ignore"):
            x, arrived = certified_step(GAUSSIAN, levels[:, None], *parts, start)
        error = abs(cdf(x, *parts) / levels[:, None] - 1)
        assert (error[arrived] <= 1.1 * TOLERANCE).all()
        assert off or arrived.mean() > 0.9


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "gaussian"])
@pytest.mark.parametrize("case", ["overlapping", "apart", "needles in hay", "huge"])
def test_quantiles_of_every_family(name: str, case: str) -> None:
    family = FAMILIES[name]
    weights, location, scale = (part[:, :50] for part in CASES[case])
    x = mixture_quantiles(family, LEVELS, weights, location, scale)

    def reached(at: np.ndarray) -> np.ndarray:
        z = (at - location[:, None]) / scale[:, None]
        return (weights[:, None] * family.cdf(z)).sum(axis=0)

    wanted = LEVELS[:, None]
    near = abs(reached(x) - wanted) <= 1e-10 * wanted
    below, above = (reached(np.nextafter(x, end)) for end in (-1e300, 1e300))
    assert (near | ((below <= wanted) & (wanted <= above))).all()
