"""Marginal distributions of the targets over all rows: observed, predicted and exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.density.conditional import Conditional
from mdncli.plots import facets, style
from mdncli.plots.grid import cell_density, centres
from mdncli.plots.subject import PlotRows, Subject

CELLS = 300
MOST_ROWS = 1000
MOST_TARGETS = 9


@style.apply_style
def marginals(*subjects: Subject) -> Figure:
    """Distribution of every target over the test rows, observed and predicted.

    The predicted distribution is the mean of the rows' densities, and so is the exact one; the
    histogram shows the observations. Several subjects are drawn over one another.

    Args:
        subjects: with `test` and `predict_test`, and perhaps `exact_test`.
    """
    lead = subjects[0]
    tested = [subject.test for subject in subjects if subject.test]
    figure, axes, note = histograms(lead, {"test rows": tested[0]}, tested)
    shown = slice(None) if len(tested[0].x) <= MOST_ROWS else _select_spaced(len(tested[0].x))
    curves = [
        ("model" if len(subjects) == 1 else subject.name, subject.predict_test()[shown], number)
        for number, subject in enumerate(subjects)
        if subject.predict_test
    ]
    exact = lead.exact_test()[shown] if lead.exact_test else None
    edges = np.stack([np.linspace(*ax.get_xlim(), CELLS + 1) for ax in axes], axis=1)
    for name, conditional, number in curves:
        color = style.SUBJECTS[number % len(style.SUBJECTS)]
        for d, (ax, height) in enumerate(zip(axes, _mean(conditional, edges), strict=True)):
            ax.plot(centres(edges[:, d]), height, color=color, label=name)
    if exact is not None:
        for d, (ax, height) in enumerate(zip(axes, _mean(exact, edges), strict=True)):
            ax.plot(
                centres(edges[:, d]),
                height,
                color=style.INK,
                linewidth=1.1,
                linestyle=style.DASHED,
                label="exact",
            )
    for ax in axes:
        ax.relim()
        ax.autoscale(axis="y")
        ax.set_ylim(0, None)
    several = len(lead.targets) > 1
    of = "s of the targets" if several else f" of {style.clean_text(lead.targets[0], 16)}"
    kinds = "observed, predicted and exact" if exact is not None else "observed and predicted"
    style.head(figure, subjects, f"distribution{of}: {kinds}{note}", axes[0])
    return figure


def histograms(
    lead: Subject, shown: dict[str, PlotRows], spanned: Sequence[PlotRows]
) -> tuple[Figure, list[Axes], str]:
    """Draw histograms of some rows, a panel for each target.

    Args:
        lead: names the targets.
        shown: legend label -> rows; the first are grey, the others in colour.
        spanned: rows that the axes cover.

    Returns:
        The figure, its panels and a note on the targets that do not fit a page.
    """
    targets = lead.targets[:MOST_TARGETS]
    figure, axes = style.wrap_panels(len(targets))
    for d, (ax, target) in enumerate(zip(axes, targets, strict=True)):
        low, high = style.span(*(rows.y[:, d] for rows in spanned))
        fewest = min(len(rows.y) for rows in shown.values())
        # Bars end at the extreme values, so that none suggests, e.g., a price below 0.
        ends = style.span(*(rows.y[:, d] for rows in spanned), pad=0.0)
        edges = np.linspace(*ends, int(np.clip(4 * fewest ** (1 / 3), 8, 60)) + 1)
        for (what, rows), color in zip(shown.items(), (style.DATA, *style.SUBJECTS), strict=False):
            y = rows.y[np.isfinite(rows.y[:, d]), d]
            height = np.histogram(y, edges)[0] / max(1, len(y)) / np.diff(edges)
            ax.stairs(
                height,
                edges,
                fill=color == style.DATA,
                color=color,
                alpha=0.5 if color == style.DATA else 1.0,
                label=style.count_label(what, len(y), len(y)),
            )
        ax.set(xlim=(low, high), ylim=(0, None))
        style.label_axes(ax, target, "density")
    return figure, axes, facets.shown_note("targets", len(targets), len(lead.targets))


def _mean(conditional: Conditional, edges: np.ndarray) -> np.ndarray:
    """The mean density over rows in the cells of each target, (D', M) for edges (M + 1, D')."""
    count = edges.shape[1]
    each = [conditional.marginal(d) for d in range(count)]
    return np.stack(
        [cell_density(one, edges[:, [d]])[..., 0].mean(axis=0) for d, one in enumerate(each)]
    )


def _select_spaced(rows: int) -> np.ndarray:
    return np.linspace(0, rows - 1, MOST_ROWS).astype(int)
