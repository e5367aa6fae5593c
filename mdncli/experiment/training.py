"""Training of a stack: writes metrics, checkpoints and statuses, and reports progress."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mdncli import config as configs
from mdncli import store
from mdncli.errors import (
    InterruptedRunError,
)
from mdncli.events import (
    Activity,
    Listener,
    Note,
    RunBegun,
    RunMeasured,
    TrainingProgress,
    TrainingStarted,
)
from mdncli.experiment.checkpoint import (
    LAYOUT,
    RestoredState,
    identity_of,
    misfit_error,
    restore,
    resume_command,
)
from mdncli.experiment.dataset import PIECE_ROWS, Dataset
from mdncli.experiment.job import (
    Job,
    cores_of,
    device_of,
    fewer_cores_note,
    replicas_of,
    training_data,
)
from mdncli.experiment.provenance import write_recipe

if TYPE_CHECKING:
    from mdncli.training.plan import Diverged, Replica, RolledBack, TrainingData, Validated
    from mdncli.training.profiling import Profiler


STATUS_SECONDS = 1.0
"""Least seconds between status updates in a run's folder."""

CHECKPOINT_SECONDS = 2.0
"""Least seconds between checkpoints."""

SAVING_SHARE = 0.02
"""Largest share of the time spent on status updates, and on checkpoints unless too much work would
be lost between them."""

MOST_LOST_SECONDS = 4.0
"""Most seconds between checkpoints, while they take no more than `MOST_SAVING_SHARE` of them."""

MOST_SAVING_SHARE = 0.1
"""Largest share of the time spent on checkpoints."""

FILE_SECONDS = 0.0025
"""Approximate time to replace a small file."""

Stop = Callable[[], int | None]
"""Function that returns the signal that has asked to stop, if any."""


class Training:
    """Training of a stack: writes metrics, checkpoints and statuses, and reports progress."""

    def __init__(
        self,
        jobs: Sequence[Job],
        listener: Listener,
        *,
        resuming: bool,
        watch: Profiler | None = None,
        last_checkpoint: bool = True,
    ) -> None:
        listener(Activity("preparing the training"))
        from mdncli.training.loop import Stack

        self.jobs = jobs
        self.listener = listener
        self.last_checkpoint = last_checkpoint
        self.plan = jobs[0].plan
        replicas: list[Replica] = []
        # Runs that differ only in their seed share their data; folds share a table, not its split.
        shared = {id(job.dataset.split): job for job in jobs}
        data: list[TrainingData] = []
        placed: dict[int, int] = {}
        for key, job in shared.items():
            placed[key] = len(data)
            data += training_data(job.dataset, job.factorisation)
        offsets = {key: _offsets(job.dataset) for key, job in shared.items()}
        for job in jobs:
            own = replicas_of(job, placed[id(job.dataset.split)])
            job.replicas = list(range(len(replicas), len(replicas) + len(own)))
            job.offsets = offsets[id(job.dataset.split)]
            replicas += own
        self.latest = np.full((2, len(replicas)), np.nan)
        for job in jobs:
            job.latest = self.latest[:, job.replicas[0] : job.replicas[-1] + 1]
        self.owner = {replica: job for job in jobs for replica in job.replicas}
        before = _restore(jobs) if resuming else RestoredState()
        state, self.seconds = before.state, before.seconds
        if watch is not None:
            watch.measure_calls(self, save="saving", _on_validation="saving")
        self.device = device_of(jobs[0], replicas, data, before.device)
        cores = cores_of(jobs[0], data, replicas, self.device, before.threads)
        self.threads, self.workers = cores
        if (note := fewer_cores_note(jobs[0], replicas, cores)) is not None:
            listener(Note(note))
        try:
            self.stack = Stack(
                self.plan,
                data,
                replicas,
                device=self.device,
                profiler=watch,
                threads=cores.threads,
                workers=cores.workers,
                state=state,
            )
        except ValueError:
            if state is None:
                raise
            raise misfit_error(jobs[0].run) from None
        first = validated = 0
        if state is not None:
            first = int(state["step"].max())
            # A step with a validation may have been saved before it, and is validated again.
            validated = int((state["step"] - state["train.count"]).max())
        for job in jobs:
            if resuming:
                store.write_bytes(job.run.config, configs.dump(job.config).encode())
                write_recipe(job.run, job.recipe)
                job.run.result.unlink(missing_ok=True)
            job.run.truncate_metrics(validated)
            job.history = job.run.history()
            job.written = len(job.history)
            job.run.write_status("running", job.epoch)
        self.began = self.saved = self.reported = time.monotonic()
        self.trained = 0.0
        # Initial guesses, replaced by measurements.
        self.saving = self.reporting = FILE_SECONDS * (len(jobs) - 1)
        self.replica_map = _ReplicaMap.of((), np.empty(0))
        self.mapped = 0
        listener(
            TrainingStarted(
                tuple(job.run.id for job in jobs),
                len(replicas),
                self.plan.steps,
                first,
                stops_early=any(replica.patience is not None for replica in replicas),
            )
        )
        for job in jobs:
            listener(RunBegun(job.run.path, first))

    @property
    def elapsed(self) -> float:
        """Seconds of training, including those before a resume."""
        return self.seconds + time.monotonic() - self.began

    def drive(self, stop: Stop) -> None:
        """Train the stack to the end, or until a signal asks to stop.

        Raises:
            InterruptedRunError: a signal asked to stop; the checkpoint is written.
        """
        from mdncli.training import plan as events

        for event in self.stack.run():
            match event:
                case events.Validated():
                    if not any(job.bars for job in self.jobs):  # else it may stop some of them
                        self.stack.go_on()
                    self._on_validation(event)
                case events.RolledBack():
                    self._on_rollback(event)
                case events.Diverged():
                    self.owner[event.replica].diverged[event.replica] = self._divergence_reason(
                        event
                    )
                case _:
                    pass
            if isinstance(event, (events.Validated, events.Progress)):
                self._progress(event.step)
            signal = stop()
            if signal is not None and not isinstance(event, events.Finished):
                self.save()
                raise self.interruption(signal)
            if time.monotonic() - self.saved >= _seconds_between(self.saving):
                self.save()
        self.trained = self.elapsed
        if self.last_checkpoint:
            self.save()
        else:
            self._write_metrics()

    def interruption(self, signal: int) -> InterruptedRunError:
        """The error that says how to go on after a signal."""
        hint = f"continue with {resume_command([job.run for job in self.jobs])}"
        return InterruptedRunError("interrupted", hint=hint, signal=signal)

    def save(self) -> None:
        """Write every run's checkpoint, from which training continues bit for bit."""
        began = time.monotonic()
        self._write_metrics()  # first: metrics later than the checkpoint are dropped on a resume
        state = self.stack.state()
        self.stack.go_on()
        for job in self.jobs:
            about = {
                "seconds": self.elapsed,
                "threads": self.threads,
                "device": self.device,
                "layout": LAYOUT,
                "config": identity_of(job.config, job.run.format),
                "diverged": {str(job.replicas.index(r)): d for r, d in job.diverged.items()},
                "latest": store.replace_non_finite(job.latest.tolist()),
                "encoding": job.dataset.encoding.to_json(),
                "recipe": job.recipe.to_json(),
            }
            own = {name: values[job.replicas] for name, values in state.items()}
            store.write_tensors(job.run.checkpoint, own, about)
        self.saved = time.monotonic()
        self.saving = self.saved - began

    def _on_validation(self, event: Validated) -> None:
        ids = event.replicas
        if len(ids) != self.mapped:
            # Replicas only ever leave: the same number means the same replicas.
            self.replica_map, self.mapped = _ReplicaMap.of(self.jobs, ids), len(ids)
        mapping = self.replica_map
        self.latest[:, ids] = event.nll_train, event.nll_validation
        # A member's NLL is the sum over its networks, some of which may have stopped before.
        members = [
            np.bincount(mapping.member, nll[mapping.replica]) + offset
            for nll, offset in zip(self.latest, mapping.offsets, strict=True)
        ]
        train, validation = (
            [value if math.isfinite(value) else None for value in each.tolist()] for each in members
        )
        epochs, rates = (
            np.maximum.reduceat(each[mapping.order], mapping.starts).tolist()
            for each in (event.epoch, event.learning_rate)
        )
        reseeded = np.add.reduceat(event.reseeded[mapping.order], mapping.starts).tolist()
        seconds = round(self.elapsed, 3)
        for job, live, own, epoch, rate, anew in zip(
            mapping.jobs, mapping.live, mapping.own, epochs, rates, reseeded, strict=True
        ):
            record = {
                "epoch": int(epoch),
                "step": event.step,
                "nll_train": _mean(train[own]),
                "nll_validation": _mean(validation[own]),
                "learning_rate": rate,
                "seconds": seconds,
                "members": {
                    "member": live,
                    "nll_train": train[own],
                    "nll_validation": validation[own],
                },
            }
            if anew:
                record["reseeded"] = anew
            job.history.append(record)
            if job.bars and job.pruned is not None:
                self.stack.stop(job.replicas)

    def _on_rollback(self, event: RolledBack) -> None:
        job = self.owner[event.replica]
        member, rate = job.member(event.replica), job.config.train.learning_rate
        self.listener(
            Note(
                f"{job.run.path}: member {member}: loss exploded by step {event.step:,}; continues "
                f"from step {event.since:,} at a learning rate of {rate / 2**event.times:g}"
            )
        )

    def _divergence_reason(self, event: Diverged) -> str:
        """Reason why a network diverged, with the least likely row and its narrowest component."""
        if event.row is None:
            return event.detail
        dataset = self.owner[event.replica].dataset
        row = int(dataset.split.train[event.row])
        thin = (
            "" if event.component is None else f", where component {event.component} is narrowest"
        )
        return f"{event.detail}; least likely is {dataset.table.at(row)}{thin}"

    def _write_metrics(self) -> None:
        """Write new metrics; many lines at once, as there may be many runs."""
        for job in self.jobs:
            if len(job.history) > job.written:
                records = job.history[job.written :]
                job.run.append_metrics(records)
                job.written = len(job.history)
                self.listener(RunMeasured(job.run.path, records))

    def _progress(self, step: int) -> None:
        last = [job.history[-1] for job in self.jobs if job.history]
        self.listener(
            TrainingProgress(
                step=step,
                steps=self.plan.steps,
                epoch=max((record["epoch"] for record in last), default=0),
                nll_train=_mean([record["nll_train"] for record in last]),
                nll_validation=_mean([record["nll_validation"] for record in last]),
            )
        )
        if time.monotonic() - self.reported >= max(STATUS_SECONDS, self.reporting / SAVING_SHARE):
            began = time.monotonic()
            self._write_metrics()
            for job in self.jobs:
                job.run.write_status("running", job.epoch)
            self.reported = time.monotonic()
            self.reporting = self.reported - began


def _seconds_between(saving: float) -> float:
    """Seconds from one checkpoint to the next, where each takes so long.

    >>> [_seconds_between(saving) for saving in (0.01, 0.07, 0.2, 1.0)]
    [2.0, 3.5, 4.0, 10.0]
    """
    wanted = min(saving / SAVING_SHARE, MOST_LOST_SECONDS)
    return round(max(CHECKPOINT_SECONDS, wanted, saving / MOST_SAVING_SHARE), 6)


def _restore(jobs: Sequence[Job]) -> RestoredState:
    """Combined state of all runs of a stack; see `restore` for one run."""
    each = [restore(job) for job in jobs]
    states = [one.state for one in each if one.state is not None]
    if len(states) < len(jobs):
        return RestoredState()
    whole = {name: np.concatenate([state[name] for state in states]) for name in states[0]}
    return each[0]._replace(state=whole, seconds=max(one.seconds for one in each))


def _offsets(dataset: Dataset) -> tuple[float, float]:
    """Offsets from a standardised NLL to own units, of training and of validation rows."""
    train, validation = (
        -math.fsum(
            len(part) / len(rows) * _mean_log_jacobian(dataset, part, weights)
            for part, weights in _pieces(*dataset.weighed(rows))
            if len(part)
        )
        for rows in (dataset.split.train, dataset.split.validation)
    )
    return train, validation


def _pieces(
    rows: np.ndarray, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Pieces of bounded size of some rows and their weights."""
    count = max(1, -(-len(rows) // PIECE_ROWS))
    if weights is None:
        yield from zip(np.array_split(rows, count), itertools.repeat(None))
    else:
        yield from zip(*(np.array_split(each, count) for each in (rows, weights)), strict=True)


def _mean_log_jacobian(dataset: Dataset, rows: np.ndarray, weights: np.ndarray | None) -> float:
    """Mean over rows of the log-Jacobian, times the weight of each."""
    each = dataset.encoding.log_jacobian(dataset.y(rows))
    return float(np.mean(each if weights is None else weights * each))


@dataclass(frozen=True)
class _ReplicaMap:
    """Assignment of an event's replicas to runs and members.

    Attributes:
        jobs: runs with live replicas.
        order: permutation of the event's replicas into the order of the runs.
        starts: first position of each run in that order.
        live: members of each run that still train.
        own: for each run, the positions of its members in the list of all live members.
        replica: indices of all networks of live members.
        member: for each of these, the position of its member in that list.
        offsets: offsets of the NLLs of live members, on training and on validation rows, to own
            units, (2, members).
    """

    jobs: list[Job]
    order: np.ndarray
    starts: list[int]
    live: list[list[int]]
    own: list[slice]
    replica: list[int]
    member: list[int]
    offsets: np.ndarray

    @classmethod
    def of(cls, jobs: Sequence[Job], ids: np.ndarray) -> _ReplicaMap:
        """Assignment of some replicas, in their order."""
        mapping = cls([], np.argsort(ids), [], [], [], [], [], np.empty((2, 0)))
        present = set(ids.tolist())
        offsets: list[tuple[float, float]] = []
        start = 0
        for job in jobs:
            count = job.config.model.networks
            here = [at for at, replica in enumerate(job.replicas) if replica in present]
            if not here:
                continue
            live = sorted({at % count for at in here})
            for number, member in enumerate(live, len(offsets)):
                networks = job.replicas[member::count]
                mapping.replica.extend(networks)
                mapping.member.extend([number] * len(networks))
            mapping.jobs.append(job)
            mapping.starts.append(start)
            mapping.live.append(live)
            mapping.own.append(slice(len(offsets), len(offsets) + len(live)))
            offsets += [job.offsets] * len(live)
            start += len(here)
        return replace(mapping, offsets=np.array(offsets).T)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
