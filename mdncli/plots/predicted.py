"""Predicted mean against actual values, on test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.evaluation import METRICS
from mdncli.evaluation.summaries import root_mean
from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

MOST_BARS = 400

Limits = tuple[float, float]


@style.apply_style
def predicted(*subjects: Subject) -> Figure:
    """Mean of p(y given x) against y, a panel per target, with the line of equality.

    If there are few rows, each has a bar of plus and minus one standard deviation, unless these are
    longer than the axis. The axes follow the bulk of the rows, and the panel says how many lie
    outside. Both axes are the same, unless the means lie so far from the actual values that one
    axis for both would show neither.

    Args:
        subjects: with `test` and `predict_test`.
    """
    figure, grid, targets, note = facets.target_panels(subjects, aspect=0.95)
    shown = [(s.test.y, s.predict_test()) for s in subjects if s.test and s.predict_test]
    values = [(actual, p.mean(), p.std()) for actual, p in shown]
    for d, target in enumerate(targets):
        x, y = _limits([(actual[:, d], mean[:, d]) for actual, mean, _ in values])
        for ax, (actual, mean, std) in zip(grid[:, d], values, strict=True):
            draw(ax, actual[:, d], mean[:, d], std[:, d], x, y)
            style.label_axes(ax, f"actual {target}", "predicted mean")
    facets.tidy(grid)
    style.count_bar(figure, grid)
    style.head(figure, subjects, "predicted against actual, test rows" + note, grid[0, 0])
    return figure


def draw(
    ax: Axes, actual: np.ndarray, mean: np.ndarray, std: np.ndarray, x: Limits, y: Limits
) -> None:
    """Draw predicted means with their standard deviations against actual values.

    Args:
        ax: where to draw.
        actual: values of the target, (N,).
        mean: predicted means, (N,).
        std: predicted standard deviations, (N,).
        x: limits of the axis of actual values.
        y: limits of the axis of means.
    """
    few, typical = len(actual) <= MOST_BARS, float(np.median(std))
    if few and typical < y[1] - y[0]:
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
    rmse = root_mean((actual - mean) ** 2)
    said = [f"{METRICS['rmse'].label} {style.number(rmse, '.4g')}"]
    if x == y:
        ax.axline(
            (0, 0),
            slope=1,
            color=style.INK,
            linewidth=1.1,
            linestyle=style.DASHED,
            label="predicted = actual",
            zorder=4,
        )
    else:
        off = float(np.median(mean - actual))
        side = "above" if off >= 0 else "below"
        said.append(f"means {style.number(abs(off), '.4g')} {side} the actual values")
    if few and typical >= y[1] - y[0]:
        said.append(f"standard deviation {style.number(typical, '.4g')}, beyond the axis")
    if outside := facets.count_outside(actual, x, mean, y):
        said.append(f"{outside:,} of {len(actual):,} rows outside")
    style.remark(ax, "\n".join(said))
    ax.set(xlim=x, ylim=y)


def _limits(values: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Limits, Limits]:
    """Limits of the axes of actual values and of means: the same where that shows both.

    A wild value among the training rows can shift every mean far away from the actual values.

    >>> actual = np.linspace(0.0, 1.0, 101)
    >>> _limits([(actual, actual)])
    ((-0.04, 1.04), (-0.04, 1.04))
    >>> _limits([(actual, actual + 5000.0)])
    ((-0.04, 1.04), (4999.96, 5001.04))
    """
    x = style.span(*(actual for actual, _ in values))
    y = style.span(*(mean for _, mean in values))
    both = style.span(*(part for pair in values for part in pair))
    widest = max(x[1] - x[0], y[1] - y[0])
    return (x, y) if both[1] - both[0] > style.ABSURD * widest else (both, both)
