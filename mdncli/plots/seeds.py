"""The learning curves of a sweep's best points, a line for each seed."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.subject import History
from mdncli.plots.swept import SweepTrials, label_of

MOST_POINTS = 4
"""Most points to show: more colours are hard to distinguish."""

BEGINNING = 0.1
"""Share of the steps, the first ones, that may lie above the axis."""

HEADROOM = 1.3
"""Largest height of the axis, relative to the range of the curves after the beginning."""


@style.apply_style
def seeds(swept: SweepTrials) -> Figure:
    """Validation NLL during training: a hairline for each seed, their mean bold.

    The best points are shown, each in a colour of its own with its band of plus and minus one
    standard deviation of the seeds.

    Args:
        swept: the trials, with `histories`.
    """
    figure, (ax,) = style.wrap_panels(1, aspect=0.6)
    points = swept.points[:MOST_POINTS]
    settled: list[np.ndarray] = []
    for number, point in enumerate(points):
        color = style.SUBJECTS[number]
        found = [_curve(swept.histories[trial]()) for trial in point.trials]
        found = [(step, nll) for step, nll in found if len(step)]
        if not found:
            continue
        for step, nll in found:
            ax.plot(step, nll, color=color, linewidth=0.7, alpha=0.45)
            settled.append(nll[step > BEGINNING * step[-1]])
        steps, mean, spread = _average_curves(found)
        ax.fill_between(steps, mean - spread, mean + spread, color=color, alpha=0.12, linewidth=0)
        ax.plot(steps, mean, color=color, linewidth=2.0, label=_legend_label(swept, number))
    seeded = any(len(point.trials) > 1 for point in points)
    if seeded:
        band = "band: ± 1 standard deviation of the seeds"
        ax.fill_between([], [], color=style.INK, alpha=0.12, linewidth=0, label=band)
    if settled:
        values = np.concatenate(settled)
        low, high = float(values.min()), float(np.quantile(values, 0.98))
        span = max(high - low, 1e-3 * max(abs(low), 1.0))
        ax.set_ylim(low - 0.06 * span, low + HEADROOM * span)
    else:
        style.remark(ax, "no finite NLL yet")
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(style.ticks(8, integer=True, min_n_ticks=1))
    style.label_axes(ax, "step", "validation NLL (nats per row)")
    shown = f"the best {len(points)} of {len(swept.points)} settings"
    lines = ", a line for each seed" * seeded
    style.head(figure, (), f"learning curves of {shown}{lines}", ax)
    return figure


def _legend_label(swept: SweepTrials, number: int) -> str:
    """Legend label: differing overrides and NLL."""
    point = swept.points[number]
    of_point = swept.overrides[point.trials[0]]
    keys = [key for key in swept.keys if key in of_point]
    parts = [f"{key.rpartition('.')[2]} {label_of(of_point[key])}" for key in keys]
    error = f" ± {point.error:.3f} (standard error)" if point.error else ""
    return f"{', '.join(parts)}: {style.number(point.mean, '.3f')}{error}"


def _curve(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n,) and finite validation NLLs (n,) of one trial."""
    points = [
        (r["step"], r["nll_validation"]) for r in history if r.get("nll_validation") is not None
    ]
    found = np.array(points, np.float64).reshape(-1, 2)
    found = found[np.isfinite(found[:, 1])]
    return found[:, 0], found[:, 1]


def _average_curves(
    curves: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean and standard deviation over the curves that reach each step."""
    steps, at = np.unique(np.concatenate([step for step, _ in curves]), return_inverse=True)
    nll = np.concatenate([nll for _, nll in curves])
    count = np.bincount(at)
    mean = np.bincount(at, nll) / count
    spread = np.sqrt(np.bincount(at, (nll - mean[at]) ** 2) / np.maximum(count - 1, 1))
    return steps, mean, spread
