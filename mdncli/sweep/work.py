"""What a worker does: it trains a stack and says what has become of each run. It never raises."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mdncli import experiment, store
from mdncli.config import Config
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, ignore
from mdncli.experiment import Assignment, Dataset, Stop
from mdncli.store import RunFolder
from mdncli.sweep.book import Standing, standing_of
from mdncli.sweep.orders import Order, Sized, section_of

_read: dict[str, Dataset] = {}
"""The data that this process has read, by `section_of`."""


@dataclass(frozen=True)
class Ended:
    """A trial that a worker is done with.

    Args:
        id: of the trial.
        standing: what has become of it; `pending` if a signal came first.
    """

    id: str
    standing: Standing


def train(
    order: Order, listener: Listener = ignore, stop: Stop = lambda: None
) -> tuple[list[Ended], int | None]:
    """Train the runs of an order.

    Args:
        order: what to train.
        listener: hears how it goes, where it is trained in the process of the driver.
        stop: says which signal, if any, asks to stop.

    Returns:
        What has become of each run, and the signal that stopped it, if one did.
    """
    fates: dict[str, Standing] = {}
    signal: int | None = None
    assigned: list[tuple[Sized, Assignment]] = []
    for sized in order.runs:
        # Whoever died over this stack may have completed some of it.
        if (known := standing_of(RunFolder(sized.folder))).fate == "completed":
            fates[sized.trial.id] = known
            continue
        about = {"id": sized.trial.id, "sweep": order.sweep, "overrides": sized.trial.overrides}
        try:
            dataset = _dataset(sized)
        except MdnError as error:
            fates[sized.trial.id] = _failed(sized, str(error))
        else:
            run = RunFolder(sized.folder)
            assigned.append((sized, Assignment(dataset, run, {"trial": about}, order.bars)))
    try:
        outcomes = experiment.train_assigned([each for _, each in assigned], listener, stop)
        for (sized, _), outcome in zip(assigned, outcomes, strict=True):
            if outcome.error is None:
                fates[sized.trial.id] = Standing("completed", outcome.result)
            elif isinstance(outcome.error, RunLockedError):
                fates[sized.trial.id] = Standing("failed", {}, str(outcome.error))
    except InterruptedRunError as error:
        signal = error.exit_code - 128
    except MdnError as error:
        _fail_all(assigned, str(error))
    except MemoryError:
        _fail_all(assigned, "out of memory; use fewer rows, mixtures or hidden units")
    except Exception as error:
        _fail_all(assigned, f"internal error: {type(error).__name__}: {error}")
    for sized, each in assigned:
        fates.setdefault(sized.trial.id, standing_of(each.run))
    return [Ended(sized.trial.id, fates[sized.trial.id]) for sized in order.runs], signal


def _dataset(sized: Sized) -> Dataset:
    config: Config = sized.trial.config
    section = section_of(config)
    if section not in _read:
        _read[section] = experiment.prepare(config, ignore, sized.fingerprints)
    dataset = replace(_read[section], config=config)
    experiment.require_rows(dataset)
    return dataset


def _fail_all(assigned: Sequence[tuple[Sized, Assignment]], reason: str) -> None:
    """Mark the runs that a fault has kept from their end."""
    for sized, each in assigned:
        if standing_of(each.run).fate == "pending":
            _failed(sized, reason)


def _failed(sized: Sized, reason: str) -> Standing:
    mark_failed(RunFolder(sized.folder), reason)
    return Standing("failed", {}, reason)


def mark_failed(run: RunFolder, reason: str) -> None:
    """Let the folder of a trial say that it has failed, as far as it can be written to."""
    with contextlib.suppress(MdnError), store.writing(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
        run.write_status("failed", 0, reason)
