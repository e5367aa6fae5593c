"""The rows a model learns from: every target against every input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import classes, facets, style
from mdncli.plots.marginals import histograms
from mdncli.plots.subject import Subject


@style.apply_style
def data(*subjects: Subject) -> Figure:
    """Scatter plot of the rows; hexagonal bins where points would overlap.

    Several inputs or targets are small multiples; classes are coloured, with one input against
    another; without inputs the panels are histograms. Rows that are not finite are left out, and
    axes leave out a few extreme values.

    Args:
        subjects: with `train`.
    """
    trains = [subject.train for subject in subjects if subject.train]
    title = _title(subjects)
    if not subjects[0].inputs:
        figure, _, note = histograms(subjects[0], {subjects[0].train_name: trains[0]}, trains)
        style.head(figure, subjects, title + note)
        return figure
    if subjects[0].classes:
        figure, axes, note = classes.scatter(subjects)
        style.head(figure, subjects, title + note, axes)
        return figure
    figure, grid, pairs, note = facets.scatter_panels(subjects)
    for row, subject, train in zip(grid, subjects, trains, strict=True):
        for ax, pair in zip(row, pairs, strict=True):
            draw(ax, facets.column(subject, train.x, pair.input), train.y[:, pair.target])
    facets.frame(subjects, grid, pairs, [[train] for train in trains])
    style.count_bar(figure, grid)
    style.head(figure, subjects, title + note)
    return figure


def _title(subjects: Sequence[Subject]) -> str:
    lead = subjects[0]
    if len(subjects) > 1 or lead.train is None:
        return lead.train_name
    count = len(lead.train.x)
    if count < lead.table_rows:
        return style.count_label(lead.train_name, count, count, lead.table_rows)
    return f"data, {count:,} rows"


def draw(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw rows (x, y), both (N,)."""
    style.rows(ax, x, y, color=style.SLATE)
