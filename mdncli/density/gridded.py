"""Unnormalised densities on an interval, normalised by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import Array, Index, Rows, gauss_legendre, tiles
from mdncli.density.conditional import Conditional
from mdncli.density.roots import solve_increasing
from mdncli.density.scores import thin_edges

# Nodes of each panel.
_ORDER = 8
_NODES, _WEIGHTS = gauss_legendre(_ORDER)


class Gridded(Conditional):
    r"""Distributions of one target on an interval from an unnormalised density g.

    .. math:: p(y | x) = g(y, x) / \int_a^b g(t, x) dt

    The integral is a sum of Gauss-Legendre quadratures of order 8 over panels. `log_prob` uses g
    itself at y, so only the normalising constant is numerical; `cdf` integrates from the edge of
    the panel, and `quantile` and `sample` invert that cdf. All sums are in the log domain and in
    tiles: memory does not grow with the number of rows.

    Args:
        log_density: log g, called with y (1 or m, n) and x (m, d), broadcasting to (m, n).
        x: conditions of the distributions, (N, d).
        edges: panel edges, increasing, (P + 1,); the first and the last bound y. Between two edges
            log g should deviate from a straight line by no more than a nat or so.

    >>> ramp = Gridded(lambda y, x: np.log(y) + 0 * x, [[0.0]], np.linspace(0, 1, 5))
    >>> ramp.mean().round(6), ramp.cdf([[0.5]]).round(6)
    (array([[0.666667]]), array([[0.25]]))
    >>> float(np.exp(ramp.log_prob([[0.5]]))[0].round(6))
    1.0
    """

    def __init__(
        self, log_density: Callable[[Array, Array], Array], x: ArrayLike, edges: ArrayLike
    ) -> None:
        self._log_density = log_density
        self._x = np.asarray(x, np.float64)
        self._edges = np.asarray(edges, np.float64)
        width = np.diff(self._edges)
        self._nodes = (self._edges[:-1, None] + width[:, None] * _NODES).reshape(1, -1)
        self._node_weights = (width[:, None] * _WEIGHTS).ravel()
        self._log_total = np.empty(len(self._x))
        for rows, _ in tiles(len(self._x), width=self._nodes.size):
            log_density_here = log_density(self._nodes, self._x[rows])
            peak = log_density_here.max(axis=1)
            mass = np.exp(log_density_here - peak[:, None]) @ self._node_weights
            self._log_total[rows] = np.log(mass) + peak

    @property
    def rows(self) -> int:
        return len(self._x)

    @property
    def targets(self) -> int:
        return 1

    def __getitem__(self, rows: Rows) -> Self:
        other = copy(self)
        other._x, other._log_total = self._x[rows], self._log_total[rows]
        return other

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return self._invert(rng.random((self.rows, count)))[..., None]

    def mean(self) -> Array:
        return self._moments()[0]

    def std(self) -> Array:
        return self._moments()[1]

    def marginal(self, target: int) -> Self:
        return self

    def scan(self) -> Array:
        points = np.sort(np.concatenate([self._edges, self._nodes[0]]))
        return np.broadcast_to(points, (self.rows, len(points)))

    def _panels(self) -> Array:
        return thin_edges(self.scan())

    def _moments(self) -> tuple[Array, Array]:
        mean, std = np.empty((2, self.rows, 1))
        for rows, _ in tiles(self.rows, width=self._nodes.size):
            mass = self._node_masses(rows)
            mean[rows] = mass @ self._nodes.T
            std[rows, 0] = np.sqrt((mass * (self._nodes - mean[rows]) ** 2).sum(axis=1))
        return mean, std

    def _log_prob(self, points: Array) -> Array:
        y = points[..., 0]
        result = np.empty(y.shape)
        for rows, some in tiles(*y.shape):
            log_density = self._log_density(y[rows, some], self._x[rows])
            result[rows, some] = log_density - self._log_total[rows, None]
        result[(y < self._edges[0]) | (y > self._edges[-1])] = -np.inf
        return result

    def _cdf(self, points: Array) -> Array:
        y = points.clip(self._edges[0], self._edges[-1])[..., 0]
        result = np.empty(points.shape)
        for rows, some in self._tiles(y.shape[1]):
            here = y[rows, some]
            panel = self._edges[1:-1].searchsorted(here, side="right")
            row = np.broadcast_to(np.arange(len(here))[:, None], here.shape)
            inside = self._integral(
                self._x[rows][row.ravel()],
                self._log_total[rows][row.ravel()],
                self._edges[panel.ravel()],
                here.ravel(),
            )
            result[rows, some, 0] = self._cumulative(rows)[row, panel] + inside.reshape(here.shape)
        return result.clip(0.0, 1.0, out=result)

    def _quantile(self, levels: Array) -> Array:
        return self._invert(np.broadcast_to(levels, (self.rows, len(levels))))[..., None]

    def _invert(self, level: Array) -> Array:
        """Quantiles at levels of each row, (N, M) -> (N, M)."""
        result = np.empty(level.shape)
        for rows, some in self._tiles(level.shape[1]):
            here = level[rows, some]
            cumulative = self._cumulative(rows)
            row, panel = _panel(cumulative, here)
            result[rows, some] = self._solve(
                self._x[rows][row],
                self._log_total[rows][row],
                panel,
                here.ravel() - cumulative[row, panel],
                cumulative[row, panel + 1] - cumulative[row, panel],
            ).reshape(here.shape)
        return result

    def _solve(self, x: Array, log_total: Array, panel: Index, wanted: Array, held: Array) -> Array:
        """Points (n,) of panels with the wanted mass below them, out of the mass held in all."""
        low, high = self._edges[panel], self._edges[panel + 1]

        def excess(y: Array, active: Index) -> tuple[Array, Array]:
            given, total = x[active], log_total[active]
            density = _exp(self._log_density(y[:, None], given)[:, 0] - total)
            return self._integral(given, total, low[active], y) - wanted[active], density

        share = np.clip(wanted / np.maximum(held, np.finfo(np.float64).tiny), 0, 1)
        return solve_increasing(
            excess, low, high, low + share * (high - low), np.full(len(x), 1e-14)
        )

    def _integral(self, x: Array, log_total: Array, low: Array, high: Array) -> Array:
        """Probability between low and high of the same panel: all (n,), x (n, d)."""
        width = (high - low)[:, None]
        log_density = self._log_density(low[:, None] + width * _NODES, x)
        return _exp(log_density - log_total[:, None]) @ _WEIGHTS * width[:, 0]

    def _node_masses(self, rows: slice) -> Array:
        """Probability that each quadrature node represents, (rows, nodes)."""
        log_density = self._log_density(self._nodes, self._x[rows])
        return np.exp(log_density - self._log_total[rows, None]) * self._node_weights

    def _cumulative(self, rows: slice) -> Array:
        """Cdf at the panel edges, from 0 to 1, (rows, P + 1)."""
        panels = self._node_masses(rows).reshape(-1, len(self._edges) - 1, _ORDER) @ np.ones(_ORDER)
        cumulative = np.zeros((len(panels), len(self._edges)))
        np.cumsum(panels, axis=1, out=cumulative[:, 1:])
        return cumulative / cumulative[:, -1:]

    def _tiles(self, points: int) -> Iterator[tuple[slice, slice]]:
        return tiles(self.rows, points, max(_ORDER, self._nodes.size // max(1, points)))


def _exp(log_density: Array) -> Array:
    # A spike between the nodes can exceed them by far; it must not overflow.
    return np.exp(np.minimum(log_density, 600.0))


def _panel(cumulative: Array, level: Array) -> tuple[Index, Index]:
    """Row and panel of each level, (rows, M) -> (rows * M,) twice."""
    inner = cumulative[:, 1:-1]
    # With its row number added to each value, all rows are one sorted list to search at once.
    row = np.arange(len(level))[:, None]
    panel = (inner + row).ravel().searchsorted((level + row).ravel(), side="right")
    rows = np.repeat(row.ravel(), level.shape[1])
    return rows, (panel - rows * inner.shape[1]).clip(0, inner.shape[1])
