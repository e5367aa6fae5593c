"""Colours, markers and scatter plots of classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

MOST_SHOWN = 2 * len(style.SUBJECTS)
"""Most classes with a colour of their own."""

MOST_PAIRS = 6

_MARKERS = "os^Dv*"


def color(code: int) -> str:
    """Colour of a class, safe for colour blindness; further classes repeat the colours, darker.

    >>> color(0), color(6)
    ('#0072b2', '#004267')
    """
    base = style.SUBJECTS[code % len(style.SUBJECTS)]
    if code % MOST_SHOWN < len(style.SUBJECTS):
        return base
    return to_hex(tuple(0.58 * np.array(to_rgb(base))))


def marker(code: int) -> str:
    """Marker of a class, to distinguish it without colours."""
    return _MARKERS[code % len(_MARKERS)]


def scatter(subjects: Sequence[Subject]) -> tuple[Figure, Axes, str]:
    """The training rows by class: every two inputs against each other, or one against the class.

    Returns:
        The figure, the panel with the legend's artists, and a note for the title.
    """
    lead = subjects[0]
    every: list[tuple[int, ...]] = list(combinations(range(len(lead.inputs)), 2)) or [(0,)]
    shown = every[: MOST_PAIRS if len(subjects) == 1 else facets.MOST_ACROSS]
    figure, grid = facets.arrange(subjects, len(shown), aspect=0.9 if len(every[0]) == 2 else 0.68)
    trains = [subject.train for subject in subjects if subject.train]
    for axes, pair in zip(grid.T, shown, strict=True):
        for ax, subject, rows in zip(axes, subjects, trains, strict=True):
            # Jitter, over half of the space of a class.
            away = 0.5 * (np.arange(len(rows.y)) * 0.6180339887498949 % 1 - 0.5)
            x = facets.column(subject, rows.x, pair[0])
            y = rows.y[:, 0] + away
            if len(pair) == 2:
                y = facets.column(subject, rows.x, pair[1])
            draw(ax, x, y, rows.y[:, 0], subject.classes, edge=0.0)
        limits = [style.span(*(rows.x[:, i] for rows in trains)) for i in pair]
        names = [lead.inputs[i] for i in pair]
        for ax in axes:
            other = names[1] if len(pair) == 2 else lead.targets[0]
            style.label_axes(ax, names[0], other, lead.dates)
            for name, axis in zip(names, (ax.xaxis, ax.yaxis), strict=False):
                if labels := lead.categories.get(name):
                    axis.set_ticks(
                        range(len(labels)), [style.clean_text(text, 8) for text in labels]
                    )
            ax.set_xlim(*limits[0])
            if len(pair) == 2:
                ax.set_ylim(*limits[1])
            else:
                every_so_many = -(-len(lead.classes) // MOST_SHOWN)
                named = range(0, len(lead.classes), every_so_many)
                ax.set_yticks(named, [style.clean_text(lead.classes[code], 12) for code in named])
                ax.set_ylim(-0.5, len(lead.classes) - 0.5)
    facets.tidy(grid)
    note = facets.shown_note("pairs of inputs", len(shown), len(every)) + unnamed_note(lead.classes)
    return figure, grid[0, 0], note


def unnamed_note(labels: Sequence[str]) -> str:
    """Note for the title if the legend does not name all classes.

    >>> unnamed_note(["a"] * 150), unnamed_note("ab")
    (', 12 of 150 classes named', '')
    """
    more = len(labels) > MOST_SHOWN
    return f", {MOST_SHOWN} of {len(labels)} classes named" if more else ""


def draw(
    ax: Axes, x: np.ndarray, y: np.ndarray, codes: np.ndarray, labels: Sequence[str], *, edge: float
) -> None:
    """Draw rows (x, y), both (N,), in the colour of their class; all or some of them.

    The legend names only the first of many classes. Rows are drawn in turns, so that no class
    covers the others.

    Args:
        ax: where to draw.
        x: of the rows; those that are not finite are left out.
        y: of the rows, likewise.
        codes: of their classes, (N,).
        labels: of the classes.
        edge: the width of the line around each, in points.
    """
    x, y, codes = style.sample_rows(x, y, codes)
    size = style.marker_size(ax, len(x))
    for code, label in enumerate(labels):
        own = codes == code
        if not own.any():
            continue
        ax.scatter(
            x[own],
            y[own],
            s=size**2,
            color=color(code),
            marker=marker(code),
            linewidths=edge,
            edgecolors="white" if edge else "none",
            alpha=1.0 if edge else float(np.clip(1.5 * len(x) ** -0.14, 0.3, 0.95)),
            label=style.clean_text(label, 24) if code < MOST_SHOWN else None,
        )
