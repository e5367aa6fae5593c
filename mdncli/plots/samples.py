"""Draws from p(y given x) over the training rows."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.marginals import histograms
from mdncli.plots.subject import Subject


@style.apply_style
def samples(*subjects: Subject) -> Figure:
    """Draws in colour over the training rows in grey, every target against every input.

    Without inputs the panels are histograms.

    Args:
        subjects: with `draws` and, where they are known, `train`.
    """
    lead = subjects[0]
    if not lead.inputs:
        names = ["draws"] if len(subjects) == 1 else [subject.name for subject in subjects]
        clouds = {lead.train_name: lead.train} | {
            n: s.draws for n, s in zip(names, subjects, strict=True)
        }
        known = {what: rows for what, rows in clouds.items() if rows}
        figure, axes, note = histograms(lead, known, [*known.values()])
        style.head(figure, subjects, "draws" + note, axes[0])
        return figure
    figure, grid, pairs, note = facets.scatter_panels(subjects)
    for row, subject in zip(grid, subjects, strict=True):
        for ax, pair in zip(row, pairs, strict=True):
            for what, rows, color, table in (
                (subject.train_name, subject.train, style.DATA, subject.table_rows),
                ("draws", subject.draws, style.MODEL, 0),
            ):
                if rows:
                    x = facets.column(subject, rows.x, pair.input)
                    draw(ax, x, rows.y[:, pair.target], what, color=color, table=table)
    shown = [[rows for rows in (s.train, s.draws) if rows] for s in subjects]
    facets.frame(subjects, grid, pairs, shown)
    style.head(figure, subjects, "draws from p(y | x)" + note, grid[0, 0])
    return figure


def draw(ax: Axes, x: np.ndarray, y: np.ndarray, what: str, *, color: str, table: int = 0) -> None:
    """Draw points (x, y), both (N,), or a subsample if they are many.

    Args:
        ax: where to draw.
        x: of the points; those that are not finite are left out.
        y: of the points, likewise.
        what: legend label, to which the number of points is added.
        color: of the points.
        table: number of rows of the table that they are a part of, if they are.
    """
    shown = style.sample_rows(x, y)
    label = style.count_label(what, len(shown[0]), len(x), table)
    style.points(ax, *shown, color=color, label=label)
