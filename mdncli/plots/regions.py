"""Map of the most probable class over two inputs, and of its probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure

from mdncli.density.categorical import Categorical
from mdncli.plots import classes, facets, style
from mdncli.plots.subject import Subject

CELLS = 240
MOST_ROWS = 600
"""Most rows drawn over the regions: more would hide them."""

_PALEST = 0.06
"""Saturation of a region where all classes are equally probable."""

_DEEPEST = 0.65
"""Saturation where one class is certain: rows of that colour must remain visible."""


class _Panel(NamedTuple):
    title: str
    classify: Callable[[np.ndarray], Categorical]


@style.apply_style
def regions(*subjects: Subject) -> Figure:
    """Most probable class over two inputs, paler where less probable, with rows on top.

    Lines separate the regions. If known, the exact probabilities are shown beside the model's, in
    the same colours.

    Args:
        subjects: with `train` and `classify`, and perhaps `exact_classes`, of two numeric inputs.
    """
    lead = subjects[0]
    shown = [rows for s in subjects if (rows := s.test or s.train)]
    limits = [style.span(*(rows.x[:, i] for rows in shown)) for i in (0, 1)]
    edges = [np.linspace(*pair, CELLS + 1) for pair in limits]
    x = np.stack(np.meshgrid(*((e[:-1] + e[1:]) / 2 for e in edges)), axis=-1).reshape(-1, 2)
    panels = _panels(subjects)
    figure, grid = style.panels(1, len(panels), aspect=0.9)
    for at, (ax, panel) in enumerate(zip(grid.flat, panels, strict=True)):
        draw(ax, edges, panel.classify(x))
        # The exact map, which comes last, is of the first subject's data.
        rows = shown[at if at < len(subjects) else 0]
        x1, x2 = rows.x[:MOST_ROWS].T
        classes.draw(ax, x1, x2, rows.y[:MOST_ROWS, 0], lead.classes, edge=0.4)
        ax.set(xlim=limits[0], ylim=limits[1], title=panel.title)
        style.label_axes(ax, lead.inputs[0], lead.inputs[1], lead.dates)
    least = 1 / len(lead.classes)
    sure = LinearSegmentedColormap.from_list("sure", [_tint(style.SLATE, _PALEST), style.SLATE])
    mapped = ScalarMappable(Normalize(least, 1.0), sure)
    style.colorbar(figure, mapped, grid, "largest class probability")
    facets.tidy(grid)
    total = len(shown[0].x)
    kind = "test rows" if lead.test else "training rows"
    few = style.count_label(kind, min(total, MOST_ROWS), total) if len(subjects) == 1 else kind
    style.head(
        figure,
        subjects,
        f"regions of classes, {few}{classes.unnamed_note(lead.classes)}",
        grid[0, 0],
    )
    return figure


def draw(ax: Axes, edges: Sequence[np.ndarray], predicted: Categorical) -> None:
    """Colour the cells of a grid, rows of x2 and columns of x1, by their most probable class.

    Args:
        ax: where to draw.
        edges: of the cells, of either input, (M + 1,) each.
        predicted: for the middle of every cell, row by row.
    """
    height, width = (len(e) - 1 for e in edges[::-1])
    mode = predicted.mode().reshape(height, width)
    sure = predicted.probabilities().max(axis=1).reshape(height, width, 1)
    least = 1 / predicted.classes
    share = _PALEST + (1 - _PALEST) * (sure - least) / (1 - least)
    palette = np.array([to_rgb(classes.color(code)) for code in range(predicted.classes)])
    extent = (edges[0][0], edges[0][-1], edges[1][0], edges[1][-1])
    ax.grid(visible=False)
    ax.imshow(
        1 - _DEEPEST * share * (1 - palette[mode]),
        origin="lower",
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    for code in range(predicted.classes):
        inside = mode == code
        if inside.any() and not inside.all():
            middles = [(e[:-1] + e[1:]) / 2 for e in edges]
            ax.contour(*middles, inside, levels=[0.5], colors=style.INK, linewidths=0.8)


def _tint(color: str, share: float) -> tuple[float, ...]:
    return tuple(1 - _DEEPEST * share * (1 - np.array(to_rgb(color))))


def _panels(subjects: Sequence[Subject]) -> list[_Panel]:
    """Panels from left to right: every model, and the exact probabilities."""
    titles = [style.clean_text(s.name) for s in subjects] if len(subjects) > 1 else ["model"]
    panels = [
        _Panel(title, s.classify) for title, s in zip(titles, subjects, strict=True) if s.classify
    ]
    if subjects[0].exact_classes is not None:
        panels.append(_Panel("exact", subjects[0].exact_classes))
    return panels if len(panels) > 1 else [panels[0]._replace(title="")]
