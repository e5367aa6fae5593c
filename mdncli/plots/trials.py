"""The trials of a sweep: NLL over each key that varies, with the spread of its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style

MOST_PANELS = 6
"""Keys that are shown at most."""

LOG_SPAN = 20.0
"""Positive values that span more than this factor are shown on a logarithmic axis."""


@style.styled
def trials(name: str, overrides: Sequence[Mapping[str, Any]], nll: Sequence[float]) -> Figure:
    """A panel for each key: a dot for every trial, and the best of each value joined by a line.

    What the other keys do shows as the spread of the dots above the line. The axis of NLL leaves
    out the worst trials where they would flatten all others.

    Args:
        name: of the sweep.
        overrides: key path -> value of each of the n trials.
        nll: on their validation rows, n of them.
    """
    keys = [*dict.fromkeys(key for each in overrides for key in each)][:MOST_PANELS]
    figure, axes = style.wrapped(len(keys))
    values = np.asarray(nll, np.float64)
    low, high = _limits(values)
    for ax, key in zip(axes, keys, strict=False):
        chosen = [index for index, each in enumerate(overrides) if key in each]
        _panel(ax, key, [overrides[index][key] for index in chosen], values[chosen])
        ax.set_ylim(low, high)
    hidden = int((values > high).sum())
    what = f"{len(values):,} trials" + (f", {hidden:,} of them above the axis" if hidden else "")
    style.head(figure, (), f"{name}: {style.plain(what)}", axes[0])
    return figure


def _panel(ax: Axes, key: str, settings: Sequence[Any], nll: np.ndarray) -> None:
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in settings)
    labels: list[str] = []
    if numeric:
        at = np.array([float(value) for value in settings])
    else:
        texts = [style.plain(str(value), 14) for value in settings]
        labels = [*dict.fromkeys(texts)]
        at = np.array([float(labels.index(text)) for text in texts])
    places = np.unique(at)
    ax.plot(at, nll, "o", color=style.DATA, markersize=3.5, alpha=0.7, label="a trial")
    best = [nll[at == place].min() for place in places]
    mean = [nll[at == place].mean() for place in places]
    ax.plot(places, best, "-o", color=style.MODEL, markersize=4, label="the best of each value")
    ax.plot(places, mean, linestyle=style.DASHED, color=style.MARK, label="their mean")
    if labels:
        style.categories(ax, labels)
        ax.margins(x=0.2)
    elif places[0] > 0 and places[-1] / places[0] > LOG_SPAN:
        style.logarithmic(ax, "x")
    elif all(isinstance(value, int) for value in settings):
        ax.xaxis.set_major_locator(style.ticks(8, integer=True, min_n_ticks=1))
    style.named(ax, key, "validation NLL")


def _limits(nll: np.ndarray) -> tuple[float, float]:
    """The range of the axis: all trials, or where the worst are far off, the better of them."""
    low, middle, most = (float(v) for v in np.quantile(nll, (0, 0.5, 1)))
    high = min(most, middle + 4 * max(middle - low, 1e-3)) if len(nll) > 4 else most
    pad = 0.06 * max(high - low, 1e-3)
    return (low - pad, high + pad) if math.isfinite(high) else (low - pad, middle + pad)
