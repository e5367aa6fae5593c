"""Numerical defaults: quantiles, scans, moments and marginal densities of any distribution.

They know of a distribution only its cdf and its density, and take one target at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdncli.density.arrays import SCAN_ENDS, TILE, Array, Index, Mask, gauss_legendre, tiles
from mdncli.density.batch import Batch
from mdncli.density.peaks import pad_rows

# Tolerance of a quantile: that of its level's log odds, beside the rounding of 1 - cdf.
_ODDS_ERROR, _ROUNDING = 1e-12, 4e-16
# Distance from 0 at which the search for a jump ends.
_ZERO = 1e-50
_LARGEST = np.finfo(np.float64).max
# Log odds of a cdf that is rounded to 0 or 1.
_MOST_ODDS = 800.0

# A scan's cell is fine where quadrature of the density agrees with the cdf by this probability,
_CELL_ERROR = 1e-10
# where the log density bends by no more than this, in nats,
_MOST_BEND = 0.5
# or where there is no more probability than this.
_NOTHING = 1e-10
# Peaks with less probability than this need not be separated.
_FAINT = 1e-6
# Log densities that differ by less, relative to their size, neither rise nor fall.
_EQUAL = 1e-9
_CELL_NODES, _CELL_WEIGHTS = gauss_legendre(8)
# The ends of a cell too, with neighbours that show the slope there.
_CELL_POINTS = np.array([0.0, 1e-3, *_CELL_NODES, 1 - 1e-3, 1.0])
_MOST_HALVINGS = 64
# Ratio of a cell's ends from which it is halved on the logarithm.
_FAR = 16.0
_SCANNED_AT_ONCE = 256
_MOST_CELLS = 1000
# Distance from a bound without density to the first point of a scan, as a share of the scan.
_ABOVE_BOUND = 1e-12

_NODES, _WEIGHTS = gauss_legendre(16)
# Beyond these levels moments are integrals to infinity.
_TAIL = 1e-10
# More probability than this in which cdf and density differ is an atom.
_ATOM = 1e-8
_TAIL_ERROR = 1e-10
# Doublings of the nodes before an integral to infinity counts as divergent, unless its error is
# below a share of the moment.
_MOST_DOUBLINGS, _DIVERGED = 7, 1e-5

# A slope by finite differences is as good as the rounding of the cdf allows.
_SLOPE_ERROR = {"atol": 1e-10, "rtol": 1e-10}


def invert_cdf(batch: Batch, levels: Array) -> Array:
    """Quantiles of one target by bracketing and root finding of the log odds of its cdf.

    Args:
        batch: N distributions of one target.
        levels: strictly between 0 and 1, (L,).

    Returns:
        (N, L). The cdf there is the level, up to a relative 1e-12 of the smaller tail; where it
        jumps across the level, the location of the jump.

    >>> from mdncli.density.mixture import Mixture
    >>> invert_cdf(Mixture([[0.0]], [[[1.0]]], [[[2.0]]]), np.array([0.5, 0.975])).round(6)
    array([[1.      , 4.919928]])
    """
    result = np.empty((batch.rows, len(levels)))
    for rows, some in tiles(batch.rows, len(levels), width=16):
        result[rows, some] = _invert_rows(batch[rows], levels[some])
    return result


def _invert_rows(batch: Batch, levels: Array) -> Array:
    from scipy.optimize.elementwise import bracket_root, find_root

    row, column = (part.ravel() for part in np.indices((batch.rows, len(levels))))
    level = levels[column]
    odds, tolerance = _log_odds(level), _ODDS_ERROR + _ROUNDING / (1 - level)

    def excess(y: Array, which: Array) -> Array:
        index = which.astype(np.intp)
        below = batch[row[index]].cdf(y[:, None])[:, 0]
        return (_log_odds(below) - odds[index]) / tolerance[index]

    every, one = np.arange(len(row), dtype=np.float64), np.ones(len(row))
    with np.errstate(all="ignore"):
        around = bracket_root(excess, -one, one, args=(every,))
        bracket = [side.clip(-_LARGEST, _LARGEST) for side in around.bracket]
        found = find_root(excess, bracket, args=(every,), tolerances={"fatol": 1.0, "xatol": _ZERO})
        # At a jump of the cdf there is no root: the quantile is its upper side.
        x = np.where(found.f_x < -1, found.bracket[1], found.x)
        # A cdf that never reaches the level does so at infinity.
        x[around.f_bracket[1] < 0], x[around.f_bracket[0] > 0] = np.inf, -np.inf
    return x.reshape(batch.rows, len(levels))


def _log_odds(probability: Array) -> Array:
    # Sums of weights may round to more than 1.
    probability = probability.clip(0.0, 1.0)
    with np.errstate(divide="ignore"):
        odds = np.log(probability) - np.log1p(-probability)
    return odds.clip(-_MOST_ODDS, _MOST_ODDS)


def _group_by_row(points: Array, which: Array) -> tuple[Array, Index]:
    """Points (n, m) of n functions and the numbers (n,) of these, from scipy's of 1 or 2 axes."""
    return points.reshape(len(points), -1), which.reshape(len(points), -1)[:, 0].astype(np.intp)


def adaptive_scan(batch: Batch) -> Array:
    """Points of one target between which the density is smooth, by adaptive quadrature.

    Cells are halved until Gauss-Legendre quadrature of the density agrees with the cdf, and the log
    density bends little and turns at most once. So the cdf tells of peaks that no point has met, as
    far as they hold more than 1e-10 of the probability.

    Args:
        batch: N distributions of one target.

    Returns:
        (N, G), increasing, between the quantiles at `SCAN_ENDS`; rows with fewer points than others
        repeat their last one.
    """
    parts = [np.empty((0, 1))]
    for rows, _ in tiles(batch.rows, width=TILE // _SCANNED_AT_ONCE):
        row, points = _cell_edges(batch[rows])
        found = pad_rows(row, points, rows.stop - rows.start)
        last = points[np.cumsum(np.bincount(row)) - 1]
        parts.append(np.where(np.isnan(found), last[:, None], found))
    widest = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, widest - part.shape[1])), mode="edge") for part in parts]
    )


def _finite_quantiles(batch: Batch, levels: list[float]) -> Array:
    """Quantiles (N, L) whose differences are finite too."""
    return batch.quantile(levels)[..., 0].clip(-_LARGEST / 4, _LARGEST / 4)


class _Cells(NamedTuple):
    """Cells of scans, (n,) each: their rows, ends and the cdf at the ends."""

    row: Index
    low: Array
    high: Array
    below_low: Array
    below_high: Array

    def some(self, chosen: Mask) -> _Cells:
        return _Cells(self.row[chosen], *(part[chosen] for part in self[1:]))

    def split(self, middle: Array, below: Array) -> _Cells:
        return _Cells(
            np.concatenate([self.row, self.row]),
            np.concatenate([self.low, middle]),
            np.concatenate([middle, self.high]),
            np.concatenate([self.below_low, below]),
            np.concatenate([below, self.below_high]),
        )


def _cell_edges(batch: Batch) -> tuple[Index, Array]:
    """Rows and edges of all cells of a scan, in order."""
    first = _finite_quantiles(batch, [SCAN_ENDS[0], 0.25, 0.5, 0.75, SCAN_ENDS[1]])
    # A bound without density holds no extreme: the scan begins just above it.
    low, high = first[:, 0], first[:, -1]
    reach = _ABOVE_BOUND * (high - low)
    with np.errstate(all="ignore"):
        on_low, on_high = np.isneginf(batch.log_prob(first[:, [0, -1], None])).T
    low, high = np.where(on_low, low + reach, low), np.where(on_high, high - reach, high)
    first = first.clip(low[:, None], high[:, None])
    below = batch.cdf(first[..., None])[..., 0]
    every = np.repeat(np.arange(batch.rows), first.shape[1]).reshape(first.shape)
    ends = [part.ravel() for a in (first, below) for part in (a[:, :-1], a[:, 1:])]
    cells = _Cells(every[:, 1:].ravel(), *ends)
    rows, edges = [every.ravel()], [first.ravel()]
    count = np.zeros(batch.rows, np.intp)
    for _ in range(_MOST_HALVINGS):
        middle = _middle(cells.low, cells.high)
        coarse = (cells.low < middle) & (middle < cells.high) & ~_is_smooth(batch[cells.row], cells)
        more = np.bincount(cells.row[coarse], minlength=batch.rows)
        coarse &= (count + more <= _MOST_CELLS)[cells.row]
        if not coarse.any():
            break
        cells, middle = cells.some(coarse), middle[coarse]
        rows.append(cells.row)
        edges.append(middle)
        count += np.bincount(cells.row, minlength=batch.rows)
        cells = cells.split(middle, batch[cells.row].cdf(middle[:, None])[:, 0])
    row, points = np.concatenate(rows), np.concatenate(edges)
    order = np.lexsort([points, row])
    return row[order], points[order]


def _middle(low: Array, high: Array) -> Array:
    """Middles of intervals; geometric ones where the ends are of one sign and far apart."""
    with np.errstate(all="ignore"):
        ratio = high / low
        geometric = np.copysign(np.sqrt(np.abs(low)) * np.sqrt(np.abs(high)), low)
    far = ((ratio > _FAR) & (ratio < np.inf)) | ((ratio > 0) & (ratio < 1 / _FAR))
    return np.where(far, geometric, low + (high - low) / 2)


def _is_smooth(each: Batch, cells: _Cells) -> Mask:
    """Mask of the n cells in which the density is smooth, given the distribution of each."""
    width, mass = cells.high - cells.low, cells.below_high - cells.below_low
    points = cells.low[:, None] + width[:, None] * _CELL_POINTS
    points[:, -1] = cells.high
    with np.errstate(all="ignore"):
        height = each.log_prob(points[..., None])
        # At its ends, on bounds, a cell's density may be anything.
        inner = height[:, 2:-2]
        error = np.abs(np.exp(inner) @ _CELL_WEIGHTS * width - mass)
        rise = inner[:, -1:] - inner[:, :1]
        share = (_CELL_NODES - _CELL_NODES[0]) / (_CELL_NODES[-1] - _CELL_NODES[0])
        bend = np.abs(inner - inner[:, :1] - rise * share).max(axis=1)
        change = np.diff(height, axis=1)
        change[np.abs(change) <= _EQUAL * (1 + np.abs(height[:, 1:]))] = 0.0
        turns = (np.sign(change[:, 1:]) * np.sign(change[:, :-1]) < 0).sum(axis=1)
    fine = (error <= _CELL_ERROR) & (bend <= _MOST_BEND) & ((turns <= 1) | (mass <= _FAINT))
    return fine | (mass <= _NOTHING)


def moments(batch: Batch) -> tuple[Array, Array]:
    r"""Mean and standard deviation of one target, (N,) each, by quadrature.

    .. math:: E Y = \int y \, p(y) \, dy, \quad \mathrm{Var}\,Y = \int (y - E Y)^2 p(y) \, dy

    Between the quantiles at 1e-10 and 1 - 1e-10 by Gauss-Legendre quadrature over the cells of the
    scan, beyond them by tanh-sinh quadrature to infinity. Probability of the cdf that the density
    does not have is an atom. Moments whose integral diverges are infinite, or NaN if it does on
    both sides.
    """
    mean, std = np.empty((2, batch.rows))
    scanned = batch.scan()
    ends = _finite_quantiles(batch, [_TAIL, 0.5, 1 - _TAIL])
    for rows, _ in tiles(batch.rows, width=scanned.shape[1] * len(_NODES)):
        some, (low, centre, high) = batch[rows], ends[rows].T
        edges = scanned[rows].clip(low[:, None], high[:, None])
        edges = np.concatenate([low[:, None], edges, high[:, None]], axis=1)
        first, second = _inner_moments(some, edges, centre)
        scale = np.sqrt(second)
        with np.errstate(over="ignore", invalid="ignore"):
            for side, start in ((-1.0, low), (1.0, high)):
                first += side * _tail_moment(some, 1, start, centre, side, scale)
                second += _tail_moment(some, 2, start, centre, side, scale)
            mean[rows] = centre + first
            std[rows] = np.sqrt(np.maximum(second - first**2, 0.0))
        std[rows][np.isinf(second)] = np.inf
    return mean, std


def _inner_moments(batch: Batch, edges: Array, centre: Array) -> tuple[Array, Array]:
    """First and second moment about centres (N,) between the first and the last edge, (N, P)."""
    width = np.diff(edges, axis=1)[..., None]
    points = edges[:, :-1, None] + width * _NODES
    with np.errstate(all="ignore"):
        density = np.exp(batch.log_prob(points.reshape(len(edges), -1, 1))).reshape(points.shape)
    mass = np.where(width > 0, density * width * _WEIGHTS, 0.0)
    below = batch.cdf(edges[..., None])[..., 0]
    # An atom on the first edge has nothing on its left.
    extra = np.diff(below, axis=1, prepend=_TAIL)
    extra[:, 1:] -= mass.sum(axis=2)
    extra[np.abs(extra) <= _ATOM] = 0.0
    values = np.concatenate([points.reshape(len(edges), -1), edges], axis=1) - centre[:, None]
    mass = np.concatenate([mass.reshape(len(edges), -1), extra], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        first, second = (np.where(mass != 0, mass * values**p, 0.0).sum(axis=1) for p in (1, 2))
    return first, second


def _tail_moment(
    batch: Batch, power: int, start: Array, centre: Array, side: float, scale: Array
) -> Array:
    """E |Y - centre|^power beyond the start on one side (-1 or 1), (N,); inf where it diverges."""
    from scipy.integrate import tanhsinh

    def integrand(away: Array, which: Array) -> Array:
        distance, row = _group_by_row(away, which)
        height = batch[row].log_prob((centre[row, None] + side * distance)[..., None])
        return np.exp(height + power * np.log(distance)).reshape(away.shape)

    size = np.maximum(scale, np.finfo(np.float64).tiny) ** power
    every = np.arange(batch.rows, dtype=np.float64)
    with np.errstate(all="ignore"):
        found = tanhsinh(
            integrand,
            np.maximum(side * (start - centre), 0.0),
            np.inf,
            args=(every,),
            maxlevel=_MOST_DOUBLINGS,
            rtol=_TAIL_ERROR,
        )
        converged = found.success | (found.error <= _DIVERGED * size)
    return np.where(converged, found.integral, np.where(np.isnan(size), np.nan, np.inf))


def differentiated_cdf(batch: Batch, points: Array, unit: Array) -> Array:
    """Log density of one target as that of the slope of its cdf, by finite differences.

    The absolute error of the density is about 1e-12 / unit: far out, where there is less of it, it
    is unknown.

    Args:
        batch: N distributions of one target.
        points: (N, M).
        unit: the interquartile range or so of each distribution, (N,).

    Returns:
        (N, M).
    """
    from scipy.differentiate import derivative

    # Differences from here cancel exactly where the cdf is level.
    origin = batch.cdf(points[..., None])[..., 0]

    def rise(away: Array, which: Array) -> Array:
        distance, index = _group_by_row(away, which)
        row, column = np.divmod(index, points.shape[1])
        y = points[row, column, None] + unit[row, None] * distance
        below = batch[row].cdf(y[..., None])[..., 0]
        return (below - origin[row, column, None]).reshape(away.shape)

    every = np.arange(points.size, dtype=np.float64)
    with np.errstate(all="ignore"):
        found = derivative(
            rise, 0 * every, args=(every,), initial_step=0.25, tolerances=_SLOPE_ERROR
        )
        slope = np.maximum(found.df.reshape(points.shape), 0.0)
        log_density = np.log(slope / unit[:, None])
    return np.where(np.isinf(points), -np.inf, log_density)
