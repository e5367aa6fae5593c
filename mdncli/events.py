"""What the rooms below say while they work; whoever listens decides how it looks.

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
    """How many bytes of a file of data have been read, about ten times a second."""

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
    """Where training stands; NLLs are means over the stack, in the target's own units."""

    step: int
    steps: int
    epoch: int
    nll_train: float | None
    nll_validation: float | None


@dataclass(frozen=True)
class TrainingEnded:
    """The stack is done, whatever became of its runs."""

    seconds: float


Event = (
    Note
    | Warned
    | ReadingProgress
    | ReadingEnded
    | TrainingStarted
    | TrainingProgress
    | TrainingEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener for callers that want silence.

    >>> ignore(Note("nobody hears this"))
    """
