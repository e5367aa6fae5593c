"""The last line of the terminal, which says what a command is doing until there is output.

It is written and erased synchronously, by one system call each and past the buffers of stderr: no
thread or timer draws it, so that it cannot come between other output or outlive the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

ERASE = b"\r\x1b[K"
"""Sequence that empties the line and leaves the cursor at its start."""

UNKNOWN_WIDTH = 80
"""Columns of a terminal that does not tell its size."""

_shown = ""
_owner = 0


def show(text: str) -> None:
    """Write the line in place of the one before.

    Args:
        text: printable, as it is cut to the width of the terminal: a line that wraps would stay.
    """
    global _shown, _owner
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed
        stream = sys.stderr
        width = os.get_terminal_size(stream.fileno()).columns or UNKNOWN_WIDTH
        line = fitted(f"{text}...", width - 1).encode(stream.encoding, "replace")
        os.write(stream.fileno(), ERASE + line)
    _shown, _owner = text, os.getpid()


def erase() -> None:
    """Remove the line, if there is one of this process, not of the one it was forked from."""
    global _shown
    if _shown and _owner == os.getpid():
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), ERASE)
    _shown = ""


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Remove the line while something else is written, and write it again below."""
    before = _shown if _owner == os.getpid() else ""
    erase()
    yield
    if before:
        show(before)


def fitted(text: str, width: int) -> str:
    """The beginning of a text that fits into a number of columns.

    >>> fitted("reading prices.csv...", 12), fitted("reading 価格.csv", 12)
    ('reading pric', 'reading 価格')
    """
    columns = 0
    for end, char in enumerate(text):
        columns += 1 if ord(char) < 0x1100 else 2  # wide ones begin there; some are narrow
        if columns > width:
            return text[:end]
    return text
