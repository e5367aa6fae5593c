"""One experiment, from a config to a complete run folder.

The only room that joins data, training, store and evaluation. `prepare` checks, splits and encodes
the data without torch, so that bad input is refused before anything is created; `train` makes the
run folders, drives the stacked loop and writes what it says; `reopen` finds a finished run's data
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import __version__, machine, store
from mdncli import config as configs
from mdncli import predictor as predictors
from mdncli.config import Config, Data, FileData, SyntheticData
from mdncli.data import splits, table, writing
from mdncli.data.encoding import Encoding, complete
from mdncli.data.spikes import SpikeTrap, spike_trap
from mdncli.data.splits import Split
from mdncli.data.streams import stream
from mdncli.data.synthetic.base import Synthetic
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.errors import (
    DataError,
    DivergedError,
    InterruptedRunError,
    MdnError,
    ResumeRefusedError,
    RunFault,
    UsageError,
)
from mdncli.evaluation.health import effective_components
from mdncli.evaluation.metrics import Chunk
from mdncli.events import (
    Listener,
    Note,
    TrainingEnded,
    TrainingProgress,
    TrainingStarted,
    Warned,
    ignore,
)
from mdncli.head import Head
from mdncli.network import Network
from mdncli.predictor import Predictor
from mdncli.store import RunFolder

if TYPE_CHECKING:
    from mdncli.training.plan import Replica, StackPlan, TrainingData, Validated

VALIDATIONS = 200
"""About how often `train.validate_every: auto` validates in a run of many short epochs."""

SCORED_ROWS = 200_000
"""The NLL of the training rows is measured on at most so many of them, evenly spaced."""

CHECKPOINT_SECONDS = 2.0
"""Least seconds between checkpoints; and saving takes at most a fiftieth of the time."""

RESUMABLE = ("train.epochs", "train.steps", "train.patience", "train.threads")
"""What may change when a run is continued."""

BYTES_PER_WEIGHT = 96
"""Measured: the most that training holds for each weight of a stack, while it writes a checkpoint.
"""

BYTES_PER_CELL = 64
"""Measured: the most that is held for each number of a synthetic dataset."""

Stop = Callable[[], int | None]
"""Says which signal, if any, has asked to stop."""


# --------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Material:
    """A config and its data: read, checked, split and encoded, all without torch.

    Args:
        config: the resolved config.
        table: all rows, in their own units.
        split: which rows train, validate and test.
        encoding: fitted on the training rows only.
        fingerprints: SHA-256 of the `data` and, where there is a file of them, of the `splits`.
        source: where the data came from, for people.
        problem: the synthetic dataset, which knows the exact density.
    """

    config: Config
    table: Table
    split: Split
    encoding: Encoding
    fingerprints: dict[str, str]
    source: str
    problem: Synthetic | None

    @property
    def dropped(self) -> int:
        """How many rows are in no part of the split because they miss a value."""
        return self.table.rows - sum(map(len, self.split))

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns."""
        return self.encoding.inputs

    @property
    def targets(self) -> list[str]:
        """Names of the target columns."""
        return self.encoding.targets

    @cached_property
    def spike_traps(self) -> dict[str, SpikeTrap]:
        """The targets whose NLL rewards components as thin as the model's scale floor lets them."""
        if self.problem is not None:
            return {}
        own = self.y(self.split.train).T
        standardised = self.encoding.encode_targets(self.table, self.split.train)
        floor = self.config.model.scale.floor
        return {
            name: trap
            for name, y, seen in zip(self.targets, own, standardised, strict=True)
            if (trap := spike_trap(y, seen, floor)) is not None
        }

    def y(self, rows: np.ndarray) -> np.ndarray:
        """The targets of some rows, (n, D), in their own units."""
        return self.encoding.target_values(self.table, rows)

    def exact(self, chosen: Table) -> Conditional | None:
        """The exact density at the rows of a table, where it is known."""
        return None if self.problem is None else self.problem.exact(chosen.numeric(self.inputs))

    def chunks(self, predictor: Predictor, rows: np.ndarray, **tempering: float) -> Iterator[Chunk]:
        """Some rows with what is predicted for them and, where known, the truth."""
        chosen = self.table[rows]
        return scored(predictor, chosen, self.exact, **tempering)


def scored(
    predictor: Predictor,
    chosen: Table,
    exact: Callable[[Table], Conditional | None] = lambda _: None,
    **tempering: float,
) -> Iterator[Chunk]:
    """The rows of a table, in pieces: predictions, targets and the exact density."""
    for rows, predicted in predictor.chunks(chosen, **tempering):
        piece = chosen[rows]
        yield Chunk(predicted, predictor.encoding.target_values(piece), exact(piece))


def prepare(
    config: Config, listener: Listener, expected: Mapping[str, str] | None = None
) -> Material:
    """Read, check, split and encode the data of a config; nothing is created.

    Args:
        config: what to prepare.
        listener: hears what is peculiar about the data.
        expected: the fingerprints of the very data that it must be.

    Raises:
        DataError: the data cannot be used as it is, or is not the expected one.
        UsageError: a dataset is larger than the memory.
    """
    data = config.data
    problem = None
    if isinstance(data, SyntheticData):
        problem = data.problem
        cells = problem.rows * len((*problem.inputs, *problem.targets))
        what = f"data.rows: {problem.rows:,} rows of {data.dataset}"
        _require_memory(cells * BYTES_PER_CELL, what, "ask for fewer")
        x, y = problem.draw(stream(data.seed, "data"))
        columns = dict(zip((*problem.inputs, *problem.targets), np.hstack([x, y]).T, strict=True))
        whole = Table.of(columns, source=data.dataset)
        fingerprint, source = table.fingerprint_arrays(columns.values()), data.dataset
        inputs, targets = list(problem.inputs), list(problem.targets)
    else:
        assert isinstance(data, FileData)
        whole = table.read(data.file, text=data.categorical or ())
        fingerprint, source = table.fingerprint_file(data.file), str(data.file)
        targets = list(data.target)
        inputs = list(data.inputs or [name for name in whole.columns if name not in targets])
    whole.require([*inputs, *targets])
    fingerprints = {"data": fingerprint}
    if isinstance(data, FileData) and data.splits is not None:
        fingerprints["splits"] = table.fingerprint_file(data.splits)
    for what, found in fingerprints.items():
        if expected is not None and found != expected.get(what):
            changed = source if what == "data" else getattr(data, what)
            raise DataError(
                f"{changed}: has changed since the run was trained",
                hint="restore it or train again",
            )
    split = _split(data, whole, [*inputs, *targets])
    encoding = _encoding(data, whole, inputs, targets, split)
    material = Material(config, whole, split, encoding, fingerprints, source, problem)
    if material.dropped:
        left_out = f"left out {material.dropped:,} of {whole.rows:,} rows for missing values"
        listener(Note(f"{source}: {left_out}"))
    for warning in material.encoding.warnings:
        listener(Warned(warning))
    return material


def usable(whole: Table, names: Sequence[str]) -> np.ndarray:
    """Which rows miss none of these columns, (N,).

    Raises:
        DataError: none; the columns that miss the most are named.
    """
    kept = complete(whole, names)
    if not kept.any():
        gaps = {name: int(whole.column(name).missing().sum()) for name in names}
        most = sorted(gaps, key=lambda name: -gaps[name])[:3]
        said = ", ".join(f"{name!r} misses {gaps[name]:,}" for name in most if gaps[name])
        raise DataError(
            f"{whole.source}: every one of the {whole.rows:,} rows misses a value ({said})",
            hint="leave such columns out",
        )
    return kept


def write_rows(material: Material, path: Path) -> None:
    """Write the rows of a synthetic dataset as a table."""
    names = (*material.inputs, *material.targets)
    writing.write(path, {name: material.table.numbers(name) for name in names})


def _require_memory(needed: int, what: str, hint: str) -> None:
    """Refuse what needs more memory than there is: the kernel would kill it without a word."""
    spare = machine.spare_memory()
    if needed > spare:
        raise UsageError(
            f"{what} need about {needed / 1e9:,.1f} GB, and {spare / 1e9:,.1f} GB are free",
            hint=hint,
        )


def _split(data: Data, whole: Table, names: Sequence[str]) -> Split:
    """Split the rows in use; a file of splits has a line for the others, too."""
    used = np.ones(whole.rows, np.bool_)
    if isinstance(data, FileData) and data.missing == "drop":
        used = usable(whole, names)
    if isinstance(data, FileData) and data.splits is not None:
        every = splits.by_file(data.splits, whole.rows, data.split, data.validation, data.seed)
        return every.restricted(used, whole.source)
    rows = np.flatnonzero(used)
    parts = splits.by_share(len(rows), data.validation, data.test, data.seed, whole.source)
    return Split(*(rows[part] for part in parts))


def _encoding(
    data: Data, whole: Table, inputs: list[str], targets: list[str], split: Split
) -> Encoding:
    if not isinstance(data, FileData):
        return Encoding.fit(whole, inputs, targets, split.train)
    return Encoding.fit(
        whole,
        inputs,
        targets,
        split.train,
        categorical=data.categorical or (),
        transform=data.transform,
        missing=data.missing,
        task=data.task,
    )


def reopen(run: RunFolder) -> Material:
    """The data of a run that exists, checked to be the data it was trained on.

    Raises:
        DataError: the data is gone or has changed.
        RunFault: the folder is damaged.
    """
    fingerprints = run.read_json(run.provenance).get("fingerprints")
    if not isinstance(fingerprints, dict):
        raise RunFault(
            f"{run.provenance}: damaged, it lacks the fingerprints of the data",
            hint=f"train again with mdn train {run.config}",
        )
    return prepare(config_of(run), ignore, fingerprints)


def config_of(
    run: RunFolder, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Config:
    """The config of a run, with what is laid over it.

    Raises:
        ConfigError: it is damaged, or what is laid over it is wrong.
        RunFault: there is none.
    """
    if not run.config.is_file():
        raise RunFault(f"{run.config}: not found", hint="is this a complete run folder?")
    return configs.load(store.plain_file(run.config), overrides, options or {})


# ----------------------------------------------------------------------------------- training


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        run: its folder.
        result: the keys of `train --json`; of a run that failed, null where there is no figure.
        error: why it failed, if it did.
    """

    run: RunFolder
    result: dict[str, Any]
    error: MdnError | None = None


@dataclass
class Job:
    """One run while it trains: its folder, its data and its replicas in the stack."""

    run: RunFolder
    material: Material
    plan: StackPlan
    replicas: list[int] = field(default_factory=list)
    diverged: dict[int, str] = field(default_factory=dict)
    offsets: tuple[float, float] = (0.0, 0.0)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> Config:
        """The resolved config."""
        return self.material.config

    @property
    def epoch(self) -> int:
        """Passes over the training rows so far."""
        return self.history[-1]["epoch"] if self.history else 0


def train(
    materials: Sequence[Material], root: Path, listener: Listener, stop: Stop = lambda: None
) -> list[Outcome]:
    """Train one run for each material, in new run folders under `root`.

    Runs whose networks have one shape and train for as long share a stack, at a fraction of the
    cost; each ends as it would have alone. One that fails does not stop the others.

    Returns:
        What became of each run, in order.

    Raises:
        InterruptedRunError: `stop` said so; the runs that have begun can be resumed.
        UsageError: this machine lacks the device or the memory; nothing is created.
    """
    started = time.monotonic()
    stacks: dict[StackPlan, list[int]] = {}
    for index, material in enumerate(materials):
        _require_device(material.config)
        stacks.setdefault(_plan(material), []).append(index)
    for plan, members in stacks.items():
        _require_room(plan, [materials[index].config for index in members])
    if (signal := stop()) is not None:
        raise InterruptedRunError("interrupted before any training", signal=signal)
    traps = (trap.warning(name) for each in materials for name, trap in each.spike_traps.items())
    for warning in dict.fromkeys(traps):
        listener(Warned(warning))
    outcomes: dict[int, Outcome] = {}
    for plan, members in stacks.items():
        jobs = [Job(begin(materials[index], root), materials[index], plan) for index in members]
        trained = _train_stack(jobs, listener, stop, started)
        outcomes |= zip(members, trained, strict=True)
    return [outcomes[index] for index in range(len(materials))]


def resume(
    run: RunFolder, overrides: Config | None, listener: Listener, stop: Stop = lambda: None
) -> Outcome:
    """Continue a run from its last checkpoint, bit for bit; a complete one is left as it is.

    Args:
        run: its folder.
        overrides: its config with a longer training, or None to change nothing.

    Raises:
        ResumeRefusedError: the data or the config has changed.
        RunLockedError: another process is at work on it.
        RunFault: its checkpoint is damaged.
        UsageError: it was never to be trained, or this machine cannot.
    """
    started = time.monotonic()
    if (done := _completed(run, overrides)) is not None:
        return _already(run, done, listener)
    with run.locked():
        # Who held the lock a moment ago may have completed it.
        if (done := _completed(run, overrides)) is not None:
            return _already(run, done, listener)
        try:
            material = reopen(run)
        except DataError as error:
            raise ResumeRefusedError(error.message, hint=error.hint) from None
        material = replace(material, config=overrides or material.config)
        _require_device(material.config)
        plan = _plan(material)
        _require_room(plan, [material.config])
        if material.problem is not None and not run.data.exists():
            write_rows(material, run.data)
        return _train_stack([Job(run, material, plan)], listener, stop, started, resuming=True)[0]


def _completed(run: RunFolder, wanted: Config | None) -> dict[str, Any] | None:
    """The result of a run to which nothing is to be added; None of one that is to go on."""
    if not run.result.exists() or wanted not in (None, config_of(run)):
        return None
    try:
        result = run.read_json(run.result)
        if "nll" not in result:
            raise UsageError(
                f"{run.path}: holds generated data and no training",
                hint=f"train on it with mdn train {run.config}",
            )
        predictors.load(run)
    except RunFault:
        return None  # what is damaged is made again from the checkpoint
    return result


def _already(run: RunFolder, result: dict[str, Any], listener: Listener) -> Outcome:
    listener(Note(f"{run.path} is complete already"))
    return Outcome(run, {**result, "run": str(run.path)})


def _require_device(config: Config) -> None:
    from mdncli.training.loop import require

    require(config.train.device)


def _require_room(plan: StackPlan, members: Sequence[Config]) -> None:
    weights = plan.network.parameters * sum(config.model.ensemble for config in members)
    what = f"model.hidden: {weights:,} weights in training"
    _require_memory(weights * BYTES_PER_WEIGHT, what, "use fewer or narrower layers")


def begin(material: Material, root: Path) -> RunFolder:
    """A new run folder that says what the run is: config, provenance, synthetic rows."""
    run = store.create(root, material.config.name)
    try:
        store.write_bytes(run.config, configs.dump(material.config).encode())
        store.write_json(run.provenance, provenance(material))
        run.write_status("running", 0)
        if material.problem is not None:
            write_rows(material, run.data)
    except BaseException:
        # Nobody knows of it yet, and nothing in it is worth keeping.
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    store.point_latest(run)
    return run


def provenance(material: Material) -> dict[str, Any]:
    """Where a run comes from: enough to tell what made it, and to notice changed data."""
    config, split = material.config, material.split
    record: dict[str, Any] = {
        "format": store.FORMAT,
        "name": config.name,
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": [shlex.quote(_legible(word)) for word in ("mdn", *sys.argv[1:])],
        "versions": _versions(),
        "git": _git(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "seed": config.seed,
        "data": {
            "source": material.source,
            "rows": material.table.rows,
            "dropped": material.dropped,
            "inputs": material.inputs,
            "targets": material.targets,
        },
        "fingerprints": material.fingerprints,
        "split": {
            "seed": config.data.seed,
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
    }
    return record


def _legible(word: str) -> str:
    """An argument as text, even if it is the name of a file in another encoding."""
    return word.encode(errors="backslashreplace").decode()


def _versions() -> dict[str, str]:
    versions = {"mdncli": __version__, "python": platform.python_version()}
    for name in ("numpy", "torch"):
        if name in sys.modules:
            versions[name] = sys.modules[name].__version__
    return versions


@cache
def _git() -> dict[str, Any] | None:
    """The commit of the folder the command runs in, and whether it has uncommitted changes."""
    try:
        commit, status = (
            subprocess.run(
                ["git", *words], capture_output=True, text=True, check=True, timeout=5
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}


# ------------------------------------------------------------------------------ one stack


def _plan(material: Material) -> StackPlan:
    from mdncli.training.plan import StackPlan, steps_per_epoch

    model, training = material.config.model, material.config.train
    head = Head(
        mixtures=model.mixtures,
        targets=len(material.targets),
        family=model.family,
        covariance=model.covariance,
        scale_map=model.scale.map,
        scale_floor=model.scale.floor,
        scale_cap=model.scale.cap,
    )
    network = Network(
        inputs=material.encoding.features,
        hidden=model.hidden,
        activation=model.activation,
        outputs=head.outputs,
    )
    batch = None if training.batch_size == "full" else training.batch_size
    epoch = steps_per_epoch(len(material.split.train), batch)
    steps = training.steps if training.epochs is None else training.epochs * epoch
    assert steps is not None
    every = training.validate_every
    return StackPlan(
        network=network,
        head=head,
        steps=steps,
        batch_size=batch,
        validate_every=max(epoch, -(-steps // VALIDATIONS)) if every == "auto" else every,
        optimizer=training.optimizer,
        momentum=training.momentum,
        gradient_clip=training.gradient_clip,
    )


def _threads(
    job: Job, data: Sequence[TrainingData], replicas: Sequence[Replica], before: int | None
) -> int:
    """The threads a stack gets: those asked for, those it had before, or those that pay.

    Sums over several threads are rounded otherwise than over one, so an exact resume keeps to them.
    """
    from mdncli.training.threads import choose_threads

    asked = job.config.train.threads
    if asked != "auto":
        return asked
    return before or choose_threads(job.plan, data, replicas)


def _replicas(job: Job, data: int) -> list[Replica]:
    from mdncli.training.plan import Replica

    training = job.config.train
    return [
        Replica(
            data=data,
            seed=job.config.seed,
            member=member,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            schedule=training.schedule,
            warmup=training.warmup,
            patience=training.patience,
        )
        for member in range(job.config.model.ensemble)
    ]


def _training_data(material: Material) -> TrainingData:
    from mdncli.training.plan import TrainingData

    table, encoding, split = material.table, material.encoding, material.split
    return TrainingData(
        x_train=encoding.encode_inputs(table, split.train),
        y_train=encoding.encode_targets(table, split.train),
        x_validation=encoding.encode_inputs(table, split.validation),
        y_validation=encoding.encode_targets(table, split.validation),
    )


def _train_stack(
    jobs: Sequence[Job],
    listener: Listener,
    stop: Stop,
    started: float,
    *,
    resuming: bool = False,
) -> list[Outcome]:
    """Train runs of one shape in one stack and complete their folders.

    Who resumes a run has to look into it first, and holds its lock already.
    """
    with contextlib.ExitStack() as held:
        for job in jobs:
            if not resuming:
                held.enter_context(job.run.locked())
        try:
            training = _Training(jobs, listener, resuming=resuming)
            try:
                training.drive(stop)
            finally:
                listener(TrainingEnded(time.monotonic() - started))
            return [_outcome(job, training, listener, started) for job in jobs]
        except BaseException as error:
            interrupted = isinstance(error, InterruptedRunError) or not isinstance(error, Exception)
            state = "interrupted" if interrupted else "failed"
            reason = None if interrupted else str(error) or type(error).__name__
            begun = [job for job in jobs if job.run.state() == "running"]
            for job in begun:
                with contextlib.suppress(MdnError):
                    job.run.write_status(state, job.epoch, reason)
            if isinstance(error, RunFault) and any(job.run.checkpoint.exists() for job in begun):
                remedy = f"continue with mdn train --resume {jobs[0].run.path}"
                hint = remedy if error.hint is None else f"{error.hint}, then {remedy}"
                raise RunFault(error.message, hint=hint) from None
            raise


class _Training:
    """A stack at work: its events become metrics, checkpoints, statuses and progress."""

    def __init__(self, jobs: Sequence[Job], listener: Listener, *, resuming: bool) -> None:
        from mdncli.training.loop import Stack

        self.jobs = jobs
        self.listener = listener
        self.plan = jobs[0].plan
        replicas: list[Replica] = []
        # Runs that differ in their seed only share their data.
        tables = {id(job.material.table): job.material for job in jobs}
        for job in jobs:
            own = _replicas(job, list(tables).index(id(job.material.table)))
            job.replicas = list(range(len(replicas), len(replicas) + len(own)))
            job.offsets = _offsets(job.material)
            replicas += own
        self.owner = {replica: job for job in jobs for replica in job.replicas}
        state, self.seconds, threads = _restore(jobs[0]) if resuming else (None, 0.0, None)
        data = [_training_data(material) for material in tables.values()]
        self.threads = _threads(jobs[0], data, replicas, threads)
        try:
            self.stack = Stack(
                self.plan,
                data,
                replicas,
                threads=self.threads,
                state=state,
            )
        except ValueError:
            if state is None:
                raise
            raise _misfit(jobs[0].run) from None
        first = 0 if state is None else int(state["step"].max())
        for job in jobs:
            if resuming:
                store.write_bytes(job.run.config, configs.dump(job.config).encode())
                job.run.result.unlink(missing_ok=True)
            job.run.truncate_metrics(first)
            job.history = job.run.history()
            job.run.write_status("running", job.epoch)
        self.began = self.saved = self.told = time.monotonic()
        self.saving = self.trained = 0.0
        listener(
            TrainingStarted(tuple(j.run.id for j in jobs), len(replicas), self.plan.steps, first)
        )

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds + time.monotonic() - self.began

    def drive(self, stop: Stop) -> None:
        """Run the stack to its end, or until a signal asks to stop.

        Raises:
            InterruptedRunError: a signal did; the checkpoint is written.
        """
        from mdncli.training import plan as events

        for event in self.stack.run():
            match event:
                case events.Validated():
                    self._validated(event)
                case events.Diverged():
                    self.owner[event.replica].diverged[event.replica] = event.detail
                case _:
                    pass
            if isinstance(event, (events.Validated, events.Progress)):
                self._progress(event.step)
            signal = stop()
            if signal is not None and not isinstance(event, events.Finished):
                self.save()
                raise InterruptedRunError(
                    "interrupted",
                    hint=f"continue with mdn train --resume {self.jobs[0].run.path}",
                    signal=signal,
                )
            if time.monotonic() - self.saved >= max(CHECKPOINT_SECONDS, 50 * self.saving):
                self.save()
        self.trained = self.elapsed
        self.save()

    def save(self) -> None:
        """Write every run's checkpoint: with the same folder, training goes on bit for bit."""
        began = time.monotonic()
        state = self.stack.state()
        for job in self.jobs:
            about = {
                "seconds": self.elapsed,
                "threads": self.threads,
                "config": _identity(job.config),
                "diverged": {str(job.replicas.index(r)): d for r, d in job.diverged.items()},
            }
            own = {name: values[job.replicas] for name, values in state.items()}
            store.write_tensors(job.run.checkpoint, own, about)
        self.saved = time.monotonic()
        self.saving = self.saved - began

    def _validated(self, event: Validated) -> None:
        position = {int(replica): at for at, replica in enumerate(event.replicas)}
        for job in self.jobs:
            at = [position[replica] for replica in job.replicas if replica in position]
            if not at:
                continue
            train, validation = (
                _own_units(nll[at], offset)
                for nll, offset in zip(
                    (event.nll_train, event.nll_validation), job.offsets, strict=True
                )
            )
            record = {
                "epoch": int(event.epoch[at].max()),
                "step": event.step,
                "nll_train": _mean(train),
                "nll_validation": _mean(validation),
                "learning_rate": float(event.learning_rate[at].max()),
                "seconds": round(self.elapsed, 3),
                "members": {
                    "member": [job.replicas.index(int(event.replicas[i])) for i in at],
                    "nll_train": train,
                    "nll_validation": validation,
                },
            }
            job.run.append_metrics(store.finite(record))
            job.history.append(record)

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
        if time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            for job in self.jobs:
                job.run.write_status("running", job.epoch)


def _offsets(material: Material) -> tuple[float, float]:
    """What turns a standardised NLL of training and of validation rows into own units."""
    jacobian = material.encoding.log_jacobian
    train, validation = (
        float(-np.mean(jacobian(material.y(rows)))) if len(rows) else 0.0
        for rows in (material.split.train, material.split.validation)
    )
    return train, validation


def _own_units(nll: np.ndarray, offset: float) -> list[float | None]:
    return [float(value) + offset if np.isfinite(value) else None for value in nll]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _restore(job: Job) -> tuple[Mapping[str, np.ndarray] | None, float, int | None]:
    """The state of a run's last checkpoint, its seconds and threads; none where it has none."""
    if not job.run.checkpoint.exists():
        return None, 0.0, None
    state, about = store.read_tensors(job.run.checkpoint)
    try:
        identity, seconds, steps = about["config"], float(about["seconds"]), state["step"]
        threads = int(about["threads"])
        job.diverged = {job.replicas[int(m)]: str(why) for m, why in about["diverged"].items()}
        done = int(steps.max())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise _misfit(job.run) from None
    if identity != _identity(job.config):
        raise ResumeRefusedError(
            f"{job.run.config}: has changed since the checkpoint was written",
            hint="restore it or train a new run",
        )
    if done > job.plan.steps:
        raise ResumeRefusedError(
            f"{job.run.path}: has trained {done:,} steps, which is more than {job.plan.steps:,}",
            hint="ask for more steps or epochs than that",
        )
    return state, seconds, threads


def _identity(config: Config) -> str:
    """The SHA-256 of what may not change in a config when its run is continued.

    Tables have fingerprints of their own, so their paths may.
    """
    train = {key.removeprefix("train.") for key in RESUMABLE}
    parts = {"name": True, "data": {"file", "splits"}, "train": train}
    kept = config.model_dump(mode="json", exclude=parts)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _misfit(run: RunFolder) -> RunFault:
    return RunFault(
        f"{run.checkpoint}: damaged, its parts do not fit", hint=store.remedy(run.checkpoint)
    )


def _outcome(job: Job, training: _Training, listener: Listener, started: float) -> Outcome:
    """Complete one run of a stack; its failure is its own."""
    try:
        return Outcome(job.run, _complete(job, training, listener, started))
    except MdnError as error:
        state = "diverged" if isinstance(error, DivergedError) else "failed"
        with contextlib.suppress(MdnError):
            job.run.write_status(state, job.epoch, str(error))
        return Outcome(job.run, {**_nothing(job, training), "status": state}, error)


def _nothing(job: Job, training: _Training) -> dict[str, Any]:
    """The result of a run that has none: the keys of every other, as far as they are known."""
    return {
        "run": str(job.run.path),
        "name": job.config.name,
        "epochs": job.epoch,
        "steps": job.history[-1]["step"] if job.history else 0,
        "parameters": job.plan.network.parameters * len(job.replicas),
        "seconds": {"total": round(training.trained, 3), "train": round(training.trained, 3)},
        "nll": {"train": None, "validation": None, "test": None},
        "exact_nll": None,
        "excess_nll": None,
        "effective_components": None,
    }


def _complete(job: Job, training: _Training, listener: Listener, started: float) -> dict[str, Any]:
    """Write the model and the result of a run whose replicas are done."""
    healthy = [replica for replica in job.replicas if replica not in job.diverged]
    if job.diverged:
        count = f"{len(job.diverged)} of {len(job.replicas)} ensemble members diverged"
        detail = next(iter(job.diverged.values()))
        if not healthy:
            raise DivergedError(
                f"{job.run.path}: training diverged ({detail})",
                hint="lower train.learning_rate or set train.gradient_clip",
            )
        listener(Warned(f"{job.run.path}: {count} and were left out ({detail})"))
    material, encoding = job.material, job.material.encoding
    predictor = Predictor(
        network=job.plan.network,
        head=job.plan.head,
        encoding=encoding,
        parameters=training.stack.best(healthy),
        ranges=_ranges(material),
        seed=job.config.seed,
    )
    predictor.save(job.run)
    nll = {
        "train": _nll(material, predictor, _spaced(material.split.train, SCORED_ROWS)),
        "validation": _nll(material, predictor, material.split.validation),
        "test": _nll(material, predictor, material.split.test),
    }
    exact = None
    if material.problem is not None and len(material.split.test):
        chosen = material.table[material.split.test]
        exact = float(
            -np.mean(
                material.problem.exact(chosen.numeric(material.inputs)).log_prob(
                    encoding.target_values(chosen)
                )
            )
        )
    steps = int(training.stack.state(job.replicas)["step"].max())
    about = job.run.read_json(job.run.provenance)
    seen = material.table[_spaced(material.split.train, 10_000)]
    used = [effective_components(member) for member in predictor.members(seen)]
    result: dict[str, Any] = {
        "run": job.run.id,
        "name": job.config.name,
        "status": "completed",
        "started": about["started"],
        "data": {key: about["data"][key] for key in ("source", "targets")},
        "fingerprints": about["fingerprints"],
        "epochs": job.epoch,
        "steps": steps,
        "parameters": job.plan.network.parameters * len(healthy),
        "seconds": {
            "total": round(training.seconds + time.monotonic() - started, 3),
            "train": round(training.trained, 3),
        },
        "nll": nll,
        "exact_nll": exact,
        "excess_nll": None if exact is None or nll["test"] is None else nll["test"] - exact,
        "effective_components": float(np.mean(used)),
        "spike_trap": {name: trap.to_json() for name, trap in material.spike_traps.items()} or None,
        "format": store.FORMAT,
    }
    store.write_json(job.run.result, result)
    job.run.write_status("completed", job.epoch)
    return {**result, "run": str(job.run.path)}


def _nll(material: Material, predictor: Predictor, rows: np.ndarray) -> float | None:
    """Mean NLL of some rows, in the target's own units; None of no rows."""
    if not len(rows):
        return None
    chosen = material.table[rows]
    scores = [
        predicted.log_prob(material.encoding.target_values(chosen[part]))
        for part, predicted in predictor.chunks(chosen)
    ]
    return float(-np.mean(np.concatenate(scores)))


def _spaced(rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _ranges(material: Material) -> dict[str, tuple[float, float]]:
    seen = material.table[material.split.train]
    numeric = [c.name for c in material.encoding.input_columns if c.kind == "numeric"]
    return {
        name: (float(np.nanmin(values)), float(np.nanmax(values)))
        for name in numeric
        for values in [seen.numbers(name)]
    }
