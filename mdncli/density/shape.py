"""Where densities of one target have their peaks, and where most of their mass lies.

Everything follows from the extremes of a density: between two neighbouring ones it only rises or
only falls. They are bracketed on a scan of points and then closed in on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mdncli.density.roots import solve_crossing

if TYPE_CHECKING:
    from mdncli.density.conditional import Conditional

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Points of a peak that are level make a level stretch if so much of it lies between them.
_WIDE = 0.25
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
# The same for the slope at an edge of a region.
_NEARBY = 1e-6
# A mass that is off by more has a density level at its threshold for the reason.
_LEVEL_ERROR = 1e-9
_MOST_STEPS_APART = 40
_MOST_HALVINGS = 60
_MOST_ROUGH = 12
_TRIES = 2
_MOST_NEWTON = 8
# Nothing that lies so far below the highest peak, in nats, makes a threshold.
_MOST_BELOW = 700.0
# Scanned points held at once.
_BLOCK = 1 << 19


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

    def some(self, rows: Index) -> Regions:
        """Those of some rows."""
        return Regions(*(getattr(self, field.name)[rows] for field in fields(self)))


_Shape = TypeVar("_Shape", Modes, Regions)


def modes(conditional: Conditional) -> Modes:
    """The modes of densities of one target; see `Conditional.modes`."""
    return _stacked([_modes(block) for block in _blocks(conditional)])


def _modes(conditional: Conditional) -> Modes:
    peaks, _ = _peaks(conditional)
    values = (peaks.top, peaks.top_height, peaks.below_right - peaks.below_left)
    columns = (_padded(peaks.row, each, conditional.rows) for each in values)
    return Modes(*columns, count=np.bincount(peaks.row, minlength=conditional.rows))


def region_mass(conditional: Conditional, y: Array) -> Array:
    """The mass of the regions that just reach y, (N, 1) -> (N,); see `Conditional.region_mass`."""
    found = []
    done = 0
    for block in _blocks(conditional):
        peaks, _ = _peaks(block)
        threshold = block.log_prob(y[done : done + block.rows])
        held = _held(peaks, *_edges(peaks, threshold[peaks.row]))
        found.append(np.bincount(peaks.row, held, block.rows))
        done += block.rows
    return np.clip(np.concatenate(found), 0.0, 1.0)


def regions(conditional: Conditional, mass: float) -> Regions:
    """The smallest sets that hold `mass`; see `Conditional.hdr`."""
    found, sure = zip(*(_regions(block, mass) for block in _blocks(conditional)), strict=True)
    quick, sure = _stacked(found), np.concatenate(sure)
    left = np.flatnonzero(~sure)
    if not len(left):
        return quick
    both = _stacked([quick, _regions_by_bisection(conditional[left], mass)])
    source = np.arange(conditional.rows)
    source[left] = conditional.rows + np.arange(len(left))
    return both.some(source)


def _regions(conditional: Conditional, mass: float) -> tuple[Regions, Mask]:
    """Regions, and for which rows they are surely right."""
    peaks, scanned = _peaks(conditional)
    threshold = _rough_threshold(scanned, mass)
    scanned = scanned.with_extremes(peaks)
    low, high = np.empty((2, len(peaks.row)))
    left = np.arange(conditional.rows)
    # What a first try finds may show which peaks there are above the threshold.
    for _ in range(_TRIES):
        if not len(left):
            break
        own = np.isin(peaks.row, left)
        some = peaks.some(own, np.searchsorted(left, peaks.row[own]))
        parts = (part[left] for part in scanned)
        low[own], high[own], threshold[left], surely = _by_newton(
            conditional[left], some, _Scanned(*parts), threshold[left], mass
        )
        left = left[~surely]
    sure = np.ones(conditional.rows, np.bool_)
    sure[left] = False
    return _joined(peaks, low, high, threshold), sure


def _regions_by_bisection(conditional: Conditional, mass: float) -> Regions:
    peaks, _ = _peaks(conditional)
    threshold, low, high = _by_bisection(conditional, peaks, mass)
    return _joined(peaks, low, high, threshold)


def _by_bisection(
    conditional: Conditional, peaks: _Peaks, mass: float
) -> tuple[Array, Array, Array]:
    """The thresholds (N,) whose regions hold the mass, and their edges for each peak, (P,)."""
    starts = np.searchsorted(peaks.row, np.arange(conditional.rows + 1))

    def of(row: Index) -> tuple[Index, Index]:
        """The peaks of rows (m,), and to which of these rows each belongs."""
        count = np.diff(starts)[row]
        owner = np.repeat(np.arange(len(row)), count)
        first = np.cumsum(count) - count
        return np.arange(len(owner)) - np.repeat(first - starts[row], count), owner

    def missing(threshold: Array, row: Index) -> Array:
        chosen, owner = of(row)
        some = peaks.some(chosen)
        held = np.bincount(owner, _held(some, *_edges(some, threshold[owner])), len(row))
        return np.asarray(mass - held, np.float64)

    below, above = _threshold_bounds(conditional, peaks, mass)
    threshold = solve_crossing(missing, below, above, _MASS_ERROR)
    low, high = _edges(peaks, threshold[peaks.row])
    excess = np.bincount(peaks.row, _held(peaks, low, high), conditional.rows) - mass
    level = np.flatnonzero(np.abs(excess) > _LEVEL_ERROR)
    if len(level):
        # Where the density is level at its threshold, that decides nothing: any part will do.
        chosen, owner = of(level)
        low[chosen], high[chosen] = _cut(peaks.some(chosen), owner, threshold[level], mass)
    return threshold, low, high


def _cut(peaks: _Peaks, owner: Index, threshold: Array, mass: float) -> tuple[Array, Array]:
    """Edges of peaks (P,) that lie between those for a bit less and a bit more than thresholds.

    They move along with the share of the way, the same for all edges of a row, that gives the mass.
    """
    rows = len(threshold)

    def held(low: Array, high: Array) -> Array:
        return np.asarray(np.bincount(owner, _held(peaks, low, high), rows), np.float64)

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


def _by_newton(
    conditional: Conditional, peaks: _Peaks, scanned: _Scanned, rough: Array, mass: float
) -> tuple[Array, Array, Array, Mask]:
    r"""Edges of peaks (P,) and thresholds (N,) from rough ones, and where it surely worked, (N,).

    Newton's method for all edges of a row and its threshold at once,

    .. math:: \log p(x_i) = \lambda, \quad \textstyle\sum_i \pm F(x_i) = c

    whose Jacobian is diagonal but for one row and one column. A row is done where its equations
    hold and its peaks above the threshold are those it began with.
    """
    rows, row, threshold = conditional.rows, peaks.row, rough.copy()
    low, high = peaks.left.copy(), peaks.right.copy()
    asked = peaks.top_height > threshold[row]
    # Of every peak the left edge and the right one, as they follow one another.
    feet = np.stack([peaks.left_height, peaks.right_height], axis=1)
    crossed = (asked[:, None] & (feet < threshold[row, None])).ravel()
    owner = np.repeat(row, 2)
    count = np.bincount(owner[crossed], minlength=rows)
    start_row, start, width = scanned.crossings(threshold)
    fits = (count == np.bincount(start_row, minlength=rows)) & (count > 0)
    surely = np.zeros(rows, np.bool_)
    # What lies beyond the scan's end belongs to a region that reaches it.
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
        x, threshold[mine], surely[mine] = _newton(
            conditional[mine], x, gap, sides[here].reshape(x.shape), threshold[mine], wanted[mine]
        )
        edges[here] = x.ravel()
    found = edges.reshape(-1, 2)
    # The peaks that count, and which of their feet lie above, must still be the same.
    height = threshold[row]
    as_before = (peaks.top_height > height) == asked
    inside = (peaks.left <= found[:, 0]) & (found[:, 1] <= peaks.right)
    inside &= (found[:, 0] < peaks.top) | (peaks.left == peaks.top)
    inside &= (found[:, 1] > peaks.top) | (peaks.right == peaks.top)
    same = (asked[:, None] & (feet < height[:, None])).ravel() == crossed
    fine = as_before & same.reshape(-1, 2).all(axis=1) & (inside | ~asked)
    np.logical_and.at(surely, row, fine)
    low, high = (np.where(asked, side, peaks.top) for side in found.T)
    return low, high, threshold, surely


def _newton(
    conditional: Conditional, x: Array, gap: Array, sides: Array, threshold: Array, wanted: Array
) -> tuple[Array, Array, Mask]:
    """Edges (N, E) and thresholds (N,) from rough ones, and where they have arrived.

    Args:
        conditional: N densities.
        x: rough edges.
        gap: how far apart the scanned points around each of them are.
        sides: -1 for a left edge, 1 for a right one.
        threshold: rough log densities at the edges.
        wanted: what the cdfs at the edges, times their sides, are to come to, (N,).
    """
    x, threshold = x.copy(), threshold.copy()
    arrived, active = np.zeros(len(x), np.bool_), np.arange(len(x))
    for step in range(_MOST_NEWTON + 1):
        here, near = x[active], x[active] + _NEARBY * gap[active]
        points = np.concatenate([here, near], axis=1)[..., None]
        with np.errstate(all="ignore"):
            heights = conditional.log_prob(points)
            height, beside = heights[:, : x.shape[1]], heights[:, x.shape[1] :]
            too_high = height - threshold[active, None]
            missing = (sides[active] * conditional.cdf(here[..., None])[..., 0]).sum(axis=1)
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
            conditional = conditional[~there]
    return x, threshold, arrived


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

    def some(self, chosen: Index | Mask, row: Index | None = None) -> _Peaks:
        """Some of the peaks, of other rows if these are counted anew."""
        row = self.row[chosen] if row is None else row
        return _Peaks(self.each[chosen], row, *(part[chosen] for part in self[2:]))


class _Scanned(NamedTuple):
    """Points and the log densities there, (N, G) each."""

    points: Array
    heights: Array

    def with_extremes(self, peaks: _Peaks) -> _Scanned:
        """The same with what lies between the points: so that no crossing can be overlooked."""
        rows = len(self.points)
        parts = []
        for own, tops, feet in (
            (self.points, peaks.top, peaks.left),
            (self.heights, peaks.top_height, peaks.left_height),
        ):
            more = np.concatenate([_padded(peaks.row, each, rows) for each in (tops, feet)], axis=1)
            parts.append(np.concatenate([own, np.where(np.isnan(more), own[:, -1:], more)], axis=1))
        order = np.argsort(parts[0], axis=1, kind="stable")
        return _Scanned(*(np.take_along_axis(part, order, axis=1) for part in parts))

    def crossings(self, threshold: Array) -> tuple[Index, Array, Array]:
        """Roughly where densities cross thresholds (N,): rows, points and gaps, row after row."""
        above = self.heights > threshold[:, None]
        row, cell = np.nonzero(above[:, 1:] != above[:, :-1])
        low, high = self.points[row, cell], self.points[row, cell + 1]
        begin, end = self.heights[row, cell], self.heights[row, cell + 1]
        with np.errstate(invalid="ignore"):
            share = (threshold[row] - begin) / (end - begin)
        return row, low + np.where(share > 0, share, 0.5) * (high - low), high - low


def _rough_threshold(scanned: _Scanned, mass: float) -> Array:
    """About the log density above which there is the mass, (N,).

    Between two points the log density is taken as linear.
    """
    # Every other point is but a twin.
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
        # What is outside is nowhere above the threshold.
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


def _blocks(conditional: Conditional) -> Iterator[Conditional]:
    """Rows in pieces whose scans take little memory."""
    size = max(1, _BLOCK // max(1, conditional[:1].scan().size))
    for start in range(0, max(1, conditional.rows), size):
        yield conditional[start : start + size]


def _stacked(parts: Sequence[_Shape]) -> _Shape:
    """The rows of several, one after another, all with as many columns."""
    (kind,) = {type(part) for part in parts}
    widest = max(part.count.max(initial=1) for part in parts)

    def widened(values: Any) -> Any:
        if values.ndim == 1:
            return values
        filling = ((0, 0), (0, widest - values.shape[1]))
        return np.pad(values, filling, constant_values=np.nan)

    names = [field.name for field in fields(kind)]
    return kind(*(np.concatenate([widened(getattr(p, name)) for p in parts]) for name in names))


def _peaks(conditional: Conditional) -> tuple[_Peaks, _Scanned]:
    points = _with_twins(conditional.scan())
    scanned = _Scanned(points, conditional.log_prob(points[..., None]))
    turns = _turns(*scanned)
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
    peaks = _Peaks(
        each,
        row,
        *around[..., 0].T,
        *each.log_prob(around).T,
        below_left=np.where(first, 0.0, below[0]),
        below_right=np.where(last, 1.0, below[1]),
    )
    return peaks, scanned


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
    # A peak on the first or the last point is there; that of a level stretch is in its middle.
    outer = points[row, np.minimum(end, count - 1)] - points[row, np.maximum(begin - 1, 0)]
    level = points[row, end - 1] - points[row, begin] > _WIDE * outer
    alone = (begin == 0) | (end == count) | level
    middle = np.where(begin == 0, 0, np.where(end == count, count - 1, begin))
    middle = np.where(level, (begin + end - 1) // 2, middle)
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


def _joined(peaks: _Peaks, low: Array, high: Array, threshold: Array) -> Regions:
    """The regions above thresholds (N,): peaks whose common foot is above are one interval."""
    rows = len(threshold)
    held = np.flatnonzero(low < high)
    row, low, high = peaks.row[held], low[held], high[held]
    joined = np.zeros(len(row), np.bool_)
    joined[1:] = (row[1:] == row[:-1]) & (low[1:] == high[:-1])
    begins = np.flatnonzero(~joined)
    ends = np.append(begins, len(row))[1:] - 1
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
