"""Progress events; a listener decides how to show them.

A listener is any callable that takes one of these. They are at the bottom of the import order, so
that the console can show a training without importing the package that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Note:
    """An informative message, such as the run that `@latest` stands for."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A warning, such as of a constant column."""

    text: str


@dataclass(frozen=True)
class Activity:
    """Start of work that may take longer than half a second, such as "reading prices.csv".

    It lasts until the next event of this kind; an empty text says that output follows.
    """

    text: str


@dataclass(frozen=True)
class ReadingProgress:
    """Bytes of data that have been read, about ten times a second; None in total: unknown."""

    source: str
    done: int
    total: int | None


@dataclass(frozen=True)
class ReadingEnded:
    """End of reading a file, also after an error."""


@dataclass(frozen=True)
class TrainingStarted:
    """Start of the training of a stack: its size and its longest duration.

    Args:
        runs: names of their folders.
        replicas: number of networks.
        steps: number of steps at most.
        step: the step that it continues from.
        stops_early: whether networks may stop before that, out of patience.
    """

    runs: tuple[str, ...]
    replicas: int
    steps: int
    step: int
    stops_early: bool = False


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a stack; NLLs are means over it, in the target's own units."""

    step: int
    steps: int
    epoch: int
    nll_train: float | None
    nll_validation: float | None


@dataclass(frozen=True)
class TrainingEnded:
    """End of the training of a stack, also of one whose runs failed."""

    seconds: float


@dataclass(frozen=True)
class RunBegun:
    """Start of the training of a run, or its continuation from a later step.

    Metrics later than that step, of a training that was interrupted, have been dropped.
    """

    folder: Path
    step: int


@dataclass(frozen=True)
class RunMeasured:
    """Validation records of a run, just appended to its metrics."""

    folder: Path
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunEnded:
    """End of a run with its result, the keys of `train --json`, whatever its `status`."""

    folder: Path
    result: Mapping[str, Any]


@dataclass(frozen=True)
class ShapeProgress:
    """Progress of the trials of one shape."""

    label: str
    trials: int
    done: int
    running: int
    failed: int
    best: float | None


@dataclass(frozen=True)
class SweepProgress:
    """Progress of a sweep, about four times a second.

    Args:
        shapes: the trials by the shape of their stacks.
        share: how much of its work is done, from 0 to 1.
        seconds_left: how long the rest will take; None if unknown yet.
        best: the name of the best trial so far, or nothing.
        later: trials still to be chosen, from the results of these.
        activity: what happens before the first step of training; empty afterwards.
    """

    shapes: tuple[ShapeProgress, ...]
    share: float
    seconds_left: float | None
    best: str
    later: int = 0
    activity: str = ""


@dataclass(frozen=True)
class SweepEnded:
    """End of the training of a sweep by this command."""


Event = (
    Note
    | Warned
    | Activity
    | ReadingProgress
    | ReadingEnded
    | TrainingStarted
    | TrainingProgress
    | TrainingEnded
    | RunBegun
    | RunMeasured
    | RunEnded
    | SweepProgress
    | SweepEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listener that ignores all events.

    >>> ignore(Note("nobody hears this"))
    """


def fan_out(listener: Listener, others: Mapping[str, Listener]) -> Listener:
    """Listener that forwards every event to a listener and to each of others.

    If one of the others fails, it receives no more events; the listener gets one warning of it.

    Args:
        listener: receives everything; its own exceptions are not caught.
        others: name -> listener.

    >>> heard = []
    >>> hear = fan_out(heard.append, {"a broken one": lambda event: 1 / 0})
    >>> hear(Note("one")), hear(Note("two")), [type(event).__name__ for event in heard]
    (None, None, ['Note', 'Warned', 'Note'])
    """
    able = dict(others)

    def hear(event: Event) -> None:
        listener(event)
        for name, other in [*able.items()]:
            try:
                other(event)
            except Exception as error:
                del able[name]
                reason = str(error) or type(error).__name__
                listener(Warned(f"{name} failed and logs nothing more ({reason})"))

    return hear
