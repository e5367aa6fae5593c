"""Every family: its density integrates to 1 and matches its cdf, quantiles and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from mdncli.density.families import FAMILIES, QUICK_ERROR, Family


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def density(family: Family, z: float) -> float:
    return float(np.exp(family.log_density(np.asarray(z))))


def test_density_integrates_to_one(family: Family) -> None:
    half, _ = quad(lambda z: density(family, z), 0, np.inf, epsabs=1e-13)
    assert 2 * half == pytest.approx(1, abs=1e-9)


def test_density_is_symmetric(family: Family) -> None:
    z = np.linspace(0, 6, 20)
    np.testing.assert_allclose(family.log_density(-z), family.log_density(z), rtol=1e-15)


@pytest.mark.parametrize("z", [-3.0, -0.7, 0.4, 2.5])
def test_cdf_is_the_integral_of_the_density(family: Family, z: float) -> None:
    integral, _ = quad(lambda t: density(family, t), 0, z, epsabs=1e-13)
    assert float(family.cdf(np.asarray(z))) == pytest.approx(0.5 + integral, abs=1e-12)


@pytest.mark.parametrize(("dtype", "within"), [(np.float32, 1e-6), (np.float64, QUICK_ERROR)])
def test_quick_cdf_is_near_the_cdf(family: Family, dtype: type, within: float) -> None:
    z = np.concatenate([np.linspace(-9, 9, 20001), np.linspace(-50, 50, 1001)]).astype(dtype)
    quick = family.quick_cdf(z, np.exp(family.log_density(z)))
    assert quick.dtype == dtype
    np.testing.assert_allclose(quick, family.cdf(z.astype(np.float64)), atol=within, rtol=0)


def test_score_and_bend_are_derivatives(family: Family) -> None:
    step = 1e-4
    z = np.linspace(-8, 8, 1601) + step / 3
    below, here, above = (family.log_density(z + shift) for shift in (-step, 0.0, step))
    np.testing.assert_allclose(family.score(z), (above - below) / (2 * step), atol=1e-6)
    second = (np.exp(above) - 2 * np.exp(here) + np.exp(below)) / step**2
    assert abs(second).max() <= family.bend * (1 + 1e-6)


def test_quantile_inverts_the_cdf(family: Family) -> None:
    levels = np.array([1e-9, 0.01, 0.5, 0.8, 0.999])
    np.testing.assert_allclose(family.cdf(family.quantile(levels)), levels, rtol=1e-12)


def test_draws_follow_the_cdf(family: Family) -> None:
    draws = family.sample(np.random.default_rng(1), (50, 400))
    assert draws.shape == (50, 400)
    assert kstest(family.cdf(draws).ravel(), "uniform").pvalue > 1e-3


def test_std_is_that_of_the_density(family: Family) -> None:
    half, _ = quad(lambda z: z**2 * density(family, z), 0, np.inf, epsabs=1e-13)
    assert family.std**2 == pytest.approx(2 * half, rel=1e-8)


@pytest.mark.parametrize("s", [0.0, 0.1, 0.6])
def test_log_mean_exp_is_that_of_the_density(family: Family, s: float) -> None:
    found = float(family.log_mean_exp(np.asarray(s)))
    expected, _ = quad(lambda z: np.exp(s * z) * density(family, z), -60, 60, points=[0])
    assert found == pytest.approx(np.log(expected), abs=1e-8)
