"""NLL over two keys of a sweep."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mdncli.plots import SWEEP_FIGURES, style
from mdncli.plots.swept import GOOD_IS_DARK, SweepTrials, label_of, order_of

MOST_PAIRS = 3
"""Most pairs of keys to show."""

READABLE = 110
"""Most cells of a panel with their NLL written into them."""


@style.apply_style
def heatmap(swept: SweepTrials) -> Figure:
    """Heat map for every two keys: the NLL of the best point of each pair of values.

    The NLL of a point is the mean over seeds. Pairs without a trial are left white; the best is
    framed.

    Args:
        swept: the trials, of two keys or more with few values.
    """
    every = [*combinations(_grid_keys(swept), 2)]
    pairs = every[:MOST_PAIRS]
    figure, grid = style.panels(1, len(pairs), aspect=0.8 if len(pairs) > 1 else 0.62)
    norm, clipped = swept.colours()
    for ax, (x, y) in zip(grid.flat, pairs, strict=True):
        _panel(ax, x, y, swept, norm)
    mapped = ScalarMappable(norm, GOOD_IS_DARK)
    style.colorbar(figure, mapped, grid, "validation NLL", extend="max" if clipped else "neither")
    said = "mean validation NLL over seeds" if len(swept.points) < len(swept.nll) else "NLL"
    said += " of the best point of each cell" if len(swept.keys) > 2 else ""
    said += f", {len(pairs)} of {len(every)} pairs of keys" if len(pairs) < len(every) else ""
    style.head(figure, (), said)
    return figure


def _panel(ax: Axes, x: str, y: str, swept: SweepTrials, norm: Normalize) -> None:
    columns, rows = (order_of(swept.values(key)) for key in (x, y))
    cells = np.full((len(rows), len(columns)), np.nan)
    for point in reversed(swept.points):
        of_point = swept.overrides[point.trials[0]]
        cells[rows.index(of_point.get(y)), columns.index(of_point.get(x))] = point.mean
    ax.grid(visible=False)
    ax.imshow(cells, origin="lower", aspect="auto", cmap=GOOD_IS_DARK, norm=norm)
    best = np.unravel_index(np.nanargmin(cells), cells.shape)
    if cells.size <= READABLE:
        size = float(np.clip(72 * ax.bbox.width / style.DPI / (3.4 * len(columns)), 5, 9))
        for (row, column), value in np.ndenumerate(cells):
            if np.isfinite(value):
                ink = "white" if norm(value) < 0.6 else style.INK
                text = style.number(float(value), ".2f")
                weight = "bold" if (row, column) == best else "normal"
                ax.text(
                    column, row, text, ha="center", va="center", color=ink, size=size, weight=weight
                )
    frame = np.array([best[1] - 0.5, best[1] + 0.5]), np.array([best[0] - 0.5, best[0] + 0.5])
    (left, right), (low, high) = frame
    outline = [left, right, right, left, left], [low, low, high, high, low]
    ax.plot(*outline, color=style.MARK, linewidth=2.0, clip_on=False, zorder=5)
    style.categories(ax, [label_of(value) for value in columns])
    step = max(1, -(-len(rows) // 12))
    ax.set_yticks(range(0, len(rows), step), [label_of(value) for value in rows[::step]])
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    style.label_axes(ax, x, y)


def _grid_keys(swept: SweepTrials) -> list[str]:
    """Keys with few enough values for rows and columns."""
    most = SWEEP_FIGURES["heatmap"].values or 0
    return [key for key in swept.keys if 1 < len(order_of(swept.values(key))) <= most]
