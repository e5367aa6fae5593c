"""Learning curves: NLL on training and validation rows during training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.subject import History, Subject

BEGINNING = 0.1
"""Share of the steps, the first ones, that may lie above the axis."""

HEADROOM = 1.6
"""Largest height of the axis, relative to the range of the curves after the beginning."""


@style.apply_style
def learning(*subjects: Subject) -> Figure:
    """Learning curve: training thin, validation bold, the best validation marked.

    Networks of an ensemble are hairlines around their mean, each with a dot at its own best, whose
    weights are kept; the mean counts a network that has stopped at its last value. The NLL of the
    ensemble is a line of its own, usually below their mean. The exact density's NLL, if known, is a
    line too; it is computed on the test rows, so that sampling noise may put curves below it. The
    axis leaves out the initial decrease where that would flatten the rest.

    Args:
        subjects: with `histories`, and perhaps `validation_nll` and `exact_nll`; several are drawn
            over one another.
    """
    lead = subjects[0]
    figure, (ax,) = style.wrap_panels(1, aspect=0.6)
    histories = [history for subject in subjects for history in subject.histories]
    key = "epoch" if all(_steps_per_epoch(history) for history in histories) else "step"
    for number, subject in enumerate(subjects):
        name = "" if len(subjects) == 1 else subject.name
        draw(ax, subject.histories, key, name=name, number=number)
    known = [lead.exact_nll] if lead.exact_nll is not None else []
    if len(subjects) == 1 and lead.validation_nll is not None and ax.collections:
        known.append(lead.validation_nll)
        ax.axhline(
            lead.validation_nll,
            color=style.MODEL,
            linewidth=1.4,
            linestyle=style.DOTTED,
            label=f"validation, ensemble {style.number(lead.validation_nll, '.3f')}",
        )
    if not ax.lines:
        style.remark(ax, "no finite NLL yet")
    if lead.exact_nll is not None:
        ax.axhline(
            lead.exact_nll,
            color=style.INK,
            linewidth=1.1,
            linestyle=style.DASHED,
            label=f"exact, test rows {style.number(lead.exact_nll, '.3f')}",
        )
    ax.margins(x=0.02)
    ax.set_ylim(_limits(histories, known))
    ax.xaxis.set_major_locator(style.ticks(8, integer=True, min_n_ticks=1))
    style.label_axes(ax, key, "NLL (nats per row)")
    what = "learning curve" if len(subjects) == 1 else "learning curves, training thin"
    style.head(figure, subjects, what, ax)
    return figure


def draw(
    ax: Axes, histories: Sequence[History], key: str, *, name: str = "", number: int = 0
) -> None:
    """Draw the histories of one subject's replicas.

    Args:
        ax: where to draw.
        histories: records with `step`, `epoch`, `nll_train` and `nll_validation`.
        key: key of the horizontal axis, `epoch` or `step`.
        name: of the subject, where there are several.
        number: of the subject, which gives it a colour.
    """
    color = style.SUBJECTS[number % len(style.SUBJECTS)]
    training = _curves(histories, key, "nll_train")
    if training:
        # Alone, training has its own colour; with several subjects colours distinguish these.
        look = {"color": color, "alpha": 0.6}
        if not name:
            look = {"color": style.MARK, "label": f"training{_of_members(training)}"}
        _line(ax, *_mean(training), linewidth=1.0, **look)
    validation = _curves(histories, key, "nll_validation")
    if not validation:
        return
    if len(validation) > 1:
        for x, nll in validation:
            _line(ax, x, nll, color=color, linewidth=0.6, alpha=0.4)
        bests = np.array([(x[nll.argmin()], nll.min()) for x, nll in validation])
        said = None if name else "best of each network"
        ax.scatter(*bests.T, s=14, color=color, alpha=0.7, linewidths=0, zorder=4, label=said)
    x, nll = _mean(validation)
    best = int(nll.argmin())
    what = "best" if len(validation) == 1 else "best mean"
    found = f"{what} {style.number(nll[best], '.3f')} at {key} {x[best]:,.0f}"
    label = f"{name}, {found}" if name else f"validation{_of_members(validation)}"
    _line(ax, x, nll, color=color, linewidth=2.0, label=label)
    ax.plot(
        x[best],
        nll[best],
        linestyle="none",
        marker="o",
        markersize=7,
        markerfacecolor="white",
        markeredgecolor=color,
        markeredgewidth=1.8,
        zorder=5,
        label=None if name else found,
    )


def _of_members(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> str:
    """Words for a mean over networks, some of which may have stopped before the others.

    >>> long, short = (np.arange(n) for n in (9, 5))
    >>> _of_members([(long, long), (long, long)])
    ', mean of 2 networks'
    >>> _of_members([(long, long), (short, short)])
    ', mean of 2 networks (a stopped one at its last value)'
    """
    if len(curves) == 1:
        return ""
    ends = {float(x[-1]) for x, _ in curves}
    held = " (a stopped one at its last value)" if len(ends) > 1 else ""
    return f", mean of {len(curves)} networks{held}"


def _line(ax: Axes, x: np.ndarray, nll: np.ndarray, **look: Any) -> None:
    # A single validation is drawn as a point.
    ax.plot(x, nll, marker="o" if len(x) == 1 else "", markersize=4, **look)


def _steps_per_epoch(history: History) -> float | None:
    """Steps per epoch, if all validations but the last are at ends of epochs."""
    steps, epochs = (np.array([record[key] for record in history]) for key in ("step", "epoch"))
    regular = len(history) > 0 and epochs[0] > 0 and steps[0] > 0
    if not regular or np.any(steps[:-1] * epochs[0] != epochs[:-1] * steps[0]):
        return None
    if len(history) > 1 and steps[-1] * epochs[0] > epochs[-1] * steps[0]:
        return None
    return steps[0] / epochs[0]


def _curves(
    histories: Sequence[History], key: str, field: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Finite points (x, NLL) of every replica that has any."""
    points: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for number, history in enumerate(histories):
        unit = (_steps_per_epoch(history) or 1.0) if key == "epoch" else 1.0
        for record in history:
            members = record.get("members") or {"member": [0], field: [record.get(field)]}
            for member, nll in zip(members["member"], members[field], strict=True):
                if nll is not None and math.isfinite(nll):
                    points.setdefault((number, member), []).append((record["step"] / unit, nll))
    return [(curve[:, 0], curve[:, 1]) for curve in map(np.array, points.values())]


def _mean(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean at every x over the replicas, each at its latest value; before its first it is left out.

    Without the values of those that have stopped, the mean would jump where one stops.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> _mean([(x, np.array([3.0, 2.0, 1.0])), (x[:1], np.array([5.0]))])
    (array([1., 2., 3.]), array([4. , 3.5, 3. ]))
    """
    x = np.unique(np.concatenate([own for own, _ in curves]))
    total, count = np.zeros(len(x)), np.zeros(len(x))
    for own, nll in curves:
        latest = np.searchsorted(own, x, side="right") - 1
        begun = latest >= 0
        total[begun] += nll[latest[begun]]
        count += begun
    return x, total / count


def _limits(histories: Sequence[History], known: Sequence[float]) -> tuple[float, float]:
    """Limits of the axis: all values, but those of the beginning only up to `HEADROOM`."""
    fields = ("nll_train", "nll_validation")
    curves = [curve for field in fields for curve in _curves(histories, "step", field)]
    values = np.concatenate([known, *(nll for _, nll in curves)])
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    last = max((float(x[-1]) for x, _ in curves), default=0.0)
    settled = np.concatenate([known, *(nll[x > BEGINNING * last] for x, nll in curves)])
    if len(settled):
        spread = float(np.quantile(settled, 0.95)) - low
        high = min(high, low + HEADROOM * max(spread, 1e-3 * max(abs(low), 1.0)))
    margin = 0.06 * (high - low) or max(abs(low), 1.0) * 0.1
    return low - margin, high + margin
