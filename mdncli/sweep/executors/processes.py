"""Executor with processes of this machine, forked from this one with the data that it has read."""

from __future__ import annotations

import mmap
import signal
from importlib import import_module
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from mdncli.sweep import work
from mdncli.sweep.executors.base import Executor, ExecutorContext, StackResult
from mdncli.sweep.stacks import TrialStack
from mdncli.workers import Crew, Died, needs_the_parent


class Processes(Executor):
    """Executor with processes of this machine; the death of one leaves the others alone."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        self._asked = mmap.mmap(-1, 1)
        self._running: dict[int, TrialStack] = {}
        self._crew: Crew | None = None
        self._sections = [0] * context.workers  # of data, that each worker knows

    def submit(self, stack: TrialStack) -> None:
        if self._crew is None:
            import_module("mdncli.training.loop")  # brings torch, once for all
            self._crew = Crew(self.workers, self._serve)
            self._sections = [work.sections()] * self.workers
        worker = next(each for each in range(self.workers) if each not in self._running)
        if self._sections[worker] < work.sections():
            self._crew.renew(worker)
            self._sections[worker] = work.sections()
        self._running[worker] = stack
        self._crew.send(worker, stack)

    def results(self, seconds: float | None = None) -> list[StackResult]:
        ends = None if seconds is None else monotonic() + seconds
        found: list[StackResult] = []
        while self._crew is not None and self._running and not found:
            left = None if ends is None else max(0.0, ends - monotonic())
            for worker, answer in self._crew.answers(left):
                if (stack := self._running.pop(worker, None)) is None:
                    continue
                if isinstance(answer, Exception) and needs_the_parent(answer):
                    answer = work.train(stack, stop=self.context.stop)
                found.append(_result(stack, answer))
            if left == 0:
                break
        return found

    def stop(self, signal: int) -> None:
        self._asked[0] = signal

    def close(self) -> None:
        if self._crew is not None:
            self._crew.close()

    def _serve(self, pipe: Connection) -> None:
        """Life of a worker, which a SIGTERM to it alone stops in order, too."""
        received: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))

        def stop() -> int | None:
            return received[0] if received else self._asked[0] or None

        while True:
            stack: TrialStack = pipe.recv()
            try:
                pipe.send(work.train(stack, stop=stop))
            except ModuleNotFoundError as error:
                pipe.send(error)


def _result(stack: TrialStack, answer: Any) -> StackResult:
    if isinstance(answer, Died):
        return StackResult(stack, died=True)
    ended, number = answer
    return StackResult(stack, ended, number)
