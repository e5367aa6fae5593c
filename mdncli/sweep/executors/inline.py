"""Executor in this process, which trains one stack after the other, e.g. under a debugger."""

from __future__ import annotations

from mdncli.sweep import work
from mdncli.sweep.executors.base import Executor, ExecutorContext, StackResult
from mdncli.sweep.stacks import TrialStack


class Inline(Executor):
    """Executor in this process: a stack has been trained when `submit` returns."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        self._results: list[StackResult] = []

    @property
    def workers(self) -> int:
        return 1

    def submit(self, stack: TrialStack) -> None:
        ended, signal = work.train(stack, self.context.listener, self.context.stop)
        self._results.append(StackResult(stack, ended, signal))

    def results(self, seconds: float | None = None) -> list[StackResult]:
        found, self._results = self._results, []
        return found

    def stop(self, signal: int) -> None:
        """Nothing to do: between two calls no stack is being trained."""

    def close(self) -> None:
        """Nothing to do."""
