"""A dry run: how much there is to do, how long that takes, how much it writes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mdncli.commands.answer import Answer, Table
from mdncli.sweep.probe import probe
from mdncli.sweep.stacks import Library, PendingTrial, stacked


def foreseen(
    known: int, pending: Sequence[PendingTrial], left: int, library: Library, workers: int
) -> Answer:
    """What is still to be done of a sweep, how long that takes and how much it writes.

    Args:
        known: trials that it has so far.
        pending: those of them that are to be trained.
        left: how many are to be trained in all; those that are not known yet will be like others.
        library: their data.
        workers: who share them.
    """
    stacks = stacked("", pending, workers)
    estimate = probe(stacks, library, workers)
    scale = left / len(pending) if pending else 1.0
    seconds, size = estimate.seconds * scale, estimate.bytes * scale
    document = {
        "trials": known + left - len(pending),
        "pending": left,
        "stacks": len(stacks),
        "workers": workers,
        "seconds": round(seconds, 1),
        "bytes": round(size),
    }
    shapes: dict[str, list[int]] = {}
    for stack in stacks:
        shapes.setdefault(stack.label, []).append(len(stack.trials))
    rows = [(label, f"{sum(n):,}", f"{len(n):,}") for label, n in shapes.items()]
    caption = (
        f"{workers} process{'es' * (workers > 1)}, about {duration(seconds)} "
        f"and {size / 1e6:,.1f} MB; nothing was trained"
    )
    return Answer(
        document=document,
        tables=[Table("To be trained", ("shape", "trials", "stacks"), rows, caption)],
    )


def duration(seconds: float) -> str:
    """A time in the unit that people would use.

    >>> duration(4.2), duration(150), duration(7200)
    ('4 s', '2.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{max(1, math.ceil(seconds))} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
