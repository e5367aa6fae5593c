"""The executor with processes of this machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mdncli.sweep import work
from mdncli.sweep.executors.base import ExecutorContext
from mdncli.sweep.executors.processes import Processes
from tests.sweep.small import learnt, stack_in, sweep_in

pytestmark = pytest.mark.filterwarnings("ignore")


def children() -> list[int]:
    """Processes that this one has begun."""
    return [int(each) for each in Path("/proc/thread-self/children").read_text().split()]


def test_a_stack_comes_to_what_this_process_makes_of_it(tmp_path: Path) -> None:
    calm = stack_in(tmp_path / "calm")
    work.train(calm)
    folder = sweep_in(tmp_path / "sweep")
    stack = stack_in(folder.path)
    before = children()
    with Processes(ExecutorContext(folder, workers=1)) as executor:
        assert (executor.workers, executor.places) == (1, 1)
        executor.submit(stack)
        (result,) = executor.results(60.0)
        assert len(children()) == len(before) + 1
    assert children() == before
    assert (result.signal, result.died, result.error) == (None, False, None)
    assert [each.status.state for each in result.ended] == ["completed", "completed"]
    assert learnt(stack) == learnt(calm)


def test_no_process_starts_before_there_is_work(tmp_path: Path) -> None:
    before = children()
    with Processes(ExecutorContext(sweep_in(tmp_path / "sweep"), workers=4)) as executor:
        assert executor.results(0.0) == []
        assert children() == before


def test_another_worker_follows_one_that_died(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "sweep")
    complete, stack = (stack_in(folder.path, steps=steps) for steps in (20, 50_000))
    work.train(complete)
    before = set(children())
    with Processes(ExecutorContext(folder, workers=1)) as executor:
        executor.submit(stack)
        (worker,) = set(children()) - before
        os.kill(worker, signal.SIGKILL)
        (result,) = executor.results(60.0)
        assert (result.stack, result.died, result.signal) == (stack, True, None)
        executor.submit(complete)
        (result,) = executor.results(60.0)
    assert (result.stack, result.died) == (complete, False)
    assert {each.status.state for each in result.ended} == {"completed"}
