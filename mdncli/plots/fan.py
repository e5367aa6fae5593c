"""Predicted quantiles over x, as a fan around the median."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

MASSES = (0.95, 0.8, 0.5)
"""Central intervals, the widest first."""

_COLORS = ("#ddf6f9", "#a9dfee", "#66b8de")

CELLS = 300


@style.apply_style
def fan(*subjects: Subject) -> Figure:
    """Central intervals and the median of p(y given x) over x, the training rows under them.

    Where y has several branches an interval spans the gaps between them: see the density then.

    Args:
        subjects: with `train` and `predict`, of one input.
    """
    lead = subjects[0]
    figure, grid, targets, note = facets.target_panels(subjects)
    trains = [subject.train for subject in subjects if subject.train]
    x = np.linspace(*style.span(*(train.x for train in trains), pad=0.0), CELLS)
    levels = [(1 - mass) / 2 for mass in MASSES] + [0.5] + [(1 + mass) / 2 for mass in MASSES]
    fans = [s.predict(x[:, None]).quantile(levels) for s in subjects if s.predict]
    for d, target in enumerate(targets):
        shown = [train.y[:, d] for train in trains] + [bounds[:, :, d] for bounds in fans]
        for ax, subject, train, bounds in zip(grid[:, d], subjects, trains, fans, strict=True):
            some = style.sample_rows(train.x[:, 0], train.y[:, d])
            label = style.count_label(
                subject.train_name, len(some[0]), len(train.x), subject.table_rows
            )
            draw(ax, x, bounds[:, :, d])
            style.points(ax, *some, color=style.MUTED, label=label)
            ax.set(xlim=(x[0], x[-1]), ylim=style.span(*shown))
            style.label_axes(ax, lead.inputs[0], target, lead.dates)
    facets.tidy(grid)
    style.head(figure, subjects, "central intervals of p(y | x)" + note, grid[0, 0])
    return figure


def draw(ax: Axes, x: np.ndarray, bounds: np.ndarray) -> None:
    """Draw lower bounds, median and upper bounds (N, 2 M + 1) over x (N,)."""
    count = len(MASSES)
    for at, mass in enumerate(MASSES):
        ax.fill_between(
            x,
            bounds[:, at],
            bounds[:, count + 1 + at],
            color=_COLORS[at],
            linewidth=0,
            label=f"{mass:.0%}",
        )
    ax.plot(x, bounds[:, count], color=style.MODEL, label="median")
