"""Array types, tiles and quadrature rules shared by this package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdncli.transforms import Array

Single: TypeAlias = NDArray[np.float32]
Real: TypeAlias = NDArray[np.floating[Any]]
Index: TypeAlias = NDArray[np.intp]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = slice | NDArray[np.integer] | Mask
"""A selection of rows: a slice, an index array or a mask."""

# Intermediate results of this many numbers stay in a core's own cache. Much smaller ones would
# leave threads waiting for one another: between two operations each needs the interpreter.
TILE = 1 << 16

SCAN_ENDS = (1e-13, 1 - 1e-13)
"""Levels at which the scan of a distribution begins and ends."""


def tiles(
    rows: int, points: int = 1, width: int = 1, size: int = TILE
) -> Iterator[tuple[slice, slice]]:
    """Tiles of rows x points whose intermediate results fit a core's cache.

    Args:
        rows: number of rows.
        points: number of points of each row.
        width: float64 numbers per point.
        size: float64 numbers per tile, at most.

    Yields:
        A slice of rows and a slice of points; several rows only with all their points.

    >>> list(tiles(3, points=2, width=TILE // 4))
    [(slice(0, 2, None), slice(0, 2, None)), (slice(2, 3, None), slice(0, 2, None))]
    """
    tall = max(1, size // max(1, points * width))
    wide = max(1, size // width) if tall == 1 else max(1, points)
    for row in range(0, rows, tall):
        for point in range(0, points, wide):
            yield slice(row, min(row + tall, rows)), slice(point, min(point + wide, points))


def gauss_legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature on (0, 1), (order,) each.

    >>> nodes, weights = gauss_legendre(8)
    >>> float((weights * nodes**3).sum().round(12))
    0.25
    """
    nodes, weights = (a / 2 for a in np.polynomial.legendre.leggauss(order))
    return nodes + 0.5, weights
