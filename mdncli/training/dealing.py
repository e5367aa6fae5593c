"""Dealing: the replicas of a stack are dealt out to worker processes, each on one thread.

The stack advances in rounds: every worker takes a group of replicas to the end of the round, then
the next group that nobody has begun. A group's arrays lie in memory that all share, twice: a worker
reads one copy and writes the other, so that nothing is lost if it is killed. As a replica's result
does not depend on its neighbours, it does not depend on the number of workers either.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Index
from mdncli.training.batches import rows_per_step
from mdncli.training.engine import DeviceDatasets, Engine, advance
from mdncli.training.layout import Layout
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import AnyArray, Replica, StackPlan
from mdncli.training.profiling import Profiler
from mdncli.workers import Crew, Died, portable, require_survival

ROUND_SECONDS = 0.4
"""Length of a round: how long a stop, or a checkpoint, may have to wait."""

_LEAST_TOGETHER = 12
"""Least replicas of a group where a worker gets several: fewer take longer each."""

_LEAST_OPERATIONS = 5e7
"""Least operations of a step of such a group: beside fewer the overhead of a step, about a quarter
of a millisecond, counts."""

_GROUPS_EACH = 4
"""Most groups for each worker. With several, one whose core is shared with others takes fewer."""

_DEALT_ANEW = 0.5
"""Share of the replicas that are left when they are dealt out anew."""

FIRST_STEPS = 4
"""Steps of the first round, from which the speed is known."""


@dataclass
class _Group:
    """Replicas that are trained together.

    Attributes:
        place: of the group among the others.
        at: rows of its replicas in the shared arrays.
        positions: of its replicas among those that the engine still trains.
        members: indices of its replicas in the stack.
        step: steps that its arrays have done.
        side: which of the two copies holds its arrays.
        worker: the one that has trained it last.
        deaths: of workers over it since it last advanced.
        seconds: of its last round.
    """

    place: int
    at: Index
    positions: Index
    members: list[int]
    step: int
    side: int = 0
    worker: int = -1
    deaths: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class WorkerTask:
    """WorkerTask of a worker: to take a group's replicas to a step, and maybe validate them there.

    Args:
        deal: number of the deal, which changes with all groups.
        group: place of the group.
        at: rows of its replicas in the shared arrays.
        members: their indices in the stack.
        side: the copy that holds their arrays.
        step: steps that they have done.
        until: the step to reach.
        counted: steps since the last validation, at that step; 0 for no validation.
        rollbacks: number of each one's rollbacks, and the step of the last.
    """

    deal: int
    group: int
    at: Index
    members: list[int]
    side: int
    step: int
    until: int
    counted: int
    rollbacks: tuple[AnyArray, AnyArray]


@dataclass(frozen=True)
class WorkerReport:
    """Answer to a task.

    Args:
        seconds: of its processor.
        found: of each replica, if validated: NLL of training and of validation rows, epoch and
            learning rate.
        phases: seconds of each phase of a step, if profiled.
    """

    seconds: float
    found: tuple[AnyArray, AnyArray, AnyArray, AnyArray] | None = None
    phases: Mapping[str, float] = field(default_factory=dict)


class Dealer:
    """Worker processes for a stack, and the memory that they share.

    Args:
        plan: settings that the replicas share.
        data: their datasets.
        replicas: all replicas of the stack.
        workers: the number of processes.
        profiler: counts the time of each phase of a step, on average over the workers.
    """

    def __init__(
        self,
        plan: StackPlan,
        data: DeviceDatasets,
        replicas: Sequence[Replica],
        workers: int,
        profiler: Profiler | None = None,
    ) -> None:
        self.profiler = profiler
        self._own_profiler = None if profiler is None else Profiler()
        self.plan = plan
        self.data = data
        self.replicas = replicas
        self.deal = 0
        count, size = len(replicas), Layout(plan.network).size
        names = ["weights", *(["average"] if plan.averaging else [])]
        names += [f"moment.{name}" for name in OPTIMIZERS[plan.optimizer].moments]
        self.sides = [
            {name: _shared((count, size), np.float32) for name in names}
            | {"train.nll": _shared((count,), np.float32)}
            for _ in range(2)
        ]
        self.reached = _shared((count,), np.int64)
        self.workers = workers
        self._crew: Crew | None = None

    def start(self) -> None:
        """Start the workers.

        Raises:
            RunFault: a process cannot be started.
        """
        self._crew = self._crew or Crew(self.workers, self._serve)

    def close(self) -> None:
        """End the workers."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    @property
    def at_work(self) -> bool:
        """True if there are workers now."""
        return self._crew is not None

    @property
    def crew(self) -> Crew:
        """The workers."""
        assert self._crew is not None
        return self._crew

    def _serve(self, pipe: Connection) -> None:
        """Life of a worker: tasks in, reports out."""
        deal, engines = -1, dict[int, Engine]()
        while True:
            task: WorkerTask = pipe.recv()
            if task.deal != deal:
                deal, engines = task.deal, {}
            try:
                pipe.send(self.work(task, engines))
            except Exception as error:
                pipe.send(portable(error))

    def work(self, task: WorkerTask, engines: dict[int, Engine]) -> WorkerReport:
        """Do a task, in a worker or in this process.

        Args:
            task: the task.
            engines: those of earlier tasks of its deal, by group.
        """
        began = time.process_time()
        before = {} if self._own_profiler is None else dict(self._own_profiler.seconds)
        engine = engines.get(task.group)
        if engine is None or engine.step != task.step or engine.size != len(task.members):
            engine = engines[task.group] = self._engine(task)
        while engine.step < task.until:
            advance(engine)
            self.reached[task.group] = engine.step
        for name, values in self.sides[1 - task.side].items():
            values[task.at] = engine.tensors()[name].numpy()
        found = None
        if task.counted:
            train, validation = engine.take_training_nll(task.counted), engine.validation_nll()
            found = train, validation, engine.epochs(), engine.last_rates()
        phases = {
            phase: self._own_profiler.seconds[phase] - seconds
            for phase, seconds in before.items()
            if self._own_profiler is not None
        }
        return WorkerReport(time.process_time() - began, found, phases)

    def _engine(self, task: WorkerTask) -> Engine:
        arrays = {name: values[task.at] for name, values in self.sides[task.side].items()}
        rollbacks, rolled = task.rollbacks
        arrays |= {"rollbacks": rollbacks, "rolled.step": rolled}
        # The best weights are the driver's business.
        arrays["best.weights"] = np.empty((len(task.members), 0), np.float32)
        replicas = [self.replicas[index] for index in task.members]
        return Engine(
            *(self.plan, self.data, replicas, task.step, arrays),
            profiler=self._own_profiler,
            backend="numpy",
        )


class DealtEngine:
    """Some replicas of a stack on worker processes; it is used like an `Engine`.

    Args:
        dealer: of the stack.
        members: indices of the replicas, in the order of `DeviceDatasets.order`.
        step: steps done.
        arrays: as for an `Engine`.
    """

    def __init__(
        self, dealer: Dealer, members: Sequence[int], step: int, arrays: Mapping[str, AnyArray]
    ) -> None:
        self.step = step
        self._dealer = dealer
        self._count = len(members)
        self._best = np.array(arrays["best.weights"])
        self._rollbacks = arrays["rollbacks"], arrays["rolled.step"]
        for name, values in dealer.sides[0].items():
            values[: self._count] = arrays[name]
        dealer.deal += 1
        dealer.reached[:] = step
        self._groups = [
            _Group(place, rows, rows, [members[row] for row in rows.tolist()], step)
            for place, rows in enumerate(deal_out(self._costs(members), dealer.workers))
        ]
        self._dealt = self._count
        self._ready: list[_Group] = []
        self._at_work: dict[int, _Group] = {}
        self._until = step
        self._counted = 0
        self._pace = 0.0
        self._began = 0.0
        self._found = np.full((4, self._count), np.nan)
        self._found_at = -1

    @property
    def reached(self) -> int:
        """Steps that the replicas have done on average."""
        return int(self._dealer.reached[[group.place for group in self._groups]].mean())

    def advance_to(self, step: int, counted: int, seconds: float) -> bool:
        """Go on as `Engine.advance_to` does; at the step the replicas are validated, too.

        Those that begin at that step are not yet.
        """
        ends = time.monotonic() + seconds
        while self._found_at < step and (left := ends - time.monotonic()) > 0:
            self.begin(step, counted)
            self._take_answers(left)
        return self._found_at == step

    def take_back(self) -> None:
        """Take back the groups that workers have begun, as those are to end."""
        self._ready += self._at_work.values()
        self._at_work = {}

    def begin(self, step: int, counted: int) -> None:
        """Have the workers go on, as `advance_to` will ask them to, without waiting for them."""
        if self._found_at < step:
            if not self._under_way:
                self._begin_round(step, counted)
            for worker in range(self._dealer.workers):
                self._assign(worker)

    def arrays(self, chosen: Index) -> dict[str, AnyArray]:
        """Copies of all arrays that steps change, all at one step, of the replicas at positions."""
        while self._under_way and self._dealer.at_work:
            self._take_answers(None)
        if self._under_way:
            # The workers are gone: the rest of the round is this process's own.
            while self._ready:
                group = self._ready[-1]
                self._record(group, -1, self._dealer.work(self._task(group), {}))
                self._ready.pop()
            self._end_round()
        names = self._dealer.sides[0]
        found = {name: np.empty_like(values[: len(chosen)]) for name, values in names.items()}
        for group in self._groups:
            _, here, there = np.intersect1d(chosen, group.positions, return_indices=True)
            for name, values in self._dealer.sides[group.side].items():
                found[name][here] = values[group.at[there]]
        return {**found, "best.weights": self._best[chosen]}

    def keep(self, staying: NDArray[np.bool_]) -> None:
        """Leave out the other replicas; groups that have lost none go on as they are."""
        self._count = int(staying.sum())
        self._best = self._best[staying]
        self._found = self._found[:, staying]
        rollbacks, rolled = self._rollbacks
        self._rollbacks = rollbacks[staying], rolled[staying]
        place = np.cumsum(staying) - 1
        for group in self._groups:
            here = staying[group.positions]
            group.at, group.positions = group.at[here], place[group.positions[here]]
            group.members = [one for one, stays in zip(group.members, here, strict=True) if stays]
        self._groups = [group for group in self._groups if group.members]
        if self._count < _DEALT_ANEW * self._dealt:
            self._deal_anew()

    def _deal_anew(self) -> None:
        """Deal the replicas that are left into new groups."""
        rows = np.empty(self._count, np.intp)
        members = [0] * self._count
        for group in self._groups:
            rows[group.positions] = group.at
            for position, member in zip(group.positions.tolist(), group.members, strict=True):
                members[position] = member
            if group.side:
                for name, values in self._dealer.sides[1].items():
                    self._dealer.sides[0][name][group.at] = values[group.at]
        self._groups = [
            _Group(place, rows[at], at, [members[one] for one in at.tolist()], self.step)
            for place, at in enumerate(deal_out(self._costs(members), self._dealer.workers))
        ]
        self._dealer.deal += 1
        self._dealer.reached[:] = self.step
        self._dealt = self._count

    def take_training_nll(self, steps: int) -> NDArray[np.float64]:
        """Mean NLL of every replica over its batches since the last validation; resets the sum."""
        for side in self._dealer.sides:
            side["train.nll"][:] = 0
        return self._found[0].copy()

    def validation_nll(self) -> NDArray[np.float64]:
        """Mean NLL of every replica on its validation rows; NaN where there are none."""
        return self._found[1].copy()

    def epochs(self) -> NDArray[np.float64]:
        """Passes of every replica over its training rows."""
        return self._found[2].copy()

    def last_rates(self) -> NDArray[np.float64]:
        """Learning rates of the last step."""
        return self._found[3].copy()

    def keep_best(self, improved: NDArray[np.bool_]) -> None:
        """Store the weights that some replicas were last validated with as their best."""
        name = "average" if self._dealer.plan.averaging else "weights"
        for group in self._groups:
            better = improved[group.positions]
            found = self._dealer.sides[group.side][name][group.at[better]]
            self._best[group.positions[better]] = found

    @property
    def _under_way(self) -> bool:
        return bool(self._ready or self._at_work)

    def _costs(self, members: Sequence[int]) -> list[float]:
        """Operations of a step of each replica, forward and backward."""
        plan, data = self._dealer.plan, self._dealer.data
        units, inputs = plan.network.layers[0]
        found = []
        for index in members:
            replica = self._dealer.replicas[index]
            rows = rows_per_step(data.training[replica.data][0].shape[1], plan.batch_size)
            weights = plan.network.parameters - units * (inputs - data.inputs_seen(replica))
            found.append(6.0 * rows * weights)
        return found

    def _begin_round(self, step: int, counted: int) -> None:
        steps = FIRST_STEPS
        if self._pace:
            steps = max(1, int(ROUND_SECONDS / self._pace))
        self._until = min(step, self.step + steps)
        if step - self._until < steps / 2:
            self._until = step  # instead of a short last round
        self._counted = counted if self._until == step else 0
        self._began = time.monotonic()
        # Those that take the longest come first.
        self._ready = sorted(self._groups, key=lambda group: group.seconds)

    def _assign(self, worker: int) -> None:
        """Give a worker the next group: one that it knows if there is one."""
        if worker in self._at_work or not self._ready:
            return
        own = [group for group in self._ready if group.worker == worker]
        fresh = [group for group in self._ready if group.worker < 0]
        group = (own or fresh or self._ready)[-1]
        self._ready.remove(group)
        self._at_work[worker] = group
        self._dealer.crew.send(worker, self._task(group))

    def _task(self, group: _Group) -> WorkerTask:
        """The rest of the round for a group."""
        rollbacks, rolled = self._rollbacks
        return WorkerTask(
            *(self._dealer.deal, group.place, group.at, group.members, group.side),
            *(group.step, self._until, self._counted),
            rollbacks=(rollbacks[group.positions], rolled[group.positions]),
        )

    def _take_answers(self, seconds: float | None) -> None:
        """Wait for answers, hand out what is left, and end the round when all is done."""
        profiler = self._dealer.profiler
        with nullcontext() if profiler is None else profiler.wait_for_workers():
            answers = self._dealer.crew.answers(seconds)
        for worker, answer in answers:
            group = self._at_work.pop(worker, None)
            if isinstance(answer, Died):
                if group is not None:
                    self._ready.append(group)
                    group.deaths += 1
                    require_survival(group.deaths)
            elif isinstance(answer, Exception):
                self._ready += [] if group is None else [group]
                raise answer
            elif group is not None:
                self._record(group, worker, answer)
            self._assign(worker)
        if not self._under_way:
            self._end_round()

    def _end_round(self) -> None:
        if steps := self._until - self.step:
            self._pace = (time.monotonic() - self._began) / steps
        self.step = self._until
        if self._counted:
            self._found_at = self.step

    def _record(self, group: _Group, worker: int, report: WorkerReport) -> None:
        group.worker, group.deaths, group.seconds = worker, 0, report.seconds
        group.side, group.step = 1 - group.side, self._until
        if (profiler := self._dealer.profiler) is not None:
            profiler.count_task(report.seconds, report.phases, self._dealer.workers)
        if report.found is not None:
            self._found[:, group.positions] = report.found


def _shared(shape: tuple[int, ...], kind: type[Any]) -> AnyArray:
    """Array of zeros in memory that forks share; it has no name, so nothing of it can remain."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    try:
        memory = mmap.mmap(-1, max(1, size))
    except OSError as error:
        raise MemoryError(str(error)) from None
    return np.frombuffer(memory, np.uint8)[:size].view(kind).reshape(shape)


def deal_out(costs: Sequence[float], workers: int) -> list[Index]:
    """Cut replicas into groups: a few for each worker, or one where they are few.

    With one for each, every group gets some replicas of each kind, as kinds differ in cost; with
    more, those of one kind stay together, as they share their rows.

    >>> [group.tolist() for group in deal_out([1e7] * 8, 2)]
    [[0, 2, 4, 6], [1, 3, 5, 7]]
    >>> [group.tolist()[::11] for group in deal_out([1e7] * 48, 2)]
    [[0, 11], [12, 23], [24, 35], [36, 47]]
    """
    every, workers = np.arange(len(costs)), min(workers, len(costs))
    least = max(_LEAST_TOGETHER, int(np.ceil(_LEAST_OPERATIONS / np.mean(costs))))
    each = min(_GROUPS_EACH, len(costs) // (workers * least))
    if each < 2:
        return [every[first::workers] for first in range(workers)]
    shares = np.arange(1, workers * each) / (workers * each)
    ends = np.searchsorted(np.cumsum(costs), np.sum(costs) * shares) + 1
    return [group for group in np.split(every, ends) if len(group)]
