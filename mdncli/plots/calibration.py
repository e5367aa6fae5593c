"""Observed against nominal probability: on the diagonal when the model is calibrated."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

_TWO_SIDED_95 = 1.96


@style.apply_style
def calibration(*subjects: Subject) -> Figure:
    """Share of test rows below each quantile and inside each central interval, against its level.

    Quantiles above the diagonal are too high, intervals below it too narrow. At each level the
    share of a calibrated model lies within the band with a probability of 95%.

    Args:
        subjects: with `test` and `predict_test`.
    """
    figure, grid, targets, note = facets.target_panels(subjects, aspect=0.95)
    shown = [(s.test.y, s.predict_test()) for s in subjects if s.test and s.predict_test]
    for axes, (y, predicted) in zip(grid, shown, strict=True):
        for ax, u, target in zip(axes, predicted.cdf(y).T, targets, strict=False):
            draw(ax, u)
            ax.set(xlim=(0, 1), ylim=(0, 1))
            named = "" if len(targets) == 1 else f" of {style.clean_text(target)}"
            style.label_axes(ax, f"nominal probability{named}", "share of test rows")
    facets.tidy(grid)
    count = f", {len(shown[0][0]):,} test rows" if len(subjects) == 1 else ", test rows"
    note += facets.calibrated_note(subjects)
    style.head(figure, subjects, f"calibration{count}{note}", grid[0, 0])
    return figure


def draw(ax: Axes, u: np.ndarray) -> None:
    """Draw the shares from PIT values (N,)."""
    u = np.sort(u[np.isfinite(u)])
    level = np.linspace(0.0, 1.0, 201)
    below = np.searchsorted(u, level, side="right") / len(u)
    inside = np.searchsorted(np.sort(2 * np.abs(u - 0.5)), level, side="right") / len(u)
    reach = _TWO_SIDED_95 * np.sqrt(level * (1 - level) / len(u))
    ax.fill_between(
        level,
        level - reach,
        level + reach,
        color=style.INK,
        alpha=0.13,
        linewidth=0,
        label="95% band if calibrated",
    )
    ax.plot(level, level, color=style.INK, linewidth=1.1, linestyle=style.DASHED)
    ax.plot(level, below, color=style.MODEL, label="below the quantile")
    ax.plot(level, inside, color=style.MARK, label="inside the central interval")
