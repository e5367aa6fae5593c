"""`mdn` in processes of its own that start in milliseconds, to be killed, traced and starved.

A fresh interpreter spends seconds on importing torch. These are forked from one that has done so
already and has done nothing else, and from there on are what `mdn` is: the same `main`, their own
streams, their own exit code.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED = (
    "pytest",
    "mdncli.cli",
    "mdncli.console",
    "mdncli.commands.train",
    "mdncli.training.loop",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "safetensors.numpy",
    "tests.faults.processes",
    "tests.faults.tampering",
)

PATIENCE = 240.0
"""Seconds after which a process that should have ended is taken for hung."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(IMPORTED))
_numbers = itertools.count()

Tamper = Callable[[], object]
"""Picklable hook that is called in a process before `mdn` begins."""


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a process.

    Args:
        code: its exit code; minus the number of the signal that killed it.
    """

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The last line on stderr."""
        return (self.err.splitlines() or [""])[-1]


@dataclass(frozen=True)
class Running:
    """A process at work, in a session of its own."""

    process: BaseProcess
    streams: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def send(self, number: signal.Signals, everyone: bool = False) -> None:
        """Send it a signal, or its whole group; one that has ended already does not mind."""
        if self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):  # it may end right now
                if everyone and os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, number)
                else:
                    os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait until it has ended."""
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"hung: {self._text('err')}")
        return Ended(self.process.exitcode, self._text("out"), self._text("err"))

    def end(self) -> Ended:
        """Kill it and whatever it has started."""
        for pid in (self.pid, *descendants(self.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return self.wait()

    def _text(self, name: str) -> str:
        return (self.streams / name).read_text(errors="replace")


def unmeasured() -> dict[str, str]:
    """Environment of a process without measurement of coverage, whose file has no room either."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def start(
    *arguments: str | Path,
    cwd: Path,
    tamper: Sequence[Tamper] = (),
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Running:
    """Start `mdn` with these arguments, and this environment beside that of the tests."""
    streams = Path(tempfile.mkdtemp(prefix=f"streams-{next(_numbers)}-", dir=cwd.parent))
    for name, text in (("in", stdin), ("out", ""), ("err", "")):
        (streams / name).write_text(text)
    words = [str(word) for word in arguments]
    environment = {**os.environ, "COLUMNS": "80", **(environment or {})}
    process = _context.Process(target=_live, args=(words, cwd, streams, environment, tuple(tamper)))
    with _held_back():
        process.start()
    return Running(process, streams)


def run(*arguments: str | Path, cwd: Path, tamper: Sequence[Tamper] = ()) -> Ended:
    """Run `mdn` with these arguments to its end."""
    return start(*arguments, cwd=cwd, tamper=tamper).wait()


class Gate:
    """Gate at which processes wait, each at a point of its own, until it opens.

    Args:
        folder: of the gate; it is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._closed = (folder / "lock").open("w")
        fcntl.flock(self._closed, fcntl.LOCK_EX)

    def await_all(self, count: int) -> None:
        """Wait until so many processes are there."""
        deadline = time.monotonic() + PATIENCE
        while len(list(self.folder.glob("*.there"))) < count:
            assert time.monotonic() < deadline, "nobody came"
            time.sleep(0.005)

    def open(self) -> None:
        """Let all go on."""
        self._closed.close()


def pass_gate(folder: Path) -> None:
    """Wait at a gate, which another process opens."""
    (folder / f"{os.getpid()}.there").touch()
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def descendants(session: int) -> list[int]:
    """Processes of the session that a process began, without it: orphans, once it has ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != session:
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != b"Z":
                found.append(int(folder.name))
    return found


def orphans(ended: Ended, session: int) -> list[int]:
    """Processes that one has left behind; its workers may outlive its killing for a moment."""
    deadline = time.monotonic() + PATIENCE
    while ended.code < 0 and descendants(session) and time.monotonic() < deadline:
        time.sleep(0.005)
    return descendants(session)


def on_cores(words: Sequence[str], count: int) -> tuple[str, ...]:
    """Arguments of a training on so many cores, as which one of several networks is dealt out."""
    return (*(word for word in words if not word.startswith("--threads")), f"--threads={count}")


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Hold back signals from the server that forks the processes of `mdn`, and from these.

    They inherit the mask until `mdn` begins. Else a signal that comes while Python's
    `multiprocessing` sets them up would end in a `KeyboardInterrupt` there, with exit code 1.
    """
    resource_tracker.ensure_running()  # would lift the mask otherwise
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(
    words: list[str],
    cwd: Path,
    streams: Path,
    environment: dict[str, str],
    tamper: tuple[Tamper, ...],
) -> None:
    os.setsid()
    for number, name in enumerate(("in", "out", "err")):
        descriptor = os.open(streams / name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["mdn", *words]
    from mdncli.__main__ import main

    for each in tamper:
        each()
    # A signal that was held back kills it here, as one kills a process before Python begins in it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
