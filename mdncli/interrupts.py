"""SIGINT and SIGTERM: the first ends a command in order, a second ends it at once.

The first raises `Stopped` wherever the program is, so that `with` and `finally` clean up. Inside an
`postpone_stop` block it is raised at the end of the block; inside a `note_stop` block it is not
raised, as the block asks for it and saves what it has.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, TypeVar

from mdncli.errors import InterruptedRunError, RunFault, Stopped

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

TWICE_SECONDS = 0.05
"""A second signal within this time is ignored: `timeout` signals a process and then its group."""

AGAIN_SECONDS = 0.1
"""Interval at which `Stopped` is raised again after a library has swallowed it."""


@dataclass
class _Command:
    """State of the signal handling during one command.

    Args:
        heard: number of the first signal.
        raised: `Stopped` has been raised.
        depth: number of nested blocks in which it is not to be raised.
        over: the command has ended.
        on_signal: called at the first signal.
    """

    heard: int | None = None
    raised: bool = False
    depth: int = 0
    over: bool = False
    on_signal: Callable[[], object] = lambda: None


_now = _Command()


def handle_signals(
    command: Callable[[], T],
    *,
    last: bool = False,
    on_signal: Callable[[], object] = lambda: None,
) -> T:
    """Run a command; the first signal raises `Stopped` in it.

    A library may swallow that exception, as Python itself does in destructors, turn it into another
    one, or print it. So it is raised again until the command ends, and any other error or answer
    with which the command then ends is replaced by it.

    Args:
        command: called without arguments.
        last: the process is to end after the command; a first signal that comes then is ignored,
            as all is done and only the answer is on its way.
        on_signal: called at the first signal, wherever the command is, to tidy the terminal: a
            second one ends the process without any more of it.

    Raises:
        Stopped: a signal has ended the command.
    """
    global _now
    _now = now = _Command(on_signal=on_signal)
    before = {
        number: signal.getsignal(number) or signal.SIG_DFL for number in (*SIGNALS, signal.SIGALRM)
    }
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    try:
        sys.excepthook, sys.unraisablehook, threading.excepthook = map(_silence, hooks)
        try:
            for number in SIGNALS:
                signal.signal(number, _on_signal)
            answer = command()
        finally:
            now.over = True  # a later signal is ignored
        if now.raised:
            _raise_stopped(now)
        return answer
    except KeyboardInterrupt:  # from a library with a handler of its own, such as polars
        raise Stopped(now.heard or signal.SIGINT) from None
    except BaseException as error:
        told = InterruptedRunError if now.raised else (InterruptedRunError, RunFault)
        if now.heard is None or isinstance(error, told):
            raise
        raise Stopped(now.heard) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
        for number, handler in before.items():
            # After an interrupt a second signal still ends the process at once.
            if number not in SIGNALS or not (last or now.heard):
                signal.signal(number, handler)
        _now = _Command(over=last)


@contextlib.contextmanager
def postpone_stop() -> Iterator[Callable[[], int | None]]:
    """Postpone `Stopped` to the end of a block, which yields a check for the signal.

    For what must not be torn apart, such as creating a file and registering its removal.
    """
    now, before, depth = _now, _now.heard, _now.depth
    try:
        with note_stop() as asked:
            yield asked
    finally:
        if _in_main_thread():
            now.depth = depth
    if now.heard is not before and not depth:
        _raise_stopped(now)


@contextlib.contextmanager
def note_stop() -> Iterator[Callable[[], int | None]]:
    """Run a block without `Stopped`; it yields a check for the signal, to be called now and then.

    If the block succeeds, later signals are ignored as after `ignore_signals`.
    """
    now, depth = _now, _now.depth
    ignore_signals()
    try:
        yield lambda: now.heard
    except BaseException:
        if _in_main_thread():
            now.depth = depth
        raise


@contextlib.contextmanager
def allow_stop() -> Iterator[None]:
    """Let the signal raise `Stopped` in a part of a `note_stop` block that cannot check for it."""
    now, depth = _now, _now.depth
    if not _in_main_thread():
        yield
        return
    try:
        now.depth = 0
        if now.heard is not None:
            _raise_stopped(now)
        yield
    finally:
        now.depth = depth


def ignore_signals() -> None:
    """Ignore signals from here on: the work is complete and only its answer is to be printed."""
    if _in_main_thread():
        _raise_again()
        _now.depth += 1


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT and SIGTERM."""
    now = _now
    if now.heard is not None:
        return
    now.heard = number
    now.on_signal()
    time.sleep(TWICE_SECONDS)
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    if now.over:
        return
    signal.signal(signal.SIGALRM, lambda *_: _raise_again())
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
    if not now.depth:
        _raise_stopped(now)


def _raise_again() -> None:
    """Raise `Stopped` again if it was swallowed: it was raised, and no handler is at work on it."""
    if _now.raised and not _now.depth and sys.exc_info()[1] is None:
        _raise_stopped(_now)


def _in_main_thread() -> bool:
    """Tell if this is the main thread, the only one in which Python calls signal handlers."""
    return threading.current_thread() is threading.main_thread()


def _raise_stopped(now: _Command) -> NoReturn:
    assert now.heard is not None
    now.raised = True
    raise Stopped(now.heard)


def _silence(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a hook for unhandled errors: they are not printed once a signal has come."""
    return lambda *error: hook(*error) if _now.heard is None else None
