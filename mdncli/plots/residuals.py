"""Quantile residuals: standard normal, whatever the distribution, when the model is calibrated."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

FURTHEST = 5.0
"""Limit of the axis: residuals beyond it are drawn on the edge."""

_CENTRAL_95 = 1.96


@style.apply_style
def residuals(*subjects: Subject) -> Figure:
    """Normal scores of F(y given x) against the predicted mean, a panel per target.

    Unlike y minus the mean they have one scale for every row and every shape of density (Dunn and
    Smyth 1996, "Randomized quantile residuals"): 95% lie between the dashed lines, without a
    trend, when the model is calibrated.

    Args:
        subjects: with `test` and `predict_test`.
    """
    from scipy.special import ndtri

    figure, grid, targets, note = facets.target_panels(subjects, aspect=0.75)
    shown = []
    for subject in subjects:
        if subject.test and subject.predict_test:
            predicted = subject.predict_test()
            score = np.clip(ndtri(predicted.cdf(subject.test.y)), -FURTHEST, FURTHEST)
            shown.append((predicted.mean(), score))
    for d, target in enumerate(targets):
        limits = style.span(*(mean[:, d] for mean, _ in shown))
        for ax, (mean, score) in zip(grid[:, d], shown, strict=True):
            draw(ax, mean[:, d], score[:, d])
            ax.set(xlim=limits, ylim=(-FURTHEST - 0.3, FURTHEST + 0.3))
            said = "error, in standard deviations if calibrated"
            said = said if grid.size == 1 else "standardised error"
            style.label_axes(ax, f"predicted mean of {target}", said)
    facets.tidy(grid)
    style.count_bar(figure, grid)
    note += facets.calibrated_note(subjects)
    style.head(figure, subjects, "quantile residuals of test rows" + note, grid[0, 0])
    return figure


def draw(ax: Axes, mean: np.ndarray, score: np.ndarray) -> None:
    """Draw normal scores over predicted means, both (N,), and the share inside the 95% lines."""
    style.rows(
        ax, mean, score, color=style.MODEL, label=style.count_label("rows", len(mean), len(mean))
    )
    for level, label in ((-_CENTRAL_95, None), (_CENTRAL_95, "95% lie between if calibrated")):
        ax.axhline(level, color=style.INK, linewidth=1.1, linestyle=style.DASHED, label=label)
    inside = np.mean(np.abs(score) <= _CENTRAL_95)
    style.remark(ax, f"{inside:.1%} between")
