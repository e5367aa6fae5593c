"""Reliability diagram: accuracy against the probability of the most probable class."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.evaluation import CLASS_METRICS
from mdncli.evaluation.summaries import BINS, calibration_error
from mdncli.plots import facets, style
from mdncli.plots.pit import band
from mdncli.plots.subject import Subject


@style.apply_style
def reliability(*subjects: Subject) -> Figure:
    """Accuracy against confidence in bins of equal width: on the diagonal when calibrated.

    Below the diagonal a model is overconfident. In each bin the accuracy of a calibrated model
    lies within the band with a probability of 95%; grey bars show the share of the rows in each
    bin. (Niculescu-Mizil and Caruana 2005, "Predicting good probabilities with supervised
    learning".)

    Args:
        subjects: with `test` and `classify_test`.
    """
    figure, grid, *_ = facets.target_panels(subjects, aspect=0.95)
    shown = [(s.test.y[:, 0], s.classify_test()) for s in subjects if s.test and s.classify_test]
    for ax, (codes, predicted) in zip(grid[:, 0], shown, strict=True):
        draw(ax, predicted.probabilities().max(axis=1), predicted.mode() == codes)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        style.label_axes(ax, "probability of the most probable class", "accuracy")
    facets.tidy(grid)
    count = f", {len(shown[0][0]):,} test rows" if len(subjects) == 1 else ", test rows"
    count += facets.calibrated_note(subjects)
    style.head(figure, subjects, f"reliability{count}", grid[0, 0])
    return figure


def draw(ax: Axes, confidence: np.ndarray, correct: np.ndarray) -> None:
    """Draw rows with their confidence and whether they are correct, (N,) both."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    edges = np.linspace(0, 1, BINS + 1)
    ax.stairs(
        count / len(which),
        edges,
        fill=True,
        color=style.MODEL,
        alpha=0.2,
        label="share of the rows",
    )
    used = np.flatnonzero(count)
    expected = np.bincount(which, confidence, BINS)[used] / count[used]
    right = np.bincount(which, correct, BINS)[used] / count[used]
    bounds = np.array([band(n, p) for n, p in zip(count[used].tolist(), expected, strict=True)])
    low, high = bounds.T / count[used]
    ax.bar(
        edges[used],
        high - low,
        1 / BINS,
        low,
        align="edge",
        color=style.INK,
        alpha=0.13,
        linewidth=0,
        label="95% band if calibrated",
    )
    ax.plot([0, 1], [0, 1], color=style.INK, linewidth=1.1, linestyle=style.DASHED)
    ax.plot(
        expected,
        right,
        color=style.MODEL,
        marker="o",
        markersize=4,
        label="accuracy",
        zorder=3,
    )
    ece = calibration_error(np.stack([confidence, correct], axis=1))
    style.remark(ax, f"{CLASS_METRICS['ece'].label} {ece:.3f}")
