"""The way of an answer to the terminal: the only place that prints one and takes its exit code."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from mdncli import interrupts, machine
from mdncli.errors import UsageError
from mdncli.events import Activity, Warned

if TYPE_CHECKING:
    from mdncli.console import Console
    from mdncli.present.answer import Answer


def answering(command: Callable[..., Answer]) -> Callable[..., None]:
    """Print the answer that a command returns and exit with its code.

    The command's own options say in which form: `quiet`, `as_json`, `as_csv`, and `output` where
    it is a table that may go to stdout.
    """

    @wraps(command)
    def answered(**options: Any) -> None:
        as_json = options.get("as_json", False)
        if as_json and options.get("as_csv"):
            raise UsageError("--csv and --json are two forms of one answer", hint="leave one out")
        if as_json and options.get("output") == "-":
            raise UsageError("--json and -o - both want stdout", hint="name a file with -o")
        from mdncli.console import Console

        machine.keep_freed_memory()
        answer = command(**options)
        interrupts.ignore_signals()  # half an answer would not say that it is one
        raise typer.Exit(Console(quiet=options["quiet"], as_json=as_json).answer(answer))

    return answered


def listener(quiet: bool) -> Console:
    """The terminal as the listener of a command: notes, warnings and progress on stderr."""
    from mdncli.console import Console

    return Console(quiet=quiet)


def starting(quiet: bool) -> Console:
    """The listener of a command that takes a while, told so before the command is imported."""
    from mdncli import workers

    hears = listener(quiet)
    hears(Activity("starting"))
    killed = "a worker process was killed; another one does its work, with the same result"
    workers.tell_of_deaths(lambda: hears(Warned(killed)))
    return hears
