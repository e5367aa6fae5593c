"""The points of a sweep in parallel coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.swept import GOOD_IS_DARK, AxisScale, SweepTrials

MOST_KEYS = 8
"""Most axes, beside that of the NLL."""

MOST_LABELS = 8
"""Most labels at an axis."""

SWAY = 0.035
"""Displacement of points of equal value, as a share of an axis, so that all are visible."""


@style.apply_style
def coordinates(swept: SweepTrials) -> Figure:
    """A line for each point, through its value on the axis of each key and its NLL on the last.

    Darker lines have a lower NLL, a mean over seeds; the best are on top. Points of equal value are
    drawn slightly apart.

    Args:
        swept: the trials, of two keys or more.
    """
    keys = swept.keys[:MOST_KEYS]
    points = swept.points[::-1]
    lead = [swept.overrides[point.trials[0]] for point in points]
    figure, grid = style.panels(1, 1, aspect=0.5)
    width = max(6.4, 1.35 * (len(keys) + 1))
    figure.set_size_inches(width, 3.4)
    ax = grid[0, 0]
    low, high = swept.range()
    means = np.array([point.mean for point in points])
    # The best NLL is at the top.
    heights = np.clip((high - means) / max(high - low, 1e-9), 0, 1)
    scales = [AxisScale.of([each.get(key) for each in lead]) for key in keys]
    columns = [_spread_ties(scale.shares(), heights) for scale in scales]
    ys = np.stack([*columns, heights], axis=1)
    norm, clipped = swept.colours()
    lines = LineCollection(
        [np.column_stack([np.arange(len(keys) + 1), y]) for y in ys],
        colors=GOOD_IS_DARK(norm(means)),
        linewidths=np.linspace(0.7, 1.6, len(points)) if len(points) > 1 else 1.6,
        alpha=0.85,
    )
    ax.add_collection(lines)
    for place, scale in enumerate(scales):
        _axis(ax, place, *_marks(scale))
    _axis(ax, len(keys), *_rule(low, high))
    ax.set_xlim(-0.25, len(keys) + 0.45)
    ax.set_ylim(-0.06, 1.06)
    names = [style.clean_text(key.rpartition(".")[2], 16) for key in keys]
    ax.set_xticks(range(len(keys) + 1), [*names, "NLL"])
    ax.tick_params(axis="x", length=0, labelsize=10, labelcolor=style.INK)
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    mapped = ScalarMappable(norm, GOOD_IS_DARK)
    style.colorbar(figure, mapped, grid, "validation NLL", extend="max" if clipped else "neither")
    shown = f"{len(points):,} settings" + (", mean over seeds" if _varies_seed(swept) else "")
    more = len(swept.keys) - len(keys)
    shown += f", the first {len(keys)} of {len(keys) + more} keys" if more else ""
    style.head(figure, (), f"{shown}; darker is better")
    return figure


def _varies_seed(swept: SweepTrials) -> bool:
    return any(len(point.trials) > 1 for point in swept.points)


def _spread_ties(shares: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Positions on an axis: points of equal value side by side, in the order of their NLL."""
    swayed = shares.copy()
    values = np.unique(shares[np.isfinite(shares)])
    sway = min(SWAY, 0.35 * float(np.diff(values).min())) if len(values) > 1 else SWAY
    for value in values:
        (same,) = np.nonzero(shares == value)
        if len(same) > 1:
            ranks = heights[same].argsort().argsort()
            swayed[same] += sway * (2 * ranks / (len(same) - 1) - 1)
    return swayed


def _marks(scale: AxisScale) -> tuple[list[float], list[str]]:
    """Positions and labels of the ticks of an axis: all values if they are few, else some."""
    shares = scale.shares()
    if scale.labels:
        every = dict(zip(shares.tolist(), (scale.labels[int(at)] for at in scale.at), strict=True))
    else:
        every = {float(s): style.number(v, ".3g") for s, v in zip(shares, scale.at, strict=True)}
    places = sorted(place for place in every if np.isfinite(place))
    if len(places) > MOST_LABELS:
        wanted = np.linspace(0, 1, 5)
        places = sorted({min(places, key=lambda p: abs(p - want)) for want in wanted.tolist()})
    kept: list[float] = []
    for place in places:
        if not kept or place - kept[-1] > 0.055:
            kept.append(place)
    return kept, [every[place] for place in kept]


def _rule(low: float, high: float) -> tuple[list[float], list[str]]:
    values: Any = [v for v in style.ticks(6).tick_values(low, high) if low <= v <= high]
    span = max(high - low, 1e-9)
    return [(high - v) / span for v in values], [style.number(v, ".4g") for v in values]


def _axis(ax: Axes, place: int, at: list[float], labels: list[str]) -> None:
    ax.plot([place, place], [-0.04, 1.04], color=style.MUTED, linewidth=1.0, zorder=3)
    for height, label in zip(at, labels, strict=True):
        ax.annotate(
            label,
            (place, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=style.INK,
            zorder=4,
            bbox={
                "boxstyle": "round,pad=0.12",
                "facecolor": "white",
                "edgecolor": "none",
                "alpha": 0.8,
            },
        )
