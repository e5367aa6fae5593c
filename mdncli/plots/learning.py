"""NLL on training and validation rows while a run was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdncli.plots import style
from mdncli.plots.subject import Subject

History = Sequence[Mapping[str, Any]]


@style.styled
def learning(*subjects: Subject) -> Figure:
    """The learning curve: training thin, validation bold, the best validation marked.

    Replicas are hairlines around their mean. The exact density's NLL, where it is known, is the
    floor that only luck gets below. The axis leaves out the first plunge where that would flatten
    all the rest.

    Args:
        subjects: with `histories`, and perhaps `exact_nll`; several are drawn over one another.
    """
    lead = subjects[0]
    figure, (ax,) = style.wrapped(1, aspect=0.6)
    histories = [history for subject in subjects for history in subject.histories]
    key = "epoch" if all(_steps_per_epoch(history) for history in histories) else "step"
    for number, subject in enumerate(subjects):
        name = "" if len(subjects) == 1 else subject.name
        draw(ax, subject.histories, key, name=name, number=number)
    if not ax.lines:
        style.remark(ax, "no finite NLL yet")
    if lead.exact_nll is not None:
        ax.axhline(
            lead.exact_nll,
            color=style.INK,
            linewidth=1.1,
            linestyle=style.DASHED,
            label=f"exact {style.number(lead.exact_nll, '.3f')}",
        )
    ax.margins(x=0.02)
    ax.set_ylim(_limits(histories, lead.exact_nll))
    ax.xaxis.set_major_locator(style.ticks(8, integer=True, min_n_ticks=1))
    style.named(ax, key, "NLL (nats per row)")
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
        key: what runs along the axis, `epoch` or `step`.
        name: of the subject, where there are several.
        number: of the subject, which gives it a colour.
    """
    color = style.SUBJECTS[number % len(style.SUBJECTS)]
    training = _curves(histories, key, "nll_train")
    if training:
        # Alone, training has its own colour; beside other subjects colours tell those apart.
        look = (
            {"color": color, "alpha": 0.6} if name else {"color": style.MARK, "label": "training"}
        )
        _line(ax, *_mean(training), linewidth=1.0, **look)
    validation = _curves(histories, key, "nll_validation")
    if not validation:
        return
    if len(validation) > 1:
        for x, nll in validation:
            _line(ax, x, nll, color=color, linewidth=0.6, alpha=0.4)
    x, nll = _mean(validation)
    best = int(nll.argmin())
    what = "best" if len(validation) == 1 else "best mean"
    found = f"{what} {style.number(nll[best], '.3f')} at {key} {x[best]:,.0f}"
    label = f"{name}, {found}" if name else "validation"
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


def _line(ax: Axes, x: np.ndarray, nll: np.ndarray, **look: Any) -> None:
    # A single validation is no line yet, so it shows as a point.
    ax.plot(x, nll, marker="o" if len(x) == 1 else "", markersize=4, **look)


def _steps_per_epoch(history: History) -> float | None:
    """Steps in an epoch, if all validations but the last, which ends training, end epochs."""
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
    """The finite points (x, NLL) of every replica that has any."""
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
    """Mean at every x over the replicas that were still training there."""
    x, at = np.unique(np.concatenate([x for x, _ in curves]), return_inverse=True)
    return x, np.bincount(at, np.concatenate([nll for _, nll in curves])) / np.bincount(at)


def _limits(histories: Sequence[History], floor: float | None) -> tuple[float, float]:
    curves = [_curves(histories, "step", field) for field in ("nll_train", "nll_validation")]
    values = np.concatenate(
        [[] if floor is None else [floor], *(c[1] for cs in curves for c in cs)]
    )
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    usual = low + 3.0 * (float(np.quantile(values, 0.9)) - low)
    high = min(high, usual) if usual > low else high
    margin = 0.06 * (high - low) or max(abs(low), 1.0) * 0.1
    return low - margin, high + margin
