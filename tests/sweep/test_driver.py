"""The driver keeps an executor busy, and finds out who kills its workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli.errors import RunFault
from mdncli.events import Activity, Event, SweepEnded, SweepProgress, TrainingProgress, ignore
from mdncli.store import RunFolder
from mdncli.sweep.driver import MOST_DEATHS, Driver, Tally, best_of
from mdncli.sweep.executors.base import Executor, ExecutorContext, StackResult
from mdncli.sweep.folder import PENDING, TrialStatus
from mdncli.sweep.stacks import TrialStack
from mdncli.sweep.work import TrialResult
from tests.sweep.small import stack_in

Script = Callable[[TrialStack], StackResult]


class Scripted(Executor):
    """An executor whose stacks end as a test says, at most two at a time."""

    def __init__(self, script: Script) -> None:
        super().__init__(ExecutorContext(RunFolder(Path("none")), workers=2))
        self._script = script
        self._waiting: list[TrialStack] = []
        self.submitted: list[TrialStack] = []
        self.together = 0
        self.stopped: list[int] = []

    def submit(self, stack: TrialStack) -> None:
        self.submitted.append(stack)
        self._waiting.append(stack)
        self.together = max(self.together, len(self._waiting))

    def results(self, seconds: float | None = None) -> list[StackResult]:
        found, self._waiting = [self._script(stack) for stack in self._waiting], []
        return found

    def stop(self, signal: int) -> None:
        self.stopped.append(signal)

    def close(self) -> None:
        pass


def completed(stack: TrialStack, nll: float = 1.0) -> StackResult:
    status = TrialStatus("completed", {"nll": {"validation": nll}})
    return StackResult(stack, [TrialResult(one.trial.id, status) for one in stack.trials])


def failed(stack: TrialStack) -> StackResult:
    status = TrialStatus("failed", {}, "no luck")
    return StackResult(stack, [TrialResult(one.trial.id, status) for one in stack.trials])


@pytest.fixture
def stack(tmp_path: Path) -> TrialStack:
    """Four trials of one shape."""
    return stack_in(tmp_path / "sweep", seeds=4)


def driven(
    stack: TrialStack,
    script: Script,
    stop: Callable[[], int | None] = lambda: None,
    most_failures: int | None = None,
) -> tuple[Tally, Scripted, list[Event]]:
    """Have the trials of a stack trained, each as a stack by itself."""
    trials = [one.trial for one in stack.trials]
    tally = Tally(dict.fromkeys((trial.id for trial in trials), PENDING))
    heard: list[Event] = []
    driver = Driver(trials, tally, heard.append, stop, most_failures)
    executor = Scripted(script)
    queue = [stack.split()]
    driver.run(executor, lambda: queue.pop() if queue else [])
    return tally, executor, heard


def test_every_place_is_used_and_every_trial_is_tallied(stack: TrialStack) -> None:
    tally, executor, heard = driven(stack, completed)
    assert (tally.completed, tally.failed, tally.signal) == (4, 0, None)
    assert executor.together == 2
    assert len(executor.submitted) == 4
    assert executor.stopped == []
    assert isinstance(heard[-1], SweepEnded)
    told = [event for event in heard if isinstance(event, SweepProgress)]
    assert told[0].shapes[0].trials == 4


def test_what_happens_before_the_first_step_is_said(stack: TrialStack) -> None:
    trials = [one.trial for one in stack.trials]
    heard: list[Event] = []
    tally = Tally(dict.fromkeys((trial.id for trial in trials), PENDING))
    driver = Driver(trials, tally, heard.append, lambda: None)

    def script(part: TrialStack) -> StackResult:
        driver.hear(Activity("importing torch"))
        driver.hear(TrainingProgress(1, 2, 0, None, None))
        return completed(part)

    queue = [[stack]]
    driver.run(Scripted(script), lambda: queue.pop() if queue else [])
    said = [event.activity for event in heard if isinstance(event, SweepProgress)]
    assert said[:2] == ["starting, 0 s", "importing torch"]
    assert driver.progress().activity == ""


def test_the_best_has_the_lowest_nll_and_is_the_first_of_equals(stack: TrialStack) -> None:
    trials = [one.trial for one in stack.trials]
    nlls = dict(zip((trial.id for trial in trials), (2.0, 1.0, 1.0), strict=False))
    statuses = {
        id_: TrialStatus("completed", {"nll": {"validation": nll}}) for id_, nll in nlls.items()
    }
    statuses[trials[3].id] = PENDING
    assert best_of(trials, statuses) == trials[1]
    assert best_of(trials[3:], statuses) is None


def test_a_killer_is_found_and_fails_alone(stack: TrialStack) -> None:
    killer = stack.trials[2].trial.id

    def script(part: TrialStack) -> StackResult:
        deadly = killer in {one.trial.id for one in part.trials}
        return StackResult(part, died=True) if deadly else completed(part)

    tally, executor, _ = driven(stack, script)
    assert tally.completed == 3
    assert tally.failed == 1
    assert "was killed" in tally.statuses[killer].reason
    assert RunFolder(stack.trials[2].folder).state() == "failed"
    tries = [part for part in executor.submitted if part.trials[0].trial.id == killer]
    assert len(tries) == MOST_DEATHS + 1


def test_whoever_only_died_with_others_is_tried_until_it_is_plain(stack: TrialStack) -> None:
    killer = stack.trials[0].trial.id
    executor: list[Scripted] = []

    class Together(Scripted):
        """The death of one worker takes all others with it."""

        def results(self, seconds: float | None = None) -> list[StackResult]:
            deadly = any(one.trial.id == killer for s in self._waiting for one in s.trials)
            found = [StackResult(s, died=True) if deadly else completed(s) for s in self._waiting]
            self._waiting = []
            return found

    trials = [one.trial for one in stack.trials]
    tally = Tally(dict.fromkeys((trial.id for trial in trials), PENDING))
    executor.append(Together(completed))
    queue = [stack.split()]
    driver = Driver(trials, tally, ignore, lambda: None)
    driver.run(executor[0], lambda: queue.pop() if queue else [])
    assert tally.completed == 3
    assert tally.statuses[killer].state == "failed"


def test_a_signal_stops_the_workers_and_keeps_what_they_have(stack: TrialStack) -> None:
    ended: list[TrialStack] = []

    def script(part: TrialStack) -> StackResult:
        ended.append(part)
        return completed(part)

    tally, executor, _ = driven(stack, script, lambda: 15 if len(ended) >= 2 else None)
    assert tally.signal == 15
    assert tally.completed == len(ended) == len(executor.submitted) < 4


def test_it_gives_up_after_too_many_failures(stack: TrialStack) -> None:
    tally, executor, _ = driven(stack, failed, most_failures=1)
    assert tally.given_up
    assert tally.failed == 2
    assert len(executor.submitted) == 2


def test_what_no_worker_can_train_is_raised_when_the_others_are_in(stack: TrialStack) -> None:
    lead = stack.trials[0].trial.id

    def script(part: TrialStack) -> StackResult:
        if part.trials[0].trial.id == lead:
            return StackResult(part, error=RunFault("the cluster is gone"))
        return completed(part)

    with pytest.raises(RunFault, match="the cluster is gone"):
        driven(stack, script)
