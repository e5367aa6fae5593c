"""Runs in folders of given names, as those of a sweep: begun, taken up and completed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdncli import store
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, ignore
from mdncli.experiment.beginning import begin_trial
from mdncli.experiment.checkpoint import reached
from mdncli.experiment.completing import Outcome
from mdncli.experiment.fitting import is_fitted, refit
from mdncli.experiment.job import Job, stack_key
from mdncli.experiment.material import Material
from mdncli.experiment.progress import Stop
from mdncli.experiment.pruning import Bars
from mdncli.experiment.room import require_device
from mdncli.experiment.running import stacks_of, train_stack
from mdncli.store import RunFolder

LET_GO_SECONDS = 5.0
"""How long the lock of a run is waited for whose holder may have just been killed."""

FIT_OPERATIONS = 1e9
"""About what fitting a mixture at once takes, to be weighed against training."""


@dataclass(frozen=True)
class Assignment:
    """A run that is to be in a folder of its own name, as those of a sweep are.

    Args:
        material: its data.
        run: its folder, which may be there already.
        about: what its provenance says beside the usual.
        bars: what its validation NLL has to pass, or it is stopped early.
    """

    material: Material
    run: RunFolder
    about: Mapping[str, Any]
    bars: Bars = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """What runs have in common that train in one stack, and how much work each is.

    Args:
        key: the same for such runs.
        replicas: networks of one run.
        steps: how long it trains.
        validations: how often it is validated on the way.
        operations: multiplications and additions of a step of one network, forward and back.
        label: its network, for people.
    """

    key: Hashable
    replicas: int
    steps: int
    validations: int
    operations: float
    label: str


def train_assigned(
    assignments: Sequence[Assignment], listener: Listener, stop: Stop = lambda: None
) -> list[Outcome]:
    """Train runs in folders of given names; those that were begun go on from their checkpoint.

    Once a run is complete its checkpoint is deleted. A run whose folder another process is at
    work on fails, whatever becomes of it there.

    Returns:
        What became of each run, in order.

    Raises:
        InterruptedRunError: `stop` said so.
        UsageError: this machine lacks the device or the memory.
    """
    started = time.monotonic()
    materials = [assigned.material for assigned in assignments]
    stacked = [index for index, material in enumerate(materials) if not is_fitted(material)]
    for index in stacked:
        require_device(materials[index].config)
    outcomes: dict[int, Outcome] = {}
    for index, material in enumerate(materials):
        if is_fitted(material):
            outcomes[index] = _fitted(assignments[index], stop)
    for plan, members in stacks_of(materials, stacked, listener):
        with contextlib.ExitStack() as held:
            begun: dict[int, list[int]] = {}
            for index in members:
                try:
                    held.enter_context(_claimed(assignments[index].run))
                    at = _taken_up(assignments[index])
                    begun.setdefault(at, []).append(index)
                except MdnError as error:
                    outcomes[index] = Outcome(assignments[index].run, {}, error)
            # What was interrupted in one stack is at one step, and goes on in one stack.
            for at, together in begun.items():
                jobs = [
                    Job(assignments[i].run, materials[i], plan, bars=assignments[i].bars)
                    for i in together
                ]
                done = train_stack(
                    jobs, listener, stop, started, resuming=at > 0, last_checkpoint=False
                )
                for job in jobs:
                    job.run.checkpoint.unlink(missing_ok=True)
                outcomes |= zip(together, done, strict=True)
    return [outcomes[index] for index in range(len(assignments))]


def shape_of(material: Material) -> Shape:
    """The shape of a run, known without torch."""
    config = material.config
    mixtures = f"K = {config.model.mixtures}"
    if is_fitted(material):
        return Shape("fitted", 1, 1, 0, FIT_OPERATIONS, f"one mixture, {mixtures}")
    plan, *_ = key = stack_key(material)
    rows = min(len(material.split.train), plan.batch_size or len(material.split.train))
    layers = "-".join(map(str, plan.network.hidden)) or "no hidden layer"
    return Shape(
        key=key,
        replicas=config.model.networks,
        steps=plan.steps,
        validations=-(-plan.steps // plan.validate_every),
        operations=6.0 * plan.network.parameters * rows,
        label=f"{layers}, {mixtures}" if config.model.kind == "mdn" else layers,
    )


def _fitted(assigned: Assignment, stop: Stop) -> Outcome:
    """Fit one run at once."""
    if (signal := stop()) is not None:
        raise InterruptedRunError("interrupted", signal=signal)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_claimed(assigned.run))
            _taken_up(assigned)
        except MdnError as error:
            return Outcome(assigned.run, {}, error)
        return refit(assigned.run, assigned.material, ignore)


@contextlib.contextmanager
def _claimed(run: RunFolder) -> Iterator[None]:
    """Make the folder of a run, if need be, and hold its lock.

    A process that has just been killed may take a moment to let go of it.
    """
    with store.writing(run.path):
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


def _taken_up(assigned: Assignment) -> int:
    """The step from which a run goes on; where it is 0, its folder holds just what it is."""
    run = assigned.run
    run.remove_leftovers()
    at = reached(run, assigned.material.config) if run.exists() else None
    if not at:
        store.clear(run)
        begin_trial(assigned.material, run, assigned.about)
    return at or 0
