from __future__ import annotations

import numpy as np

from mdncli.density.roots import solve_increasing


def solve(function, slope, low: float, high: float, starts: np.ndarray) -> np.ndarray:
    shape = np.ones_like(starts)
    return solve_increasing(
        lambda x, active: (function(x), slope(x)), low * shape, high * shape, starts, 1e-15 * shape
    )


def test_a_wild_slope_costs_steps_only() -> None:
    starts = np.linspace(-9, 9, 11)
    roots = solve(
        lambda x: np.tanh(5 * (x - 1)), lambda x: 5 / np.cosh(5 * (x - 1)) ** 2, -10, 10, starts
    )
    np.testing.assert_allclose(roots, 1, rtol=1e-14)


def test_a_flat_stretch_is_bisected() -> None:
    roots = solve(lambda x: (x - 2) ** 9, lambda x: 0 * x, -10, 10, np.array([0.0, 5.0]))
    np.testing.assert_allclose(roots, 2, atol=0.03)


def test_a_closed_bracket_is_its_own_answer() -> None:
    np.testing.assert_array_equal(solve(lambda x: x - 3, np.ones_like, 3, 3, np.array([3.0])), 3)


def test_nothing_to_solve() -> None:
    assert solve(lambda x: x, np.ones_like, 0, 1, np.empty(0)).size == 0
