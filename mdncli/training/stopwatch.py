"""Where the time of a command goes, part by part; nobody who does not ask for it pays for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

PARTS = (
    "start-up",
    "data",
    "batches",
    "forward",
    "loss",
    "backward",
    "optimizer",
    "validation",
    "saving",
    "results",
)
"""The parts that are told apart; the rest is `other`."""


class Stopwatch:
    """Seconds spent in each part of a command; it starts with the process.

    >>> watch = Stopwatch()
    >>> with watch.during("data"):
    ...     _ = sum(range(1000))
    >>> watch.seconds["data"] > 0, watch.report()["total"] > 0
    (True, True)
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._began = perf_counter() - _process_age()
        self._settle: Callable[[], object] | None = None

    def started(self) -> None:
        """Says that everything so far but the data was start-up."""
        self.seconds["start-up"] = perf_counter() - self._began - self.seconds["data"]

    def settle_with(self, settle: Callable[[], object]) -> None:
        """Waits with this for a device before a time is taken: its work goes on by itself."""
        self._settle = settle

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Counts what is done meanwhile."""
        began = self._now()
        try:
            yield
        finally:
            self.seconds[part] += self._now() - began

    def over(self, whom: object, **parts: str) -> None:
        """Counts calls of an object's methods from now on, as method=part."""
        for method, part in parts.items():
            setattr(whom, method, self._timed(part, getattr(whom, method)))

    def report(self) -> dict[str, float]:
        """Seconds of every part, of the rest and in total."""
        total = perf_counter() - self._began
        return {**self.seconds, "other": total - sum(self.seconds.values()), "total": total}

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.during(part):
                return function(*args, **kwargs)

        return timed

    def _now(self) -> float:
        if self._settle is not None:
            self._settle()
        return perf_counter()


def _process_age() -> float:
    """Seconds since this process began; 0 where the system does not tell."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
