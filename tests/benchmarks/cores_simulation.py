"""Simulation of a stack on up to 64 cores, for `cores.py`.

Real are all that the driver process does: the loop of the stack, the dealing (groups, rounds, and
which worker gets which group), validations, metrics and checkpoints, with their files. That code
runs as it is, and the simulated clock goes on while it runs. Simulated are the worker processes and
their pipes: `VirtualCrew` takes the place of `mdncli.workers.Crew`. A task ends on the simulated
clock after the seconds that such a task was measured to take in a real worker, times the speed of
its core; the driver's wait for it is skipped. Answers (the NLL of every network at every
validation) are those of a real training on two cores, recorded before, so that networks stop early
and are rolled back when they really are. The last network of a stack has a worker here, too, while
it really trains in the driver.

What is measured first, on this machine: the start of a worker; the driver's work to hand out a task
and to take its answer; a worker's work to make an engine of a group of networks, to take a step
with it, to commit its arrays to shared memory and to validate; how much slower two cores are that
compute at once, as they share caches and memory. Assumed are a normal variation of the speed of
cores and of tasks, and that 64 cores share their memory as well as two do.
"""

from __future__ import annotations

import contextlib
import heapq
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import mdncli.experiment.training as driving
from mdncli import config as configs
from mdncli import experiment
from mdncli.data import splits
from mdncli.density.arrays import Index
from mdncli.events import ignore
from mdncli.experiment.dataset import Dataset
from mdncli.experiment.job import Job
from mdncli.experiment.launch import create_runs
from mdncli.experiment.recipe import Recipe, resolve
from mdncli.experiment.training import Training
from mdncli.store import RunFolder
from mdncli.training import dealing, loop
from mdncli.training.dealing import DealtEngine
from mdncli.training.plan import Validated
from mdncli.training.threads import Cores
from mdncli.workers import Crew

CORES = 2, 4, 8, 16, 32, 64
"""Sizes of the simulated machines."""

CORE_VARIATION = 0.05
"""Standard deviation of the logarithm of a core's speed."""

TASK_VARIATION = 0.03
"""Likewise from task to task on one core."""

SEEDS, MANY_SEEDS = 64, 1000

FEW_SIZES = 2, 16, 64
"""Sizes for the many seeds, whose runs the driver really writes to the disk each time."""

Recording = Mapping[tuple[int, int], NDArray[np.float64]]
"""(Replica, step) -> NLL of training and of validation rows, epoch and learning rate."""

WORK = "computing", "memory", "engines", "commits", "checks"
DRIVER = "start", "slowest", "handing out", "validating", "saving"
USES = *WORK, *DRIVER, "too few"
"""Uses of the core time.

Work of workers: steps (`computing`); the part of their time that is due to other cores' use of
caches and memory; engines made for groups that are new to a worker; arrays committed to shared
memory; networks validated (`checks`). Then what a worker waits for: the start of the workers; tasks
of others at the end of a round (`slowest`), when the driver waits as well; the driver, which is
busy with handing out tasks, validating or saving checkpoints. Last, cores without a worker, where
there are fewer networks than cores.
"""


def limits(
    uci: Path | None,
    split_count: int,
    steps: int | None,
    networks: Mapping[str, Sequence[str]],
    cores: Sequence[int] = CORES,
) -> Iterator[tuple[str, int | None]]:
    """Print a table for each work, of a training of so many steps, or of the default number.

    Returns:
        For each work the least size of a machine that keeps the driver busy for half of the time.
    """
    few = [n for n in cores if n in FEW_SIZES]
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as root:
        if uci is not None:
            work = concrete(uci / "concrete", split_count, steps)
            yield work[0], compare(work, None, cores, Path(root))[0]
        for label, words in networks.items():
            recording = None
            for count, sizes in ((SEEDS, cores), (MANY_SEEDS, few)):
                work = seeds(count, label, words, steps)
                limit, recording = compare(work, recording, sizes, Path(root))
                yield work[0], limit


Work = tuple[str, Sequence[tuple[Dataset, Recipe]]]
"""Name and runs of one command."""


def concrete(folder: Path, count: int, steps: int | None) -> Work:
    """Cross-validation of the concrete table."""
    marks = folder / "splits.csv"
    options = {"data.target": "strength", "data.splits": str(marks)}
    chosen = [] if steps is None else [f"train.steps={steps}"]
    count = min(count, splits.split_count(str(marks)))
    each = [{**options, "data.split": split} for split in range(count)]
    cut = [configs.load(str(folder / "data.csv"), chosen, one) for one in each]
    first = experiment.prepare(cut[0], ignore)
    datasets = [first, *(experiment.resplit(first, config) for config in cut[1:])]
    runs = [(dataset, resolve(dataset.config, dataset)) for dataset in datasets]
    return f"crossval of concrete, {count} splits", runs


def seeds(count: int, label: str, words: Sequence[str], steps: int | None) -> Work:
    """`mdn train sine --seeds COUNT` with a small network."""
    more = [] if steps is None else [f"train.steps={steps}"]
    config = configs.load("sine", [*words, *more], {})
    dataset = experiment.prepare(config, ignore)
    cut = [config.model_copy(update={"seed": seed}) for seed in range(count)]
    each = [experiment.with_config(dataset, config) for config in cut]
    return f"--seeds {count}, {label}", [(one, resolve(one.config, one)) for one in each]


def compare(
    work: Work, recording: Recording | None, cores: Sequence[int], root: Path
) -> tuple[int | None, Recording]:
    """Measure and simulate a work, and print its tables.

    Args:
        work: the runs, which make one stack.
        recording: of fewer runs of its kind, which stand for all; None to train them all now.
        cores: sizes of the simulated machines.
        root: folder for the runs.

    Returns:
        The least size that keeps the driver busy for half of the time, and the recording.
    """
    name, runs = work
    assert len({recipe.stack_key for _, recipe in runs}) == 1
    real = None
    with create_runs(runs, root) as jobs:
        costs = measure(jobs)
        print(f"\n{name}\n{costs}", flush=True)
        if recording is None:
            recording, real = record(jobs)
        outcomes = [Simulation(costs, recording, n).run(jobs) for n in cores]
    alone = seconds_alone(costs, recording, outcomes[0])
    print("Seconds of the training part; the core time by its use, in percent:")
    heads = "".join(f"{name:>12}" for name in USES)
    print(f"{'cores':>5}{'s':>9}{'speed-up':>9}{heads}{'driver busy':>13}  most lost by")
    print(f"{1:>5}{alone:>9.2f}{1:>9.1f}")
    for one in outcomes:
        shares = "".join(f"{100 * one.share(name):>12.1f}" for name in USES)
        print(
            f"{one.cores:>5}{one.seconds:>9.2f}{alone / one.seconds:>9.1f}{shares}"
            f"{one.driver_busy:>13.0%}  {max(USES[1:], key=one.share)}"
        )
    if real is not None:
        print(f"Really, on 2 cores of this machine: {real:.2f} s")
    return min((one.cores for one in outcomes if one.driver_busy >= 0.5), default=None), recording


def seconds_alone(costs: Costs, recording: Recording, dealt: Outcome) -> float:
    """Seconds on one core: all networks in one engine, and the same work of the driver."""
    recorded = 1 + max(replica for replica, _ in recording)
    live: dict[int, set[int]] = {}
    for replica, step in recording:
        live.setdefault(step, set()).add(replica)
    total, before, present = dealt.driver["validating"] + dealt.driver["saving"], 0, 0
    for step, replicas in sorted(live.items()):
        members = [at for at in range(len(costs.weights)) if at % recorded in replicas]
        build, each, _, check = costs.of(members)
        # Where some have left, the others are put into a new engine.
        total += (step - before) * each + check + build * (len(members) != present)
        before, present = step, len(members)
    return total


# --------------------------------------------------------------------------- measurements


@dataclass(frozen=True)
class Costs:
    """Measured seconds.

    Args:
        about: size of the work, for the table.
        weights: relative cost of each replica, of mean 1.
        groups: of a worker, for a group of so many networks of the mean weight: to make its engine,
            to take a step, to commit its arrays and to validate it.
        together: factor by which a step is slower while another core computes, too.
        fork: of the driver, to start a worker.
        boot: of a worker, until it takes its first task.
        send: of the driver, to hand out a task.
        receive: of the driver, to take an answer, where it has 64 workers.
        delay: of the rest of a round trip.
    """

    about: str
    weights: NDArray[np.float64]
    groups: Mapping[int, tuple[float, float, float, float]]
    together: float
    fork: float
    boot: float
    send: float
    receive: float
    delay: float

    def of(self, members: Sequence[int]) -> tuple[float, float, float, float]:
        """Seconds of a group of some networks, as in `groups`."""
        build, step, commit, check = (
            float(np.interp(len(members), [*self.groups], seconds))
            for seconds in zip(*self.groups.values(), strict=True)
        )
        return build, step * float(self.weights[members].mean()), commit, check

    def __str__(self) -> str:
        lines = [
            self.about,
            f"The driver's costs: start a worker {1e3 * self.fork:.1f} ms "
            f"(+ {1e3 * self.boot:.1f} ms in the worker), hand out a task {1e6 * self.send:.0f} "
            f"us, take an answer {1e6 * self.receive:.0f} us, rest of the round trip "
            f"{1e6 * self.delay:.0f} us.",
            f"Two cores at once: each takes {self.together:.2f} times as long.",
            "A worker's costs, for a group of so many networks of the mean size:",
            f"{'networks':>10}{'us a step':>12}{'engine ms':>12}{'commit us':>12}{'check us':>12}",
        ]
        for size, (build, each, commit, check) in self.groups.items():
            lines.append(
                f"{size:>10}{1e6 * each:>12.0f}{1e3 * build:>12.2f}"
                f"{1e6 * commit:>12.0f}{1e6 * check:>12.0f}"
            )
        return "\n".join(lines)


def measure(jobs: Sequence[Job]) -> Costs:
    """Measure the costs of a work in real workers."""
    stack = prepare(jobs, 2).stack
    dealer, engine, order = stack._dealer, stack.engine, stack._ids
    assert dealer is not None
    assert isinstance(engine, DealtEngine)
    plan, data = dealer.plan, dealer.data
    found = np.array(engine._costs(range(len(order))))
    weights = found / found.mean()
    cuts = {n: dealing.deal_out(weights[order].tolist(), n) for n in CORES}
    every = np.arange(len(order))
    chosen = {len(at): at for at in (every[:1], *(cut[0] for cut in cuts.values()), every)}
    dealer.start()
    try:
        bench = WorkerBench(dealer.crew, order, plan.steps)
        groups = {n: bench.costs(at, weights[order[at]].mean()) for n, at in sorted(chosen.items())}
        together = bench.slowdown(cuts[2][:2])
        task = bench.task(cuts[2][0], 0, 1, 1)
        dealer.crew.send(0, task)
        ((_, report),) = dealer.crew.answers()
    finally:
        dealer.close()
    shared = sum(x.nbytes + y.nbytes for x, y in (*data.training, *data.validation)) / 2**20
    size = dealer.sides[0]["weights"].shape[1]
    state = sum(values.nbytes for values in dealer.sides[0].values()) / len(order) / 2**10
    about = (
        f"{len(order)} networks, {plan.steps:,} steps, a validation every "
        f"{plan.validate_every}; {shared:.1f} MB of rows that all workers read; "
        f"{size:,} weights and {state:.0f} KB of state a network"
    )
    return Costs(about, weights, groups, together, *pipe_costs(task, report))


@dataclass
class WorkerBench:
    """Measurements of tasks in real workers, in seconds of the processor."""

    crew: Crew
    order: NDArray[np.int64]
    steps: int
    deal: int = 0

    def costs(self, at: Index, weight: float) -> tuple[float, float, float, float]:
        """Costs of a group, as `Costs.groups` has them."""
        self.deal -= 1  # no engine is known any more
        first = self._ask([at], 0, 1)[0]
        commit = float(np.median([self._ask([at], 1, 1)[0] for _ in range(3)]))
        check = float(np.median([self._ask([at], 1, 1, counted=1)[0] for _ in range(3)])) - commit
        steps = self._steps(at)
        taken = [self._ask([at], 0, steps)[0] for _ in range(2)]  # with an engine each, and then
        fresh = [self._ask([at], 0, 1)[0] for _ in range(2)]  # without
        each = max(0.0, float(np.median(taken) - np.median(fresh))) / (steps - 1)
        build = max(0.0, min(first, *fresh) - each - commit)
        return build, each / weight, commit, max(0.0, check)

    def slowdown(self, groups: Sequence[Index]) -> float:
        """Factor by which steps are slower in two workers at once."""
        self.deal -= 1
        steps = self._steps(groups[0])
        alone, both = (
            np.median([self._ask(some, 0, steps)[0] for _ in range(3)])
            for some in (groups[:1], groups)
        )
        return max(1.0, float(both / alone))

    def task(self, at: Index, step: int, until: int, counted: int) -> dealing.WorkerTask:
        """A task for the replicas in some places of the order."""
        none = np.zeros(len(at), np.int64)
        members = self.order[at].tolist()
        return dealing.WorkerTask(self.deal, 0, at, members, 0, step, until, counted, (none, none))

    def _steps(self, at: Index, seconds: float = 0.15) -> int:
        """Number of steps that take some time."""
        few = min(self.steps, 9)
        taken = (self._ask([at], 0, few)[0] - self._ask([at], 0, 1)[0]) / (few - 1)
        return int(np.clip(seconds / max(taken, 1e-6), few, self.steps))

    def _ask(self, groups: Sequence[Index], step: int, until: int, counted: int = 0) -> list[float]:
        """Have each worker train a group, all of them at once; returns the seconds of each."""
        for worker, at in enumerate(groups):
            self.crew.send(worker, self.task(at, step, until, counted))
        seconds: dict[int, float] = {}
        while len(seconds) < len(groups):
            for worker, report in self.crew.answers():
                if isinstance(report, Exception):
                    raise report
                seconds[worker] = report.seconds
        return [seconds[worker] for worker in range(len(groups))]


def pipe_costs(task: object, report: object) -> tuple[float, float, float, float, float]:
    """Seconds to start workers and to exchange messages with them, the last five of `Costs`."""

    def echo(pipe: Any) -> None:
        while True:
            pipe.recv()
            pipe.send(report)

    def exchange(crew: Crew) -> tuple[float, float, float]:
        """Processor seconds to send and to receive, and wall-clock seconds of both."""
        began, cpu = time.perf_counter(), time.process_time()
        crew.send(0, task)
        sent = time.process_time()
        crew.answers()
        return sent - cpu, time.process_time() - sent, time.perf_counter() - began

    forks, firsts = [], []
    for _ in range(5):
        began = time.perf_counter()
        with Crew(1, echo) as crew:
            forks.append(time.perf_counter() - began)
            firsts.append(exchange(crew)[2])
    with Crew(max(CORES), echo) as crew:
        send, receive, trip = np.median([exchange(crew) for _ in range(300)], axis=0).tolist()
    boot = max(0.0, float(np.median(firsts)) - trip)
    return float(np.median(forks)), boot, send, receive, max(0.0, trip - send - receive)


def prepare(jobs: Sequence[Job], workers: int) -> Training:
    """A training of some runs for so many workers, which its `drive` starts."""
    fresh = [Job(RunFolder(job.run.path), job.dataset, job.recipe) for job in jobs]
    networks = sum(job.config.model.networks * job.recipe.factorisation.factors for job in jobs)
    cores = Cores(1, min(workers, networks))
    with patch.object(driving, "cores_of", lambda *_: cores):
        return Training(fresh, ignore, resuming=False)


def record(jobs: Sequence[Job]) -> tuple[Recording, float]:
    """Train in two real workers; returns what is found of each network, and the seconds."""
    recording: dict[tuple[int, int], NDArray[np.float64]] = {}
    training = prepare(jobs, 2)
    write = training._on_validation

    def note(event: Validated) -> None:
        found = event.nll_train, event.nll_validation, event.epoch, event.learning_rate
        for replica, values in zip(event.replicas.tolist(), np.transpose(found), strict=True):
            recording[replica, event.step] = values
        write(event)

    with patch.object(training, "_on_validation", note):
        began = time.perf_counter()
        training.drive(lambda: None)
        return recording, time.perf_counter() - began


# ----------------------------------------------------------------------------- simulation


class Clock:
    """Clock of the driver: it goes on as the driver works, and jumps to where it waits for."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._stopped: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)  # it takes the place of the module

    def monotonic(self) -> float:
        """Seconds since some instant."""
        return time.perf_counter() + self._skipped if self._stopped is None else self._stopped

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the clock, while the simulation itself works."""
        self._stopped = self.monotonic()
        yield
        self._skipped = self._stopped - time.perf_counter()
        self._stopped = None

    def skip(self, seconds: float) -> None:
        """Let some time pass; the clock must be stopped."""
        assert self._stopped is not None
        self._stopped += seconds


@dataclass(frozen=True)
class Outcome:
    """Result of a simulation: seconds of the training part, with the start of workers."""

    cores: int
    seconds: float
    spent: Mapping[str, float]
    """Seconds of core time by their use."""
    driver: Mapping[str, float]
    """Seconds of the driver by what it does; it waits in those of `slowest`."""

    def share(self, name: str) -> float:
        """Share of the core time."""
        return self.spent[name] / (self.cores * self.seconds)

    @property
    def driver_busy(self) -> float:
        """Share of the time in which the driver works."""
        return 1 - self.driver["slowest"] / self.seconds


class Simulation:
    """A machine with some cores."""

    def __init__(self, costs: Costs, recording: Recording, cores: int) -> None:
        self.costs = costs
        self.cores = cores
        self.clock = Clock()
        self.random = np.random.default_rng(0)
        self.speed = np.exp(CORE_VARIATION * self.random.standard_normal(cores))
        self.recording = recording
        self.recorded = 1 + max(replica for replica, _ in recording)
        self.spent: dict[str, float] = dict.fromkeys(WORK, 0.0)
        self.tasks: list[tuple[float, float]] = []
        """Start and end of every task."""
        self.marks: list[tuple[float, str]] = []
        """Instants at which the driver turns to something else, and to what."""

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Train the runs on this machine."""
        handing_out = self.doing("handing out")
        with (
            patch.object(dealing, "time", self.clock),
            patch.object(driving, "time", self.clock),
            patch.object(loop, "perf_counter", self.clock.monotonic),
            patch.object(dealing, "Crew", lambda *given: VirtualCrew(self, *given)),
            patch.object(DealtEngine, "begin", handing_out(DealtEngine.begin)),
            patch.object(DealtEngine, "advance_to", handing_out(DealtEngine.advance_to)),
            patch.object(Training, "save", self.doing("saving")(Training.save)),
        ):
            training = prepare(jobs, self.cores)
            dealer = training.stack._dealer
            assert dealer is not None

            def last(plan: Any, data: Any, replicas: Any, step: int, state: Any, *_: Any) -> Any:
                places = {id(replica): at for at, replica in enumerate(dealer.replicas)}
                return DealtEngine(dealer, [places[id(r)] for r in replicas], step, state)

            with patch.object(loop, "Engine", last):
                self.marks.append((self.clock.monotonic(), "validating"))
                training.drive(lambda: None)
        return self._account(self.clock.monotonic(), dealer.workers)

    @contextlib.contextmanager
    def doing(self, name: str) -> Iterator[None]:
        """Note that the driver does something in this block, and then goes on as before."""
        before = self.marks[-1][1]
        self.marks.append((self.clock.monotonic(), name))
        yield
        self.marks.append((self.clock.monotonic(), before))

    def _account(self, ended: float, workers: int) -> Outcome:
        """Uses of the core time."""
        at = np.array([instant for instant, _ in self.marks] + [ended])
        begins, ends = np.transpose(self.tasks)
        seconds = float(at[-1] - at[0])
        driver, spent = {}, {**self.spent, "too few": (self.cores - workers) * seconds}
        for name in DRIVER:
            lengths = np.diff(at) * [doing == name for _, doing in self.marks]
            until = np.concatenate([[0.0], np.cumsum(lengths)])
            driver[name] = float(until[-1])
            # A worker is idle for that reason when the driver does it and the worker has no task.
            in_tasks = np.interp(ends, at, until) - np.interp(begins, at, until)
            spent[name] = workers * driver[name] - float(in_tasks.sum())
        return Outcome(self.cores, seconds, spent, driver)


@dataclass
class VirtualCrew:
    """Workers of a simulated machine; it is used like a `Crew`."""

    simulation: Simulation
    count: int
    serve: Any
    free: list[float] = field(default_factory=list)
    engines: list[tuple[int, dict[int, tuple[int, int]]]] = field(default_factory=list)
    """For each worker, the deal that it knows, and the step and size of each of its engines."""
    events: list[tuple[float, int, float, Any]] = field(default_factory=list)
    """Answers that are to come: instant, worker, seconds of the task, and the task."""

    def __post_init__(self) -> None:
        clock, costs = self.simulation.clock, self.simulation.costs
        with clock.stopped(), self.simulation.doing("start"):
            for _ in range(self.count):
                clock.skip(costs.fork)
                self.free.append(clock.monotonic() + costs.boot)
                self.engines.append((-1, {}))

    def close(self) -> None:
        """Do nothing: there are no processes."""

    def send(self, worker: int, task: Any) -> None:
        """Hand out a task: it ends after as long as such tasks were measured to take."""
        simulation = self.simulation
        clock, costs = simulation.clock, simulation.costs
        with clock.stopped():
            clock.skip(costs.send)
            if self.engines[worker][0] != task.deal:
                self.engines[worker] = task.deal, {}
            known = self.engines[worker][1]
            size = len(task.members)
            build, step, commit, check = costs.of(task.members)
            computing = (task.until - task.step) * step
            memory = computing * (costs.together - 1)
            build *= known.get(task.group) != (task.step, size)
            check *= bool(task.counted)
            known[task.group] = task.until, size
            parts = dict(zip(WORK, (computing, memory, build, commit, check), strict=True))
            varied = np.exp(TASK_VARIATION * simulation.random.standard_normal())
            slower = simulation.speed[worker] * varied
            for name, seconds in parts.items():
                simulation.spent[name] += slower * seconds
            taken = slower * sum(parts.values())
            begins = max(clock.monotonic() + costs.delay / 2, self.free[worker])
            self.free[worker] = begins + taken
            simulation.tasks.append((begins, begins + taken))
            heapq.heappush(self.events, (begins + taken + costs.delay / 2, worker, taken, task))

    def answers(self, seconds: float | None = None) -> list[tuple[int, Any]]:
        """Wait for the next answers, as long as that takes on the simulated clock."""
        clock, costs = self.simulation.clock, self.simulation.costs
        with clock.stopped():
            now = clock.monotonic()
            due = self.events[0][0] if self.events else np.inf
            until = max(now, min(due, np.inf if seconds is None else now + seconds))
            assert np.isfinite(until), "the driver waits for workers that have nothing to do"
            with self.simulation.doing("slowest"):
                clock.skip(until - now)
            found: list[tuple[int, Any]] = []
            while self.events and self.events[0][0] <= until:
                _, worker, taken, task = heapq.heappop(self.events)
                found.append((worker, self._report(task, taken)))
            clock.skip(costs.receive * len(found))
            return sorted(found, key=lambda each: each[0])

    def _report(self, task: Any, seconds: float) -> Any:
        """Report on a task that is done; its arrays go to the other side unchanged."""
        dealer = self.serve.__self__
        for name, values in dealer.sides[1 - task.side].items():
            values[task.at] = dealer.sides[task.side][name][task.at]
        if not task.counted:
            return dealing.WorkerReport(seconds)
        known, count = self.simulation.recording, self.simulation.recorded
        found = [known[index % count, task.until] for index in task.members]
        return dealing.WorkerReport(seconds, tuple(np.transpose(found)))
