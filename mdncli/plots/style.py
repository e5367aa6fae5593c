"""Style of all figures: colours, fonts, panels, titles, legends, and rendering to PNG.

Nothing here uses pyplot or changes `matplotlib.rcParams`: figures are made and saved
inside an explicit context, so that a user's matplotlibrc changes neither look nor bytes.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    ScalarFormatter,
)

if TYPE_CHECKING:
    from mdncli.plots.subject import Subject

DPI = 200

INK = "#20242c"
MUTED = "#6b7280"
FAINT = "#e7e9ed"
SLATE = "#3f4a5a"
DATA = "#9aa1ac"
MODEL = "#0072b2"
MARK = "#d55e00"

DASHED = (0, (4, 2))
DOTTED = (0, (1, 1.5))

SUBJECTS = (MODEL, MARK, "#009e73", "#a3558b", "#e69f00", "#56b4e9")
"""One colour per run, safe for colour blindness (after Okabe and Ito)."""

DENSITY = LinearSegmentedColormap.from_list(
    "mdncli-density",
    (
        "#ffffff",
        "#ddf6f9",
        "#b8e8f2",
        "#94d7eb",
        "#75c4e4",
        "#5caed9",
        "#4d98cc",
        "#4481ba",
        "#406aa4",
        "#3b5389",
        "#343d6c",
        "#2b2b50",
        "#1f1b35",
    ),
)
"""White to dark blue in equal steps of perceived colour (CIELAB), so that zero is white."""

COUNTS = LinearSegmentedColormap.from_list("mdncli-counts", DENSITY(np.linspace(0.12, 1.0, 256)))
"""`DENSITY` without its lightest colours, so that a count of one is visible."""

CHARACTERS_PER_INCH = 12
"""Characters per inch at the size of labels."""

LARGE, SHORT, HUGE = 1e4, 1e7, 1e15
"""Numbers have separators of thousands from the first, units (M for millions) from the second, and
exponents from the third."""

_LEGIBLE = 12
"""Least characters of a category's name at a horizontal label."""

_UPRIGHT = 0.19
"""Distance of vertical labels, in inches."""

_DAY = 86_400
"""Seconds per day."""

_DATES = (-719_162.0, 2_932_896.0)
"""First and last day of the years 1 to 9999, from 1970."""

_TITLE_HEIGHT = 0.36
_LEGEND_LINE = 0.21

_SETTINGS: dict[Any, Any] = {
    # All other settings are matplotlib's defaults, not the user's matplotlibrc.
    **{k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")},
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.formatter.limits": (-3, 5),
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.titlesize": 10,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": FAINT,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    # Column names are text, not TeX: a dollar sign must not start a formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "xtick.major.size": 3,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
    "ytick.major.size": 3,
}


def apply_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: run a function that makes a figure inside the style's context."""

    @functools.wraps(draw)
    def inside(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return inside


def png(figure: Figure) -> bytes:
    """The figure as a PNG image; the same figure gives the same bytes."""
    image = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            figure.savefig(image, format="png", dpi=DPI, metadata={"Software": None})
        # Characters that the font lacks are drawn as boxes, without a warning. To look for them is
        # slow, as all texts are made once more, and done only if there was a warning.
        boxes = bool(heard) and not _has_all_glyphs(figure)
    for each in heard:
        if not (boxes and issubclass(each.category, UserWarning)):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return image.getvalue()


def _has_all_glyphs(figure: Figure) -> bool:
    """Test that the font has a glyph for every character in a figure."""
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    foreign = {char for char in "".join(texts) if not char.isascii()}
    font = get_font(findfont(FontProperties(family=_SETTINGS["font.family"])))
    return all(font.get_char_index(ord(char)) for char in foreign)


# ------------------------------------------------------------------------------------ panels


def panels(rows: int, columns: int, *, aspect: float = 0.68) -> tuple[Figure, np.ndarray]:
    """Make a figure of `rows` x `columns` panels, smaller if many, and its axes (rows, columns)."""
    width = min({1: 6.4, 2: 4.2, 3: 3.1}.get(columns, 2.6), 4.9 / aspect)
    figure = Figure(figsize=(width * columns, width * aspect * rows), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax in grid.flat:
        ax.xaxis.set_major_locator(ticks(2.0 * width))
        ax.yaxis.set_major_locator(ticks(3.0 * width * aspect))
        ax.xaxis.set_major_formatter(_PlainFormatter())
        ax.yaxis.set_major_formatter(_PlainFormatter())
    return figure, grid


def wrap_panels(count: int, *, aspect: float = 0.68) -> tuple[Figure, list[Axes]]:
    """Make `count` panels like `panels`, in reading order."""
    columns = 2 if count in (2, 4) else min(count, 3)
    figure, grid = panels(math.ceil(count / columns), columns, aspect=aspect)
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def head(
    figure: Figure,
    subjects: Sequence[Subject],
    what: str,
    legend_of: Axes | None = None,
) -> None:
    """Put a title, and a legend of one panel's labelled artists, above all panels.

    The figure grows accordingly, so that panels keep their size and nothing overlaps.

    Args:
        figure: with all its panels.
        subjects: a single one is named in the title.
        what: title of the figure.
        legend_of: the panel with the labelled artists; None for no legend.
    """
    width, height = figure.get_size_inches()
    handles, labels = legend_of.get_legend_handles_labels() if legend_of else ([], [])
    labels = [_fit_width(label, width - 0.7) for label in labels]
    columns = _columns([len(label) / CHARACTERS_PER_INCH + 0.55 for label in labels], width)
    # Matplotlib fills columns from top to bottom; entries are read line by line.
    order = [at for column in range(columns) for at in range(column, len(labels), columns)]
    handles, labels = [handles[at] for at in order], [labels[at] for at in order]
    top = _TITLE_HEIGHT + _LEGEND_LINE * math.ceil(len(labels) / columns)
    figure.set_size_inches(width, height + top)
    figure.align_ylabels()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, height / (height + top)))  # pyright: ignore[reportCallIssue]
    if len(subjects) == 1:
        # The title is set larger and bolder than other text.
        name = _fit_width(subjects[0].name, 0.8 * width - len(what) / CHARACTERS_PER_INCH)
        title = f"{name}: {what}"
    else:
        title = what[:1].upper() + what[1:]
    left, above = 0.09 / width, 1 - 0.09 / (height + top)
    figure.text(left, above, title, va="top", fontsize=11, fontweight="bold")
    if labels:
        legend = figure.legend(
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(left, 1 - _TITLE_HEIGHT / (height + top)),
            ncols=columns,
            frameon=False,
            handlelength=1.8,
            columnspacing=1.4,
            borderpad=0.0,
            borderaxespad=0.0,
        )
        legend.set_in_layout(False)
        for handle in legend.legend_handles:
            if isinstance(handle, Line2D):
                handle.set(alpha=1.0, markersize=max(handle.get_markersize(), 4.0))
            elif isinstance(handle, PathCollection):
                handle.set(alpha=1.0, sizes=[12.0])


def _columns(widths: Sequence[float], width: float) -> int:
    """Most columns of a legend in which its entries fit, line by line.

    >>> _columns([1.0, 1.0, 3.0, 1.0, 1.0], 6.0)
    4
    """
    every = range(len(widths), 1, -1)
    fitting = (n for n in every if sum(max(widths[k::n]) for k in range(n)) <= width)
    return next(fitting, 1)


def colorbar(
    figure: Figure, mapped: ScalarMappable, grid: np.ndarray, label: str, **kwargs: Any
) -> None:
    """Add a narrow colour bar with quantity and unit to the right of a column of panels."""
    axes = grid.ravel().tolist()
    rows = axes[-1].get_subplotspec().rowspan.stop - axes[0].get_subplotspec().rowspan.start
    bar = figure.colorbar(mapped, ax=axes, pad=0.02, aspect=28 * rows, **kwargs)
    bar.set_label(label)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.minorticks_off()


def label_axes(ax: Axes, x: str, y: str, dates: Collection[str] = ()) -> None:
    """Label the axes; long column names are shortened to the length of the axis.

    Args:
        ax: the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        dates: columns of dates, whose axes show seconds since 1970 as dates.
    """
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        if name in dates:
            show_dates(axis)
    ax.set_xlabel(_fit_width(x, 1.1 * ax.bbox.width / DPI))
    ax.set_ylabel(_fit_width(y, 1.1 * ax.bbox.height / DPI))


def categories(ax: Axes, labels: Sequence[str]) -> None:
    """Label x, indices of categories; vertically if the names are too long."""
    width = ax.bbox.width / DPI
    # Tick labels are smaller than axis labels.
    space = int(1.1 * CHARACTERS_PER_INCH * width / len(labels)) - 1
    if space >= min(_LEGIBLE, max(map(len, labels))):
        ax.set_xticks(range(len(labels)), [clean_text(label, space) for label in labels])
        return
    shown = range(0, len(labels), math.ceil(len(labels) * _UPRIGHT / width))
    ax.set_xticks(shown, [clean_text(labels[at], _LEGIBLE) for at in shown], rotation=90)


def remark(ax: Axes, text: str) -> None:
    """Write a short text into the panel's upper left corner, on a light background."""
    ax.annotate(
        text,
        (0, 1),
        xycoords="axes fraction",
        xytext=(6, -6),
        textcoords="offset points",
        va="top",
        bbox={
            "boxstyle": "round,pad=0.25",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.85,
        },
    )


def ticks(count: float, **kwargs: Any) -> MaxNLocator:
    """Locator of about `count` ticks at round values, 3 to 8."""
    return MaxNLocator(int(np.clip(count, 3, 8)), steps=[1, 2, 5, 10], **kwargs)


class _PlainFormatter(ScalarFormatter):
    """Large numbers as `500,000`, or `0.5 M` where they are larger or longer than their space."""

    _has_offset = True

    def get_offset(self) -> str:
        return super().get_offset() if self._has_offset else ""

    def format_ticks(self, values: Any) -> list[str]:
        plain = super().format_ticks(values)
        axis: Any = self.axis
        low, high = axis.get_view_interval()
        most = max(abs(low), abs(high))
        step = float(np.diff(values).min(initial=most))
        # Values that differ in their last digits only keep the offset of matplotlib.
        self._has_offset = not (LARGE <= most < HUGE and step >= 1e-5 * most)
        if self._has_offset:
            return plain
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        texts = [f"{value:,.{digits}f}" for value in values]
        # Labels of y are one above the other, those of x side by side.
        inches = axis.axes.bbox.width / DPI * step / max(high - low, step)
        longest = max(map(len, texts), default=0) + 1
        room = axis.axis_name == "y" or longest < 1.1 * CHARACTERS_PER_INCH * inches
        if most >= SHORT or not room:
            return [_shorten(value) for value in values]
        return [text.replace("-", "\N{MINUS SIGN}") for text in texts]


def _shorten(value: float) -> str:
    return EngFormatter(sep=" ", usetex=False)(value)


def show_dates(axis: Axis) -> None:
    """Show the values of an axis, seconds since 1970, as dates."""
    locator = _SecondsLocator(minticks=2, maxticks=4)
    axis.set_major_locator(locator)
    axis.set_major_formatter(_SecondsFormatter(locator))


class _SecondsLocator(AutoDateLocator):
    """Locator of matplotlib, which counts days, for seconds."""

    def __call__(self) -> np.ndarray:
        ends = np.array(self.axis.get_view_interval())  # pyright: ignore
        first, last = num2date(np.clip(ends / _DAY, *_DATES))
        return np.asarray(self.tick_values(first, last)) * _DAY


class _SecondsFormatter(ConciseDateFormatter):
    """Formatter of matplotlib, which counts days, for seconds."""

    def format_ticks(self, values: list[float]) -> list[str]:
        return super().format_ticks([value / _DAY for value in values])


def make_logarithmic(ax: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    ax.set(**{f"{which}scale": "log"})
    axis = ax.yaxis if which == "y" else ax.xaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "g")))
    axis.set_minor_locator(NullLocator())


def clean_text(text: str, limit: int = 32) -> str:
    r"""Name of a column or run for drawing: one line, without control characters, shortened.

    >>> clean_text("Blast Furnace Slag\n(component 2)(kg in a m^3 mixture)")
    'Blast Furnace…in a m^3 mixture)'
    """
    text = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    if len(text) <= limit:
        return text
    tail = max(0, limit - 1) * 3 // 5
    return f"{text[: limit - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def _fit_width(text: str, inches: float) -> str:
    return clean_text(text, max(8, int(inches * CHARACTERS_PER_INCH)))


# ------------------------------------------------------------------------------------ points


MOST_POINTS = 20_000
"""Most rows drawn as points; more are counted in hexagons."""

ABSURD = 8.0
"""Axes leave out values this many times the range of the central 98% beyond it."""

LEAST_ROBUST = 20
"""Fewest values of which a single one may be left out by an axis."""

MOST_OVERLAID = 5_000
"""Most points drawn over others; more are subsampled."""


def rows(ax: Axes, x: np.ndarray, y: np.ndarray, *, color: str, label: str | None = None) -> None:
    """Draw all rows (x, y), both (N,): as points, or counted in hexagons if they are many."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= MOST_POINTS:
        points(ax, x, y, color=color, label=label)
    else:
        extent = (*span(x), *span(y))
        ax.hexbin(x, y, gridsize=70, extent=extent, mincnt=1, linewidths=0, cmap=COUNTS)


def count_bar(figure: Figure, grid: np.ndarray) -> None:
    """Give all hexagons of `rows` the same colours, and a colour bar where there are any."""
    hexagons = [c for ax in grid.flat for c in ax.collections if isinstance(c, PolyCollection)]
    if hexagons:
        most = max(float(np.asarray(cells.get_array()).max()) for cells in hexagons)
        norm = LogNorm(1.0, max(2.0, most))
        for cells in hexagons:
            cells.set_norm(norm)
        colorbar(figure, hexagons[0], grid, "rows per hexagon", format="{x:,.0f}")


def points(ax: Axes, x: np.ndarray, y: np.ndarray, *, color: str, label: str | None = None) -> None:
    """Scatter (x, y), both (N,): smaller and more transparent if many."""
    count = max(len(x), 1)
    ax.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=marker_size(ax, count),
        markeredgewidth=0,
        color=color,
        alpha=float(np.clip(1.5 * count**-0.14, 0.3, 0.95)),
        label=label,
    )


def marker_size(ax: Axes, count: int) -> float:
    """Diameter of points, in typographic points: smaller if many."""
    zoom = math.sqrt(ax.bbox.width / DPI / 5.5)
    return zoom * float(np.clip(9.0 * max(count, 1) ** -0.18, 1.3, 6.0))


def sample_rows(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Select the same rows of several columns (N,): finite ones, at most `MOST_OVERLAID`."""
    keep = np.flatnonzero(np.all([np.isfinite(column) for column in columns], axis=0))
    if len(keep) > MOST_OVERLAID:
        keep = np.sort(np.random.default_rng(0).choice(keep, MOST_OVERLAID, replace=False))
    return tuple(column[keep] for column in columns)


def number(value: float, form: str = ".6g") -> str:
    """Format a number for a title or a legend, with a true minus sign; large ones without exponent.

    >>> number(-7.5), number(-1.2345, ".2f"), number(150_712.3, ".4g"), number(12e6)
    ('−7.5', '−1.23', '150,700', '12 M')
    """
    text = format(value, form)
    if LARGE <= abs(value) < HUGE and form.endswith("g"):
        rounded = float(text)
        text = f"{rounded:,.10g}" if abs(value) < SHORT else _shorten(rounded)
    return text.replace("-", "\N{MINUS SIGN}")


def count_label(what: str, shown: int, total: int, table: int = 0) -> str:
    """Legend label of points, with the number of those drawn.

    Args:
        what: noun for the points.
        shown: number of those drawn.
        total: number of all of them.
        table: number of rows of the table that they are a part of, if they are.

    >>> count_label("data", 3000, 3000), count_label("draws", 5000, 1_000_000)
    ('data (3,000)', 'draws (5,000 of 1,000,000)')
    >>> count_label("training rows", 5000, 7000, 9000)
    'training rows (7,000 of 9,000, 5,000 drawn)'
    """
    if total < table:
        drawn = f", {shown:,} drawn" if shown < total else ""
        return f"{what} ({total:,} of {table:,}{drawn})"
    return f"{what} ({shown:,} of {total:,})" if shown < total else f"{what} ({total:,})"


def span(*values: np.ndarray, pad: float = 0.04) -> tuple[float, float]:
    """Axis limits that hold all values, or all but a few extreme ones.

    Args:
        values: of any shape; those that are not finite do not count.
        pad: padding on either side, as a share of the range.

    >>> span(np.arange(101.0))
    (-4.0, 104.0)
    >>> span(np.append(np.arange(101.0), [1e9, np.nan]))
    (-4.0, 104.0)
    >>> span(np.append(np.arange(51.0), 1e9))
    (-2.0, 52.0)
    """
    joined = np.concatenate([np.ravel(value) for value in values])
    joined = joined[np.isfinite(joined)]
    if len(joined) == 0:
        return 0.0, 1.0
    # Towards the centre, so that among a hundred values a single wild one is not interpolated in.
    inwards = len(joined) >= LEAST_ROBUST
    inner_low = np.quantile(joined, 0.01, method="higher" if inwards else "linear")
    inner_high = np.quantile(joined, 0.99, method="lower" if inwards else "linear")
    reach = ABSURD * (inner_high - inner_low)
    if reach > 0:
        joined = joined[(joined >= inner_low - reach) & (joined <= inner_high + reach)]
    low, high = float(joined.min()), float(joined.max())
    margin = pad * (high - low) if high > low else 0.05 * (abs(low) or 1.0)
    return low - margin, high + margin
