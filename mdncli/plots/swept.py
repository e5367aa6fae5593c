"""Content of figures of a sweep: its trials, grouped into points over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import LogLocator

from mdncli.config.section import section_in_words
from mdncli.plots import style
from mdncli.plots.subject import History
from mdncli.wording import counted

SEED = "seed"
"""Key that repeats a point rather than makes another."""

LOG_SPAN = 20.0
"""Positive values that span more than this factor are shown on a logarithmic axis."""

NEARLY = 0.15
"""Share by which an axis may be longer to include the worst trial."""

HEADROOM = 4.0
"""Largest NLL to show, above the median, in units of the distance from best to median."""

GOOD_IS_DARK = LinearSegmentedColormap.from_list(
    "mdncli-nll", style.DENSITY(np.linspace(0.95, 0.16, 256))
)
"""Colours of NLLs, dark for low ones; none is as light as the background."""


@dataclass(frozen=True)
class SweepTrials:
    """The completed trials of a sweep.

    Args:
        name: of the sweep.
        overrides: key path -> value of each of the n trials.
        nll: on their validation rows, n of them.
        histories: functions that load the training records of each trial.
    """

    name: str
    overrides: Sequence[Mapping[str, Any]]
    nll: Sequence[float]
    histories: Sequence[Callable[[], History]] = ()

    @cached_property
    def keys(self) -> list[str]:
        """Varying keys; without the seed, unless it is the only one.

        >>> SweepTrials("a", [{"k": 1, "seed": 0}, {"k": 2, "seed": 0}], [1.0, 2.0]).keys
        ['k']
        """
        every = [*dict.fromkeys(key for each in self.overrides for key in each)]
        varying = [key for key in every if len(set(map(json.dumps, self.values(key)))) > 1]
        return [key for key in varying if key != SEED] or varying or every[:1]

    def values(self, key: str) -> list[Any]:
        """Value of a key in every trial; None where the base config sets it."""
        return [each.get(key) for each in self.overrides]

    @cached_property
    def points(self) -> list[SweepPoint]:
        """Trials grouped by all keys but the seed, the lowest mean first."""
        together: dict[str, list[int]] = {}
        for index, each in enumerate(self.overrides):
            rest = {key: value for key, value in each.items() if key != SEED}
            together.setdefault(json.dumps(rest, sort_keys=True), []).append(index)
        found = []
        for trials in together.values():
            nll = np.array([self.nll[index] for index in trials])
            error = float(nll.std(ddof=1) / math.sqrt(len(nll))) if len(nll) > 1 else 0.0
            found.append(SweepPoint(trials, float(nll.mean()), error))
        return sorted(found, key=lambda point: point.mean)

    def range(self) -> tuple[float, float]:
        """Range of NLLs to show: from the best to the worst that is no outlier."""
        low, middle, most = (float(v) for v in np.quantile(self.nll, (0, 0.5, 1)))
        few = len(self.nll) <= 4
        high = middle + HEADROOM * max(middle - low, 1e-3)
        # Values slightly above the limit are shown rather than counted as outliers.
        return low, most if few or most <= high + NEARLY * (high - low) else high

    def colours(self) -> tuple[Normalize, bool]:
        """Colour range of the NLL, and whether the worst exceed it."""
        low, high = self.range()
        return Normalize(low, max(high, low + 1e-6), clip=True), high < max(self.nll)

    def count_label(self, above: str = "above the axis") -> str:
        """Number of trials for a title, with the number of those not shown."""
        hidden = sum(nll > self.range()[1] for nll in self.nll)
        many = counted(len(self.nll), "trial")
        return many + (f", {hidden:,} of them {above}" if hidden else "")


@dataclass(frozen=True)
class SweepPoint:
    """The trials of a sweep that differ in their seed only.

    Args:
        trials: their indices.
        mean: of their NLL.
        error: the standard error of that mean; 0 of one trial.
    """

    trials: Sequence[int]
    mean: float
    error: float


@dataclass(frozen=True)
class AxisScale:
    """Axis for the values of a key: numeric, or categorical side by side.

    Args:
        at: position of each value; NaN for none.
        labels: labels of 0, 1, 2, ...; empty for numbers.
        log: whether the axis is logarithmic.
        whole: whether they are whole numbers.
    """

    at: np.ndarray
    labels: Sequence[str] = ()
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, values: Sequence[Any]) -> AxisScale:
        """Choose the axis for some values.

        >>> AxisScale.of([0.001, 0.01, 0.1]).log, AxisScale.of(["tanh", "relu", "tanh"]).at.tolist()
        (True, [0.0, 1.0, 0.0])
        """
        known = [value for value in values if value is not None]
        if known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
            at = np.array([math.nan if value is None else float(value) for value in values])
            whole = all(isinstance(value, int) for value in known)
            return cls(at, log=_is_spread_in_log(at[np.isfinite(at)]), whole=whole)
        texts = [label_of(value) for value in values]
        labels = [*dict.fromkeys(texts)]
        return cls(np.array([float(labels.index(text)) for text in texts]), labels)

    def shares(self) -> np.ndarray:
        """Relative positions of the values, from 0 for the least to 1 for the greatest."""
        at = np.log(self.at) if self.log else self.at
        low, high = np.nanmin(at), np.nanmax(at)
        return (at - low) / (high - low) if high > low else np.full(len(at), 0.5)

    def mark(self, ax: Axes) -> None:
        """Set the ticks of the horizontal axis."""
        if self.labels:
            style.categories(ax, self.labels)
            ax.margins(x=0.2)
        elif self.log:
            style.make_logarithmic(ax, "x")
            decades = math.log10(np.nanmax(self.at) / np.nanmin(self.at))
            subs = (1.0,) if decades > 3 else (1.0, 3.0)
            ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        elif self.whole:
            ax.xaxis.set_major_locator(style.ticks(8, integer=True, min_n_ticks=1))


def _is_spread_in_log(values: np.ndarray) -> bool:
    """True for widely spread positive values whose median is near the geometric mid-range.

    >>> _is_spread_in_log(np.geomspace(1e-4, 1, 9)), _is_spread_in_log(np.linspace(0.01, 1, 9))
    (True, False)
    """
    if not (values.min() > 0 and values.max() / values.min() > LOG_SPAN):
        return False
    middle, log = float(np.median(values)), np.log(values)
    halves = 0.5 * (log.min() + log.max()), math.log(0.5 * (values.min() + values.max()))
    return bool(abs(math.log(middle) - halves[0]) < abs(math.log(middle) - halves[1]))


def label_of(value: Any) -> str:
    """A value of a key, short enough for a tick.

    >>> label_of([32, 32]), label_of(0.000316228), label_of(None), label_of("a/b.csv")
    ('32-32', '0.000316', 'default', 'b.csv')
    >>> label_of({"kind": "piecewise", "bins": "auto"})
    'piecewise'
    """
    if isinstance(value, list):
        text = "-".join(map(label_of, value)) or "none"
    elif isinstance(value, float):
        text = style.number(value, ".3g")
    elif isinstance(value, dict):
        text = section_in_words(value)
    elif isinstance(value, str):
        text = value.rpartition("/")[2]
    else:
        text = "default" if value is None else json.dumps(value)
    return style.clean_text(text, 14)


def order_of(values: Sequence[Any]) -> list[Any]:
    """Distinct values: numbers by size, others in order of appearance.

    >>> order_of([10, 2, 5, 2]), order_of(["tanh", "relu", "tanh"])
    ([2, 5, 10], ['tanh', 'relu'])
    """
    distinct = [json.loads(text) for text in dict.fromkeys(map(json.dumps, values))]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in distinct)
    return sorted(distinct) if numeric else distinct
