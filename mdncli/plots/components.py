"""The components of a mixture over x: their weights, locations and scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.plots import facets, style
from mdncli.plots.subject import Subject
from mdncli.transforms import TRANSFORMS

CELLS = 300
LEAST_WEIGHT = 0.01
"""A component that is nowhere heavier is left out."""

MOST_TARGETS = 2


@style.styled
def components(*subjects: Subject) -> Figure:
    """Weight, location and scale of every component over one input; of one member, in an ensemble.

    Locations and scales are as opaque as the component's weight is large: a component without
    weight says nothing. Neighbours differ in their colours.

    Args:
        subjects: with `train` and `predict_member`, of one input.
    """
    lead = subjects[0]
    trains = [subject.train for subject in subjects if subject.train]
    x = np.linspace(*style.span(*(train.x for train in trains), pad=0.0), CELLS)
    targets = lead.targets[:MOST_TARGETS]
    figure, grid = style.panels(1 + 2 * len(targets), len(subjects), aspect=0.42)
    found = [_parts(subject, x) for subject in subjects]
    _frame(grid, lead, targets, x)
    for column, (weights, location, scale), subject in zip(grid.T, found, subjects, strict=True):
        if len(subjects) > 1:
            column[0].set_title(style.plain(subject.name))
        if not len(weights):
            style.remark(column[0], "no mixture")
        order = np.argsort((weights * location[:, 0]).sum(axis=1) / weights.sum(axis=1))
        for rank, k in enumerate(order):
            color = style.SUBJECTS[rank % len(style.SUBJECTS)]
            column[0].plot(x, weights[k], color=color, linewidth=1.4)
            for d in range(len(targets)):
                for ax, values in zip(column[1 + 2 * d :], (location, scale), strict=False):
                    draw(ax, x, values[k, d], weights[k], color)
    for row, kind in enumerate(["weights"] + ["location", "scale"] * len(targets)):
        shown = [parts[1 if kind == "location" else 2][:, (row - 1) // 2] for parts in found]
        weights = [parts[0] for parts in found]
        if kind != "weights":
            heavy = [v[w > LEAST_WEIGHT] for v, w in zip(shown, weights, strict=True)]
            limits = _limits(heavy, log=kind == "scale")
            for ax in grid[row]:
                ax.set_ylim(limits)
    facets.tidy(grid)
    member = " of one member" if any(subject.members > 1 for subject in subjects) else ""
    note = facets.first("targets", len(targets), len(lead.targets))
    style.head(figure, subjects, f"components{member}, opacity by weight{note}")
    return figure


def draw(ax: Axes, x: np.ndarray, y: np.ndarray, weight: np.ndarray, color: str) -> None:
    """Draw a line through (x, y), all (N,), as opaque as the weight at each point."""
    points = np.stack([x, y], axis=1)
    colors = np.tile(to_rgba(color), (len(x) - 1, 1))
    colors[:, 3] = np.clip(1.5 * (weight[:-1] + weight[1:]) / 2, 0.0, 1.0)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    ax.add_collection(LineCollection(list(segments), colors=colors, linewidths=1.8), autolim=False)


def _frame(grid: np.ndarray, lead: Subject, targets: Sequence[str], x: np.ndarray) -> None:
    """Label the panels: weights above, location and scale of each target below."""
    for column in grid.T:
        for ax in column:
            ax.set_xlim(x[0], x[-1])
        style.named(column[0], lead.inputs[0], "weight")
        column[0].set_ylim(0.0, 1.02)
        for d, target in enumerate(targets):
            of = "" if len(targets) == 1 else f" of {style.plain(target, 16)}"
            style.named(column[1 + 2 * d], lead.inputs[0], f"location{of}")
            style.named(column[2 + 2 * d], lead.inputs[0], f"scale{of}")
            style.logarithmic(column[2 + 2 * d])


def _parts(subject: Subject, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K, N), locations and scales (K, D, N) of the components with any weight.

    Under a transform that is no line, locations are in the target's own units, and a scale is how
    far up one scale reaches: location plus scale, transformed back, less the location.
    """
    nothing = np.empty((0, len(x)))
    empty = nothing, np.empty((0, len(subject.targets), len(x)))
    seen = subject.predict_member(x[:, None]) if subject.predict_member else None
    mixture = seen.base if isinstance(seen, Transformed) else seen
    if not isinstance(mixture, Mixture):
        return empty[0], empty[1], empty[1]
    kept = mixture.weights.max(axis=1) > LEAST_WEIGHT
    weights, location, scale = (
        part[kept] for part in (mixture.weights, mixture.location, mixture.scale)
    )
    if isinstance(seen, Transformed):
        above = location + scale
        location, above = (
            np.stack(
                [TRANSFORMS[name].inverse(part[:, d]) for d, name in enumerate(seen.transforms)],
                axis=1,
            )
            for part in (location, above)
        )
        scale = above - location
    return weights, location, scale


def _limits(values: list[np.ndarray], *, log: bool) -> tuple[float, float]:
    joined = np.concatenate(values)
    joined = joined[np.isfinite(joined) & ((joined > 0) | (not log))]
    if not log or not len(joined):
        return style.span(joined) if not log else (0.1, 1.0)
    low, high = np.exp(style.span(np.log(joined)))
    return float(low), float(max(high, 1.5 * low))
