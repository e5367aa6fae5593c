"""Runs in folders of given names, such as the trials of a sweep."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdncli import store
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, ignore
from mdncli.experiment.checkpoint import reached_step
from mdncli.experiment.dataset import Dataset
from mdncli.experiment.gmm import refit
from mdncli.experiment.job import Job
from mdncli.experiment.launch import train_stack
from mdncli.experiment.provenance import begin_trial
from mdncli.experiment.pruning import Bars
from mdncli.experiment.recipe import Recipe, resolve
from mdncli.experiment.result import Outcome
from mdncli.experiment.stacking import require_device, stacks_of
from mdncli.experiment.training import Stop
from mdncli.store import RunFolder

LET_GO_SECONDS = 5.0
"""Seconds to wait for the lock of a run whose holder may have just been killed."""


@dataclass(frozen=True)
class Assignment:
    """A run to be trained in a given folder.

    Args:
        dataset: its data.
        run: its folder, which may exist.
        about: further entries of its provenance.
        bars: bounds on its validation NLL above which it is stopped early.
    """

    dataset: Dataset
    run: RunFolder
    about: Mapping[str, Any]
    bars: Bars = field(default_factory=dict)


def train_assigned(
    assignments: Sequence[Assignment], listener: Listener, stop: Stop = lambda: None
) -> list[Outcome]:
    """Train runs in given folders; begun ones continue from their checkpoint.

    Once a run is complete its checkpoint is deleted. A run whose folder another process is using
    fails here, whatever its result there.

    Returns:
        The outcome of each run, in order.

    Raises:
        InterruptedRunError: `stop` returned a signal.
        UsageError: this machine lacks the device or the memory.
    """
    started = time.monotonic()
    datasets = [assigned.dataset for assigned in assignments]
    runs = [(dataset, resolve(dataset.config, dataset)) for dataset in datasets]
    stacked = [index for index, (_, recipe) in enumerate(runs) if recipe.plan is not None]
    for index in stacked:
        require_device(runs[index][1], listener)
    outcomes: dict[int, Outcome] = {}
    for index, (_, recipe) in enumerate(runs):
        if recipe.plan is None:
            outcomes[index] = _fit(assignments[index], recipe, stop)
    for members in stacks_of(runs, stacked, listener):
        with contextlib.ExitStack() as held:
            begun: dict[int, list[int]] = {}
            for index in members:
                try:
                    held.enter_context(_lock_folder(assignments[index].run))
                    at = _prepare_folder(assignments[index], runs[index][1])
                    begun.setdefault(at, []).append(index)
                except MdnError as error:
                    outcomes[index] = Outcome(assignments[index].run, {}, error)
            # Runs interrupted in one stack are at the same step, and continue in one stack.
            for at, together in begun.items():
                jobs = [
                    Job(assignments[i].run, *runs[i], bars=assignments[i].bars) for i in together
                ]
                done = train_stack(
                    jobs, listener, stop, started, resuming=at > 0, last_checkpoint=False
                )
                for job in jobs:
                    job.run.checkpoint.unlink(missing_ok=True)
                outcomes |= zip(together, done, strict=True)
    return [outcomes[index] for index in range(len(assignments))]


def _fit(assigned: Assignment, recipe: Recipe, stop: Stop) -> Outcome:
    """Fit one run without a stack."""
    if (signal := stop()) is not None:
        raise InterruptedRunError("interrupted", signal=signal)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_lock_folder(assigned.run))
            _prepare_folder(assigned, recipe)
        except MdnError as error:
            return Outcome(assigned.run, {}, error)
        return refit(assigned.run, assigned.dataset, recipe, ignore)


@contextlib.contextmanager
def _lock_folder(run: RunFolder) -> Iterator[None]:
    """Make the folder of a run, if needed, and lock it.

    A process that has just been killed may take a moment to release the lock.
    """
    with store.errors_with_path(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        deadline = time.monotonic() + LET_GO_SECONDS
        while True:
            try:
                held.enter_context(run.locked())
                break
            except RunLockedError:
                if time.monotonic() > deadline:
                    raise
        yield


def _prepare_folder(assigned: Assignment, recipe: Recipe) -> int:
    """Prepare the folder of a run and return the step that it continues from.

    At 0 the folder was emptied, and the run starts over.
    """
    run = assigned.run
    run.remove_leftovers()
    at = reached_step(run, assigned.dataset.config) if run.exists() else None
    if not at:
        store.clear(run)
        begin_trial(assigned.dataset, run, assigned.about, recipe)
    return at or 0
