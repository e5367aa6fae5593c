"""Forecast of a sweep: remaining trials, time and disk space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdncli.sweep.probe import probe
from mdncli.sweep.stacks import Library, PendingTrial, build_stacks


@dataclass(frozen=True)
class Forecast:
    """Remaining work of a sweep.

    Args:
        trials: of the sweep, including those not known yet.
        pending: trials to be trained.
        shapes: label of a shape -> numbers of trials in its stacks.
        workers: processes that share the stacks.
        seconds: of wall-clock time.
        bytes: of disk.
    """

    trials: int
    pending: int
    shapes: Mapping[str, Sequence[int]]
    workers: int
    seconds: float
    bytes: float

    def document(self) -> dict[str, Any]:
        """The forecast as JSON."""
        return {
            "trials": self.trials,
            "pending": self.pending,
            "stacks": sum(map(len, self.shapes.values())),
            "workers": self.workers,
            "seconds": round(self.seconds, 1),
            "bytes": round(self.bytes),
        }


def forecast(
    known: int, pending: Sequence[PendingTrial], left: int, library: Library, workers: int
) -> Forecast:
    """Forecast the remaining work, from a few steps of its stacks.

    Args:
        known: trials that the sweep has so far.
        pending: those of them to be trained.
        left: total number of trials to be trained; unknown ones are assumed to be like the others.
        library: their data.
        workers: number of processes.
    """
    stacks = build_stacks("", pending, workers)
    estimate = probe(stacks, library, workers)
    scale = left / len(pending) if pending else 1.0
    shapes: dict[str, list[int]] = {}
    for stack in stacks:
        shapes.setdefault(stack.label, []).append(len(stack.trials))
    return Forecast(
        trials=known + left - len(pending),
        pending=left,
        shapes=shapes,
        workers=workers,
        seconds=estimate.seconds * scale,
        bytes=estimate.bytes * scale,
    )
