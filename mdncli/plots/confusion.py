"""Confusion matrix of classes on test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mdncli.plots import classes, facets, style
from mdncli.plots.subject import Subject

_SHARES = Normalize(0.0, 1.0)
_CELL_FOR_COUNTS, _CELL_FOR_SHARES = 0.8, 0.26
"""Least size of a cell in inches for its count, and for its share, to be written."""


@style.apply_style
def confusion(*subjects: Subject) -> Figure:
    """Confusion matrix: for each actual class, the shares of its test rows by most probable class.

    Shares add up to 1 in every row, and a perfect model has all of them on the diagonal. Numbers
    are written into cells that are large enough.

    Args:
        subjects: with `test` and `classify_test`.
    """
    figure, grid, *_ = facets.target_panels(subjects, aspect=0.9)
    shown = [(s.test.y[:, 0], s.classify_test()) for s in subjects if s.test and s.classify_test]
    for ax, subject, (codes, predicted) in zip(grid[:, 0], subjects, shown, strict=True):
        draw(ax, counts(codes.astype(int), predicted.mode(), predicted.classes), subject.classes)
        target = subject.targets[0]
        style.label_axes(ax, f"most probable {target}", f"actual {target}")
    facets.tidy(grid)
    bar = ScalarMappable(_SHARES, style.DENSITY)
    style.colorbar(figure, bar, grid, "share of the actual class")
    count = f", {len(shown[0][0]):,} test rows" if len(subjects) == 1 else ", test rows"
    style.head(figure, subjects, f"confusion matrix{count}")
    return figure


def counts(actual: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Counts of actual classes, in rows, by most probable class, in columns, (size, size).

    >>> counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(actual * size + chosen, minlength=size * size).reshape(size, size)


def draw(ax: Axes, count: np.ndarray, labels: Sequence[str]) -> None:
    """Draw counts of actual classes, in rows, against the most probable ones, in columns."""
    size = len(count)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    ax.grid(visible=False)
    ax.imshow(share, norm=_SHARES, cmap=style.DENSITY, aspect="auto")
    style.categories(ax, labels)
    named = range(0, size, -(-size // classes.MOST_SHOWN))
    ax.set_yticks(named, [style.clean_text(labels[code], 12) for code in named])
    cell = 0.9 * min(ax.bbox.width, ax.bbox.height) / style.DPI / size
    for edge in np.arange(size - 1) + 0.5:
        ax.axhline(edge, color="white", linewidth=min(1.0, 4 * cell))
        ax.axvline(edge, color="white", linewidth=min(1.0, 4 * cell))
    if cell < _CELL_FOR_SHARES:
        return
    for (row, column), number in np.ndenumerate(count):
        if number:
            part = f"{100 * share[row, column]:.0f}%"
            ax.text(
                column,
                row,
                f"{part} ({number:,})" if cell >= _CELL_FOR_COUNTS else part,
                ha="center",
                va="center",
                fontsize=9 if cell >= _CELL_FOR_COUNTS else 7,
                color="white" if share[row, column] > 0.45 else style.INK,
            )
