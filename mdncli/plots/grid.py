"""Distributions on grids, for heat maps and slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mdncli.density.conditional import Conditional


def centres(edges: np.ndarray) -> np.ndarray:
    """The middle of every cell, (M,) from edges (M + 1,)."""
    return (edges[:-1] + edges[1:]) / 2


def cell_density(conditional: Conditional, edges: np.ndarray) -> np.ndarray:
    """Mean density in every cell of a grid on each target: the cell's mass over its width.

    From the cdf rather than the density at a point, so that a component narrower than a cell keeps
    its mass.

    Args:
        conditional: N distributions over D targets.
        edges: (M + 1, D), ascending.

    Returns:
        (N, M, D), per unit of the target.
    """
    cdf = conditional.cdf(np.broadcast_to(edges, (conditional.rows, *edges.shape)))
    mass, width = np.maximum(np.diff(cdf, axis=1), 0.0), np.diff(edges, axis=0)
    # Between edges that are one double, as at 1e15, there is no mass.
    return np.divide(mass, width, out=np.zeros_like(mass), where=width > 0)
