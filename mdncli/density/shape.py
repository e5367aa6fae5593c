"""Where densities of one target have their peaks, and where most of their mass lies.

Everything follows from the extremes of a density: between two neighbouring ones it only rises or
only falls. They are bracketed on a scan of points and then closed in on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdncli.density.roots import solve_crossing

if TYPE_CHECKING:
    from mdncli.density.conditional import Conditional

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Log densities that differ by less, relative to their size, are level.
_LEVEL = 1e-12
# How far a region's mass may be from what is wanted.
_MASS_ERROR = 1e-10
# How far the log density at a region's edge may be from that of the others.
_HEIGHT_ERROR = 1e-11
# As much as a log density differs from a threshold: infinities help no search.
_MOST = 1e3
_LARGEST = 1e100
# How far from a scanned point its slope is seen, as a share of the way to the next.
_TWIN = 1e-3


@dataclass(frozen=True)
class Modes:
    """The modes of N densities, at most M of one: from low to high, then NaN.

    Args:
        location: (N, M).
        log_density: there, in nats, (N, M).
        mass: the probability between the neighbouring antimodes, (N, M); 1 in all.
        count: how many modes a row has, at least 1, (N,).
    """

    location: Array
    log_density: Array
    mass: Array
    count: Index


@dataclass(frozen=True)
class Regions:
    """N sets of intervals, at most M in one: from low to high, then NaN.

    Args:
        low: where the intervals begin, (N, M).
        high: where they end, (N, M).
        log_density: the least inside, in nats, (N,).
        count: how many intervals a row has, at least 1, (N,).
    """

    low: Array
    high: Array
    log_density: Array
    count: Index


def modes(conditional: Conditional) -> Modes:
    """The modes of densities of one target; see `Conditional.modes`."""
    peaks = _peaks(conditional)
    values = (peaks.top, peaks.top_height, peaks.below_right - peaks.below_left)
    columns = (_padded(peaks.row, each, conditional.rows) for each in values)
    return Modes(*columns, count=np.bincount(peaks.row, minlength=conditional.rows))


def regions(conditional: Conditional, mass: float) -> Regions:
    """The smallest sets that hold `mass`; see `Conditional.hdr`."""
    peaks = _peaks(conditional)
    starts = np.searchsorted(peaks.row, np.arange(conditional.rows + 1))

    def missing(threshold: Array, row: Index) -> Array:
        count = np.diff(starts)[row]
        owner = np.repeat(np.arange(len(row)), count)
        first = np.cumsum(count) - count
        chosen = np.arange(len(owner)) - np.repeat(first - starts[row], count)
        some = peaks.some(chosen)
        low, high = _edges(some, threshold[owner])
        held = np.bincount(owner, _held(some, low, high), minlength=len(row))
        return np.asarray(mass - held, np.float64)

    low, high = _threshold_bounds(conditional, peaks, mass)
    threshold = solve_crossing(missing, low, high, _MASS_ERROR)
    return _joined(peaks, threshold, conditional.rows)


class _Peaks(NamedTuple):
    """P peaks, row after row and from low to high, each between two feet: all are (P,).

    A foot is an antimode or an end of what was scanned.
    """

    each: Conditional
    row: Index
    left: Array
    top: Array
    right: Array
    left_height: Array
    top_height: Array
    right_height: Array
    below_left: Array
    below_right: Array

    def some(self, chosen: Index | Mask) -> _Peaks:
        return _Peaks(self.each[chosen], self.row[chosen], *(part[chosen] for part in self[2:]))


def _peaks(conditional: Conditional) -> _Peaks:
    points = _with_twins(conditional.scan())
    turns = _turns(points, conditional.log_prob(points[..., None]))
    at = _closed_in(conditional, turns)
    peak = np.flatnonzero(turns.rises)
    row = turns.row[peak]
    # In each row peaks and antimodes take turns, from a peak to a peak.
    first, last = np.diff(row, prepend=-1) > 0, np.diff(row, append=conditional.rows) > 0
    left = np.where(first, points[row, 0], at[peak - 1])
    right = np.where(last, points[row, -1], at[np.minimum(peak + 1, len(at) - 1)])
    around = np.stack([left, at[peak], right], axis=1)[..., None]
    each = conditional[row]
    below = each.cdf(around[:, ::2])[..., 0].T
    return _Peaks(
        each,
        row,
        *around[..., 0].T,
        *each.log_prob(around).T,
        below_left=np.where(first, 0.0, below[0]),
        below_right=np.where(last, 1.0, below[1]),
    )


def _with_twins(points: Array) -> Array:
    """Points (N, G), each but the last with another just above it, which shows its slope."""
    twins = points[:, :-1] + _TWIN * np.diff(points, axis=1)
    pairs = np.stack([points[:, :-1], twins], axis=2).reshape(len(points), -1)
    return np.concatenate([pairs, points[:, -1:]], axis=1)


class _Turns(NamedTuple):
    """Brackets of extremes, in order, (T,) each: peaks where the density `rises` to them."""

    row: Index
    low: Array
    middle: Array
    high: Array
    rises: Mask


def _turns(points: Array, heights: Array) -> _Turns:
    """Where log densities at points, (N, G) each, cease to rise or to fall."""
    count = points.shape[1]
    with np.errstate(invalid="ignore"):
        change = np.diff(heights, axis=1)
        level = _LEVEL * (1 + np.abs(heights[:, 1:]))
        # Outside there is nothing: every density rises to its first point, falls from its last.
        slope = np.ones((len(points), count + 1), np.int8)
        slope[:, 1:-1] = (change > level).view(np.int8) - (change < -level).view(np.int8)
        slope[:, -1] = -1
    row, step = np.nonzero(slope)
    rises = slope[row, step] > 0
    turn = np.flatnonzero((row[1:] == row[:-1]) & (rises[1:] != rises[:-1]))
    row, begin, end, rises = row[turn], step[turn], step[turn + 1], rises[turn]
    # A peak on the first or the last point is there; that of a level density is anywhere.
    alone = (begin == 0) | (end == count)
    middle = np.where(end == count, np.where(begin == 0, count // 2, count - 1), begin)
    low, high = np.where(alone, middle, begin - 1), np.where(alone, middle, end)
    return _Turns(row, points[row, low], points[row, middle], points[row, high], rises)


def _closed_in(conditional: Conditional, turns: _Turns) -> Array:
    """Where, in their brackets, the extremes are, (T,)."""
    from scipy.optimize.elementwise import find_minimum

    at = turns.middle.copy()
    open_ = np.flatnonzero(turns.low < turns.high)
    each, sign = conditional[turns.row[open_]], np.where(turns.rises[open_], -1.0, 1.0)
    if len(open_):

        def height(y: Array, which: Array) -> Array:
            index = which.astype(np.intp)
            found = each[index].log_prob(y[:, None])
            return sign[index] * found.clip(-_LARGEST, _LARGEST)

        brackets = (turns.low[open_], turns.middle[open_], turns.high[open_])
        every = np.arange(len(open_), dtype=np.float64)
        with np.errstate(all="ignore"):
            found = find_minimum(height, brackets, args=(every,)).x
        inside = (found >= brackets[0]) & (found <= brackets[2])
        found = np.where(inside, found, brackets[1])
        # Where a density has a kink, a scanned point may be it.
        better = height(found, every) < height(brackets[1], every)
        at[open_] = np.where(better, found, brackets[1])
    return at


def _threshold_bounds(conditional: Conditional, peaks: _Peaks, mass: float) -> tuple[Array, Array]:
    """Log densities above which there surely is at least `mass`, and surely nothing, (N,)."""
    ends = conditional.quantile([(1 - mass) / 2, (1 + mass) / 2])
    # Wherever the central interval is, the density is not below its least value there.
    low = conditional.log_prob(ends).min(axis=1)
    bottom, top = ends[peaks.row, :, 0].T
    for foot, height in ((peaks.left, peaks.left_height), (peaks.right, peaks.right_height)):
        inside = (foot > bottom) & (foot < top)
        np.minimum.at(low, peaks.row[inside], height[inside])
    high = np.full(conditional.rows, -np.inf)
    np.maximum.at(high, peaks.row, peaks.top_height)
    low = np.maximum(low, high - _MOST)
    return low - 1e-6, high + 1e-6


def _edges(peaks: _Peaks, threshold: Array) -> tuple[Array, Array]:
    """Between what points peaks are above thresholds, (P,) each; equal where they are not."""
    left = _crossing(peaks, peaks.left, peaks.left_height, threshold)
    return left, _crossing(peaks, peaks.right, peaks.right_height, threshold)


def _crossing(peaks: _Peaks, foot: Array, foot_height: Array, threshold: Array) -> Array:
    """Where, between foot and top, the density crosses the threshold: the foot if it is above."""
    at = np.where(peaks.top_height > threshold, foot, peaks.top)
    crosses = np.flatnonzero((peaks.top_height > threshold) & (foot_height < threshold))
    each, wanted = peaks.each[crosses], threshold[crosses]

    def above(y: Array, which: Index) -> Array:
        return (each[which].log_prob(y[:, None]) - wanted[which]).clip(-_MOST, _MOST)

    at[crosses] = solve_crossing(above, foot[crosses], peaks.top[crosses], _HEIGHT_ERROR)
    return at


def _held(peaks: _Peaks, low: Array, high: Array) -> Array:
    """The probability of the intervals (low, high) of peaks, (P,)."""
    below = peaks.each.cdf(np.stack([low, high], axis=1)[..., None])[..., 0].T
    # An end of what was scanned stands for all that lies beyond.
    upper = np.where(high == peaks.right, peaks.below_right, below[1])
    lower = np.where(low == peaks.left, peaks.below_left, below[0])
    return np.where(low < high, upper - lower, 0.0)


def _joined(peaks: _Peaks, threshold: Array, rows: int) -> Regions:
    """The regions above thresholds (N,): peaks whose common foot is above are one interval."""
    low, high = _edges(peaks, threshold[peaks.row])
    held = np.flatnonzero(low < high)
    row, low, high = peaks.row[held], low[held], high[held]
    joined = np.zeros(len(row), np.bool_)
    joined[1:] = (row[1:] == row[:-1]) & (low[1:] == high[:-1])
    begins = np.flatnonzero(~joined)
    ends = np.append(begins[1:], len(row)) - 1
    row, low, high = row[begins], low[begins], high[ends]
    return Regions(
        _padded(row, low, rows),
        _padded(row, high, rows),
        threshold,
        np.bincount(row, minlength=rows),
    )


def _padded(row: Index, values: Array, rows: int) -> Array:
    """Values that belong to rows, as an array with a line for each row, filled up with NaN."""
    count = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    padded = np.full((rows, count.max(initial=1)), np.nan)
    padded[row, place] = values
    return padded
