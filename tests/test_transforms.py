"""Every transform: increasing, inverted by its inverse, with the derivative it claims."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.transforms import TRANSFORMS, Transform


@pytest.fixture(params=TRANSFORMS)
def transform(request: pytest.FixtureRequest) -> Transform:
    return TRANSFORMS[request.param]


def inside(transform: Transform) -> np.ndarray:
    """Points well inside the interval."""
    return transform.inverse(np.linspace(0.1, 3, 30))


def test_inverse_undoes_forward(transform: Transform) -> None:
    y = inside(transform)
    np.testing.assert_allclose(transform.inverse(transform.forward(y)), y, rtol=1e-12)


def test_forward_increases(transform: Transform) -> None:
    assert (np.diff(transform.forward(inside(transform))) > 0).all()


def test_log_derivative_is_that_of_forward(transform: Transform) -> None:
    y = inside(transform)
    step = 1e-6 * np.minimum(1, np.gradient(y))
    slope = (transform.forward(y + step) - transform.forward(y - step)) / (2 * step)
    np.testing.assert_allclose(transform.log_derivative(y), np.log(slope), atol=1e-7)


def test_inverse_never_leaves_the_domain(transform: Transform) -> None:
    y = transform.inverse(np.array([-1e300, -800.0, -40.0, 0.0, 40.0, 800.0, 1e300]))
    assert not transform.mask_outside(y).any()
    assert (np.diff(y) >= 0).all()


def test_small_values_keep_their_digits() -> None:
    t = np.array([-40.0, -300.0])
    np.testing.assert_allclose(TRANSFORMS["logit"].inverse(t), np.exp(t), rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "outside", "words"),
    [
        ("identity", [np.inf, np.nan], "finite"),
        ("log", [0.0, -1.0, np.nan, np.inf], "above 0"),
        ("log1p", [-1.0, -2.0], "above -1"),
        ("sqrt", [-1e-300], "0 or more"),
        ("logit", [0.0, 1.0, 2.0], "strictly between 0 and 1"),
        ("atanh", [-1.0, 1.0], "strictly between -1 and 1"),
    ],
)
def test_domains_are_checked_and_named(name: str, outside: list[float], words: str) -> None:
    transform = TRANSFORMS[name]
    assert transform.mask_outside(np.array(outside)).all()
    assert not transform.mask_outside(inside(transform)).any()
    assert transform.domain() == words


def test_a_target_needs_a_derivative() -> None:
    sqrt, zero = TRANSFORMS["sqrt"], np.zeros(1)
    assert not sqrt.mask_outside(zero).any()
    assert sqrt.mask_outside(zero, target=True).all()
    assert sqrt.domain(target=True) == "above 0"
