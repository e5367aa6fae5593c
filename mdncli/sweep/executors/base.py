"""The protocol of executors: submit stacks, collect results, stop."""

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
from mdncli.sweep.work import Ended

if TYPE_CHECKING:
    from distributed import Client

Done = tuple[list[Ended], int | None]
"""The statuses of a stack's trials, and the signal that stopped it, if one did."""


@dataclass(frozen=True)
class ExecutorContext:
    """All that an executor may need.

    Args:
        folder: of the sweep.
        workers: how many, where that is for the executor to say.
        listener: hears how each stack goes, of those that are trained in this process.
        stop: says which signal, if any, has asked this process to stop.
        client: of the scheduler of a cluster.
    """

    folder: RunFolder
    workers: int = 1
    listener: Listener = ignore
    stop: Stop = lambda: None
    client: Client | None = None


@dataclass(frozen=True)
class Result:
    """The end of a stack.

    Args:
        stack: as it was submitted.
        ended: what has become of its trials.
        signal: that stopped it, if one did.
        died: whether its worker is gone, and nothing is known of the trials but what their folders
            say.
        error: why no worker could train it.
    """

    stack: TrialStack
    ended: Sequence[Ended] = ()
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
        """The number of workers, at the moment."""
        return self.context.workers

    @property
    def places(self) -> int:
        """The number of stacks that may be submitted at a time."""
        return self.workers

    @abstractmethod
    def submit(self, stack: TrialStack) -> None:
        """Have a stack trained."""

    @abstractmethod
    def results(self, seconds: float | None = None) -> list[Result]:
        """The stacks that have ended since the last call.

        Stacks whose workers died together come together; there are new workers for others then.

        Args:
            seconds: how long to wait for the first, if none has ended; None for as long as it
                takes.
        """

    @abstractmethod
    def stop(self, signal: int) -> None:
        """Have all workers save their state and stop, as by this signal."""

    @abstractmethod
    def close(self) -> None:
        """Let the workers go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Remote(Executor):
    """Workers in other processes, each stack a `Future`."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        self._running: dict[Future[Done], TrialStack] = {}

    @abstractmethod
    def _started(self, stack: TrialStack) -> Future[Done]:
        """Begin a stack; its future is broken if its worker dies."""

    def _recovered(self) -> list[Result]:
        """Get over the death of a worker; the other stacks that have ended by it."""
        return []

    def submit(self, stack: TrialStack) -> None:
        try:
            future = self._started(stack)
        except BrokenExecutor as error:
            future = Future[Done]()
            future.set_exception(error)
        self._running[future] = stack

    def results(self, seconds: float | None = None) -> list[Result]:
        done, _ = wait(self._running, seconds, return_when=FIRST_COMPLETED)
        found = [self._taken(future) for future in [*self._running] if future in done]
        if any(result.died for result in found):
            found += self._recovered()
        return found

    def _taken(self, future: Future[Done]) -> Result:
        stack = self._running.pop(future)
        try:
            ended, signal = future.result()
        except BrokenExecutor:
            return Result(stack, died=True)
        except Exception as error:
            return Result(stack, error=error)
        return Result(stack, ended, signal)
