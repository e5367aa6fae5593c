"""Protocol of executors: submit stacks, collect results, stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mdncli.events import Listener, ignore
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep.stacks import TrialStack
from mdncli.sweep.work import TrialResult

if TYPE_CHECKING:
    from distributed import Client

Done = tuple[list[TrialResult], int | None]
"""Statuses of a stack's trials, and the signal that stopped it, if any."""


@dataclass(frozen=True)
class ExecutorContext:
    """Settings of an executor.

    Args:
        folder: of the sweep.
        workers: number of workers, if the executor starts them.
        listener: receives progress of stacks trained in this process.
        stop: returns the signal that has asked this process to stop, if any.
        client: of the scheduler of a cluster.
    """

    folder: RunFolder
    workers: int = 1
    listener: Listener = ignore
    stop: Stop = lambda: None
    client: Client | None = None


@dataclass(frozen=True)
class StackResult:
    """Result of a stack.

    Args:
        stack: as submitted.
        ended: statuses of its trials.
        signal: the signal that stopped it, if any.
        died: whether its worker died, so that only the trials' folders show their statuses.
        error: reason why no worker could train it.
    """

    stack: TrialStack
    ended: Sequence[TrialResult] = ()
    signal: int | None = None
    died: bool = False
    error: Exception | None = None


class Executor(ABC):
    """Workers that train stacks.

    Args:
        context: settings of the executor.
    """

    def __init__(self, context: ExecutorContext) -> None:
        self.context = context

    @property
    def workers(self) -> int:
        """Current number of workers."""
        return self.context.workers

    @property
    def places(self) -> int:
        """Number of stacks that may be submitted at a time."""
        return self.workers

    @abstractmethod
    def submit(self, stack: TrialStack) -> None:
        """Submit a stack for training."""

    @abstractmethod
    def results(self, seconds: float | None = None) -> list[StackResult]:
        """Results of the stacks that have ended since the last call.

        Stacks whose workers died together are returned together, after new workers were started.

        Args:
            seconds: longest time to wait for a first result; None for no limit.
        """

    @abstractmethod
    def stop(self, signal: int) -> None:
        """Make all workers save their state and stop, as by this signal."""

    @abstractmethod
    def close(self) -> None:
        """Release the workers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteExecutor(Executor):
    """Executor with workers in other processes, where each stack is a `Future`."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        self._running: dict[Future[Done], TrialStack] = {}

    @abstractmethod
    def _start(self, stack: TrialStack) -> Future[Done]:
        """Start a stack; its future is broken if its worker dies."""

    def _recover(self) -> list[StackResult]:
        """Recover from the death of a worker; returns the other stacks that ended by it."""
        return []

    def submit(self, stack: TrialStack) -> None:
        try:
            future = self._start(stack)
        except BrokenExecutor as error:
            future = Future[Done]()
            future.set_exception(error)
        self._running[future] = stack

    def results(self, seconds: float | None = None) -> list[StackResult]:
        done, _ = wait(self._running, seconds, return_when=FIRST_COMPLETED)
        found = [self._take_result(future) for future in [*self._running] if future in done]
        if any(result.died for result in found):
            found += self._recover()
        return found

    def _take_result(self, future: Future[Done]) -> StackResult:
        stack = self._running.pop(future)
        try:
            ended, signal = future.result()
        except BrokenExecutor:
            return StackResult(stack, died=True)
        except Exception as error:
            return StackResult(stack, error=error)
        return StackResult(stack, ended, signal)
