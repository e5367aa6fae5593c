"""Trackers: listeners that log training elsewhere, listed here without importing any.

A new one is one file with a function that makes a listener, and one line in `TRACKERS`. It hears
`RunBegun`, `RunMeasured` and `RunEnded` of every run, with its folder, and may ignore other events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from mdncli.errors import UsageError

if TYPE_CHECKING:
    from mdncli.events import Listener


@dataclass(frozen=True)
class Tracker:
    """Entry of the registry of trackers.

    Args:
        function: makes the listener of one command, as `"module:function"`.
        description: where it logs to and what, in one line.
    """

    function: str
    description: str

    def load(self) -> Callable[[], Listener]:
        """Import the function that makes a listener."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)


TRACKERS: dict[str, Tracker] = {
    "csv": Tracker(
        "mdncli.trackers.csv:track",
        "metrics.csv in the run's folder, a row for each validation",
    ),
}
"""Name -> tracker."""


def require(names: Sequence[str]) -> None:
    """Refuse unknown names of trackers.

    Raises:
        UsageError: there is no tracker of a name.
    """
    for name in names:
        if name not in TRACKERS:
            from mdncli.config.scalars import nearest

            guess = nearest(name, TRACKERS)
            hint = f"did you mean {guess}?" if guess else f"choose from {', '.join(TRACKERS)}"
            raise UsageError(f"--track {name}: no such tracker", hint=hint)


def with_trackers(listener: Listener, names: Sequence[str]) -> Listener:
    """Listener that also sends its events to trackers; a failing tracker stops nothing else.

    Args:
        listener: receives everything first, and a warning about a tracker that fails.
        names: keys of `TRACKERS`.

    Raises:
        UsageError: there is no tracker of a name.
    """
    require(names)
    if not names:
        return listener
    from mdncli.events import fan_out

    return fan_out(listener, {f"--track {name}": TRACKERS[name].load()() for name in names})
