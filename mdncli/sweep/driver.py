"""Driver of a sweep: submits stacks to workers, handles their deaths, and reports progress."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mdncli.errors import MdnError
from mdncli.events import (
    Activity,
    Event,
    Listener,
    ShapeProgress,
    SweepEnded,
    SweepProgress,
    TrainingProgress,
)
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep.executors.base import Executor, StackResult
from mdncli.sweep.folder import PENDING, TrialStatus, status_of
from mdncli.sweep.stacks import PendingTrial, TrialStack
from mdncli.sweep.trials import Trial
from mdncli.sweep.work import mark_failed

REPORT_SECONDS = 0.25
"""Least seconds between two progress reports."""

CHECK_SECONDS = 1.0
"""Least seconds between two checks of a worker's progress."""

MOST_DEATHS = 2
"""Deaths of workers after which a stack is still tried again as a whole; after one more its runs
are trained one at a time."""


@dataclass
class Tally:
    """Statuses of the trials of a sweep.

    Args:
        statuses: id of a trial -> status.
        signal: signal that has stopped the sweep, if any.
        given_up: whether there were more failures than allowed.
    """

    statuses: dict[str, TrialStatus] = field(default_factory=dict)
    signal: int | None = None
    given_up: bool = False

    @property
    def failed(self) -> int:
        """The number of failed trials."""
        return sum(status.failed for status in self.statuses.values())

    @property
    def completed(self) -> int:
        """The number of complete trials."""
        return sum(status.state == "completed" for status in self.statuses.values())


def best_of(trials: Sequence[Trial], statuses: Mapping[str, TrialStatus]) -> Trial | None:
    """The trial with the lowest NLL on its validation rows; the first of equal ones."""
    scored = [(nll, t) for t in trials if (nll := statuses[t.id].nll()) is not None]
    return min(scored, key=lambda pair: pair[0])[1] if scored else None


class Driver:
    """Training of the pending trials of a sweep.

    Args:
        trials: all trials; more may be added.
        tally: their statuses, which are updated.
        listener: receives progress.
        stop: returns the signal that asks to stop, if any.
        most_failures: most failures before the sweep is given up; None for any number.
        wanted: final number of trials, if not all are known yet.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        tally: Tally,
        listener: Listener,
        stop: Stop,
        most_failures: int | None = None,
        wanted: int = 0,
    ) -> None:
        self.trials = trials
        self.tally = tally
        self._listener = listener
        self._stop = stop
        self._most_failures = most_failures
        self._wanted = wanted
        self._failed_before = tally.failed
        self._labels: dict[str, str] = {}
        self._running: list[TrialStack] = []
        self._shares: dict[str, float] = {}
        self._deaths: Counter[str] = Counter()
        self._activity = ""
        self._cost = self._done_cost = 0.0
        self._began = time.monotonic()
        self._reported = self._checked = 0.0

    # ------------------------------------------------------------------------------- training

    def run(self, executor: Executor, feed: Callable[[], Sequence[TrialStack]]) -> None:
        """Train the stacks that `feed` returns, again and again until it returns none."""
        try:
            while not self._is_halted() and (stacks := feed()):
                self._cost += sum(stack.cost for stack in stacks)
                for stack in stacks:
                    self._labels |= {one.trial.id: stack.label for one in stack.trials}
                self._train(executor, deque(stacks))
        finally:
            self._listener(SweepEnded())

    def _train(self, executor: Executor, queue: deque[TrialStack]) -> None:
        suspects: deque[TrialStack] = deque()
        try:
            while (queue or suspects or self._running) and not self._is_halted():
                while queue and len(self._running) < executor.places and not self._is_halted():
                    self._submit(executor, queue.popleft())
                # A run that may have killed its worker is trained alone, to identify it.
                if suspects and not self._running and not queue:
                    self._submit(executor, suspects.popleft())
                results = executor.results(REPORT_SECONDS)
                self._record_results(results)
                died = [result.stack for result in results if result.died]
                for stack in died:
                    again, alone = self._requeue(stack, certain=len(died) == 1)
                    queue += again
                    suspects += alone
                self._report()
        finally:
            results: list[StackResult] = []
            while self._running:
                executor.stop(self.tally.signal or 15)  # again, for workers that have come since
                found = executor.results(CHECK_SECONDS)
                self._forget(found)
                results += found
            self._record_results(results)

    def _submit(self, executor: Executor, stack: TrialStack) -> None:
        """Submit a stack; an executor in this process has trained it when this returns."""
        self._current = stack
        self._running.append(stack)
        try:
            self._report()
            executor.submit(stack)
        except BaseException:
            self._running.remove(stack)  # no result would follow
            raise

    def _record_results(self, results: Sequence[StackResult]) -> None:
        """Record the statuses of the trials of ended stacks.

        Raises:
            Exception: no worker could train one of them.
        """
        self._forget(results)
        for result in results:
            if result.died or result.error is not None:
                continue
            for each in result.ended:
                self.tally.statuses[each.id] = each.status
            if result.signal is not None and not self.tally.given_up:
                self.tally.signal = self.tally.signal or result.signal
            self._done_cost += result.stack.cost
            self._shares.pop(result.stack.trials[0].trial.id, None)
        for result in results:
            if result.error is not None:
                raise result.error

    def _forget(self, results: Sequence[StackResult]) -> None:
        """Remove stacks from those running."""
        for result in results:
            if result.stack in self._running:
                self._running.remove(result.stack)

    def _requeue(
        self, stack: TrialStack, *, certain: bool
    ) -> tuple[list[TrialStack], list[TrialStack]]:
        """Rest of a stack whose worker has died: stacks to train again, and others alone."""
        left: list[PendingTrial] = []
        for one in stack.trials:
            status = status_of(RunFolder(one.folder))
            if status.state == "pending":
                self._deaths[one.trial.id] += 1
                left.append(one)
            else:
                self.tally.statuses[one.trial.id] = status
        if not left:
            return [], []
        rest = replace(stack, trials=left)
        deaths = max(self._deaths[one.trial.id] for one in left)
        if deaths <= MOST_DEATHS:
            return [rest], []
        if len(left) > 1 or not certain:
            return [], rest.split()
        reason = f"its process was killed {deaths} times; it may need too much memory"
        mark_failed(RunFolder(left[0].folder), reason)
        self.tally.statuses[left[0].trial.id] = TrialStatus("failed", {}, reason)
        return [], []

    def _is_halted(self) -> bool:
        """True if no more stacks are to be submitted: after a signal, or too many failures."""
        if (signal := self._stop()) is not None:
            self.tally.signal = signal
        most = self._most_failures
        if most is not None and self.tally.failed - self._failed_before > most:
            self.tally.given_up = True
        return self.tally.signal is not None or self.tally.given_up

    # -------------------------------------------------------------------------------- progress

    def hear(self, event: Event) -> None:
        """Handle events of a stack trained in this process, without forwarding them."""
        if isinstance(event, Activity):
            self._activity = event.text
            self._reported = 0.0  # no further event may follow soon
            self._report()
        if isinstance(event, TrainingProgress):
            self._shares[self._current.trials[0].trial.id] = event.step / max(event.steps, 1)
            self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        if now - self._checked >= CHECK_SECONDS:
            self._checked = now
            for stack in self._running:
                lead = stack.trials[0]
                self._shares.setdefault(lead.trial.id, 0.0)
                history: list[dict[str, Any]] = []
                with contextlib.suppress(MdnError):
                    history = RunFolder(lead.folder).history()
                if history:
                    self._shares[lead.trial.id] = history[-1]["step"] / max(lead.shape.steps, 1)
        self._listener(self.progress())

    def progress(self) -> SweepProgress:
        """The progress of the sweep."""
        work = self._done_cost + sum(
            stack.cost * self._shares.get(stack.trials[0].trial.id, 0.0) for stack in self._running
        )
        share = min(1.0, work / self._cost) if self._cost else 0.0
        share *= len(self.trials) / max(len(self.trials), self._wanted, 1)
        elapsed = time.monotonic() - self._began
        left = elapsed * (1 - share) / share if share > 0 else None
        best = best_of(self.trials, self.tally.statuses)
        later = max(0, self._wanted - len(self.trials))
        activity = ""
        if self._running and not share:
            activity = self._activity or f"starting, {elapsed:.0f} s"
        return SweepProgress(
            self._shapes(), share, left, best.name if best else "", later, activity
        )

    def _shapes(self) -> tuple[ShapeProgress, ...]:
        running = {one.trial.id for stack in self._running for one in stack.trials}
        groups: dict[str, list[Trial]] = {}
        for trial in self.trials:
            label = self._labels.get(trial.id, "done before")
            groups.setdefault(label, []).append(trial)
        shapes = []
        for label, trials in groups.items():
            statuses = [self.tally.statuses.get(trial.id, PENDING) for trial in trials]
            known = [nll for status in statuses if (nll := status.nll()) is not None]
            shapes.append(
                ShapeProgress(
                    label=label,
                    trials=len(trials),
                    done=sum(status.state == "completed" for status in statuses),
                    running=sum(trial.id in running for trial in trials),
                    failed=sum(status.failed for status in statuses),
                    best=min(known, default=None),
                )
            )
        return tuple(shapes)
