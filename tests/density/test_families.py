"""Every family: its density integrates to 1 and matches its cdf, quantiles and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from mdncli.density.families import FAMILIES, QUICK_ERROR, Family, family_of, student_t

ALL = FAMILIES | {f"student_t of {nu:g}": student_t(nu) for nu in (2.1, 5.0, 20.0, 1e5)}


@pytest.fixture(params=ALL)
def family(request: pytest.FixtureRequest) -> Family:
    return ALL[request.param]


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


def test_score_and_max_curvature_are_derivatives(family: Family) -> None:
    step = 1e-4
    z = np.linspace(-8, 8, 1601) + step / 3
    if family.max_curvature == np.inf:
        z = z[abs(z) > step]
    below, here, above = (family.log_density(z + shift) for shift in (-step, 0.0, step))
    np.testing.assert_allclose(family.score(z), (above - below) / (2 * step), atol=1e-6)
    second = (np.exp(above) - 2 * np.exp(here) + np.exp(below)) / step**2
    assert abs(second).max() <= family.max_curvature * (1 + 1e-6)


def test_quantile_inverts_the_cdf(family: Family) -> None:
    levels = np.array([1e-18, 1e-9, 0.01, 0.24, 0.26, 0.5, 0.8, 0.999])
    np.testing.assert_allclose(family.cdf(family.quantile(levels)), levels, rtol=1e-12)


def test_draws_follow_the_cdf(family: Family) -> None:
    draws = family.sample(np.random.default_rng(1), (50, 400))
    assert draws.shape == (50, 400)
    assert kstest(family.cdf(draws).ravel(), "uniform").pvalue > 1e-3


def test_std_is_that_of_the_density(family: Family) -> None:
    # Over the logarithm of z, for heavy tails.
    half, _ = quad(lambda t: np.exp(3 * t) * density(family, np.exp(t)), -20, 200, limit=500)
    assert family.std**2 == pytest.approx(2 * half, rel=1e-8)


def test_moments_beyond_the_last_finite_one_diverge(family: Family) -> None:
    far = np.array([1e3, 1e6])
    with np.errstate(divide="ignore", over="ignore"):
        decay = np.diff(family.log_density(far)) / np.diff(np.log(far))
    # The density falls as z^-(moments + 1).
    assert decay < -100 or -decay.item() - 1 == pytest.approx(family.moments, rel=1e-3)


@pytest.mark.parametrize("nu", [2.0, 1.0, -3.0, np.nan, np.inf])
def test_student_t_needs_a_variance(nu: float) -> None:
    with pytest.raises(ValueError, match="above 2 degrees of freedom"):
        student_t(nu)


def test_a_family_is_found_by_name_and_degrees_of_freedom() -> None:
    assert family_of("student_t") is FAMILIES["student_t"] is family_of("student_t", 4)
    assert family_of("student_t", 3.0) is student_t(3.0)
    with pytest.raises(ValueError, match="no family 'cauchy'"):
        family_of("cauchy")
    with pytest.raises(ValueError, match="laplace has no degrees"):
        family_of("laplace", 3.0)


@pytest.mark.parametrize("s", [0.0, 0.1, 0.6])
def test_log_mgf_is_that_of_the_density(family: Family, s: float) -> None:
    found = float(family.log_mgf(np.asarray(s)))
    if s > 0 and family.moments < np.inf:
        assert found == np.inf
        return
    expected, _ = quad(lambda z: np.exp(s * z) * density(family, z), -60, 60, points=[0], limit=200)
    assert found == pytest.approx(np.log(expected), abs=1e-8 if s else 1e-3)


@pytest.mark.parametrize("name", ["laplace", "logistic"])
def test_log_mgf_ends_where_the_tail_is_too_heavy(name: str) -> None:
    below, at, above = FAMILIES[name].log_mgf(np.array([0.999999, 1.0, 1.5]))
    assert 10 < below < np.inf
    assert at == above == np.inf
