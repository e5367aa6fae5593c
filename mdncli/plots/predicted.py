"""Predicted mean against actual values, on test rows."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.evaluation import METRICS
from mdncli.evaluation.summaries import root_mean
from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

MOST_BARS = 400


@style.apply_style
def predicted(*subjects: Subject) -> Figure:
    """Mean of p(y given x) against y, a panel per target, with the line of equality.

    If there are few rows, each has a bar of plus and minus one standard deviation.

    Args:
        subjects: with `test` and `predict_test`.
    """
    figure, grid, targets, note = facets.target_panels(subjects, aspect=0.95)
    shown = [(s.test.y, s.predict_test()) for s in subjects if s.test and s.predict_test]
    values = [(actual, p.mean(), p.std()) for actual, p in shown]
    for d, target in enumerate(targets):
        limits = style.span(*(part[:, d] for actual, mean, _ in values for part in (actual, mean)))
        for ax, (actual, mean, std) in zip(grid[:, d], values, strict=True):
            draw(ax, actual[:, d], mean[:, d], std[:, d])
            ax.set(xlim=limits, ylim=limits)
            style.label_axes(ax, f"actual {target}", "predicted mean")
    facets.tidy(grid)
    style.count_bar(figure, grid)
    style.head(figure, subjects, "predicted against actual, test rows" + note, grid[0, 0])
    return figure


def draw(ax: Axes, actual: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    """Draw predicted means with their standard deviations against actual values, all (N,)."""
    if len(actual) <= MOST_BARS:
        ax.errorbar(
            actual,
            mean,
            yerr=std,
            fmt="none",
            ecolor=style.MODEL,
            elinewidth=0.7,
            alpha=0.3,
            label="± 1 standard deviation",
        )
    label = style.count_label("rows", len(actual), len(actual))
    style.rows(ax, actual, mean, color=style.MODEL, label=label)
    ax.axline(
        (0, 0),
        slope=1,
        color=style.INK,
        linewidth=1.1,
        linestyle=style.DASHED,
        label="predicted = actual",
        zorder=4,
    )
    rmse = root_mean((actual - mean) ** 2)
    style.remark(ax, f"{METRICS['rmse'].label} {style.number(rmse, '.4g')}")
