"""The probability integral transform of test rows: flat when the model is calibrated."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import facets, style
from mdncli.plots.subject import Subject

BINS = 20
ROWS_PER_BIN = 10


@style.apply_style
def pit(*subjects: Subject) -> Figure:
    """Histogram of F(y given x), a panel per target, with the band of a calibrated model.

    A hump shows intervals that are too wide, a trough too narrow, a slope a bias. In each bin the
    height of a calibrated model lies within the band with a probability of 95%.

    Args:
        subjects: with `test` and `predict_test`.
    """
    figure, grid, targets, note = facets.target_panels(subjects)
    shown = [(s.test.y, s.predict_test()) for s in subjects if s.test and s.predict_test]
    values = [conditional.cdf(y) for y, conditional in shown]
    for axes, probabilities in zip(grid, values, strict=True):
        for ax, u, target in zip(axes, probabilities.T, targets, strict=False):
            draw(ax, u)
            name = style.clean_text(target)
            unit = " (calibrated: 1)" if len(subjects) == 1 else ""
            style.label_axes(ax, f"F({name} | x)", f"frequency{unit}")
    top = max(ax.get_ylim()[1] for ax in grid.flat)
    for ax in grid.flat:
        ax.set(xlim=(0, 1), ylim=(0, top))
    facets.tidy(grid)
    count = f"{len(values[0]):,} " if len(subjects) == 1 else ""
    note += facets.calibrated_note(subjects)
    style.head(figure, subjects, f"PIT of {count}test rows" + note, grid[0, 0])
    return figure


def draw(ax: Axes, u: np.ndarray) -> None:
    """Draw the histogram of PIT values (N,), in multiples of the uniform height."""
    u = u[np.isfinite(u)]
    bins = int(np.clip(len(u) // ROWS_PER_BIN, 4, BINS))
    count, edges = np.histogram(u, bins, (0.0, 1.0))
    expected = len(u) / bins
    low, high = band(len(u), 1 / bins)
    ax.stairs(count / expected, edges, fill=True, color=style.MODEL, alpha=0.3)
    ax.stairs(count / expected, edges, color=style.MODEL, linewidth=1.6, label="test rows")
    ax.axhspan(
        low / expected,
        high / expected,
        color=style.INK,
        alpha=0.13,
        linewidth=0,
        label="95% band if calibrated",
        zorder=3,
    )
    ax.axhline(1.0, color=style.INK, linewidth=1.1, linestyle=style.DASHED, zorder=4)
    ax.set_ylim(0, max(1.15 * count.max() / expected, 1.1 * high / expected))


def band(rows: int, probability: float) -> tuple[int, int]:
    """Central 95% interval of a binomial count, of some rows with some probability.

    >>> band(1000, 0.05)
    (37, 64)
    """
    from scipy.special import bdtr

    expected = rows * probability
    # Nearly all of the probability is within this distance, for any number of rows.
    reach = 6.0 * np.sqrt(expected) + 6.0
    count = np.arange(max(0, int(expected - reach)), min(rows, int(expected + reach)) + 1)
    cumulative = bdtr(count, rows, probability)
    low, high = count[np.searchsorted(cumulative, [0.025, 0.975])]
    return int(low), int(high)
