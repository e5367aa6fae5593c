"""Whether a run is worth going on with: bars that its validation NLL has to pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Bars = Mapping[int, float]
"""Epoch -> the highest NLL on validation rows, the best until then, with which a run goes on."""

History = Sequence[Mapping[str, Any]]


def best_until(history: History, epoch: int) -> float | None:
    """The lowest validation NLL until an epoch; None of a run that has not come so far.

    >>> history = [{"epoch": e, "nll_validation": nll} for e, nll in ((1, 3.0), (2, 2.0), (3, 2.5))]
    >>> best_until(history, 3), best_until(history, 4)
    (2.0, None)
    """
    known: list[float] = []
    for record in history:
        nll = record.get("nll_validation")
        known.append(math.inf if nll is None else nll)
        if record["epoch"] >= epoch:
            return min(known)
    return None


def stopped_at(history: History, bars: Bars) -> int | None:
    """The first epoch at which a run has failed its bar; None of one that goes on.

    >>> history = [{"epoch": e, "nll_validation": 3.0 - e} for e in range(5)]
    >>> stopped_at(history, {1: 2.5, 3: -0.5}), stopped_at(history, {1: 2.5, 3: 0.5})
    (3, None)
    """
    for epoch, bar in sorted(bars.items()):
        best = best_until(history, epoch)
        if best is not None and best > bar:
            return epoch
    return None
