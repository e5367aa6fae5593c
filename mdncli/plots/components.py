"""The components of a mixture over x: their weights, locations and scales."""

from __future__ import annotations

import math
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
"""Components without a larger weight anywhere are left out."""

MOST_NAMED = 12
"""Most components in the legend."""

MOST_TARGETS = 2
MOST_EXACT = 6
"""Most components of an exact density to draw: more lines would hide the model's."""

_BROKEN = ((1, 1), (5, 8), (2, 5))
"""Lines of the first six components, the next six, and so on: cells drawn of how many."""

ComponentCurves = tuple[np.ndarray, np.ndarray, np.ndarray]


@style.apply_style
def components(*subjects: Subject) -> Figure:
    """Weight, location and scale of every component over one input; of one network of an ensemble.

    The opacity of locations and scales is the component's weight. Components are numbered by
    location, and have the same colour and line in all panels. Where the exact density is a mixture
    of the same family its components are dashed.

    Args:
        subjects: with `train` and `predict_member`, and perhaps `exact`, of one input.
    """
    lead = subjects[0]
    trains = [subject.train for subject in subjects if subject.train]
    x = np.linspace(*style.span(*(train.x for train in trains), pad=0.0), CELLS)
    targets = lead.targets[:MOST_TARGETS]
    figure, grid = style.panels(1 + 2 * len(targets), len(subjects), aspect=0.42)
    seen = [s.predict_member(x[:, None]) if s.predict_member else None for s in subjects]
    found = [
        _component_curves(subject, each, x) for subject, each in zip(subjects, seen, strict=True)
    ]
    exact = [_exact_curves(subject, each, x) for subject, each in zip(subjects, seen, strict=True)]
    _frame(grid, lead, targets, x)
    for column, (weights, location, scale), truth, subject in zip(
        grid.T, found, exact, subjects, strict=True
    ):
        if len(subjects) > 1:
            column[0].set_title(style.clean_text(subject.name))
        if not len(weights):
            style.remark(column[0], "no mixture")
        order = np.argsort((weights * location[:, 0]).sum(axis=1) / weights.sum(axis=1))
        for rank, k in enumerate(order):
            color = style.SUBJECTS[rank % len(style.SUBJECTS)]
            drawn = _drawn(rank, len(x))
            shown = np.where(drawn, weights[k], np.nan)
            column[0].plot(x, shown, color=color, linewidth=1.4)
            for d in range(len(targets)):
                for ax, values in zip(column[1 + 2 * d :], (location, scale), strict=False):
                    draw(ax, x, values[k, d], drawn * weights[k], color)
        draw_exact(column, x, truth)
    for row, kind in enumerate(["weights"] + ["location", "scale"] * len(targets)):
        every = [*found, *exact]
        shown = [parts[1 if kind == "location" else 2][:, (row - 1) // 2] for parts in every]
        if kind != "weights":
            heavy = [v[parts[0] > LEAST_WEIGHT] for v, parts in zip(shown, every, strict=True)]
            limits = _limits(heavy, log=kind == "scale")
            for ax in grid[row]:
                ax.set_ylim(limits)
                if kind == "scale" and limits[1] < 8 * limits[0]:
                    ax.yaxis.set_major_locator(style.ticks(5))
    facets.tidy(grid)
    networks = max(subject.members for subject in subjects)
    of = f" of the first of {networks} networks" if networks > 1 else ""
    note = facets.shown_note("targets", len(targets), len(lead.targets))
    known = next(
        (ax for ax, truth in zip(grid[0], exact, strict=True) if len(truth[0])), grid[0, 0]
    )
    most = max(len(weights) for weights, _, _ in found)
    _name(known, most if most <= MOST_NAMED else 0)
    style.head(figure, subjects, f"components{of}, opacity by weight{note}", known)
    return figure


def _drawn(rank: int, count: int) -> np.ndarray:
    """Cells (count,) where the line of a component is drawn: beyond six, lines are broken."""
    on, period = _BROKEN[rank // len(style.SUBJECTS) % len(_BROKEN)]
    return np.arange(count) % period < on


def _name(ax: Axes, count: int) -> None:
    """Name components for the legend."""
    for rank in range(count):
        on, period = _BROKEN[rank // len(style.SUBJECTS) % len(_BROKEN)]
        ax.plot(
            [],
            [],
            color=style.SUBJECTS[rank % len(style.SUBJECTS)],
            linestyle="-" if on == period else (0, (2, 1)),
            label=f"component {rank + 1}",
        )


def draw(ax: Axes, x: np.ndarray, y: np.ndarray, weight: np.ndarray, color: str) -> None:
    """Draw a line through (x, y) with the weight at each point as its opacity, all (N,)."""
    points = np.stack([x, y], axis=1)
    colors = np.tile(to_rgba(color), (len(x) - 1, 1))
    colors[:, 3] = np.clip(1.5 * (weight[:-1] + weight[1:]) / 2, 0.0, 1.0)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    ax.add_collection(LineCollection(list(segments), colors=colors, linewidths=1.8), autolim=False)


def draw_exact(column: Sequence[Axes], x: np.ndarray, parts: ComponentCurves) -> None:
    """Draw the components of the exact density, dashed, into one subject's panels."""
    weights, location, scale = parts
    look = {"color": style.INK, "linewidth": 1.1, "linestyle": style.DASHED}
    for k, weight in enumerate(weights):
        column[0].plot(x, weight, label=None if k else "exact", **look)
        for ax, d in zip(column[1:], range(len(column) - 1), strict=True):
            ax.plot(x, (location, scale)[d % 2][k, d // 2], **look)


def _frame(grid: np.ndarray, lead: Subject, targets: Sequence[str], x: np.ndarray) -> None:
    """Label the panels: weights above, location and scale of each target below."""
    for column in grid.T:
        for ax in column:
            ax.set_xlim(x[0], x[-1])
        style.label_axes(column[0], lead.inputs[0], "weight", lead.dates)
        column[0].set_ylim(0.0, 1.02)
        for d, target in enumerate(targets):
            of = "" if len(targets) == 1 else f" of {style.clean_text(target, 16)}"
            style.label_axes(column[1 + 2 * d], lead.inputs[0], f"location{of}", lead.dates)
            logarithmic = f"scale{of} (log axis)" if len(grid.T) < 2 else f"scale{of} (log)"
            style.label_axes(column[2 + 2 * d], lead.inputs[0], logarithmic, lead.dates)
            style.make_logarithmic(column[2 + 2 * d])


def _exact_curves(subject: Subject, seen: object, x: np.ndarray) -> ComponentCurves:
    """Parts of the exact density, if it is a mixture of the model's family, else none."""
    exact = subject.exact(x[:, None]) if subject.exact else None
    mixture, own = _mixture(exact), _mixture(seen)
    alike = (
        mixture is not None
        and own is not None
        and mixture.family is own.family
        and mixture.mixtures <= MOST_EXACT
    )
    return _component_curves(subject, exact if alike else None, x)


def _mixture(seen: object) -> Mixture | None:
    """Mixture of a distribution before its transforms; None if it is no mixture."""
    base = seen.base if isinstance(seen, Transformed) else seen
    return base if isinstance(base, Mixture) else None


def _component_curves(subject: Subject, seen: object, x: np.ndarray) -> ComponentCurves:
    """Weights (K, N), locations and scales (K, D, N) of the components with any weight.

    Under a nonlinear transform, locations are in the target's own units, and a scale is the
    distance of location plus scale, transformed back, from the location.
    """
    mixture = _mixture(seen)
    if mixture is None:
        nothing = np.empty((0, len(subject.targets), len(x)))
        return nothing[:, 0], nothing, nothing
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
    low, high = style.span(np.log(joined))
    # At least a factor of 2 from end to end, so that a constant is in the middle.
    spare = max(0.0, (math.log(2) - (high - low)) / 2)
    return math.exp(low - spare), math.exp(high + spare)
