"""Products and chains of mixtures, against joint densities that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from mdncli.density.factored import Chain, Product
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.errors import UsageError

SLOPE, SHIFT, SCALE = 0.8, 0.5, 0.3
JOINT = multivariate_normal([0, SHIFT], [[1, SLOPE], [SLOPE, SLOPE**2 + SCALE**2]])


def gaussians(location: np.ndarray, scale: float) -> Mixture:
    return Mixture(
        np.zeros((1, len(location))), location[None, None], np.full((1, 1, len(location)), scale)
    )


def follow(d: int, rows: np.ndarray, before: np.ndarray) -> Mixture:
    """The targets of `JOINT`, one after the other."""
    assert before.shape == (len(rows), d)
    return gaussians(SHIFT + SLOPE * before[:, 0], SCALE) if d else gaussians(0.0 * rows, 1.0)


@pytest.fixture
def chain() -> Chain:
    return Chain(3, 2, follow)


@pytest.fixture
def product() -> Product:
    rng = np.random.default_rng(0)
    return Product(
        [Mixture(rng.normal(size=(2, 3)), rng.normal(size=(2, 1, 3)), np.ones((2, 1, 3)))] * 2
    )


def test_a_chain_has_the_density_of_the_joint_one(chain: Chain) -> None:
    y = np.random.default_rng(1).normal(size=(3, 5, 2))
    assert chain.log_prob(y) == pytest.approx(JOINT.logpdf(y))
    assert chain.log_prob(y[:, 0]) == pytest.approx(JOINT.logpdf(y[:, 0]))
    assert chain[1:].log_prob(y[1:]) == pytest.approx(JOINT.logpdf(y[1:]))


def test_draws_of_a_chain_are_ancestral(chain: Chain) -> None:
    draws = chain.sample(np.random.default_rng(2), 20_000)
    assert draws.shape == (3, 20_000, 2)
    assert draws[1].mean(axis=0) == pytest.approx(JOINT.mean, abs=0.04)
    assert np.cov(draws[1].T) == pytest.approx(JOINT.cov, abs=0.04)


def test_marginals_of_a_chain_are_near_the_true_ones(chain: Chain) -> None:
    assert chain.marginal(0).std() == pytest.approx(1.0)
    std = np.sqrt(JOINT.cov[1, 1])
    assert chain.mean()[:, 1] == pytest.approx(SHIFT, abs=0.05)
    assert chain.std()[:, 1] == pytest.approx(std, rel=0.05)
    at = SHIFT + std * np.linspace(-2, 2, 9)
    points = np.broadcast_to(np.stack([at, at], axis=1), (3, 9, 2))
    assert chain.cdf(points)[0, :, 1] == pytest.approx(norm.cdf(at, SHIFT, std), abs=0.02)
    assert chain.cdf(points)[0, :, 0] == pytest.approx(norm.cdf(at))
    middle = chain.quantile([0.25, 0.5, 0.75])[0, :, 1]
    assert middle == pytest.approx(norm.ppf([0.25, 0.5, 0.75], SHIFT, std), abs=0.05)
    assert chain[:2].mean() == pytest.approx(chain.mean()[:2])


def test_a_chain_is_scaled_and_conditioned(chain: Chain) -> None:
    shift, factor = np.array([10.0, -4.0]), np.array([2.0, 0.5])
    y = np.random.default_rng(3).normal(size=(3, 2))
    own = chain.affine(shift, factor)
    jacobian = np.log(factor).sum()
    assert own.log_prob(shift + factor * y) == pytest.approx(JOINT.logpdf(y) - jacobian)
    assert own.affine(-shift / factor, 1 / factor).log_prob(y) == pytest.approx(JOINT.logpdf(y))
    after = own.conditional({0: shift[0] + factor[0] * y[:, 0]})
    assert after.mean()[:, 0] == pytest.approx(shift[1] + factor[1] * (SHIFT + SLOPE * y[:, 0]))
    assert after.std() == pytest.approx(factor[1] * SCALE)
    with pytest.raises(UsageError, match="its first ones only"):
        chain.conditional({1: y[:, 1]})


def test_a_product_is_one_of_its_parts(product: Product) -> None:
    y = np.random.default_rng(4).normal(size=(3, 4, 2))
    one = product.marginals[0]
    each = [one.log_prob(y[..., [d]]) for d in range(2)]
    assert product.log_prob(y) == pytest.approx(each[0] + each[1])
    assert product.std()[:, 1] == pytest.approx(one.std()[:, 0])
    assert product.cdf(y)[..., 1] == pytest.approx(one.cdf(y[..., [1]])[..., 0])
    assert product.quantile([0.3])[..., 1] == pytest.approx(one.quantile([0.3])[..., 0])
    assert product.affine([1, 2], [3, 4]).mean()[:, 1] == pytest.approx(2 + 4 * one.mean()[:, 0])
    draws = product.sample(np.random.default_rng(5), 20_000)
    assert np.corrcoef(draws[0].T)[0, 1] == pytest.approx(0, abs=0.03)
    assert product.conditional({0: y[:, 0, 0]}).mean() == pytest.approx(one.mean())


@pytest.mark.parametrize("which", ["chain", "product"])
def test_transforms_apply_to_both(which: str, request: pytest.FixtureRequest) -> None:
    base = request.getfixturevalue(which)
    seen = Transformed(base, ["identity", "log"])
    y = np.array([[0.3, 0.5], [0.1, 2.0], [-1.0, 1.0]])
    t = np.stack([y[:, 0], np.log(y[:, 1])], axis=1)
    assert seen.log_prob(y) == pytest.approx(base.log_prob(t) - t[:, 1])
    assert seen.log_prob(-np.abs(y))[0] == -np.inf
    one = base.marginal(1)[:1]
    mean = quad(lambda v: np.exp(v + one.log_prob([[v]])[0]), -20, 20, limit=500)[0]
    assert seen.mean()[0, 1] == pytest.approx(mean, rel=1e-5)
    assert np.isfinite(seen.crps(np.abs(y))).all()
