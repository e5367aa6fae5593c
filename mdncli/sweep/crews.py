"""Who trains the stacks of a sweep: this process, or others of this machine.

Each is a `concurrent.futures.Executor` behind the few things that a driver asks of it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, Protocol

from mdncli.events import Listener, ignore
from mdncli.experiment import Stop
from mdncli.sweep import work
from mdncli.sweep.orders import Order

Done = tuple[list[work.Ended], int | None]
"""What `work.train` returns."""

ORPHAN_SECONDS = 0.5
"""How soon a worker notices that its driver is gone, where the kernel does not tell."""


class Crew(Protocol):
    """Workers that stacks can be given to.

    Attributes:
        together: whether the death of one takes all others with it.
    """

    together: bool

    @property
    def workers(self) -> int:
        """How many there are."""
        ...

    @property
    def places(self) -> int:
        """How many stacks they may have at a time."""
        ...

    def submit(self, order: Order) -> Future[Done]:
        """Have a stack trained; its future is broken if its worker dies."""
        ...

    def interrupt(self, number: int) -> None:
        """Have all that are at work save what they have and stop, as by this signal."""
        ...

    def restart(self) -> None:
        """Begin again with new workers, after one has died."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class Here:
    """This process, which trains one stack after the other.

    Args:
        listener: hears how each stack goes.
        stop: says which signal, if any, has asked to stop.
    """

    workers = places = 1
    together = True

    def __init__(self, listener: Listener = ignore, stop: Stop = lambda: None) -> None:
        self._executor = Inline()
        self._train: Callable[[Order], Done] = lambda order: work.train(order, listener, stop)

    def submit(self, order: Order) -> Future[Done]:
        return self._executor.submit(self._train, order)

    def interrupt(self, number: int) -> None:
        del number  # what trains here hears of it by itself

    def restart(self) -> None:
        """Nothing to do: where this process dies there is nobody to ask for it."""

    def close(self) -> None:
        self._executor.shutdown()


class Inline(Executor):
    """An executor that does what it is given at once, where a debugger can follow.

    >>> Inline().submit(divmod, 7, 2).result()
    (3, 1)
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes:
    """Processes of this machine, each started once.

    Args:
        workers: how many.
    """

    together = True

    def __init__(self, workers: int) -> None:
        self.workers = self.places = workers
        self._context = multiprocessing.get_context("spawn")
        self._asked = self._context.Value("i", 0, lock=False)
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.workers, self._context, initializer=_enter, initargs=(self._asked, os.getpid())
        )

    def submit(self, order: Order) -> Future[Done]:
        with _no_signals():
            return self._pool.submit(_train, order)

    def interrupt(self, number: int) -> None:
        self._asked.value = number

    def restart(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._started()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """Hold back signals while processes are started, so that none reaches them half-way.

    They inherit the mask, and lift it when they know what to do.
    """
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # would lift the mask otherwise
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------------ in a worker's process

_stop: Stop = lambda: None  # noqa: E731


def _enter(asked: Any, driver: int) -> None:
    """Make this process a worker: deaf to Ctrl-C, which the driver hears, and gone with it."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    _end_with(driver)
    global _stop
    _stop = lambda: received[0] if received else asked.value or None  # noqa: E731


def _end_with(driver: int) -> None:
    """Die when the driver does: what it left is taken up by the next."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, of Linux

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(ORPHAN_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _train(order: Order) -> Done:
    return work.train(order, stop=_stop)
