"""Train new runs, those of one shape in one stack."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdncli import interrupts
from mdncli.config import Config
from mdncli.data.piped import Piped
from mdncli.errors import InterruptedRunError, MdnError, Stopped
from mdncli.events import (
    Activity,
    Event,
    Listener,
    Note,
    RunEnded,
    TrainingEnded,
    Warned,
)
from mdncli.experiment.checkpoint import with_remedy
from mdncli.experiment.dataset import Dataset, load
from mdncli.experiment.gmm import fit, require_rows
from mdncli.experiment.job import Job, cores_of, device_of, replicas_of, training_data
from mdncli.experiment.provenance import begin_run
from mdncli.experiment.recipe import Recipe, resolve, warnings_of
from mdncli.experiment.result import Outcome, outcome_of
from mdncli.experiment.selection import require_calibratable
from mdncli.experiment.stacking import RunData, require_device, stacks_of
from mdncli.experiment.training import Stop, Training
from mdncli.store import RunFolder
from mdncli.workers import share_out

if TYPE_CHECKING:
    from mdncli.training.profiling import Profiler


def prepare(
    config: Config,
    listener: Listener,
    expected: Mapping[str, str] | None = None,
    piped: Piped | None = None,
) -> Dataset:
    """Read, check, split and encode the data of a config; nothing is created.

    Args:
        config: names the data and the model.
        listener: receives warnings about both.
        expected: fingerprints that the data must have.
        piped: the table of a config whose `data.file` is standard input.

    Raises:
        DataError: the data cannot be used as it is, or is not the expected one.
        UsageError: a dataset is larger than the memory, or the model is not for it.
    """
    dataset = load(config, listener, expected, piped=piped)
    for warning in warnings_of(resolve(config, dataset), dataset):
        listener(Warned(warning))
    return dataset


def settle(config: Config, dataset: Dataset) -> tuple[Config, dict[str, str]]:
    """Resolve every `auto` of a config, with the reason for each setting; it trains the same model.

    Device and threads are those of a stack of this run alone.

    Args:
        config: as given.
        dataset: its rows.
    """
    recipe = resolve(config, dataset)
    train, reasons = recipe.config.train, dict(recipe.reasons)
    if recipe.plan is None:
        settled = {"device": "cpu", "threads": 1}
        alone = "expectation-maximisation runs on one thread of the CPU"
    else:
        job = Job(RunFolder(Path()), dataset, recipe)
        data = training_data(dataset, recipe.factorisation)
        replicas = replicas_of(job, 0)
        device = device_of(job, replicas, data, None)
        cores = cores_of(job, data, replicas, device, None)
        settled = {"device": device, "threads": max(cores)}
        alone = "the fastest for this work on this machine, with its idle cores"
    for key, asked in (("device", recipe.device), ("threads", recipe.threads)):
        if asked is None:
            train = train.model_copy(update={key: settled[key]})
            reasons[f"train.{key}"] = alone
    return recipe.config.model_copy(update={"train": train}), reasons


def train(
    datasets: Sequence[Dataset],
    root: Path,
    listener: Listener,
    stop: Stop = lambda: None,
    watch: Profiler | None = None,
) -> list[Outcome]:
    """Train one run for each dataset, in new run folders under `root`.

    Runs of one network shape and training length share a stack, at a fraction of the cost, with the
    same results as alone. A run that fails does not stop the others. A `watch` profiles the time.

    Returns:
        The outcome of each run, in order.

    Raises:
        InterruptedRunError: `stop` returned a signal; the runs that have begun can be resumed.
        UsageError: this machine lacks the device or the memory; nothing is created.
    """
    started = time.monotonic()
    for dataset in datasets:
        require_rows(dataset)
        if dataset.config.train.calibrate:
            require_calibratable(dataset)
    runs = [(dataset, resolve(dataset.config, dataset)) for dataset in datasets]
    stacked = [index for index, (_, recipe) in enumerate(runs) if recipe.plan is not None]
    for index in stacked:
        require_device(runs[index][1], listener)
    stacks = stacks_of(runs, stacked, listener)
    _raise_if_stopped(stop)
    traps = (trap.warning(name) for _, each in runs for name, trap in each.spike_traps.items())
    for warning in dict.fromkeys(traps):
        listener(Warned(warning))
    for said in dict.fromkeys(note for _, recipe in runs for note in _floor_notes(recipe)):
        listener(Note(said))
    outcomes: dict[int, Outcome] = {}
    for members in stacks:
        with create_runs([runs[index] for index in members], root) as jobs:
            trained = train_stack(jobs, listener, stop, started, watch=watch)
        outcomes |= zip(members, trained, strict=True)
    for index, run in enumerate(runs):
        if index not in outcomes:
            _raise_if_stopped(stop)
            outcomes[index] = fit(*run, root, listener)
    return [outcomes[index] for index in range(len(runs))]


def _floor_notes(recipe: Recipe) -> Iterator[str]:
    """Note the scale floors that follow from few distinct target values."""
    if not recipe.spike_traps:
        for name, trap in recipe.coarse.items():
            yield trap.remark(name, recipe.scale_floor)


def _raise_if_stopped(stop: Stop) -> None:
    if (signal := stop()) is not None:
        raise InterruptedRunError("interrupted before any training", signal=signal)


@contextlib.contextmanager
def create_runs(runs: Sequence[RunData], root: Path) -> Iterator[list[Job]]:
    """Create the runs of one stack, each in a locked folder; all of them or none."""
    jobs: list[Job] = []
    with contextlib.ExitStack() as held:
        with contextlib.ExitStack() as begun:
            for dataset, recipe in runs:
                run = begun.enter_context(begin_run(dataset, root, recipe))
                jobs.append(Job(run, dataset, recipe))
                held.enter_context(run.locked())
        yield jobs


def train_stack(
    jobs: Sequence[Job],
    listener: Listener,
    stop: Stop,
    started: float,
    *,
    resuming: bool = False,
    watch: Profiler | None = None,
    last_checkpoint: bool = True,
) -> list[Outcome]:
    """Train runs of one shape in one stack and complete their folders, which are locked."""
    try:
        training = Training(
            jobs, listener, resuming=resuming, watch=watch, last_checkpoint=last_checkpoint
        )
        counted = watch.count_cores() if watch is not None else contextlib.nullcontext()
        try:
            with counted:
                training.drive(stop)
        finally:
            listener(TrainingEnded(time.monotonic() - started))
        listener(Activity("scoring the model" if len(jobs) == 1 else f"scoring {len(jobs)} models"))
        timed = watch.measure("results") if watch is not None else contextlib.nullcontext()
        try:
            with timed, interrupts.allow_stop():
                outcomes = _outcomes_of(jobs, training, listener, started)
        except Stopped as stopped:
            raise training.interruption(stopped.signal) from None
        for outcome in outcomes:
            listener(RunEnded(outcome.run.path, outcome.result))
        return outcomes
    except BaseException as error:
        interrupted = isinstance(error, InterruptedRunError) or not isinstance(error, Exception)
        state = "interrupted" if interrupted else "failed"
        reason = None if interrupted else str(error) or type(error).__name__
        begun = [job for job in jobs if job.run.state() == "running"]
        for job in begun:
            with contextlib.suppress(MdnError):
                job.run.write_status(state, job.epoch, reason)
        if isinstance(error, MdnError) and begun:
            raise with_remedy(error, [job.run for job in begun]) from None
        raise


def _outcomes_of(
    jobs: Sequence[Job], training: Training, listener: Listener, started: float
) -> list[Outcome]:
    """Complete the runs of a stack, on as many processes as have trained it."""

    def complete(index: int) -> tuple[Outcome, list[Event]]:
        heard: list[Event] = []
        hear = listener if workers == 1 else heard.append
        return outcome_of(jobs[index], training, hear, started), heard

    workers = min(training.workers, len(jobs))
    outcomes: list[Outcome] = []
    for outcome, heard in share_out(complete, range(len(jobs)), workers):
        for event in heard:
            listener(event)
        outcomes.append(outcome)
    return outcomes
