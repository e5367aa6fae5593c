from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mdncli.density.gridded import Gridded


def exponential(rows: int = 3, panels: int = 16) -> Gridded:
    """Densities proportional to exp(rate y) on (0, 2); the rate is x."""
    rates = np.linspace(-3, 3, rows)[:, None]
    return Gridded(lambda y, x: x * y, rates, np.linspace(0, 2, panels + 1))


def test_closed_forms_of_a_truncated_exponential() -> None:
    conditional = exponential(rows=4)
    rate, y = np.linspace(-3, 3, 4), np.full((4, 1), 0.7)
    norm = np.expm1(2 * rate) / rate
    np.testing.assert_allclose(conditional.log_prob(y), rate * 0.7 - np.log(norm), rtol=1e-13)
    np.testing.assert_allclose(
        conditional.cdf(y)[:, 0], np.expm1(0.7 * rate) / np.expm1(2 * rate), rtol=1e-13
    )
    mean = 2 / -np.expm1(-2 * rate) - 1 / rate
    np.testing.assert_allclose(conditional.mean()[:, 0], mean, rtol=1e-12)


def test_nothing_lies_outside_the_edges() -> None:
    outside = np.array([-1e-9, 2 + 1e-9])[None, :, None].repeat(3, axis=0)
    np.testing.assert_array_equal(exponential().log_prob(outside), -np.inf)
    np.testing.assert_allclose(exponential().cdf(outside), [[[0], [1]]] * 3, atol=1e-12)
    draws = exponential().sample(np.random.default_rng(0), 2000)
    assert (draws >= 0).all()
    assert (draws <= 2).all()


def test_a_far_smaller_density_stays_in_the_log_domain() -> None:
    tiny = Gridded(lambda y, x: -1e5 + x * y, [[1.0]], np.linspace(0, 2, 9))
    np.testing.assert_allclose(tiny.cdf([[1.0]]), np.expm1(1) / np.expm1(2), rtol=1e-10)


def test_quantiles_jump_over_an_empty_stretch() -> None:
    sides = Gridded(
        lambda y, x: np.where(abs(y - 1) < 0.5, -2000.0, 0.0) + 0 * x, [[0.0]], np.linspace(0, 2, 9)
    )
    levels = [0.25, 0.4999, 0.5001, 0.75]
    np.testing.assert_allclose(
        sides.quantile(levels).ravel(), [0.25, 0.4999, 1.5001, 1.75], rtol=1e-9
    )


@pytest.mark.parametrize("shape", [(1, 40_000), (40_000, 1), (200, 200)])
def test_draws_of_any_shape_have_the_mean(shape: tuple[int, int]) -> None:
    rows, count = shape
    conditional = exponential(rows=3)[np.full(rows, 2)]
    draws = conditional.sample(np.random.default_rng(1), count)
    assert draws.mean() == pytest.approx(
        conditional.mean()[0, 0], abs=5 * conditional.std()[0, 0] / 200
    )


def test_memory_does_not_grow_with_rows() -> None:
    tracemalloc.start()
    conditional = exponential(rows=20_000, panels=128)
    conditional.cdf(conditional.mean())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
