"""Root finding for many functions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdncli.density.arrays import Array, Index

# Newton's method takes about 6 steps, bisection some 50.
_MOST_STEPS = 200


def solve_increasing(
    excess: Callable[[Array, Index], tuple[Array, Array]],
    low: Array,
    high: Array,
    start: Array,
    tolerance: Array,
) -> Array:
    """Roots of n increasing functions by Newton's method, safeguarded by bisection.

    A step that would leave the bracket, or that is more than half of the step before it, becomes a
    bisection: flat functions cost more steps, but converge.

    Args:
        excess: function of points x (m,) and the indices of their functions (m,) that returns the
            values and the slopes there, (m,) each.
        low: lower ends of the brackets, with values of at most 0, (n,).
        high: upper ends, with values of at least 0, (n,).
        start: initial points in the brackets, (n,).
        tolerance: largest absolute value at a root, (n,).

    Returns:
        The roots, (n,).

    >>> zero, two, tight = np.zeros(2), np.full(2, 2.0), np.full(2, 1e-15)
    >>> squares = np.array([2.0, 3.0])
    >>> solve_increasing(lambda x, i: (x**2 - squares[i], 2 * x), zero, two, two, tight).round(6)
    array([1.414214, 1.732051])
    """
    roots = start.copy()
    active = np.flatnonzero(high > low)
    x: Array = roots[active]
    step: Array = (high - low)[active]
    low, high, tolerance = low[active], high[active], tolerance[active]
    for _ in range(_MOST_STEPS):
        if not active.size:
            break
        value, slope = excess(x, active)
        low = np.where(value < 0, x, low)
        high = np.where(value > 0, x, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            following = x - value / slope
            trusted = (following > low) & (following < high) & (abs(following - x) <= step / 2)
        following = np.where(trusted, following, low + (high - low) / 2)
        found = abs(value) <= tolerance
        following[found] = x[found]
        step = abs(following - x)
        roots[active] = x = following
        open_ = step > 0
        if not open_.all():
            active, x, step = active[open_], x[open_], step[open_]
            low, high, tolerance = low[open_], high[open_], tolerance[open_]
    return roots


def solve_crossing(
    function: Callable[[Array, Index], Array], low: Array, high: Array, tolerance: float
) -> Array:
    """Roots of n continuous functions by the Illinois method, without their slopes.

    Steps are secants of the bracket's ends, where the value of an end that stays is halved
    (Dowell and Jarratt 1971, "A modified regula falsi method for computing the root of an
    equation"); every third step is a bisection, so that no shape takes long.

    Args:
        function: function of points x (m,) and the indices of their functions (m,) that returns
            the values there, (m,).
        low: ends of the brackets with values of at most 0, (n,); not always the smaller ends.
        high: ends with values of at least 0, (n,).
        tolerance: largest absolute value at a root.

    Returns:
        The roots, (n,).

    >>> squares = np.array([2.0, 3.0])
    >>> zero, two = np.zeros(2), np.full(2, 2.0)
    >>> solve_crossing(lambda x, i: x**2 - squares[i], zero, two, 1e-14).round(6)
    array([1.414214, 1.732051])
    """
    roots, active = low.copy(), np.arange(len(low))
    below: Array = function(low, active)
    above: Array = function(high, active)
    for step in range(_MOST_STEPS):
        middle = low + (high - low) / 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x: Array = high - above * (high - low) / (above - below)
        inside = (x > np.minimum(low, high)) & (x < np.maximum(low, high))
        x = middle if step % 3 == 2 else np.where(inside, x, middle)
        value = function(x, active)
        roots[active] = x
        rises = value < 0
        # The value of an end that stays is halved; the other end moves to x.
        above = np.where(rises, above / 2, value)
        below = np.where(rises, value, below / 2)
        low, high = np.where(rises, x, low), np.where(rises, high, x)
        middle = low + (high - low) / 2
        open_ = (np.abs(value) > tolerance) & (middle != low) & (middle != high)
        if not open_.all():
            active, low, high = active[open_], low[open_], high[open_]
            below, above = below[open_], above[open_]
            if not active.size:
                break
    return roots
