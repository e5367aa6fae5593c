"""The errors a user may meet: a sentence, a hint, an exit code.

Everything the tool refuses or fails at is raised as an `MdnError`; the command line's boundary
turns it into one `error:` line per message. Anything else that escapes is a bug and is logged.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable


class MdnError(Exception):
    """An expected error, with fault, place and remedy.

    Args:
        message: fault and place, without a trailing full stop.
        hint: remedy; joined to the message with a semicolon.

    >>> str(MdnError("runs/ is a file", hint="remove it or pass --runs-dir"))
    'runs/ is a file; remove it or pass --runs-dir'
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message}; {hint}")

    def __reduce__(self) -> tuple[Callable[..., MdnError], tuple[object, ...]]:
        # By default it would be made anew from its text alone, when a worker process sends it.
        return _again, (type(self), self.args, self.__dict__)

    def lines(self) -> list[str]:
        """The error as lines to print, one per fault."""
        return [str(self)]


def _again(kind: type[MdnError], args: tuple[object, ...], about: dict[str, object]) -> MdnError:
    """Error as it was, in another process."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(about)
    return error


class UsageError(MdnError):
    """The command line, the config or the data cannot be used as given."""

    exit_code = 2


class DataError(UsageError):
    """A table, a column or a value cannot be used as given."""


class ConfigError(UsageError):
    """One or more faults in a config, all reported at once.

    >>> ConfigError(["a.yaml:1: x: unknown key", "a.yaml:2: y: unknown key"]).lines()
    ['a.yaml:1: x: unknown key', 'a.yaml:2: y: unknown key']
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))

    def lines(self) -> list[str]:
        return self.faults


class RunFault(MdnError):
    """A failure at run time: the disk is full, a file is damaged."""

    exit_code = 1


class DivergedError(MdnError):
    """Training diverged in every replica of a run."""

    exit_code = 4


class RunNotFoundError(MdnError):
    """No run folder, or more than one, matches a reference."""

    exit_code = 5


class RunLockedError(MdnError):
    """Another live process is writing to the run."""

    exit_code = 6


class ResumeRefusedError(MdnError):
    """The run cannot be continued: its config or its data has changed."""

    exit_code = 7


class InterruptedRunError(MdnError):
    """A signal asked the run to stop; it can be continued.

    Args:
        signal: the number of the signal, which decides the exit code as shells expect it.
    """

    def __init__(self, message: str, *, hint: str | None = None, signal: int) -> None:
        super().__init__(message, hint=hint)
        self.signal = signal
        self.exit_code = 128 + signal


class Stopped(BaseException):
    """A signal, raised as an exception so that all clean-up runs.

    It is no `KeyboardInterrupt`: one that passes through `exec`, as in dataclasses, makes Python
    end by SIGINT, whatever its exit code.

    Args:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(signal)


# ------------------------------------------------------------------- the operating system's own

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit with ulimit -f",
    errno.EMFILE: "raise the limit with ulimit -n",
    errno.EACCES: "check the permissions or choose another folder",
    errno.EPERM: "check the permissions or choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EEXIST: "move away what is in its place",
    errno.ENOTDIR: "move away what is in its place",
    errno.EISDIR: "move away what is in its place",
}


def translate_os_error(error: OSError, path: object, what: str = "cannot be written") -> RunFault:
    """Translate an `OSError` into an error with a remedy.

    >>> str(translate_os_error(OSError(errno.ENOSPC, "No space left on device"), "run/model"))
    'run/model: cannot be written: no space left on device; free some space'
    """
    reason = (error.strerror or str(error)).lower()
    return RunFault(f"{path}: {what}: {reason}", hint=_REMEDIES.get(error.errno or 0))
