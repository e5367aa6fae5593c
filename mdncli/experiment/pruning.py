"""Pruning: bounds on the validation NLL at some epochs, above which a run stops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Bars = Mapping[int, float]
"""Epoch -> limit: a run stops there if its lowest validation NLL so far is above the limit."""

MetricRecords = Sequence[Mapping[str, Any]]


def best_until(history: MetricRecords, epoch: int) -> float | None:
    """Lowest validation NLL up to an epoch; None if the run has not reached it.

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


def pruned_epoch(history: MetricRecords, bars: Bars) -> int | None:
    """First epoch at which a run exceeds its bound; None if it continues.

    >>> history = [{"epoch": e, "nll_validation": 3.0 - e} for e in range(5)]
    >>> pruned_epoch(history, {1: 2.5, 3: -0.5}), pruned_epoch(history, {1: 2.5, 3: 0.5})
    (3, None)
    """
    for epoch, bar in sorted(bars.items()):
        best = best_until(history, epoch)
        if best is not None and best > bar:
            return epoch
    return None
