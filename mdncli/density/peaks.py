"""Modes of one-target densities.

Between two neighbouring extremes a density is monotonic. Extremes are bracketed on the points of
a scan and then refined by Chandrupatla's method. A *height* is a log density.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np

from mdncli.density.arrays import Array, Index, Mask
from mdncli.density.batch import Batch

# Share of a bracket that a run of equal heights must span to count as a plateau.
_PLATEAU = 0.25
# Heights that differ by less, relative to their size, are equal.
_EQUAL = 1e-12
_LARGEST = 1e100
# Distance from a scan point to its neighbour, which shows the slope there, as a share of the gap.
_NEIGHBOUR = 1e-3
# Scan points held at once.
_BLOCK = 1 << 19


@dataclass(frozen=True)
class Modes:
    """Modes of N densities, at most M of each, in increasing order and padded with NaN.

    Args:
        location: (N, M).
        log_density: log density at the modes, in nats, (N, M).
        mass: probability between the neighbouring antimodes, (N, M); a row sums to 1.
        count: number of modes of each row, at least 1, (N,).
    """

    location: Array
    log_density: Array
    mass: Array
    count: Index


class Peaks(NamedTuple):
    """P peaks in order of row and location, (P,) each: modes between their feet.

    A foot is an antimode or an end of the scan.
    """

    each: Batch
    row: Index
    left: Array
    top: Array
    right: Array
    left_height: Array
    top_height: Array
    right_height: Array
    below_left: Array
    below_right: Array

    def some(self, chosen: Index | Mask, row: Index | None = None) -> Peaks:
        """A selection of peaks, with new row numbers where given."""
        row = self.row[chosen] if row is None else row
        return Peaks(self.each[chosen], row, *(part[chosen] for part in self[2:]))


class Scanned(NamedTuple):
    """Scan points and the heights there, (N, G) each."""

    points: Array
    heights: Array

    def with_extremes(self, peaks: Peaks) -> Scanned:
        """Scan points and extremes together, so that no crossing of a threshold is missed."""
        rows = len(self.points)
        parts = []
        for own, tops, feet in (
            (self.points, peaks.top, peaks.left),
            (self.heights, peaks.top_height, peaks.left_height),
        ):
            more = np.concatenate(
                [pad_rows(peaks.row, each, rows) for each in (tops, feet)], axis=1
            )
            parts.append(np.concatenate([own, np.where(np.isnan(more), own[:, -1:], more)], axis=1))
        order = np.argsort(parts[0], axis=1, kind="stable")
        return Scanned(*(np.take_along_axis(part, order, axis=1) for part in parts))

    def crossings(self, threshold: Array) -> tuple[Index, Array, Array]:
        """Interpolated crossings of thresholds (N,): rows, points and widths of their cells."""
        above = self.heights > threshold[:, None]
        row, cell = np.nonzero(above[:, 1:] != above[:, :-1])
        low, high = self.points[row, cell], self.points[row, cell + 1]
        begin, end = self.heights[row, cell], self.heights[row, cell + 1]
        with np.errstate(invalid="ignore"):
            share = (threshold[row] - begin) / (end - begin)
        return row, low + np.where(share > 0, share, 0.5) * (high - low), high - low


class _HasCount(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def count(self) -> Index: ...


_Result = TypeVar("_Result", bound=_HasCount)


def modes(batch: Batch) -> Modes:
    """Modes of one-target densities; see `Conditional.modes`."""
    return stack_results([_modes(block) for block in blocks(batch)])


def _modes(batch: Batch) -> Modes:
    peaks, _ = find_peaks(batch)
    values = (peaks.top, peaks.top_height, peaks.below_right - peaks.below_left)
    columns = (pad_rows(peaks.row, each, batch.rows) for each in values)
    return Modes(*columns, count=np.bincount(peaks.row, minlength=batch.rows))


def find_peaks(batch: Batch) -> tuple[Peaks, Scanned]:
    """Peaks of all rows, and the scan on which they were found."""
    points = _add_neighbours(batch.scan())
    scanned = Scanned(points, batch.log_prob(points[..., None]))
    extremes = _extremes(*scanned)
    at = _refine(batch, extremes)
    peak = np.flatnonzero(extremes.is_peak)
    row = extremes.row[peak]
    # In each row peaks and antimodes alternate, from a peak to a peak.
    first, last = np.diff(row, prepend=-1) > 0, np.diff(row, append=batch.rows) > 0
    left = np.where(first, points[row, 0], at[peak - 1])
    right = np.where(last, points[row, -1], at[np.minimum(peak + 1, len(at) - 1)])
    around = np.stack([left, at[peak], right], axis=1)[..., None]
    each = batch[row]
    below = each.cdf(around[:, ::2])[..., 0].T
    peaks = Peaks(
        each,
        row,
        *around[..., 0].T,
        *each.log_prob(around).T,
        below_left=np.where(first, 0.0, below[0]),
        below_right=np.where(last, 1.0, below[1]),
    )
    return peaks, scanned


def blocks(batch: Batch) -> Iterator[Batch]:
    """Blocks of rows whose scans take little memory."""
    size = max(1, _BLOCK // max(1, batch[:1].scan().size))
    for start in range(0, max(1, batch.rows), size):
        yield batch[start : start + size]


def stack_results(results: Sequence[_Result]) -> _Result:
    """Rows of several results, one after another, padded to the same number of columns."""
    (kind,) = {type(result) for result in results}
    widest = max(result.count.max(initial=1) for result in results)

    def widen(values: Any) -> Any:
        if values.ndim == 1:
            return values
        filling = ((0, 0), (0, widest - values.shape[1]))
        return np.pad(values, filling, constant_values=np.nan)

    names = [field.name for field in fields(kind)]
    return kind(
        *(np.concatenate([widen(getattr(result, name)) for result in results]) for name in names)
    )


def pad_rows(row: Index, values: Array, rows: int) -> Array:
    """Values in order of their rows as an array with a line for each row, padded with NaN.

    >>> pad_rows(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 3)
    array([[ 1., nan],
           [nan, nan],
           [ 2.,  3.]])
    """
    count = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    table = np.full((rows, count.max(initial=1)), np.nan)
    table[row, place] = values
    return table


def _add_neighbours(points: Array) -> Array:
    """Points (N, G), each but the last with another just above it, which shows its slope."""
    near = points[:, :-1] + _NEIGHBOUR * np.diff(points, axis=1)
    pairs = np.stack([points[:, :-1], near], axis=2).reshape(len(points), -1)
    return np.concatenate([pairs, points[:, -1:]], axis=1)


class _Extremes(NamedTuple):
    """Brackets of extremes in order of row and location, (T,) each."""

    row: Index
    low: Array
    middle: Array
    high: Array
    is_peak: Mask


def _extremes(points: Array, heights: Array) -> _Extremes:
    """Brackets of the points where heights change their direction; both arrays are (N, G)."""
    count = points.shape[1]
    with np.errstate(invalid="ignore"):
        change = np.diff(heights, axis=1)
        equal = _EQUAL * (1 + np.abs(heights[:, 1:]))
        # Outside there is nothing: every density rises to its first point, falls from its last.
        slope = np.ones((len(points), count + 1), np.int8)
        slope[:, 1:-1] = (change > equal).view(np.int8) - (change < -equal).view(np.int8)
        slope[:, -1] = -1
    row, step = np.nonzero(slope)
    rises = slope[row, step] > 0
    turn = np.flatnonzero((row[1:] == row[:-1]) & (rises[1:] != rises[:-1]))
    row, begin, end, rises = row[turn], step[turn], step[turn + 1], rises[turn]
    # A peak on the first or the last point is there; that of a plateau is in its middle.
    outer = points[row, np.minimum(end, count - 1)] - points[row, np.maximum(begin - 1, 0)]
    plateau = points[row, end - 1] - points[row, begin] > _PLATEAU * outer
    alone = (begin == 0) | (end == count) | plateau
    middle = np.where(begin == 0, 0, np.where(end == count, count - 1, begin))
    middle = np.where(plateau, (begin + end - 1) // 2, middle)
    low, high = np.where(alone, middle, begin - 1), np.where(alone, middle, end)
    return _Extremes(row, points[row, low], points[row, middle], points[row, high], rises)


def _refine(batch: Batch, extremes: _Extremes) -> Array:
    """Locations of the extremes in their brackets, (T,)."""
    from scipy.optimize.elementwise import find_minimum

    at = extremes.middle.copy()
    open_ = np.flatnonzero(extremes.low < extremes.high)
    each, sign = batch[extremes.row[open_]], np.where(extremes.is_peak[open_], -1.0, 1.0)
    if len(open_):

        def height(y: Array, which: Array) -> Array:
            index = which.astype(np.intp)
            found = each[index].log_prob(y[:, None])
            return sign[index] * found.clip(-_LARGEST, _LARGEST)

        brackets = (extremes.low[open_], extremes.middle[open_], extremes.high[open_])
        every = np.arange(len(open_), dtype=np.float64)
        with np.errstate(all="ignore"):
            found = find_minimum(height, brackets, args=(every,)).x
        inside = (found >= brackets[0]) & (found <= brackets[2])
        found = np.where(inside, found, brackets[1])
        # Where a density has a kink, a scan point may be its extreme.
        better = height(found, every) < height(brackets[1], every)
        at[open_] = np.where(better, found, brackets[1])
    return at
