"""Pseudo-terminals: what a command writes to one, and what a person then sees on it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

COLUMNS = 100

_PARTS = re.compile(r"\x1b\[\??(\d*)([A-Za-z])|(.)", re.DOTALL)


class Terminal:
    """A pseudo-terminal, read by a thread so that writers never wait.

    Attributes:
        theirs: descriptor of the side that a process writes to.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (40, COLUMNS))
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> str:
        """Close this side's copy and return all that was written, once every writer is gone."""
        os.close(self.theirs)
        self._reader.join(60)
        os.close(self._ours)
        return b"".join(self._parts).decode()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 1 << 16)
            except OSError:  # Linux's way to say that the other side is closed
                return
            if not part:
                return
            self._parts.append(part)


def run_on_terminal(
    command: Sequence[str | Path],
    cwd: Path,
    *,
    stdout: bool = False,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Exit code of a command and what it writes to a terminal: stderr, and stdout if wanted."""
    terminal = Terminal()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=terminal.theirs if stdout else subprocess.DEVNULL,
        stderr=terminal.theirs,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", **(environment or {})},
    )
    shown = terminal.close()
    return process.wait(), shown


def screen(written: str) -> list[str]:
    r"""Lines that are left on a terminal, without empty ones at the end.

    >>> screen("reading...\r\x1b[Kone\r\ntwo\x1b[1A\r\x1b[2Kthree\n")
    ['three', 'two']
    """
    lines, row, column = [""], 0, 0
    for number, code, char in _PARTS.findall(written):
        line = lines[row]
        match code, char:
            case "", "\r":
                column = 0
            case "", "\n":
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            case "K", _:
                lines[row] = "" if number == "2" else line[:column]
            case "A", _:
                row = max(0, row - int(number or 1))
            case "", _:
                lines[row] = f"{line[:column]:{column}}{char}{line[column + 1 :]}"
                column += 1
            case _:
                pass  # colours, and the cursor hidden or shown
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.rstrip() for line in lines]
