"""The executor in this process: a stack has been trained when it is submitted."""

from __future__ import annotations

from pathlib import Path

from mdncli.events import Activity, Event, RunEnded, TrainingStarted
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.executors.base import ExecutorContext
from mdncli.sweep.executors.inline import Inline
from tests.sweep.small import learnt, stack_in, sweep_in


def test_a_stack_comes_to_what_a_worker_makes_of_it(tmp_path: Path) -> None:
    calm = stack_in(tmp_path / "calm")
    work.train(calm)
    folder = sweep_in(tmp_path / "sweep")
    stack = stack_in(folder.path)
    heard: list[Event] = []
    with Inline(ExecutorContext(folder, workers=8, listener=heard.append)) as executor:
        assert (executor.workers, executor.places) == (1, 1)
        assert executor.results() == []
        executor.submit(stack)
        kinds = [type(event) for event in heard if not isinstance(event, Activity)]
        assert [kinds[0], kinds[-1]] == [TrainingStarted, RunEnded]
        (result,) = executor.results()
        assert executor.results() == []
    assert result.stack is stack
    assert (result.signal, result.died, result.error) == (None, False, None)
    assert [each.status.state for each in result.ended] == ["completed", "completed"]
    assert learnt(stack) == learnt(calm)


def test_results_wait_until_they_are_asked_for(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "sweep")
    stacks = stack_in(folder.path).split()
    with Inline(ExecutorContext(folder)) as executor:
        for stack in stacks:
            executor.submit(stack)
        assert [result.stack for result in executor.results(0.0)] == stacks


def test_a_signal_to_this_process_stops_the_stack(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "sweep")
    stack = stack_in(folder.path, steps=50_000)
    with Inline(ExecutorContext(folder, stop=lambda: 15)) as executor:
        executor.submit(stack)
        executor.stop(15)
        (result,) = executor.results()
    assert result.signal == 15
    assert {each.status.state for each in result.ended} == {"pending"}
    assert all(RunFolder(one.folder).checkpoint.exists() for one in stack.trials)
