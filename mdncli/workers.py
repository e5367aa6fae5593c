"""Worker processes: forked from this one, they see its memory as it is then and end with it."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import selectors
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, NoReturn, TypeVar, cast

from mdncli import machine
from mdncli.errors import RunFault

S = TypeVar("S")
T = TypeVar("T")

Serve = Callable[[Connection], object]
"""Function that answers the messages that come through a worker's end of a pipe."""

MOST_DEATHS = 3
"""Deaths of workers over one piece of work after which it is given up."""

THREADED = ("polars",)
"""Libraries with pools of threads, which do not survive a fork."""

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def most_workers() -> int:
    """Most worker processes that are of use: one for each core, one where none can be forked.

    Outside Linux, libraries with threads of their own do not survive a fork.

    >>> most_workers() > 0
    True
    """
    return len(machine.cores()) if sys.platform == "linux" else 1


def asked_cores(asked: int | None) -> int | None:
    """Number of cores asked for, by a setting or else by `OMP_NUM_THREADS`; None for neither."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if asked is None and given.isdecimal() and int(given) > 0:
        return int(given)
    return asked


_on_death: list[Callable[[], object]] = []


def tell_of_deaths(hear: Callable[[], object] | None) -> None:
    """Have a function called whenever a worker was killed and another one took its place.

    Args:
        hear: the function, in place of any before it; None for none.
    """
    _on_death[:] = [] if hear is None else [hear]


class Died(Exception):
    """A worker has died before it answered."""


class Crew:
    """Worker processes, each of which serves this process through a pipe.

    They are forks of this process: nothing is imported or copied anew, and what they read is
    shared. They ignore SIGINT and SIGTERM, which this process handles, and the kernel kills them
    when it dies. To be closed at the end, e.g. by `with`.

    Args:
        count: the number of workers.
        serve: called in each of them; when it returns, the worker ends.

    Raises:
        RunFault: no process can be started.

    >>> def double(pipe):
    ...     while True:
    ...         pipe.send(2 * pipe.recv())
    >>> with Crew(2, double) as crew:
    ...     crew.send(0, 1), crew.send(1, 21)
    ...     found = {}
    ...     while len(found) < 2:
    ...         found |= dict(crew.answers())
    ...     found[0], found[1]
    (None, None)
    (2, 42)
    """

    def __init__(self, count: int, serve: Serve) -> None:
        self._serve = serve
        self._owner = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._pipes: list[Connection] = []
        self._processes: list[int] = []
        try:
            for worker in range(count):
                self._start(worker)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._pipes)

    def send(self, worker: int, message: object) -> None:
        """Send a message to a worker; of one that has died, `answers` tells."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipes[worker].send(message)

    def answers(self, seconds: float | None = None) -> list[tuple[int, Any]]:
        """Messages that have come, each with the index of its worker, in the order of workers.

        The message of a worker that has died is a `Died`; another one has taken its place.

        Args:
            seconds: longest time to wait for the first of them; None for any.

        Raises:
            RunFault: no other process can be started.
        """
        found: list[tuple[int, Any]] = []
        for worker in sorted(key.data for key, _ in self._selector.select(seconds)):
            try:
                found.append((worker, self._pipes[worker].recv()))
            except (EOFError, OSError):  # at the beginning of a message, or within it
                self.renew(worker)
                for hear in _on_death:
                    hear()
                found.append((worker, Died()))
        return found

    def close(self) -> None:
        """End all workers."""
        if os.getpid() != self._owner:
            return  # a fork's copy: they work for another process
        with _signals_held_back():
            pipes, processes = self._pipes, self._processes
            self._pipes, self._processes = [], []
            self._selector.close()
            _end(pipes, processes)

    def renew(self, worker: int) -> None:
        """Replace a worker by one that sees this process as it is now."""
        with _signals_held_back():
            self._selector.unregister(self._pipes[worker])
            _end([self._pipes.pop(worker)], [self._processes.pop(worker)])
            self._start(worker)

    def _start(self, worker: int) -> None:
        """Fork a worker, and insert it among the others."""
        with _signals_held_back():
            try:
                pipe, process = self._fork()
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise RunFault(
                    f"a worker process cannot be started: {reason}", hint="set train.threads=1"
                ) from None
            self._pipes.insert(worker, pipe)
            self._processes.insert(worker, process)
            self._selector.register(pipe, selectors.EVENT_READ, worker)

    def _fork(self) -> tuple[Connection, int]:
        """Fork a worker; returns this process's end of its pipe, and its number."""
        ours, theirs = cast("tuple[Connection, Connection]", multiprocessing.Pipe())
        parent = os.getpid()
        # No signal may reach a worker before it ignores it: it would run this process's handler.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.freeze()  # a collection in the worker would copy the pages of all that it visits
        try:
            with warnings.catch_warnings():
                # Of threads that the worker does not have; it takes none of their locks.
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
            if process == 0:
                _work(self._serve, theirs, parent, blocked)
        except OSError:
            ours.close()
            raise
        finally:
            gc.unfreeze()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
        return ours, process


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM, so that no worker is forgotten where they raise an error.

    Blocking them would not do: the system would hand them to another thread of this process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    heard: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in _SIGNALS:
            before[number] = signal.getsignal(number) or signal.SIG_DFL
            signal.signal(number, lambda number, _: heard.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            signal.raise_signal(number)


def _end(pipes: Sequence[Connection], processes: Sequence[int]) -> None:
    """Kill workers, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for pipe in pipes:
        pipe.close()
    for process in processes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)


def _work(serve: Serve, pipe: Connection, parent: int, mask: set[int]) -> NoReturn:
    """Life of a worker: never returns into the code that forked it."""
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _die_with(parent)
        _close_all_but(pipe.fileno())
        _forbid_lost_threads()
        serve(pipe)
    except (EOFError, OSError):
        pass  # this process's parent is gone
    except BaseException:
        os._exit(1)
    finally:
        os._exit(0)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def _close_all_but(pipe: int) -> None:
    """Close the files that came with the fork: locks of runs, and the pipes of other workers."""
    with contextlib.suppress(OSError):
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != pipe:
                with contextlib.suppress(OSError):
                    os.close(number)


def _forbid_lost_threads() -> None:
    """Make the import of libraries fail whose pools of threads have not survived the fork.

    A call of theirs would wait for ever. One that was not in use before the fork is fine.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # pyright: ignore[reportAssignmentType]
    for name in THREADED:
        if name in modules:
            modules[name] = None


def needs_the_parent(error: Exception) -> bool:
    """Tell if a worker has failed for want of a library that only its parent can use."""
    return isinstance(error, ModuleNotFoundError) and error.name in THREADED


def share_out(function: Callable[[S], T], items: Iterable[S], workers: int) -> Iterator[T]:
    """`map` by worker processes: the results in order, each as soon as those before it are there.

    A few items for each worker are read ahead. An error of one call is raised when its turn comes.
    If a worker dies, another one takes up its item; what no worker can do is done in this process.

    Args:
        function: called in the workers.
        items: which must be picklable, as must the results.
        workers: most processes; with one, or for one item, all calls are made in this one.

    Raises:
        RunFault: the same item has killed its workers again and again.

    >>> list(share_out(lambda number: number**2, range(4), 2))
    [0, 1, 4, 9]
    """
    workers = min(workers, most_workers())
    source = iter(items)
    first = [*itertools.islice(source, 2)]
    if workers < 2 or len(first) < 2:
        yield from map(function, itertools.chain(first, source))
        return

    def serve(pipe: Connection) -> None:
        while True:
            item = pipe.recv()
            try:
                pipe.send((function(item), None))
            except Exception as error:
                pipe.send((None, portable(error)))

    numbered = enumerate(itertools.chain(first, source))
    with Crew(workers, serve) as crew:
        yield from _results_in_order(crew, numbered, function)


def _results_in_order(
    crew: Crew, numbered: Iterator[tuple[int, Any]], function: Callable[[Any], Any]
) -> Iterator[Any]:
    """Results of numbered items, in order, while the crew works at the next ones."""
    waiting: deque[tuple[int, Any]] = deque()
    at_work: dict[int, tuple[int, Any]] = {}
    results: dict[int, tuple[Any, Exception | None]] = {}
    deaths: Counter[int] = Counter()
    idle, next_one = {*range(len(crew))}, 0

    def hand_out() -> None:
        while idle and waiting:
            worker = idle.pop()
            at_work[worker] = waiting.popleft()
            crew.send(worker, at_work[worker][1])

    while True:
        hand_out()
        # One is read ahead for each worker, so that none waits for the source.
        while len(waiting) + len(at_work) + len(results) < 2 * len(crew):
            if (item := next(numbered, None)) is None:
                break
            waiting.append(item)
            hand_out()
        if not at_work:
            return
        for worker, answer in crew.answers():
            if worker not in at_work:
                continue  # one that died without work
            number, item = at_work.pop(worker)
            idle.add(worker)
            if isinstance(answer, Died):
                deaths[number] += 1
                require_survival(deaths[number])
                waiting.appendleft((number, item))
                continue
            if answer[1] is not None and needs_the_parent(answer[1]):
                answer = function(item), None
            results[number] = answer
        while next_one in results:
            result, error = results.pop(next_one)
            if error is not None:
                raise error
            next_one += 1
            yield result


def portable(error: Exception) -> Exception:
    """An error as another process gets it, with its traceback here as a note.

    One that cannot be pickled becomes a `RuntimeError` that says the same.

    >>> portable(ValueError(lambda: None))
    RuntimeError('ValueError: <function <lambda> at ...>')
    """
    note = "".join(traceback.format_exception(error))
    try:
        sent = ForkingPickler.dumps(error)
        ForkingPickler.loads(sent)  # pyright: ignore[reportAttributeAccessIssue]
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error


def require_survival(deaths: int) -> None:
    """Give up work over which several workers have died.

    Raises:
        RunFault: there were too many.
    """
    if deaths >= MOST_DEATHS:
        raise RunFault(
            f"a worker process was killed {deaths} times",
            hint="it may need too much memory: set train.threads=1, or use smaller batches",
        )
