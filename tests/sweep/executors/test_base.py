"""Workers in other processes: results of stacks, also when a worker dies."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest

from mdncli.store import RunFolder
from mdncli.sweep.executors.base import Done, ExecutorContext, RemoteExecutor, StackResult
from mdncli.sweep.stacks import TrialStack


class ByHand(RemoteExecutor):
    """An executor whose stacks end when a test says so."""

    def __init__(self) -> None:
        super().__init__(ExecutorContext(RunFolder(Path("none")), workers=2))
        self.futures: list[Future[Done]] = []
        self.restarts = 0
        self.broken = False

    def _start(self, stack: TrialStack) -> Future[Done]:
        if self.broken:
            raise BrokenExecutor("gone")
        self.futures.append(Future())
        return self.futures[-1]

    def _recover(self) -> list[StackResult]:
        self.restarts += 1
        return []

    def stop(self, signal: int) -> None:
        for future in self.futures:
            future.set_result(([], signal))

    def close(self) -> None:
        pass


@pytest.fixture
def stacks() -> list[TrialStack]:
    return [TrialStack("a sweep", []) for _ in range(3)]


def test_what_has_ended_comes_once_and_in_order(stacks: list[TrialStack]) -> None:
    executor = ByHand()
    for stack in stacks:
        executor.submit(stack)
    assert executor.results(0.0) == []
    executor.futures[2].set_result(([], None))
    executor.futures[0].set_result(([], 15))
    found = executor.results()
    assert [(result.stack, result.signal) for result in found] == [
        (stacks[0], 15),
        (stacks[2], None),
    ]
    assert executor.results(0.0) == []


def test_a_death_and_a_fault_are_told_apart(stacks: list[TrialStack]) -> None:
    executor = ByHand()
    for stack in stacks[:2]:
        executor.submit(stack)
    executor.futures[0].set_exception(BrokenExecutor("killed"))
    executor.futures[1].set_exception(ValueError("a bug"))
    died, failed = executor.results()
    assert (died.died, died.error, executor.restarts) == (True, None, 1)
    assert (failed.died, str(failed.error)) == (False, "a bug")


def test_a_pool_that_is_gone_before_a_stack_begins_has_lost_it(stacks: list[TrialStack]) -> None:
    executor = ByHand()
    executor.broken = True
    executor.submit(stacks[0])
    (result,) = executor.results()
    assert result.died
    assert result.stack is stacks[0]
