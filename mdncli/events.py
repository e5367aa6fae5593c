"""Events of the rooms below while they work; a listener decides how they look.

A listener is any callable that takes one of these. They live on the ground floor so that the
console can draw a training run without importing the room that does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something worth knowing, such as which run `@latest` meant."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something that will probably surprise, such as a constant column."""

    text: str


@dataclass(frozen=True)
class ReadingProgress:
    """Bytes of a file of data that have been read, about ten times a second."""

    source: str
    done: int
    total: int


@dataclass(frozen=True)
class ReadingEnded:
    """The file is read, or cannot be."""


@dataclass(frozen=True)
class TrainingStarted:
    """A stack begins to train: its size and how long it can get."""

    runs: tuple[str, ...]
    replicas: int
    steps: int
    step: int


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
    """The stack is done, whatever became of its runs."""

    seconds: float


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
        seconds_left: how long the rest will take; None where it cannot be told yet.
        best: the name of the best trial so far, or nothing.
        later: trials that will be chosen by what comes of these.
    """

    shapes: tuple[ShapeProgress, ...]
    share: float
    seconds_left: float | None
    best: str
    later: int = 0


@dataclass(frozen=True)
class SweepEnded:
    """Nothing more of the sweep is trained by this command."""


Event = (
    Note
    | Warned
    | ReadingProgress
    | ReadingEnded
    | TrainingStarted
    | TrainingProgress
    | TrainingEnded
    | SweepProgress
    | SweepEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener for callers that want silence.

    >>> ignore(Note("nobody hears this"))
    """
