"""Executor with processes of this machine, each started once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

from mdncli.experiment import Stop
from mdncli.sweep import work
from mdncli.sweep.executors.base import Done, ExecutorContext, RemoteExecutor, StackResult
from mdncli.sweep.stacks import TrialStack

ORPHAN_SECONDS = 0.5
"""Seconds after which a worker notices that its driver died, where the kernel sends no signal."""


class Processes(RemoteExecutor):
    """Executor with processes of this machine; if one dies, the pool ends the others."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        self._context = multiprocessing.get_context("spawn")
        self._asked = self._context.Value("i", 0, lock=False)
        self._pool = self._new_pool()

    def stop(self, signal: int) -> None:
        self._asked.value = signal

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, stack: TrialStack) -> Future[Done]:
        with _block_signals():
            return self._pool.submit(_train, stack)

    def _recover(self) -> list[StackResult]:
        """Collect the stacks lost with a broken pool, and start another pool."""
        wait(self._running)
        found = [self._take_result(future) for future in [*self._running]]
        self.close()
        self._pool = self._new_pool()
        return found

    def _new_pool(self) -> ProcessPoolExecutor:
        about = (self._asked, os.getpid())
        return ProcessPoolExecutor(
            self.workers, self._context, initializer=_initialise_worker, initargs=about
        )


@contextlib.contextmanager
def _block_signals() -> Iterator[None]:
    """Block signals while processes start, so that none arrives before they are ready.

    They inherit the mask, and remove it when their handlers are set.
    """
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # would remove the mask otherwise
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------------ in a worker's process

_stop: Stop = lambda: None  # noqa: E731


def _initialise_worker(asked: Any, driver: int) -> None:
    """Initialise a worker: ignore Ctrl-C, which the driver handles, and end with the driver."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    _exit_with_driver(driver)
    global _stop
    _stop = lambda: received[0] if received else asked.value or None  # noqa: E731


def _exit_with_driver(driver: int) -> None:
    """Die with the driver: a later command continues its runs."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, of Linux

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(ORPHAN_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _train(stack: TrialStack) -> Done:
    return work.train(stack, stop=_stop)
