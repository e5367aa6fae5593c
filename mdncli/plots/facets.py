"""Small multiples: the panels of a figure, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.subject import PlotRows, Subject

MOST_PANELS = 9
MOST_ACROSS = 4


class Pair(NamedTuple):
    """One target against one input, as indices of columns."""

    input: int
    target: int


def pairs(subjects: Sequence[Subject]) -> tuple[list[Pair], str]:
    """Pairs of target and input that fit a page, and a note on those that do not."""
    inputs, targets = len(subjects[0].inputs), len(subjects[0].targets)
    alone = len(subjects) == 1 and 1 in (inputs, targets)
    most = MOST_PANELS if alone else MOST_ACROSS
    shown_inputs = min(inputs, most)
    shown_targets = min(targets, most if len(subjects) == 1 else most // shown_inputs)
    chosen = [Pair(i, t) for t in range(shown_targets) for i in range(shown_inputs)]
    return chosen, shown_note("inputs", shown_inputs, inputs) + shown_note(
        "targets", shown_targets, targets
    )


def shown_note(what: str, shown: int, count: int) -> str:
    """Note for a title if not all is shown.

    >>> shown_note("inputs", 9, 24), shown_note("inputs", 9, 9)
    (', first 9 of 24 inputs', '')
    """
    return f", first {shown} of {count} {what}" if shown < count else ""


def arrange(
    subjects: Sequence[Subject], facets: int, *, aspect: float = 0.68, across: int = 1
) -> tuple[Figure, np.ndarray]:
    """Axes (subjects, facets): the facets of one subject wrapped, those of several in rows.

    Args:
        subjects: each has its own panels, with its name on top if there are several.
        facets: panels per subject.
        aspect: height of a panel over its width.
        across: number of columns after which facets wrap.
    """
    if len(subjects) > 1 and facets > 1:
        figure, grid = style.panels(len(subjects), facets, aspect=aspect)
    elif across > 1:
        figure, grid = style.panels(facets // across, across, aspect=aspect)
    else:
        figure, axes = style.wrap_panels(len(subjects) * facets, aspect=aspect)
        grid = np.array(axes, dtype=object)
    grid = grid.reshape(len(subjects), facets)
    if len(subjects) > 1:
        for subject, ax in zip(subjects, grid[:, 0], strict=True):
            name = style.clean_text(subject.name)
            ax.set_title(f"{name} (calibrated)" if subject.calibrated else name)
    return figure, grid


def calibrated_note(subjects: Sequence[Subject]) -> str:
    """Note for a title if it is of one calibrated run; of several runs, each panel's title says so.

    >>> calibrated_note([Subject("sine", ["x"], ["y"], calibrated=True)])
    ', after mdn calibrate'
    """
    return ", after mdn calibrate" if len(subjects) == 1 and subjects[0].calibrated else ""


def target_panels(
    subjects: Sequence[Subject], *, aspect: float = 0.68
) -> tuple[Figure, np.ndarray, Sequence[str], str]:
    """Panels (subjects, targets), the targets that fit a page, and a note on those that do not."""
    every = subjects[0].targets
    targets = every[: MOST_PANELS if len(subjects) == 1 else MOST_ACROSS]
    figure, grid = arrange(subjects, len(targets), aspect=aspect)
    return figure, grid, targets, shown_note("targets", len(targets), len(every))


def scatter_panels(
    subjects: Sequence[Subject],
) -> tuple[Figure, np.ndarray, list[Pair], str]:
    """Labelled panels (subjects, pairs), the pairs of columns, and a note for the title."""
    chosen, note = pairs(subjects)
    inputs = len({pair.input for pair in chosen})
    across = inputs if len(subjects) == 1 and 1 < inputs < len(chosen) else 1
    figure, grid = arrange(subjects, len(chosen), across=across)
    for row, subject in zip(grid, subjects, strict=True):
        for ax, pair in zip(row, chosen, strict=True):
            name = subject.inputs[pair.input]
            style.label_axes(ax, name, subject.targets[pair.target], subject.dates)
            if labels := subject.categories.get(name):
                style.categories(ax, labels)
    return figure, grid, chosen, note


def column(subject: Subject, x: np.ndarray, number: int) -> np.ndarray:
    """One input of rows x (N, d) for drawing, (N,): categories are jittered."""
    values = x[:, number]
    if subject.inputs[number] not in subject.categories:
        return values
    # Multiples of the golden ratio fill an interval evenly, however many there are.
    return values + 0.6 * (np.arange(len(values)) * 0.6180339887498949 % 1 - 0.5)


def frame(
    subjects: Sequence[Subject],
    grid: np.ndarray,
    chosen: Sequence[Pair],
    rows: Sequence[Sequence[PlotRows]],
) -> None:
    """Give the panels of one pair the same limits; each notes the number of its rows outside.

    Args:
        subjects: of the panels.
        grid: the panels (subjects, pairs).
        chosen: the pairs.
        rows: rows shown in the panels of each subject.
    """
    every = [some for shown in rows for some in shown]
    for axes, pair in zip(grid.T, chosen, strict=True):
        categories = subjects[0].categories.get(subjects[0].inputs[pair.input])
        if categories:
            x = -0.5, len(categories) - 0.5
        else:
            x = style.span(*(some.x[:, pair.input] for some in every))
        y = style.span(*(some.y[:, pair.target] for some in every))
        for ax, shown in zip(axes, rows, strict=True):
            ax.set(xlim=x, ylim=y)
            outside = sum(
                count_outside(some.x[:, pair.input], x, some.y[:, pair.target], y) for some in shown
            )
            if outside:
                style.remark(ax, f"{outside:,} outside")
    tidy(grid)


def count_outside(
    x: np.ndarray, x_limits: tuple[float, float], y: np.ndarray, y_limits: tuple[float, float]
) -> int:
    """Number of points (x, y), both (N,), beyond the limits of the axes."""
    beyond = (x < x_limits[0]) | (x > x_limits[1]) | (y < y_limits[0]) | (y > y_limits[1])
    return int(beyond.sum())


def tidy(grid: np.ndarray) -> None:
    """Remove labels and tick labels that the panel to the left, or below, also has."""
    at = {}
    for ax in grid.flat:
        spec = ax.get_subplotspec()
        at[spec.rowspan.start, spec.colspan.start] = ax
    repeats_left = [ax for (r, c), ax in at.items() if _same("y", ax, at.get((r, c - 1)))]
    repeats_below = [ax for (r, c), ax in at.items() if _same("x", ax, at.get((r + 1, c)))]
    for ax in repeats_left:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    for ax in repeats_below:
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)


def _same(axis: str, ax: Axes, neighbour: Axes | None) -> bool:
    if neighbour is None:
        return False
    if axis == "x":
        return ax.get_xlabel() == neighbour.get_xlabel() and ax.get_xlim() == neighbour.get_xlim()
    return ax.get_ylabel() == neighbour.get_ylabel() and ax.get_ylim() == neighbour.get_ylim()
