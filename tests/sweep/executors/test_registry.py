"""Every executor: the same trials come to the same, a fault is one trial's own, nothing is left."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.executors import EXECUTORS, open_executor
from mdncli.sweep.executors.base import Executor, ExecutorContext, StackResult
from mdncli.sweep.stacks import TrialStack
from tests.sweep.small import learnt, stack_in, sweep_in, trial_in

pytestmark = pytest.mark.filterwarnings("ignore")

Open = Callable[[RunFolder], Executor]


@pytest.fixture
def asked() -> list[int]:
    """The signals that this process has been sent."""
    return []


@pytest.fixture(params=EXECUTORS)
def open_for(request: pytest.FixtureRequest, asked: list[int]) -> Iterator[Open]:
    """Open an executor with two workers for a sweep."""
    with ExitStack() as held:
        client = None
        if request.param == "dask":
            from mdncli.sweep.executors import dask

            address = request.getfixturevalue("scheduler")
            client = held.enter_context(dask.connect(address, 1, ignore))

        def opened_for(folder: RunFolder) -> Executor:
            stop = lambda: asked[0] if asked else None  # noqa: E731
            return open_executor(request.param, ExecutorContext(folder, 2, ignore, stop, client))

        yield opened_for


def trained(executor: Executor, stacks: list[TrialStack]) -> list[StackResult]:
    """The results of stacks, as a driver would have them trained."""
    queue, running, found = [*stacks], 0, []
    while queue or running:
        while queue and running < executor.places:
            executor.submit(queue.pop(0))
            running += 1
        results = executor.results(60.0)
        assert results
        running -= len(results)
        found += results
    return found


def test_the_same_trials_come_to_the_same(open_for: Open, tmp_path: Path) -> None:
    calm = stack_in(tmp_path / "calm", seeds=4)
    work.train(calm)
    folder = sweep_in(tmp_path / "sweep")
    whole = stack_in(folder.path, seeds=4)
    stacks = [replace(whole, trials=whole.trials[:1]), replace(whole, trials=whole.trials[1:])]
    with open_for(folder) as executor:
        assert executor.workers >= 1
        results = trained(executor, stacks)
    assert {id(result.stack) for result in results} == {id(stack) for stack in stacks}
    assert learnt(whole) == learnt(calm)
    states = {each.id: each.status.state for result in results for each in result.ended}
    assert states == {one.trial.id: "completed" for one in whole.trials}


def test_a_failing_trial_stays_alone(open_for: Open, tmp_path: Path) -> None:
    calm = stack_in(tmp_path / "calm")
    work.train(calm)
    folder = sweep_in(tmp_path / "sweep")
    good = stack_in(folder.path)
    bad = replace(trial_in(folder.path, "data.seed=5"), fingerprints={"data": "other"})
    mixed = replace(good, trials=[bad, *good.trials])
    with open_for(folder) as executor:
        (result,) = trained(executor, [mixed])
    assert (result.died, result.error, result.signal) == (False, None, None)
    states = {each.id: each.status for each in result.ended}
    assert states[bad.trial.id].state == "failed"
    assert "has changed" in states[bad.trial.id].reason
    assert RunFolder(bad.folder).state() == "failed"
    assert learnt(good) == learnt(calm)


def test_stopping_early_leaves_nothing_behind(
    open_for: Open, asked: list[int], tmp_path: Path
) -> None:
    folder = sweep_in(tmp_path / "sweep")
    stack = stack_in(folder.path, seeds=1, steps=40_000)
    run = RunFolder(stack.trials[0].folder)
    with open_for(folder) as executor:

        def stop() -> None:
            while not run.metrics.exists():
                time.sleep(0.02)
            asked.append(15)
            executor.stop(15)

        other = threading.Thread(target=stop, daemon=True)
        other.start()
        (result,) = trained(executor, [stack])
        other.join()
    assert result.signal == 15
    assert [each.status.state for each in result.ended] == ["pending"]
    assert run.state() == "interrupted"
    assert run.checkpoint.exists()
    assert not [*run.path.glob(".*.tmp")]
    assert not multiprocessing.active_children()
    with run.locked():
        pass


def test_listing_imports_nothing() -> None:
    code = (
        "import sys; before = {*sys.modules};"
        "from mdncli.sweep.executors import EXECUTORS; assert len(EXECUTORS) > 2;"
        "heavy = {'torch', 'numpy', 'distributed', 'multiprocessing'};"
        "print(heavy & {*sys.modules} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
