"""Marginal distributions of the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style

MOST_COLUMNS = 24
"""Most panels; further columns are left out, and counted in the title."""

MOST_BARS = 12
"""Most categories with a bar of their own."""


@dataclass(frozen=True)
class Marginal:
    """Values of one column.

    Args:
        name: the column, with its unit where there is one.
        values: numbers, or seconds since 1970 of dates, (N,), NaN where missing; empty for
            categories.
        counts: category -> number of rows; empty for numbers.
        dates: whether the values are dates.
        color: of its panel: that of the target stands out.
    """

    name: str
    values: np.ndarray
    counts: dict[str, int]
    dates: bool = False
    target: bool = False


@style.apply_style
def columns(source: str, marginals: Sequence[Marginal]) -> Figure:
    """Distribution of each column: a histogram of numbers and dates, bars of categories.

    Args:
        source: name of the table.
        marginals: the columns, at least one.
    """
    shown = marginals[:MOST_COLUMNS]
    figure, axes = style.wrap_panels(len(shown))
    for ax, each in zip(axes, shown, strict=True):
        color = style.MARK if each.target else style.MODEL
        _bars(ax, each, color) if each.counts else _histogram(ax, each, color)
    more = len(marginals) - len(shown)
    title = f"columns of {style.clean_text(source)}" + (f", {more} more not shown" if more else "")
    if any(each.target for each in shown):
        title += "; the target in orange"
    style.head(figure, (), title)
    return figure


def _histogram(ax: Axes, each: Marginal, color: str) -> None:
    values = each.values[np.isfinite(each.values)]
    low, high = style.span(values, pad=0.0)
    bins = int(np.clip(4 * len(values) ** (1 / 3), 8, 40))
    counts, edges = np.histogram(values, np.linspace(low, high, bins + 1))
    if each.dates:
        style.show_dates(ax.xaxis)
    ax.stairs(counts, edges, fill=True, color=color, alpha=0.75)
    ax.set_ylim(0, None)
    style.label_axes(ax, each.name, "rows")
    outside = int(np.count_nonzero((values < low) | (values > high)))
    if outside:
        style.remark(ax, f"{outside:,} far values not shown")


def _bars(ax: Axes, each: Marginal, color: str) -> None:
    ranked = sorted(each.counts.items(), key=lambda pair: -pair[1])
    kept = ranked[:MOST_BARS]
    if len(ranked) > MOST_BARS:
        kept = kept[:-1]
        rest = ranked[len(kept) :]
        kept.append((f"{len(rest):,} others", sum(count for _, count in rest)))
    ax.bar(range(len(kept)), [count for _, count in kept], color=color, alpha=0.75)
    style.categories(ax, [label for label, _ in kept])
    style.label_axes(ax, each.name, "rows")
