"""Profiling: seconds spent in each phase of a command, measured only where asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

PHASES = (
    "start-up",
    "data",
    "batches",
    "forward",
    "loss",
    "backward",
    "optimizer",
    "validation",
    "waiting",
    "saving",
    "results",
)
"""Phases that are measured separately; the rest is `other`. Workers wait for each other, and for
the process that drives them."""


class Profiler:
    """Seconds spent in each phase of a command, from the start of the process.

    >>> profiler = Profiler()
    >>> with profiler.measure("data"):
    ...     _ = sum(range(1000))
    >>> profiler.seconds["data"] > 0, profiler.report()["total"] > 0
    (True, True)
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._began = perf_counter() - _process_age()
        self._synchronise: Callable[[], object] | None = None
        self._computed = self._waited = 0.0
        self.cores: float | None = None
        """Mean number of cores in use during training; None before."""

    def end_start_up(self) -> None:
        """Count all time so far, except reading data, as start-up."""
        self.seconds["start-up"] = perf_counter() - self._began - self.seconds["data"]

    def synchronise_with(self, synchronise: Callable[[], object]) -> None:
        """Wait for a device by this function whenever a time is taken: it works asynchronously."""
        self._synchronise = synchronise

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Count the time of the block for a phase."""
        began = self._now()
        try:
            yield
        finally:
            self.seconds[phase] += self._now() - began

    def measure_calls(self, owner: object, **phases: str) -> None:
        """Count the calls of an object's methods from now on, given as method=phase."""
        for method, phase in phases.items():
            setattr(owner, method, self._with_timer(phase, getattr(owner, method)))

    def count_task(self, seconds: float, phases: Mapping[str, float], workers: int) -> None:
        """Count what a worker process has done: of each phase the mean over all of them.

        Args:
            seconds: of its processor.
            phases: of these, the seconds of each phase.
            workers: the number of processes.
        """
        self._computed += seconds
        self._waited -= seconds / workers
        for phase, spent in phases.items():
            self.seconds[phase] += spent / workers

    @contextmanager
    def wait_for_workers(self) -> Iterator[None]:
        """Count the block as waiting, as far as the workers do not compute meanwhile."""
        began = perf_counter()
        try:
            yield
        finally:
            self._waited += perf_counter() - began

    @contextmanager
    def count_cores(self) -> Iterator[None]:
        """Count the cores that the block uses, in this process and in workers."""
        began, spent = perf_counter(), time.process_time()
        try:
            yield
        finally:
            own = time.process_time() - spent
            self.cores = (own + self._computed) / (perf_counter() - began)

    def report(self) -> dict[str, float]:
        """Seconds of every phase, of the rest and in total."""
        total = perf_counter() - self._began
        seconds = {**self.seconds, "waiting": max(0.0, self._waited)}
        # While checkpoints are saved the workers go on: only the rest of that time was lost.
        seconds["saving"] = max(0.0, seconds["saving"] + min(0.0, self._waited))
        return {**seconds, "other": total - sum(seconds.values()), "total": total}

    def _with_timer(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.measure(phase):
                return function(*args, **kwargs)

        return timed

    def _now(self) -> float:
        if self._synchronise is not None:
            self._synchronise()
        return perf_counter()


def _process_age() -> float:
    """Seconds since this process began; 0 where the system does not tell."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
