"""The driver: keeps the workers busy, survives their deaths, and says how far it has come."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from mdncli.errors import MdnError
from mdncli.events import (
    Event,
    Listener,
    ShapeProgress,
    SweepEnded,
    SweepProgress,
    TrainingProgress,
)
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep.book import PENDING, Standing, standing_of
from mdncli.sweep.crews import Crew, Done
from mdncli.sweep.orders import Order, Sized
from mdncli.sweep.trials import Trial
from mdncli.sweep.work import mark_failed

TOLD_SECONDS = 0.25
"""Least seconds between two words on how far it has come."""

LOOKED_SECONDS = 1.0
"""Least seconds between two looks at how far a worker has come."""

DEATHS = 2
"""So many workers may die over a stack before each of its runs has to go by itself."""


@dataclass
class Tally:
    """What has become of the trials of a sweep.

    Args:
        standings: id of a trial -> what has become of it.
        signal: that has stopped the sweep, if one has.
        given_up: whether there were more failures than were allowed.
    """

    standings: dict[str, Standing] = field(default_factory=dict)
    signal: int | None = None
    given_up: bool = False

    @property
    def failed(self) -> int:
        """How many have failed."""
        return sum(standing.failed for standing in self.standings.values())

    @property
    def completed(self) -> int:
        """How many are complete."""
        return sum(standing.fate == "completed" for standing in self.standings.values())


def best_of(trials: Sequence[Trial], standings: Mapping[str, Standing]) -> Trial | None:
    """The trial with the lowest NLL on its validation rows; the first of equal ones."""
    scored = [(nll, t) for t in trials if (nll := standings[t.id].nll()) is not None]
    return min(scored, key=lambda pair: pair[0])[1] if scored else None


class Driver:
    """Trains what is pending of a sweep.

    Args:
        trials: all that it has; more may be added.
        tally: what has become of them so far; it is kept up to date.
        listener: hears how it goes.
        stop: says which signal, if any, asks to stop.
        most_failures: so many may fail before it is given up; None for any number.
        wanted: how many trials there will be, where not all are known yet.
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
        self._running: dict[Future[Done], Order] = {}
        self._shares: dict[str, float] = {}
        self._deaths: Counter[str] = Counter()
        self._cost = self._done_cost = 0.0
        self._began = time.monotonic()
        self._told = self._looked = 0.0

    # ------------------------------------------------------------------------------- training

    def run(self, crew: Crew, feed: Callable[[], Sequence[Order]]) -> None:
        """Give the crew what `feed` gives, and again what it gives then, until that is nothing."""
        try:
            while not self._halted() and (orders := feed()):
                self._cost += sum(order.cost for order in orders)
                for order in orders:
                    self._labels |= {sized.trial.id: order.label for sized in order.runs}
                self._all(crew, deque(orders))
        finally:
            self._listener(SweepEnded())

    def _all(self, crew: Crew, queue: deque[Order]) -> None:
        suspects: deque[Order] = deque()
        try:
            while (queue or suspects or self._running) and not self._halted():
                while queue and len(self._running) < crew.places and not self._halted():
                    self._give(crew, queue.popleft())
                # Whoever may have killed its worker goes alone, so that it is plain who did.
                if suspects and not self._running and not queue:
                    self._give(crew, suspects.popleft())
                done, _ = wait(self._running, timeout=TOLD_SECONDS, return_when=FIRST_COMPLETED)
                broken = [order for each in done if (order := self._taken(each)) is not None]
                if broken:
                    if crew.together:
                        broken += self._abandoned()
                    crew.restart()
                    for order in broken:
                        again, alone = self._judged(order, certain=len(broken) == 1)
                        queue += again
                        suspects += alone
                self._say()
        finally:
            if self._running:
                crew.interrupt(self.tally.signal or 15)
                wait(self._running)
                for future in [*self._running]:
                    self._taken(future)

    def _give(self, crew: Crew, order: Order) -> None:
        """Have a stack trained; what trains here has trained it when this returns."""
        self._current = order
        pending = Future[Done]()
        self._running[pending] = order
        try:
            self._say()
        finally:
            del self._running[pending]  # nobody would ever end it
        try:
            pending = crew.submit(order)
        except BrokenExecutor as error:
            pending.set_exception(error)
        self._running[pending] = order

    def _taken(self, future: Future[Done]) -> Order | None:
        """Note what a future brings; the order comes back if its worker has died."""
        order = self._running.pop(future)
        try:
            ended, signal = future.result()
        except BrokenExecutor:
            return order
        for each in ended:
            self.tally.standings[each.id] = each.standing
        if signal is not None and not self.tally.given_up:
            self.tally.signal = self.tally.signal or signal
        self._done_cost += order.cost
        self._shares.pop(order.runs[0].trial.id, None)
        return None

    def _abandoned(self) -> list[Order]:
        """The other stacks of a crew of which one has died: the pool takes all with it."""
        orders = [*self._running.values()]
        wait(self._running)
        left = []
        for future, order in zip([*self._running], orders, strict=True):
            if self._taken(future) is not None:
                left.append(order)
        return left

    def _judged(self, order: Order, *, certain: bool) -> tuple[list[Order], list[Order]]:
        """What is left of a stack whose worker has died: to be trained again, and alone."""
        left: list[Sized] = []
        for sized in order.runs:
            standing = standing_of(RunFolder(sized.folder))
            if standing.fate == "pending":
                self._deaths[sized.trial.id] += 1
                left.append(sized)
            else:
                self.tally.standings[sized.trial.id] = standing
        if not left:
            return [], []
        rest = replace(order, runs=left)
        deaths = max(self._deaths[sized.trial.id] for sized in left)
        if deaths <= DEATHS:
            return [rest], []
        if len(left) > 1 or not certain:
            return [], rest.parts()
        reason = f"its process was killed {deaths} times; it may need too much memory"
        mark_failed(RunFolder(left[0].folder), reason)
        self.tally.standings[left[0].trial.id] = Standing("failed", {}, reason)
        return [], []

    def _halted(self) -> bool:
        """Whether nothing more is to be begun."""
        if (signal := self._stop()) is not None:
            self.tally.signal = signal
        most = self._most_failures
        if most is not None and self.tally.failed - self._failed_before > most:
            self.tally.given_up = True
        return self.tally.signal is not None or self.tally.given_up

    # -------------------------------------------------------------------------------- telling

    def hear(self, event: Event) -> None:
        """Hear how a stack goes that is trained in this process; of a single trial say nothing."""
        if isinstance(event, TrainingProgress):
            self._shares[self._current.runs[0].trial.id] = event.step / max(event.steps, 1)
            self._say()

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._told < TOLD_SECONDS:
            return
        self._told = now
        if now - self._looked >= LOOKED_SECONDS:
            self._looked = now
            for order in self._running.values():
                lead = order.runs[0]
                self._shares.setdefault(lead.trial.id, 0.0)
                history: list[dict[str, Any]] = []
                with contextlib.suppress(MdnError):
                    history = RunFolder(lead.folder).history()
                if history:
                    self._shares[lead.trial.id] = history[-1]["step"] / max(lead.shape.steps, 1)
        self._listener(self.progress())

    def progress(self) -> SweepProgress:
        """How far it has come."""
        work = self._done_cost + sum(
            order.cost * self._shares.get(order.runs[0].trial.id, 0.0)
            for order in self._running.values()
        )
        share = min(1.0, work / self._cost) if self._cost else 0.0
        share *= len(self.trials) / max(len(self.trials), self._wanted, 1)
        elapsed = time.monotonic() - self._began
        left = elapsed * (1 - share) / share if share > 0 else None
        best = best_of(self.trials, self.tally.standings)
        later = max(0, self._wanted - len(self.trials))
        return SweepProgress(self._shapes(), share, left, best.name if best else "", later)

    def _shapes(self) -> tuple[ShapeProgress, ...]:
        running = {sized.trial.id for order in self._running.values() for sized in order.runs}
        groups: dict[str, list[Trial]] = {}
        for trial in self.trials:
            label = self._labels.get(trial.id, "done before")
            groups.setdefault(label, []).append(trial)
        shapes = []
        for label, trials in groups.items():
            standings = [self.tally.standings.get(trial.id, PENDING) for trial in trials]
            known = [nll for standing in standings if (nll := standing.nll()) is not None]
            shapes.append(
                ShapeProgress(
                    label=label,
                    trials=len(trials),
                    done=sum(standing.fate == "completed" for standing in standings),
                    running=sum(trial.id in running for trial in trials),
                    failed=sum(standing.failed for standing in standings),
                    best=min(known, default=None),
                )
            )
        return tuple(shapes)
