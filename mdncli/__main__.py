"""`mdn`, and `python -m mdncli`: the process around the command line.

Everything that must hold before anything else can be imported, or after all else is done, is here.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> NoReturn:
    """Run the command line and exit."""
    # As long as there is nothing to clean up; the command line sets handlers of its own.
    for number in _SIGNALS:
        signal.signal(number, _end)
    # Modules are no garbage: looking for it while torch is imported takes a fifth of that time.
    gc.set_threshold(100_000, 20, 100)
    _open_streams()
    from mdncli.cli import run

    # Where Python takes itself apart, a signal would still kill the process, though all is done.
    atexit.register(_ignore_signals)
    code = run(sys.argv[1:], last=True)
    _settle_streams()
    if "torch" in sys.modules:
        # To take torch apart again takes a quarter as long as to import it, for nothing.
        atexit._run_exitfuncs()  # pyright: ignore[reportAttributeAccessIssue]
        os._exit(code)
    sys.exit(code)


def _end(number: int, frame: object) -> NoReturn:
    """End by a signal at once, whatever is being imported."""
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(128 + number)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _open_streams() -> None:
    """Make the standard streams usable, whoever started the process.

    A closed one is opened on the null device, else the next file would take its number. Standard
    output stays unwritable then: what nobody gets must not seem to be delivered. A file's name
    may hold any bytes, and an old terminal may lack a letter: neither is a reason to fail.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR if name == "stderr" else os.O_RDONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        encoding = stream.encoding.lower().replace("-", "")
        errors = "surrogateescape" if encoding == "utf8" else "backslashreplace"
        stream.reconfigure(errors=errors)  # pyright: ignore[reportAttributeAccessIssue]


def _settle_streams() -> None:
    """Flush the standard streams, so that the interpreter reports no error of writing again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
