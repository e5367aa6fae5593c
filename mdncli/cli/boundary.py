"""The error boundary: the only place where errors become a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import typer

from mdncli import activity, interrupts
from mdncli.cli.app import app
from mdncli.cli.options import SETTINGS
from mdncli.errors import MdnError, Stopped, translate_os_error

# Typer carries Click or brings its own, by version; either way these are what it raises.
_UsageError, _CommandLineError = cast(
    "tuple[type[Exception], type[Exception]]", typer.BadParameter.__mro__[1:3]
)


def run(arguments: Sequence[str], *, last: bool = False) -> int:
    """Run the command line: the only place where an error becomes an exit code.

    Args:
        arguments: words after `mdn`.
        last: the process is to end after it, and no signal to break off its end.
    """
    # Waiting for each other, the threads of numpy's linear algebra burn the cores they wait for:
    # beside one busy process a forward pass takes ten times as long as on one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return interrupts.handle_signals(
            lambda: _invoke(list(arguments)), last=last, on_signal=activity.erase
        )
    except Stopped as stopped:
        _report(["interrupted"])
        return 128 + stopped.signal
    except MdnError as error:
        if os.environ.get("MDN_DEBUG"):
            raise
        _report(error.lines())
        return error.exit_code
    except typer.Abort:
        return 130
    except _CommandLineError as error:
        message = error.format_message()  # pyright: ignore[reportAttributeAccessIssue]
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(f"{message}\n")
            return 0
        if not isinstance(error, _UsageError):
            _report([message])
            return 1
        context = getattr(error, "ctx", None)
        command = context.command_path if context else _command_path(arguments)
        text = " ".join(message.split()).rstrip(".")
        _report([f"{command}: {text}; see {command} --help"])
        return 2
    except BrokenPipeError:
        # The reader has left; keep the interpreter from complaining about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if os.environ.get("MDN_DEBUG"):
            raise
        if error.filename is None:
            _report([str(translate_os_error(error, "standard output"))])
        else:
            _report([str(translate_os_error(error, error.filename, "cannot be used"))])
        return 1
    except MemoryError:
        _report(["out of memory; use fewer rows, mixtures or hidden units"])
        return 1
    except Exception as error:
        if os.environ.get("MDN_DEBUG"):
            raise
        _report([_internal(error)])
        return 1
    finally:
        activity.erase()


def _invoke(arguments: list[str]) -> int:
    """Parse and run a command; every exception but its exit comes out as it is.

    Calling the app would do the same but for turning a broken pipe into an exit of its own.
    """
    if "_MDN_COMPLETE" in os.environ:
        app(arguments, prog_name="mdn")
    command = _command()
    if {"-h", "--help"} & {*arguments} or not arguments:
        _hide_flag_types(command)
    try:
        with command.make_context("mdn", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _command_path(arguments: Sequence[str]) -> str:
    """Names of the command that the arguments call.

    >>> _command_path(["runs", "best", "--sweep"])
    'mdn runs best'
    """
    path, command = ["mdn"], _command()
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        path.append(word)
    return " ".join(path)


@cache
def _command() -> Any:
    """The command with all below it, built once for callers that run several."""
    return typer.main.get_command(app)


def _hide_flag_types(command: Any) -> None:
    """Have help show no type for flags, of a command and all below it."""
    context = typer.Context(command, **SETTINGS)
    for option in command.get_params(context):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _hide_flag_types(below)


def _internal(error: Exception) -> str:
    import tempfile
    import traceback

    what = f"internal error: {type(error).__name__}: {error}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="mdn-error-", suffix=".log", delete=False
        ) as log:
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{what}; run again with MDN_DEBUG=1 to see where"
    return f"{what}; this is a bug, its traceback is in {log.name}"


def _report(lines: Sequence[str]) -> None:
    from mdncli.console import Console

    Console().error(lines)
