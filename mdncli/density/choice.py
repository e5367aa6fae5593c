"""Draws of indices from discrete distributions, for many rows at once."""

from __future__ import annotations

import numpy as np

from mdncli.density.arrays import Array, Index


def choose(rng: np.random.Generator, bounds: Array, count: int) -> Index:
    r"""Draws from discrete distributions by inversion of their cdfs.

    .. math:: k = \#\{j : F_j \le u\}, \quad u \sim U(0, 1)

    Args:
        rng: source of random numbers.
        bounds: F, the cdf at the first K - 1 of K values, (K - 1, N).
        count: number of draws of each row.

    Returns:
        (N, count), each from 0 to K - 1, in no particular order.

    >>> choose(np.random.default_rng(0), np.array([[0.5], [0.5]]), 8)
    array([[2, 0, 0, 0, 2, 2, 2, 2]])
    """
    uniform = rng.random((bounds.shape[1], count))
    # At most one cell in 16 holds a bound; for fewer draws a table costs more than it saves.
    cells = 16 << len(bounds).bit_length()
    return (
        _choose_by_table(uniform, bounds, cells)
        if count > cells // 8
        else _choose_by_comparing(uniform, bounds)
    )


def _choose_by_comparing(uniform: Array, bounds: Array) -> Index:
    """Count the bounds that are at most u."""
    below = np.zeros(uniform.shape, np.int8 if len(bounds) < 128 else np.intp)
    for bound in bounds:
        below += (uniform >= bound[:, None]).view(np.int8)
    return below.astype(np.intp)


def _choose_by_table(uniform: Array, bounds: Array, cells: int) -> Index:
    """Look up u in a table of equal cells of [0, 1); compare only in cells that hold a bound."""
    rows, count = uniform.shape
    cell = (uniform * cells).astype(np.intp)
    cell += np.arange(rows)[:, None] * cells
    chosen = _table(bounds, cells).take(cell).ravel()
    undecided = np.flatnonzero(chosen < 0)
    bounds_there = bounds.take(undecided // count, axis=1)
    chosen[undecided] = (uniform.ravel()[undecided] >= bounds_there).sum(axis=0)
    return chosen.reshape(rows, count)


def _table(bounds: Array, cells: int) -> Index:
    """Value of each cell of [0, 1), (N, cells); -1 where a bound lies inside the cell."""
    inner, rows = bounds.shape
    scaled = bounds.T * cells
    first_cell = np.zeros((rows, inner + 2), np.intp)
    first_cell[:, 1:-1] = np.ceil(scaled)
    first_cell[:, -1] = cells
    each = np.tile(np.arange(inner + 1), rows)
    table = np.repeat(each, np.diff(first_cell).ravel()).reshape(rows, cells)
    np.put_along_axis(table, np.minimum(scaled.astype(np.intp), cells - 1), -1, axis=1)
    return table
