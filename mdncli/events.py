"""Events of the rooms below while they work; a listener decides how they look.

A listener is any callable that takes one of these. They live on the ground floor so that the
console can draw a training run without importing the room that does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
class RunBegun:
    """A run of the stack begins to train, or goes on from a step that is not the first.

    What is later than that step in the run's metrics, of a training that was interrupted, is gone.
    """

    folder: Path
    step: int


@dataclass(frozen=True)
class RunMeasured:
    """Records of validations of a run, as they have been appended to its metrics just now."""

    folder: Path
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunEnded:
    """A run has its result, the keys of `train --json`, whatever its `status` is."""

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
    | RunBegun
    | RunMeasured
    | RunEnded
    | SweepProgress
    | SweepEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener for callers that want silence.

    >>> ignore(Note("nobody hears this"))
    """


def fanned_out(listener: Listener, others: Mapping[str, Listener]) -> Listener:
    """Send every event to a listener, and then to each of others.

    One of the others that fails hears nothing more; the listener is warned of it, once.

    Args:
        listener: hears everything; its own faults are not caught.
        others: what they are called -> the other listeners.

    >>> heard = []
    >>> hear = fanned_out(heard.append, {"a broken one": lambda event: 1 / 0})
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
