"""Training of a stack by a worker: returns the status of each trial, and never raises."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdncli import experiment, interrupts, store
from mdncli.config import Config
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError, Stopped
from mdncli.events import Listener, ignore
from mdncli.experiment import Assignment, Dataset, Stop
from mdncli.store import RunFolder
from mdncli.sweep.folder import PENDING, TrialStatus, status_of
from mdncli.sweep.stacks import PendingTrial, TrialStack, section_of
from mdncli.trackers import with_trackers
from mdncli.workers import needs_the_parent

_read: dict[str, Dataset] = {}
"""Cache of the data that this process has read, by `section_of`."""


def share(datasets: Mapping[str, Dataset]) -> None:
    """Share data that was read already with the training here, and in later forks of this process.

    Args:
        datasets: by `section_of` their configs.
    """
    _read.update(datasets)


def sections() -> int:
    """Number of data sections that have been read or shared."""
    return len(_read)


@dataclass(frozen=True)
class TrialResult:
    """Status of a trial after training.

    Args:
        id: of the trial.
        status: of the trial; `pending` if a signal came first.
    """

    id: str
    status: TrialStatus


def train(
    stack: TrialStack, listener: Listener = ignore, stop: Stop = lambda: None
) -> tuple[list[TrialResult], int | None]:
    """Train the trials of a stack.

    Args:
        stack: of trials.
        listener: receives progress, if trained in the process of the driver.
        stop: returns the signal that asks to stop, if any.

    Returns:
        Status of each trial, and the signal that stopped the stack, if any.
    """
    listener = with_trackers(listener, stack.trackers)
    statuses: dict[str, TrialStatus] = {}
    signal: int | None = None
    assigned: list[tuple[PendingTrial, Assignment]] = []
    for one in stack.trials:
        # A worker that died over this stack may have completed some of it.
        if (known := status_of(RunFolder(one.folder))).state == "completed":
            statuses[one.trial.id] = known
            continue
        about = {"id": one.trial.id, "sweep": stack.sweep, "overrides": one.trial.overrides}
        try:
            dataset = _dataset(one)
        except Stopped as stopped:
            signal = stopped.signal
            statuses[one.trial.id] = PENDING
        except MdnError as error:
            # A signal to all processes also kills the one that reads the data.
            signal = signal or stop()
            statuses[one.trial.id] = PENDING if signal else _fail(one, str(error))
        else:
            run = RunFolder(one.folder)
            assigned.append((one, Assignment(dataset, run, {"trial": about}, stack.bars)))
    try:
        outcomes = experiment.train_assigned([each for _, each in assigned], listener, stop)
        for (one, _), outcome in zip(assigned, outcomes, strict=True):
            if outcome.error is None:
                statuses[one.trial.id] = TrialStatus("completed", outcome.result)
            elif isinstance(outcome.error, RunLockedError):
                statuses[one.trial.id] = TrialStatus("failed", {}, str(outcome.error))
    except InterruptedRunError as error:
        signal = error.exit_code - 128
    except MdnError as error:
        _fail_all(assigned, str(error))
    except ModuleNotFoundError as error:
        if needs_the_parent(error):
            raise
        _fail_all(assigned, f"internal error: {error}")
    except MemoryError:
        _fail_all(assigned, "out of memory; use fewer rows, mixtures or hidden units")
    except Exception as error:
        _fail_all(assigned, f"internal error: {type(error).__name__}: {error}")
    for one, assignment in assigned:
        statuses.setdefault(one.trial.id, status_of(assignment.run))
    return [TrialResult(one.trial.id, statuses[one.trial.id]) for one in stack.trials], signal


def _dataset(one: PendingTrial) -> Dataset:
    config: Config = one.trial.config
    section = section_of(config)
    if section not in _read:
        with interrupts.allow_stop():
            _read[section] = experiment.prepare(config, ignore, one.fingerprints)
    dataset = experiment.with_config(_read[section], config)
    experiment.require_rows(dataset)
    return dataset


def _fail_all(assigned: Sequence[tuple[PendingTrial, Assignment]], reason: str) -> None:
    """Mark the unfinished runs as failed by an error."""
    for one, assignment in assigned:
        if status_of(assignment.run).state == "pending":
            _fail(one, reason)


def _fail(one: PendingTrial, reason: str) -> TrialStatus:
    mark_failed(RunFolder(one.folder), reason)
    return TrialStatus("failed", {}, reason)


def mark_failed(run: RunFolder, reason: str) -> None:
    """Write the status `failed` into the folder of a trial, if it is writable."""
    with contextlib.suppress(MdnError), store.errors_with_path(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
        run.write_status("failed", 0, reason)
