from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm, norm

from mdncli.density.families import FAMILIES, student_t
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.transforms import TRANSFORMS


def single(location: float, scale: float, transform: str) -> Transformed:
    return Transformed(Mixture([[0.0]], [[[location]]], [[[scale]]]), [transform])


def test_a_normal_log_is_log_normal() -> None:
    price = single(2.0, 0.5, "log")
    exact = lognorm(0.5, scale=np.exp(2.0))
    y = np.array([[[0.5], [3.0], [20.0]]])
    np.testing.assert_allclose(price.log_prob(y)[0], exact.logpdf(y[0, :, 0]), rtol=1e-12)
    np.testing.assert_allclose(price.cdf(y)[0, :, 0], exact.cdf(y[0, :, 0]), rtol=1e-12)
    np.testing.assert_allclose(
        price.quantile([0.1, 0.9]).ravel(), exact.ppf([0.1, 0.9]), rtol=1e-12
    )
    np.testing.assert_allclose(
        [price.mean().item(), price.std().item()], [exact.mean(), exact.std()], rtol=1e-12
    )


def moments(transform: str, location: float, scale: float) -> tuple[float, float]:
    """By Gauss-Legendre quadrature on very many panels; a closed bound is at y = 0."""
    start = max(-12.0, (TRANSFORMS[transform].start - location) / scale)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(start, 12, 3001)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (nodes + 1)).ravel()
    mass = (half * weights).ravel() * norm.pdf(z)
    y = TRANSFORMS[transform].backward(location + scale * z)
    mean = (mass * y).sum()
    on_bound = norm.cdf(start) if start > -12 else 0.0
    return mean, np.sqrt((mass * (y - mean) ** 2).sum() + on_bound * mean**2)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("location", [-2.0, 0.3, 5.0])
@pytest.mark.parametrize("scale", [1e-3, 0.5, 1.5])
def test_moments_of_one_component(transform: str, location: float, scale: float) -> None:
    conditional = single(location, scale, transform)
    mean, std = moments(transform, location, scale)
    assert conditional.mean().item() == pytest.approx(mean, rel=1e-9, abs=1e-15)
    assert conditional.std().item() == pytest.approx(std, rel=1e-8, abs=1e-15)


@pytest.mark.parametrize("transform", ["logit", "atanh", "sqrt"])
def test_moments_of_very_wide_components(transform: str) -> None:
    mean, std = moments(transform, 1.0, 30.0)
    assert single(1.0, 30.0, transform).mean().item() == pytest.approx(mean, rel=1e-8)
    assert single(1.0, 30.0, transform).std().item() == pytest.approx(std, rel=1e-8)


@pytest.mark.parametrize("transform", ["logit", "atanh", "sqrt"])
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("location", "scale"), [(-2.0, 0.5), (0.3, 2.0), (5.0, 0.1)])
def test_moments_of_every_family(name: str, location: float, scale: float, transform: str) -> None:
    family = student_t(9.0) if name == "student_t" else FAMILIES[name]
    base = Mixture([[0.0]], [[[location]]], [[[scale]]], family)
    conditional = Transformed(base, [transform])
    entry = TRANSFORMS[transform]
    start = (entry.start - location) / scale
    edges = np.clip([-np.inf, -1e3, -50, -9, -2, 0, 2, 9, 50, 1e3, np.inf], start, np.inf)
    on_bound = float(family.cdf(np.asarray(start)))

    def expected(of: Callable[[float], float]) -> float:
        def part(z: float) -> float:
            y = float(entry.backward(np.asarray(location + scale * z)))
            return of(y) * float(np.exp(family.log_density(np.asarray(z))))

        pairs = [(low, high) for low, high in pairwise(edges) if low < high]
        return sum(quad(part, *pair, epsabs=1e-14, epsrel=1e-11)[0] for pair in pairs)

    mean = expected(lambda y: y)
    on_bound *= transform == "sqrt"
    variance = expected(lambda y: (y - mean) ** 2) + on_bound * mean**2
    assert conditional.mean().item() == pytest.approx(mean, rel=1e-8)
    assert conditional.std().item() == pytest.approx(np.sqrt(variance), rel=1e-7)


def test_moments_that_heavy_tails_do_not_have_are_infinite() -> None:
    base = Mixture([[0.0]], [[[1.0]]], [[[0.5]]], student_t(3.5))
    root, log = Transformed(base, ["sqrt"]), Transformed(base, ["log"])
    assert np.isfinite(root.mean()).all()
    for infinite in (root.std(), log.mean(), log.std()):
        assert infinite.item() == np.inf
    exponential = Transformed(Mixture([[0.0]], [[[1.0]]], [[[0.7]]], "laplace"), ["log"])
    assert exponential.mean().item() == pytest.approx(np.e / (1 - 0.49))
    assert exponential.std().item() == np.inf


def test_moments_of_a_mixture_follow_its_components() -> None:
    base = Mixture([[0.0], [1.0]], [[[0.0]], [[1.0]]], [[[0.5]], [[0.2]]])
    weights = base.weights.ravel()
    parts = [single(0.0, 0.5, "log"), single(1.0, 0.2, "log")]
    means = np.array([p.mean().item() for p in parts])
    seconds = np.array([p.std().item() ** 2 for p in parts]) + means**2
    mean = weights @ means
    assert Transformed(base, ["log"]).mean().item() == pytest.approx(mean)
    assert Transformed(base, ["log"]).std().item() == pytest.approx(
        np.sqrt(weights @ seconds - mean**2)
    )


def test_a_component_without_weight_has_no_say() -> None:
    base = Mixture([[0.0], [-np.inf]], [[[1.0]], [[900.0]]], np.full((2, 1, 1), 0.1))
    assert Transformed(base, ["log"]).mean().item() == pytest.approx(np.exp(1 + 0.005))


def test_an_infinite_mean_is_said() -> None:
    assert single(800.0, 1.0, "log").mean().item() == np.inf
    assert single(800.0, 1.0, "log").std().item() == np.inf


@pytest.mark.parametrize(
    ("transform", "below", "above"),
    [("log", 0.0, None), ("log1p", -1.0, None), ("logit", 0.0, 1.0), ("atanh", -1.0, 1.0)],
)
def test_nothing_lies_outside_the_domain(transform: str, below: float, above: float | None) -> None:
    conditional = single(0.5, 8.0, transform)
    outside = [below - 1, below] + ([] if above is None else [above, above + 1])
    points = np.array(outside)[None, :, None]
    np.testing.assert_array_equal(conditional.log_prob(points), -np.inf)
    np.testing.assert_array_equal(conditional.cdf(points).ravel(), [0, 0, 1, 1][: len(outside)])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_draws_can_always_be_scored(transform: str) -> None:
    draws = single(3.0, 60.0, transform).sample(np.random.default_rng(0), 5000)
    assert not TRANSFORMS[transform].mask_outside(draws).any()
    assert np.isfinite(draws).all()


def test_what_lies_below_a_closed_bound_sits_on_it() -> None:
    conditional = single(0.5, 1.0, "sqrt")
    below = norm.cdf(-0.5)
    draws = conditional.sample(np.random.default_rng(0), 20_000)
    assert (draws >= 0).all()
    assert (draws == 0).mean() == pytest.approx(below, abs=0.02)
    points = np.array([-0.1, 0.0, 4.0])[None, :, None]
    np.testing.assert_allclose(conditional.cdf(points).ravel(), [0, below, norm.cdf(1.5)])
    assert conditional.quantile([below / 2]).item() == 0
    np.testing.assert_array_equal(conditional.log_prob(points)[0, :2], -np.inf)


def test_several_targets_each_have_their_own() -> None:
    base = Mixture([[0.0]], [[[0.1], [0.2]]], [[[1.0], [0.5]]])
    both = Transformed(base, ["identity", "log"])
    y = np.array([[0.4, 1.7]])
    expected = norm.logpdf(0.4, 0.1, 1.0) + lognorm.logpdf(1.7, 0.5, scale=np.exp(0.2))
    assert both.log_prob(y).item() == pytest.approx(expected)
    assert both.log_prob(np.array([[0.4, -1.0]])).item() == -np.inf


def test_one_transform_a_target() -> None:
    with pytest.raises(ValueError, match="1 transforms for 2 targets"):
        Transformed(Mixture([[0.0]], np.zeros((1, 2, 1)), np.ones((1, 2, 1))), ["log"])


def test_a_conditional_is_seen_through_the_transforms_that_are_left() -> None:
    factor = np.array([[0.4, 0.0], [0.3, 0.2]])[None, :, :, None]
    both = Transformed(Mixture.correlated([[0.0]], [[[1.0], [2.0]]], factor), ["log", "sqrt"])
    rest = both.conditional({0: np.array([3.0])})
    assert rest.transforms == ("sqrt",)
    other = np.array([[2.0], [5.0]])
    points = np.stack([np.full(2, 3.0), other[:, 0]], axis=1)[None]
    ratio = both.log_prob(points) - rest.log_prob(other[None])
    assert ratio[0, 0] == pytest.approx(ratio[0, 1])
    assert ratio[0, 0] == pytest.approx(lognorm(0.4, scale=np.e).logpdf(3.0))


def test_an_ensemble_tells_one_price_from_another() -> None:
    rng = np.random.default_rng(9)

    def member() -> Mixture:
        factor = rng.normal(0, 0.2, size=(2, 2, 2, 3)) * np.tril(np.ones((2, 2)))[:, :, None]
        factor[:, [0, 1], [0, 1]] = rng.uniform(0.2, 0.4, size=(2, 2, 3))
        return Mixture.correlated(
            rng.normal(size=(2, 3)), rng.normal(0.5, 0.3, size=(2, 2, 3)), factor
        )

    members = [member() for _ in range(3)]
    both = Transformed(Mixture.fold(members), ["log", "log1p"])
    known = np.array([0.5, 1.5, 3.0])
    rest = both.conditional({1: known})
    # The joint density along the line of what is known, made one by its integral.
    low, high = rest.quantile([1e-13, 1 - 1e-13])[..., 0].T
    nodes, weights = np.polynomial.legendre.leggauss(64)
    edges = np.linspace(low, high, 41, axis=1)
    step = np.diff(edges, axis=1)[..., None]
    y = (edges[:, :-1, None] + step * (nodes + 1) / 2).reshape(3, -1)
    points = np.stack([y, np.broadcast_to(known[:, None], y.shape)], axis=2)
    mass = np.exp(both.log_prob(points)) * (step * weights / 2).reshape(3, -1)
    total = mass.sum(axis=1)
    np.testing.assert_allclose(rest.mean()[:, 0], (y * mass).sum(axis=1) / total, rtol=1e-7)
    own = np.exp(rest.log_prob(y[..., None])) * (step * weights / 2).reshape(3, -1)
    np.testing.assert_allclose(own, mass / total[:, None], rtol=1e-6, atol=1e-15)
    # The members that expected what is known count for more.
    evidence = np.exp(
        [Transformed(m, ["log", "log1p"]).marginal(1).log_prob(known[:, None]) for m in members]
    )
    by_member = rest.base.weights.reshape(3, 2, 3).sum(axis=1)
    np.testing.assert_allclose(by_member, evidence / evidence.sum(axis=0), rtol=1e-10)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "logistic"])
@pytest.mark.parametrize(("location", "scale"), [(-2.0, 0.2), (0.0, 0.3), (5.0, 0.01)])
def test_moments_of_asinh_for_every_family(name: str, location: float, scale: float) -> None:
    conditional = Transformed(Mixture([[0.0]], [[[location]]], [[[scale]]], name), ["asinh"])
    family = FAMILIES[name]

    def expected(power: int, centre: float = 0.0) -> float:
        def part(z: float) -> float:
            away = math.sinh(location + scale * z) - centre
            return away**power * float(np.exp(family.log_density(np.asarray(z))))

        halves = [quad(part, *ends, epsrel=1e-10, limit=200)[0] for ends in ((-80, 0), (0, 80))]
        return sum(halves)

    mean = expected(1)
    assert conditional.mean().item() == pytest.approx(mean, rel=1e-7, abs=1e-12)
    assert conditional.std().item() == pytest.approx(math.sqrt(expected(2, mean)), rel=1e-6)


def test_the_mean_of_asinh_is_infinite_for_heavy_tails() -> None:
    base = Mixture([[0.0]], [[[0.0]]], [[[0.5]]], student_t(5.0))
    assert Transformed(base, ["asinh"]).mean().item() == np.inf
