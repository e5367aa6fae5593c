"""The trials of a sweep: NLL over each key that varies, with the spread of its trials."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.swept import AxisScale, SweepTrials

MOST_PANELS = 6
"""Most keys to show."""


@style.apply_style
def trials(swept: SweepTrials) -> Figure:
    """NLL over each key: a dot for every trial, and the best point of each value as a line.

    The spread of the dots above the line shows the effect of the other keys, the standard error of
    the best points' means that of the seeds. The axis of NLL leaves out the worst trials where they
    would flatten all others.

    Args:
        swept: the trials.
    """
    keys = swept.keys[:MOST_PANELS]
    figure, axes = style.wrap_panels(len(keys))
    low, high = swept.range()
    pad = 0.06 * max(high - low, 1e-3)
    for ax, key in zip(axes, keys, strict=True):
        _panel(ax, key, swept)
        ax.set_ylim(low - pad, high + pad)
    more = len(swept.keys) - len(keys)
    said = swept.count_label() + (
        f", the first {len(keys)} of {len(keys) + more} keys" if more else ""
    )
    style.head(figure, (), f"Validation NLL of {said}", axes[0])
    return figure


def _panel(ax: Axes, key: str, swept: SweepTrials) -> None:
    scale = AxisScale.of(swept.values(key))
    nll = np.asarray(swept.nll)
    ax.plot(
        scale.at,
        nll,
        linestyle="none",
        marker="o",
        color=style.DATA,
        markersize=3.5,
        alpha=0.7,
        label="trial",
    )
    # The best point of each value: points come the best first.
    best = {float(scale.at[point.trials[0]]): point for point in reversed(swept.points)}
    places = sorted(best)
    # Random values rarely repeat: a line through all of them would be unreadable.
    if len(places) <= max(2, len(swept.points) // 2) or len(swept.keys) == 1:
        several = any(point.error for point in best.values())
        ax.errorbar(
            places,
            [best[place].mean for place in places],
            yerr=[best[place].error for place in places] if several else None,
            fmt="-o",
            color=style.MODEL,
            markersize=4,
            capsize=3,
            label="best of each value"
            + (", mean of the seeds ± standard error" if several else ""),
        )
    scale.mark(ax)
    style.label_axes(ax, key, "validation NLL")
