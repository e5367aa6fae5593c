"""Draws of several targets against one another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.samples import draw
from mdncli.plots.subject import Subject

MOST_PAIRS = 6


@style.apply_style
def pairs(*subjects: Subject) -> Figure:
    """One draw for each test row over the observations, every two targets against each other.

    It shows the dependence between targets, which figures of single targets do not.

    Args:
        subjects: with `test` and `predict_test`, of several targets.
    """
    lead = subjects[0]
    every = list(combinations(range(len(lead.targets)), 2)) or [(0, 0)]
    shown = every[: MOST_PAIRS if len(subjects) == 1 else facets.MOST_ACROSS]
    figure, grid = facets.arrange(subjects, len(shown), aspect=0.95)
    clouds = [
        (s.test.y, s.predict_test().sample(np.random.default_rng(0))[:, 0])
        for s in subjects
        if s.test and s.predict_test
    ]
    for axes, (one, other) in zip(grid.T, shown, strict=True):
        # Limits are those of the data: draws from heavy tails may lie anywhere.
        x, y = (style.span(*(seen[:, d] for seen, _ in clouds), pad=0.15) for d in (one, other))
        for ax, (seen, drawn) in zip(axes, clouds, strict=True):
            draw(ax, seen[:, one], seen[:, other], "test rows", color=style.DATA)
            draw(ax, drawn[:, one], drawn[:, other], "draws", color=style.MODEL)
            ax.set(xlim=x, ylim=y)
            style.label_axes(ax, lead.targets[one], lead.targets[other])
    facets.tidy(grid)
    note = facets.shown_note("pairs", len(shown), len(every))
    style.head(figure, subjects, "targets against one another" + note, grid[0, 0])
    return figure
