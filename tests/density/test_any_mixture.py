"""Mixtures that hypothesis draws: tiny weights, scales decades apart, components that coincide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdncli.density.families import FAMILIES
from mdncli.density.mixture import Mixture
from mdncli.density.scores import crps_by_quadrature


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """One row, one target."""
    count = draw(st.integers(1, 6))

    def each(usual: float, low: float, high: float) -> np.ndarray:
        one = st.one_of(st.just(usual), st.floats(low, high))
        return np.array(draw(st.lists(one, min_size=count, max_size=count)))[:, None]

    return Mixture(
        each(0.0, -30, 0),
        each(1.0, -3, 3)[:, None],
        10 ** each(0.0, -6, 6)[:, None],
        draw(st.sampled_from(sorted(FAMILIES))),
    )


def cdf(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    return mixture.cdf(np.reshape(y, (1, -1, 1))).ravel()


def log_prob(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    return mixture.log_prob(np.reshape(y, (1, -1, 1))).ravel()


LEVELS = np.array([1e-9, 1e-3, 0.05, 0.5, 0.9, 0.999])


def precision(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """Error of a cdf from the rounding of y."""
    return np.exp(log_prob(mixture, y)) * np.spacing(np.abs(y))


@given(mixtures())
@settings(deadline=None, derandomize=True, max_examples=40)
def test_quantile_inverts_the_cdf(mixture: Mixture) -> None:
    y = mixture.quantile(LEVELS).ravel()
    assert (np.diff(y) >= 0).all()
    assert (abs(cdf(mixture, y) - LEVELS) <= 1e-10 + precision(mixture, y)).all()


@given(mixtures(), st.floats(1e-3, 0.999))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_a_central_interval_leaves_as_much_on_either_side(mixture: Mixture, mass: float) -> None:
    ends = mixture.interval(mass).ravel()
    left_out = cdf(mixture, ends) * [1, -1] + [0, 1]
    assert (abs(left_out - (1 - mass) / 2) <= 1e-10 + precision(mixture, ends)).all()


@given(mixtures())
@settings(deadline=None, derandomize=True, max_examples=40)
def test_modes_are_peaks_and_hold_all_mass(mixture: Mixture) -> None:
    modes = mixture.modes()
    assert modes.count.item() == modes.location.shape[1]
    at = modes.location[0]
    assert (np.diff(at) > 0).all()
    assert (modes.mass >= 0).all()
    assert modes.mass.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(modes.log_density[0], log_prob(mixture, at), rtol=1e-12)
    finest = mixture.scale.min()
    for aside in (-finest / 50, finest / 50):
        if (at + aside != at).all():
            assert (log_prob(mixture, at + aside) <= modes.log_density[0] + 1e-9).all()
    around = mixture.location.ravel()[:, None] + mixture.scale.ravel()[:, None] * np.linspace(-3, 3)
    assert log_prob(mixture, around).max() <= modes.log_density.max() + 1e-9


@given(mixtures(), st.floats(0.01, 0.999))
@settings(deadline=None, derandomize=True, max_examples=10)
def test_regions_hold_the_mass_and_are_short(mixture: Mixture, mass: float) -> None:
    regions = mixture.hdr(mass)
    low, high = regions.low[0], regions.high[0]
    assert (low < high).all()
    assert (low[1:] > high[:-1]).all()
    rounded = precision(mixture, low).sum() + precision(mixture, high).sum()
    held = (cdf(mixture, high) - cdf(mixture, low)).sum()
    assert held == pytest.approx(mass, abs=1e-9 + 4 * rounded)
    central = np.diff(mixture.interval(mass).ravel()).item()
    assert (high - low).sum() <= central * (1 + 1e-6) + 4 * np.spacing(abs(low).max())
    inside = np.linspace(low, high, 33)[1:-1]
    assert (log_prob(mixture, inside) >= regions.log_density - 1e-6).all()


@given(mixtures(), st.floats(-4, 4))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_the_closed_crps_is_the_integral(mixture: Mixture, y: float) -> None:
    closed = mixture.crps([[y]]).item()
    integral = crps_by_quadrature(mixture, np.array([y]), mixture.scan())
    assert closed == pytest.approx(integral.item(), rel=1e-8)
