"""p(y given x) for every category of an input, side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.density.conditional import Conditional
from mdncli.plots import facets, style
from mdncli.plots.grid import cell_density, centres
from mdncli.plots.subject import Subject

MOST_CATEGORIES = 12
CELLS = 400
HALF_WIDTH = 0.42
LOGARITHMIC = 30.0
"""Factor spanned by a positive target from which its axis is logarithmic."""

_ENDS = (0.002, 0.998)


@style.apply_style
def violins(*subjects: Subject) -> Figure:
    """Density of every target for each category, as violins.

    The model's density is on the left, the exact one on the right; if that is not known, both sides
    are the model's. All violins have the same maximal
    width; on a logarithmic axis the density is per unit of log y, so that equal areas hold equal
    probabilities.

    Args:
        subjects: with `train` and `predict`, and perhaps `exact`, of one input that is a category.
    """
    lead = subjects[0]
    labels = lead.categories[lead.inputs[0]]
    shown = labels[:MOST_CATEGORIES]
    x = np.arange(len(shown), dtype=np.float64)[:, None]
    figure, grid, targets, note = facets.target_panels(subjects, aspect=0.8)
    models = [subject.predict(x) for subject in subjects if subject.predict]
    exact = lead.exact(x) if lead.exact else None
    known = [*models, *([exact] if exact else [])]
    for d, target in enumerate(targets):
        own = [one.marginal(d) for one in known]
        ends = np.stack([one.quantile(_ENDS)[..., 0] for one in own])
        low, high = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)
        log = bool(low.min() > 0 and high.max() > LOGARITHMIC * low.min())
        for ax, learned in zip(grid[:, d], own, strict=False):
            for row, span in enumerate(zip(low, high, strict=True)):
                at = slice(row, row + 1)
                draw(ax, row, learned[at], own[-1][at] if exact else None, span, log=log)
            style.label_axes(ax, lead.inputs[0], target)
            style.categories(ax, shown)
            ax.set_xlim(-0.6, len(shown) - 0.4)
            ax.grid(visible=False, axis="x")
            if log:
                style.make_logarithmic(ax)
            else:
                ax.set_ylim(style.span(low, high))
    facets.tidy(grid)
    note += facets.shown_note("categories", len(shown), len(labels))
    what = f"density p(y | x) for each {style.clean_text(lead.inputs[0], 20)}"
    style.head(figure, subjects, what + note, grid[0, 0])
    return figure


def draw(
    ax: Axes,
    place: int,
    learned: Conditional,
    exact: Conditional | None,
    span: tuple[float, float],
    *,
    log: bool,
) -> None:
    """Draw one violin.

    Args:
        ax: where to draw.
        place: its position, from 0.
        learned: the distribution of one target in one row.
        exact: the exact distribution.
        span: range of y.
        log: whether the axis is logarithmic.
    """
    edges = np.geomspace(*span, CELLS + 1) if log else np.linspace(*span, CELLS + 1)
    middle = np.sqrt(edges[:-1] * edges[1:]) if log else centres(edges)
    both = {-1: learned, 1: exact or learned}
    heights = {side: _height(one, edges, log=log) for side, one in both.items()}
    most = max(height.max() for height in heights.values())
    for side, one in both.items():
        true = exact is not None and side > 0
        named = not place and (true or side < 0)
        color = style.INK if true else style.MODEL
        reach = place + side * HALF_WIDTH * heights[side] / most
        ax.fill_betweenx(middle, place, reach, color=color, alpha=0.2, linewidth=0)
        ax.plot(
            reach,
            middle,
            color=color,
            linewidth=1.1 if true else 1.6,
            linestyle=style.DASHED if true else "-",
            label=("exact" if true else "model") if named else None,
        )
        if exact is not None or side > 0:
            ax.plot(
                place if exact is None else place + 0.05 * side,
                one.quantile([0.5]).item(),
                linestyle="none",
                marker="o",
                markersize=4,
                markerfacecolor="white",
                markeredgecolor=color,
                label="median" if place == 0 and side > 0 else None,
            )


def _height(conditional: Conditional, edges: np.ndarray, *, log: bool) -> np.ndarray:
    """The density in each cell, per unit of y or of log y, (M,)."""
    height = cell_density(conditional, edges[:, None])[0, :, 0]
    return height * np.diff(edges) / np.diff(np.log(edges)) if log else height
