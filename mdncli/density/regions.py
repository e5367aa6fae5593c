"""Highest-density regions of one-target densities.

The region of a mass holds the points whose density is above a threshold. Newton's method solves for
the threshold and the edges of the region at once; rows where its result cannot be confirmed are
solved by bisection of the threshold. A *height* is a log density.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mdncli.density.arrays import Array, Index, Mask
from mdncli.density.batch import Batch
from mdncli.density.peaks import Peaks, Scanned, blocks, find_peaks, pad_rows, stack_results
from mdncli.density.roots import solve_crossing

# Tolerance of a region's mass.
_MASS_ERROR = 1e-10
# Tolerance of the height at a region's edges.
_HEIGHT_ERROR = 1e-11
# Largest difference of heights that a search sees: infinities help none.
_MOST = 1e3
# Distance at which the slope at an edge is measured, as a share of the gap between scan points.
_NEARBY = 1e-6
# A larger error of the mass after bisection is due to a plateau at the threshold.
_PLATEAU_ERROR = 1e-9
_MOST_STEPS_APART = 40
_MOST_HALVINGS = 60
_MOST_ROUGH = 12
_TRIES = 2
_MOST_NEWTON = 8
# Thresholds lie at most this many nats below the highest peak.
_MOST_BELOW = 700.0


@dataclass(frozen=True)
class Regions:
    """N sets of at most M intervals each, in increasing order and padded with NaN.

    Args:
        low: lower ends of the intervals, (N, M).
        high: upper ends, (N, M).
        log_density: threshold of the log density, in nats, (N,).
        count: number of intervals of each row, at least 1, (N,).
    """

    low: Array
    high: Array
    log_density: Array
    count: Index

    def some(self, rows: Index) -> Regions:
        """Regions of some rows."""
        return Regions(*(getattr(self, field.name)[rows] for field in fields(self)))


def region_mass(batch: Batch, y: Array) -> Array:
    """Mass of the regions whose edge is at y, (N, 1) -> (N,); see `Conditional.region_mass`."""
    found = []
    done = 0
    for block in blocks(batch):
        peaks, _ = find_peaks(block)
        threshold = block.log_prob(y[done : done + block.rows])
        held = _mass_inside(peaks, *_edges(peaks, threshold[peaks.row]))
        found.append(np.bincount(peaks.row, held, block.rows))
        done += block.rows
    return np.clip(np.concatenate(found), 0.0, 1.0)


def regions(batch: Batch, mass: float) -> Regions:
    """Highest-density regions; see `Conditional.hdr`."""
    parts = [regions_by_newton(block, mass) for block in blocks(batch)]
    quick = stack_results([found for found, _ in parts])
    confirmed = np.concatenate([confirmed for _, confirmed in parts])
    left = np.flatnonzero(~confirmed)
    if not len(left):
        return quick
    both = stack_results([quick, regions_by_bisection(batch[left], mass)])
    source = np.arange(batch.rows)
    source[left] = batch.rows + np.arange(len(left))
    return both.some(source)


def regions_by_newton(batch: Batch, mass: float) -> tuple[Regions, Mask]:
    """Regions by Newton's method, and the rows (N,) where they are confirmed.

    A row is confirmed where its equations hold and its peaks above the threshold are those that
    the equations were written for; elsewhere its region may be wrong.
    """
    peaks, scanned = find_peaks(batch)
    threshold = _rough_threshold(scanned, mass)
    scanned = scanned.with_extremes(peaks)
    low, high = np.empty((2, len(peaks.row)))
    left = np.arange(batch.rows)
    # The result of a first try may show which peaks are above the threshold.
    for _ in range(_TRIES):
        if not len(left):
            break
        own = np.isin(peaks.row, left)
        some = peaks.some(own, np.searchsorted(left, peaks.row[own]))
        parts = (part[left] for part in scanned)
        low[own], high[own], threshold[left], confirmed = _newton(
            batch[left], some, Scanned(*parts), threshold[left], mass
        )
        left = left[~confirmed]
    done = np.ones(batch.rows, np.bool_)
    done[left] = False
    return _merge(peaks, low, high, threshold), done


def regions_by_bisection(batch: Batch, mass: float) -> Regions:
    """Regions by bisection of their thresholds, whatever the shape of the density."""
    peaks, _ = find_peaks(batch)
    threshold, low, high = _bisect(batch, peaks, mass)
    return _merge(peaks, low, high, threshold)


def _bisect(batch: Batch, peaks: Peaks, mass: float) -> tuple[Array, Array, Array]:
    """Thresholds (N,) whose regions have the mass, and their edges for each peak, (P,)."""
    starts = np.searchsorted(peaks.row, np.arange(batch.rows + 1))

    def of(row: Index) -> tuple[Index, Index]:
        """Peaks of rows (m,), and the place of their row among these."""
        count = np.diff(starts)[row]
        owner = np.repeat(np.arange(len(row)), count)
        first = np.cumsum(count) - count
        return np.arange(len(owner)) - np.repeat(first - starts[row], count), owner

    def missing(threshold: Array, row: Index) -> Array:
        chosen, owner = of(row)
        some = peaks.some(chosen)
        held = np.bincount(owner, _mass_inside(some, *_edges(some, threshold[owner])), len(row))
        return np.asarray(mass - held, np.float64)

    below, above = _threshold_bounds(batch, peaks, mass)
    threshold = solve_crossing(missing, below, above, _MASS_ERROR)
    low, high = _edges(peaks, threshold[peaks.row])
    excess = np.bincount(peaks.row, _mass_inside(peaks, low, high), batch.rows) - mass
    plateau = np.flatnonzero(np.abs(excess) > _PLATEAU_ERROR)
    if len(plateau):
        chosen, owner = of(plateau)
        low[chosen], high[chosen] = _plateau_edges(
            peaks.some(chosen), owner, threshold[plateau], mass
        )
    return threshold, low, high


def _plateau_edges(
    peaks: Peaks, owner: Index, threshold: Array, mass: float
) -> tuple[Array, Array]:
    """Edges of peaks (P,) where the density has a plateau at its threshold: any part of it will do.

    They lie between the edges for a slightly lower and a slightly higher threshold, all edges of a
    row at the same share of the way, chosen for the mass.
    """
    rows = len(threshold)

    def held(low: Array, high: Array) -> Array:
        return np.asarray(np.bincount(owner, _mass_inside(peaks, low, high), rows), np.float64)

    widest, narrowest = threshold.copy(), threshold.copy()
    step = 1e-14 * (1 + np.abs(threshold))
    outer = inner = _edges(peaks, threshold[owner])
    for _ in range(_MOST_STEPS_APART):
        short, long = held(*outer) < mass, held(*inner) > mass
        if not (short.any() or long.any()):
            break
        widest[short] -= step[short]
        narrowest[long] += step[long]
        step *= 2
        outer, inner = _edges(peaks, widest[owner]), _edges(peaks, narrowest[owner])

    def at(share: Array) -> tuple[Array, Array]:
        low, high = (a + share[owner] * (b - a) for a, b in zip(outer, inner, strict=True))
        return low, high

    none, all_ = np.zeros(rows), np.ones(rows)
    for _ in range(_MOST_HALVINGS):
        middle = (none + all_) / 2
        enough = held(*at(middle)) >= mass
        none, all_ = np.where(enough, middle, none), np.where(enough, all_, middle)
    return at(none)


def _newton(
    batch: Batch, peaks: Peaks, scanned: Scanned, rough: Array, mass: float
) -> tuple[Array, Array, Array, Mask]:
    r"""Edges of peaks (P,) and thresholds (N,) from rough ones, and the confirmed rows, (N,).

    Newton's method for all edges of a row and its threshold at once,

    .. math:: \log p(x_i) = \lambda, \quad \textstyle\sum_i \pm F(x_i) = c

    whose Jacobian is diagonal but for one row and one column.
    """
    rows, row, threshold = batch.rows, peaks.row, rough.copy()
    low, high = peaks.left.copy(), peaks.right.copy()
    asked = peaks.top_height > threshold[row]
    # Left and right edge of every peak alternate.
    feet = np.stack([peaks.left_height, peaks.right_height], axis=1)
    crossed = (asked[:, None] & (feet < threshold[row, None])).ravel()
    owner = np.repeat(row, 2)
    count = np.bincount(owner[crossed], minlength=rows)
    start_row, start, width = scanned.crossings(threshold)
    fits = (count == np.bincount(start_row, minlength=rows)) & (count > 0)
    confirmed = np.zeros(rows, np.bool_)
    # Mass beyond the scan's end belongs to a region that reaches it.
    last = np.append(row[1:] != row[:-1], [True])
    open_ = asked & last & (peaks.right_height >= threshold[row])
    wanted = np.asarray(mass - np.bincount(row[open_], minlength=rows), np.float64)
    edges = np.stack([low, high], axis=1).ravel()
    sides = np.tile([-1.0, 1.0], len(row))
    for number in np.unique(count[fits]):
        mine = np.flatnonzero(fits & (count == number))
        here = fits[owner] & (count[owner] == number) & crossed
        there = fits[start_row] & (count[start_row] == number)
        x, gap = (part[there].reshape(-1, number) for part in (start, width))
        x, threshold[mine], confirmed[mine] = _newton_steps(
            batch[mine], x, gap, sides[here].reshape(x.shape), threshold[mine], wanted[mine]
        )
        edges[here] = x.ravel()
    found = edges.reshape(-1, 2)
    # The peaks above the threshold, and their feet above it, must still be the same.
    height = threshold[row]
    as_before = (peaks.top_height > height) == asked
    inside = (peaks.left <= found[:, 0]) & (found[:, 1] <= peaks.right)
    inside &= (found[:, 0] < peaks.top) | (peaks.left == peaks.top)
    inside &= (found[:, 1] > peaks.top) | (peaks.right == peaks.top)
    same = (asked[:, None] & (feet < height[:, None])).ravel() == crossed
    fine = as_before & same.reshape(-1, 2).all(axis=1) & (inside | ~asked)
    np.logical_and.at(confirmed, row, fine)
    low, high = (np.where(asked, side, peaks.top) for side in found.T)
    return low, high, threshold, confirmed


def _newton_steps(
    batch: Batch, x: Array, gap: Array, sides: Array, threshold: Array, wanted: Array
) -> tuple[Array, Array, Mask]:
    """Edges (N, E) and thresholds (N,) from rough ones, and the rows that have converged, (N,).

    Args:
        batch: N densities.
        x: rough edges, (N, E).
        gap: distances of the scan points around each of them, (N, E).
        sides: -1 for a left edge, 1 for a right one, (N, E).
        threshold: rough heights at the edges, (N,).
        wanted: sum of the cdfs at the edges, times their sides, (N,).
    """
    x, threshold = x.copy(), threshold.copy()
    arrived, active = np.zeros(len(x), np.bool_), np.arange(len(x))
    for step in range(_MOST_NEWTON + 1):
        here, near = x[active], x[active] + _NEARBY * gap[active]
        points = np.concatenate([here, near], axis=1)[..., None]
        with np.errstate(all="ignore"):
            heights = batch.log_prob(points)
            height, beside = heights[:, : x.shape[1]], heights[:, x.shape[1] :]
            too_high = height - threshold[active, None]
            missing = (sides[active] * batch.cdf(here[..., None])[..., 0]).sum(axis=1)
            missing = wanted[active] - missing
            there = (np.abs(too_high) <= _HEIGHT_ERROR).all(axis=1)
            there &= np.abs(missing) <= _MASS_ERROR
            arrived[active[there]] = True
            if step == _MOST_NEWTON or there.all():
                break
            slope = (beside - height) / (near - here)
            share = sides[active] * np.exp(height) / slope
            rise = (missing + (share * too_high).sum(axis=1)) / share.sum(axis=1)
            threshold[active] += rise.clip(-1, 1)
            move = (rise[:, None] - too_high) / slope
            x[active] += move.clip(-2 * gap[active], 2 * gap[active])
        if there.mean() > 0.3:
            active = active[~there]
            batch = batch[~there]
    return x, threshold, arrived


def _rough_threshold(scanned: Scanned, mass: float) -> Array:
    """Approximate thresholds (N,), from heights that are linear between scan points."""
    # Every other point is but a neighbour.
    points, heights = scanned.points[:, ::2], scanned.heights[:, ::2]
    top = heights.max(axis=1, keepdims=True)
    height = np.exp(np.maximum(heights - top, -_MOST_BELOW))
    upper = np.maximum(height[:, :-1], height[:, 1:])
    # A level cell is taken as nearly level.
    lower = np.minimum(np.minimum(height[:, :-1], height[:, 1:]), upper * (1 - 1e-6))
    step = np.diff(points, axis=1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        efold = step / np.log(upper / lower)
        total = ((upper - lower) * efold).sum(axis=1)
        # Outside the region the density is below the threshold: a lower bound of it.
        low = np.log((1 - mass) * total / step.sum(axis=1))
    low, high = np.maximum(low, -_MOST_BELOW), np.zeros(len(low))
    for _ in range(_MOST_ROUGH):
        middle = (low + high) / 2
        reached = np.maximum(lower, np.exp(middle)[:, None])
        np.subtract(upper, reached, out=reached)
        held = np.einsum("ng,ng->n", np.maximum(reached, 0, out=reached), efold)
        enough = held >= mass * total
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return (low + high) / 2 + top[:, 0]


def _threshold_bounds(batch: Batch, peaks: Peaks, mass: float) -> tuple[Array, Array]:
    """Bounds of thresholds, (N,) each: at the first a region has at least the mass, then none."""
    ends = batch.quantile([(1 - mass) / 2, (1 + mass) / 2])
    # In the central interval the density is not below its least value there.
    low = batch.log_prob(ends).min(axis=1)
    bottom, top = ends[peaks.row, :, 0].T
    for foot, height in ((peaks.left, peaks.left_height), (peaks.right, peaks.right_height)):
        inside = (foot > bottom) & (foot < top)
        np.minimum.at(low, peaks.row[inside], height[inside])
    high = np.full(batch.rows, -np.inf)
    np.maximum.at(high, peaks.row, peaks.top_height)
    low = np.maximum(low, high - _MOST)
    return low - 1e-6, high + 1e-6


def _edges(peaks: Peaks, threshold: Array) -> tuple[Array, Array]:
    """Interval of each peak above its threshold, (P,) each; its ends are equal where it is none."""
    left = _crossing(peaks, peaks.left, peaks.left_height, threshold)
    return left, _crossing(peaks, peaks.right, peaks.right_height, threshold)


def _crossing(peaks: Peaks, foot: Array, foot_height: Array, threshold: Array) -> Array:
    """Crossing of the threshold between foot and top, (P,): the foot itself if it is above."""
    at = np.where(peaks.top_height > threshold, foot, peaks.top)
    crosses = np.flatnonzero((peaks.top_height > threshold) & (foot_height < threshold))
    each, wanted = peaks.each[crosses], threshold[crosses]

    def above(y: Array, which: Index) -> Array:
        return (each[which].log_prob(y[:, None]) - wanted[which]).clip(-_MOST, _MOST)

    at[crosses] = solve_crossing(above, foot[crosses], peaks.top[crosses], _HEIGHT_ERROR)
    return at


def _mass_inside(peaks: Peaks, low: Array, high: Array) -> Array:
    """Probability of the intervals (low, high) of peaks, (P,)."""
    below = peaks.each.cdf(np.stack([low, high], axis=1)[..., None])[..., 0].T
    # An end of the scan stands for all that lies beyond.
    upper = np.where(high == peaks.right, peaks.below_right, below[1])
    lower = np.where(low == peaks.left, peaks.below_left, below[0])
    return np.where(low < high, upper - lower, 0.0)


def _merge(peaks: Peaks, low: Array, high: Array, threshold: Array) -> Regions:
    """Regions above thresholds (N,): peaks whose common foot is above share an interval."""
    rows = len(threshold)
    held = np.flatnonzero(low < high)
    row, low, high = peaks.row[held], low[held], high[held]
    continues = np.zeros(len(row), np.bool_)
    continues[1:] = (row[1:] == row[:-1]) & (low[1:] == high[:-1])
    begins = np.flatnonzero(~continues)
    ends = np.append(begins, len(row))[1:] - 1
    row, low, high = row[begins], low[begins], high[ends]
    return Regions(
        pad_rows(row, low, rows),
        pad_rows(row, high, rows),
        threshold,
        np.bincount(row, minlength=rows),
    )
