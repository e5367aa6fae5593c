"""p(y given x) at a few x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.density.conditional import Conditional
from mdncli.plots import facets, style
from mdncli.plots.grid import cell_density, centres
from mdncli.plots.subject import Subject

SLICES = 6
SLICES_OF_SEVERAL = 4
MOST_TARGETS = 3
CELLS = 600


@style.apply_style
def slices(*subjects: Subject) -> Figure:
    """p(y given x) at evenly spaced x, marginally for each target; the exact density dashed.

    Several subjects are drawn over one another. For a categorical input, x is each of its
    categories, on axes of its own, as their ranges may differ widely.

    Args:
        subjects: with `train` and `predict`, and perhaps `exact`, of one input.
    """
    lead = subjects[0]
    targets = lead.targets[:MOST_TARGETS]
    most = SLICES if len(targets) == 1 else SLICES_OF_SEVERAL
    categories = lead.categories.get(lead.inputs[0])
    if categories is None:
        choose = _dates if lead.inputs[0] in lead.dates else _round_values
        x, said = choose([s.train.x for s in subjects if s.train], most)
    else:
        x, said = np.arange(min(most, len(categories)), dtype=np.float64), [*categories[:most]]
    models = [(s.name, s.predict(x[:, None])) for s in subjects if s.predict]
    exact = lead.exact(x[:, None]) if lead.exact else None
    edges = _edges([conditional for _, conditional in models] + ([exact] if exact else []))
    if categories is None:
        edges = [_outer_edges(edges)] * len(x)

    if len(targets) == 1:
        figure, axes = style.wrap_panels(len(x))
        grid = np.array([axes], dtype=object)
    else:
        figure, grid = style.panels(len(targets), len(x))
    for d, target in enumerate(targets):
        for row, ax in enumerate(grid[d]):
            at = slice(row, row + 1)
            for number, (name, conditional) in enumerate(models):
                label = "model" if len(subjects) == 1 else name
                height = cell_density(conditional[at], edges[row])[0, :, d]
                draw(ax, edges[row][:, d], height, label=label, number=number)
            if exact:
                draw_exact(ax, edges[row][:, d], cell_density(exact[at], edges[row])[0, :, d])
            ax.set(xlim=edges[row][[0, -1], d], ylim=(0, None))
            ax.set_title(f"{style.clean_text(lead.inputs[0])} = {style.clean_text(said[row])}")
            leftmost = ax.get_subplotspec().is_first_col()
            style.label_axes(ax, target, "density" if leftmost else "")
    facets.tidy(grid)
    note = facets.shown_note("targets", len(targets), len(lead.targets))
    if categories is not None:
        note += facets.shown_note("categories", len(x), len(categories))
    style.head(figure, subjects, "density p(y | x) at chosen x" + note, grid[0, 0])
    return figure


def draw(ax: Axes, edges: np.ndarray, height: np.ndarray, *, label: str, number: int = 0) -> None:
    """Draw a density (M,) over cells with edges (M + 1,), in the colour of the subject's number."""
    color = style.SUBJECTS[number % len(style.SUBJECTS)]
    y = centres(edges)
    ax.fill_between(y, height, color=color, alpha=0.15, linewidth=0)
    ax.plot(y, height, color=color, label=label)


def draw_exact(ax: Axes, edges: np.ndarray, height: np.ndarray) -> None:
    """Draw the exact density (M,) over cells with edges (M + 1,), dashed."""
    ax.plot(
        centres(edges),
        height,
        color=style.INK,
        linewidth=1.1,
        linestyle=style.DASHED,
        label="exact",
    )


def _round_values(x: Sequence[np.ndarray], count: int) -> tuple[np.ndarray, list[str]]:
    """Evenly spaced x within the range of the rows, rounded for the titles, and their texts."""
    low, high = style.span(*x, pad=0.0)
    step = 10.0 ** (np.floor(np.log10(high - low)) - 2)
    spaced = low + (high - low) * (np.arange(count) + 0.5) / count
    rounded = np.round(spaced / step) * step
    digits = int(np.ceil(np.log10(np.abs(rounded).max() / step))) + 1
    return rounded, [style.number(value, f".{digits}g") for value in rounded]


def _dates(x: Sequence[np.ndarray], count: int) -> tuple[np.ndarray, list[str]]:
    """Evenly spaced dates within the range of the rows, whole days where these differ."""
    low, high = style.span(*x, pad=0.0)
    spaced = low + (high - low) * (np.arange(count) + 0.5) / count
    seconds = spaced.astype("datetime64[s]")
    days = seconds.astype("datetime64[D]")
    rounded = days if len(np.unique(days)) == count else seconds
    texts = [str(each).replace("T", " ") for each in rounded]
    return rounded.astype("datetime64[s]").astype(np.float64), texts


def _edges(conditionals: Sequence[Conditional]) -> list[np.ndarray]:
    """For each row, edges (M + 1, D) over all but the outermost tails of all distributions."""
    bounds = np.stack([c.quantile([0.002, 0.998]) for c in conditionals])
    low, high = bounds[:, :, 0].min(axis=0), bounds[:, :, 1].max(axis=0)
    pad = 0.05 * (high - low)
    return [*np.moveaxis(np.linspace(low - pad, high + pad, CELLS + 1), 1, 0)]


def _outer_edges(edges: Sequence[np.ndarray]) -> np.ndarray:
    """Edges (M + 1, D) from the lowest to the highest of all rows."""
    low = np.min([some[0] for some in edges], axis=0)
    high = np.max([some[-1] for some in edges], axis=0)
    return np.linspace(low, high, CELLS + 1)
