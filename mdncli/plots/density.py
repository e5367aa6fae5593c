"""p(y given x) as a heat map over (x, y), with the components' locations on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mdncli.density.conditional import Conditional
from mdncli.density.factored import Product
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.plots import facets, style
from mdncli.plots.grid import cell_density, centres
from mdncli.plots.subject import Subject
from mdncli.transforms import TRANSFORMS

CELLS = 400
MARKED_EVERY = 4
LEAST_WEIGHT = 0.1
FAINT = 0.6
"""Largest opacity of a component's location: the density must remain visible under it."""

ABOVE_TYPICAL = 3.0
MOST_TARGETS = 3


class _Panel(NamedTuple):
    title: str
    conditional: Conditional
    is_model: bool


@style.apply_style
def density(*subjects: Subject) -> Figure:
    """Heat map of p(y given x) for one input, marginally for each target.

    Components are points at their locations, with an opacity in proportion to their weight at that
    x. If known, the exact density is shown beside the model's, in the same colours.

    Args:
        subjects: with `train` and `predict`, and perhaps `exact`, of one input.
    """
    lead = subjects[0]
    trains = [subject.train for subject in subjects if subject.train]
    targets = lead.targets[:MOST_TARGETS]
    x_edges = np.linspace(*style.span(*(train.x for train in trains), pad=0.0), CELLS + 1)
    y_edges = np.stack(
        [
            np.linspace(*style.span(*(train.y[:, d] for train in trains)), CELLS + 1)
            for d in range(len(lead.targets))
        ],
        axis=1,
    )
    x = centres(x_edges)
    columns = _columns(subjects, x)
    heights = [cell_density(column.conditional, y_edges) for column in columns]

    figure, grid = style.panels(len(targets), len(columns))
    for d, target in enumerate(targets):
        norm, clipped = _norm(np.stack([height[:, :, d] for height in heights]))
        for ax, column, height in zip(grid[d], columns, heights, strict=True):
            draw(ax, x_edges, y_edges[:, d], height[:, :, d], norm)
            if column.is_model:
                only = "" if columns[-1].is_model else " (model only)"
                draw_components(ax, x, column.conditional, d, note=only)
            style.label_axes(ax, lead.inputs[0], target, lead.dates)
            ax.set_title(column.title if d == 0 else "")
        mapped = ScalarMappable(norm, style.DENSITY)
        label = f"density per unit of {style.clean_text(target, 20)}"
        style.colorbar(figure, mapped, grid[d], label, extend="max" if clipped else "neither")
    facets.tidy(grid)
    note = facets.shown_note("targets", len(targets), len(lead.targets))
    style.head(figure, subjects, "density p(y | x)" + note, grid[0, 0])
    return figure


def draw(
    ax: Axes, x_edges: np.ndarray, y_edges: np.ndarray, height: np.ndarray, norm: Normalize
) -> AxesImage:
    """Draw densities (N, M) as colours in a grid of cells with edges (N + 1,) and (M + 1,)."""
    ax.grid(visible=False)
    return ax.imshow(
        height.T,
        origin="lower",
        extent=(x_edges[0], x_edges[-1], y_edges[0], y_edges[-1]),
        aspect="auto",
        interpolation="bilinear",
        cmap=style.DENSITY,
        norm=norm,
    )


def draw_components(
    ax: Axes, x: np.ndarray, conditional: Conditional, target: int, *, note: str = ""
) -> None:
    """Mark the locations of the main components at some of the x (N,); nothing for no mixture."""
    found = _components(conditional, target)
    if found is None:
        return
    weights, location = (part[:, ::MARKED_EVERY] for part in found)
    opacity = weights / weights.max(axis=0)
    marked = opacity > LEAST_WEIGHT
    colors = np.tile(to_rgba(style.MARK), (int(marked.sum()), 1))
    colors[:, 3] = FAINT * opacity[marked]
    # Ensembles have many components, which must not hide the density under them.
    per_column = marked.sum() / marked.shape[1]
    size = ax.bbox.width / style.DPI / 5.5 * float(np.clip(9.0 / per_column, 1.0, 3.0))
    limits = ax.get_xlim(), ax.get_ylim()
    ax.scatter(
        np.broadcast_to(x[::MARKED_EVERY], weights.shape)[marked],
        location[marked],
        s=size,
        c=colors,
        linewidths=0,
        label=f"component locations, opacity by weight{note}",
    )
    ax.set(xlim=limits[0], ylim=limits[1])


def _components(conditional: Conditional, target: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights and locations (K, N) of a mixture's components, in the target's own units."""
    base = conditional.base if isinstance(conditional, Transformed) else conditional
    if not isinstance(base, Mixture | Product):
        return None
    own = base.marginal(target)
    location = own.location[:, 0]
    if isinstance(conditional, Transformed):
        location = TRANSFORMS[conditional.transforms[target]].inverse(location)
    return own.weights, location


def _columns(subjects: Sequence[Subject], x: np.ndarray) -> list[_Panel]:
    """Panels from left to right: every model, and the exact density."""
    rows = x[:, None]
    exact = subjects[0].exact
    titles = [style.clean_text(s.name) for s in subjects] if len(subjects) > 1 else ["model"]
    columns = [
        _Panel(title, subject.predict(rows), is_model=True)
        for title, subject in zip(titles, subjects, strict=True)
        if subject.predict
    ]
    if exact is not None:
        columns.append(_Panel("exact", exact(rows), is_model=False))
    return columns if len(columns) > 1 else [columns[0]._replace(title="")]


def _norm(height: np.ndarray) -> tuple[Normalize, bool]:
    """Colour range of densities, robust to narrow peaks, and whether any exceed it.

    It ends at a multiple of the geometric mean of the density, weighted by the density.
    """
    positive = height[height > 0]
    if not len(positive):
        return Normalize(0.0, 1.0), False
    peak = float(positive.max())
    typical = float(np.exp(np.average(np.log(positive), weights=positive)))
    return Normalize(0.0, min(peak, ABOVE_TYPICAL * typical)), peak > ABOVE_TYPICAL * typical
