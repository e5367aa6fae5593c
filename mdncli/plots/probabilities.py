"""The probability of every class over one input."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.density.categorical import Categorical
from mdncli.plots import classes, facets, style
from mdncli.plots.subject import Subject

POINTS = 500


@style.apply_style
def probabilities(*subjects: Subject) -> Figure:
    """A curve for each class over one numeric input, the exact ones dashed where they are known.

    Args:
        subjects: with `train` and `classify`, and perhaps `exact_classes`, of one numeric input.
    """
    lead = subjects[0]
    shown = lead.classes[: classes.MOST_SHOWN]
    limits = style.span(*(s.train.x for s in subjects if s.train), pad=0.0)
    x = np.linspace(*limits, POINTS)
    figure, grid = facets.arrange(subjects, 1)
    for ax, subject in zip(grid[:, 0], subjects, strict=True):
        if subject.classify:
            draw(ax, x, subject.classify(x[:, None]), len(shown))
        if subject.exact_classes:
            draw(ax, x, subject.exact_classes(x[:, None]), len(shown), exact=True)
        ax.set(xlim=limits, ylim=(0, 1))
        each = f"probability of each {style.clean_text(lead.targets[0], 20)}"
        style.label_axes(ax, lead.inputs[0], each, lead.dates)
    facets.tidy(grid)
    note = facets.shown_note("classes", len(shown), len(lead.classes))
    style.head(figure, subjects, f"probabilities of classes{note}", grid[0, 0])
    return figure


def draw(
    ax: Axes, x: np.ndarray, predicted: Categorical, count: int, *, exact: bool = False
) -> None:
    """Draw the probabilities of the first classes at x (N,)."""
    for code, p in enumerate(predicted.probabilities().T[:count]):
        label = None if exact else style.clean_text(predicted.labels[code], 24)
        line = {"linestyle": style.DASHED, "linewidth": 1.0} if exact else {}
        ax.plot(x, p, color=style.INK if exact else classes.color(code), label=label, **line)
