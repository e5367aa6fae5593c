"""Training runs from first to last: new ones in stacks, begun ones from their checkpoint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdncli import predictor as predictors
from mdncli import store
from mdncli.config import Config
from mdncli.errors import (
    DataError,
    InterruptedRunError,
    MdnError,
    ResumeRefusedError,
    RunFault,
    UsageError,
)
from mdncli.events import (
    Listener,
    Note,
    TrainingEnded,
    Warned,
)
from mdncli.experiment.beginning import begin
from mdncli.experiment.calibrating import require_calibratable
from mdncli.experiment.checkpoint import with_remedy
from mdncli.experiment.completing import Outcome, outcome_of
from mdncli.experiment.fitting import fit, is_fitted, refit, require_rows
from mdncli.experiment.job import Job, plan_of, stack_key
from mdncli.experiment.material import Material, config_of, reopen, write_rows
from mdncli.experiment.progress import Stop, Training
from mdncli.experiment.room import parted, require_device
from mdncli.store import RunFolder

if TYPE_CHECKING:
    from mdncli.training.plan import StackPlan
    from mdncli.training.profiling import Profiler


def train(
    materials: Sequence[Material],
    root: Path,
    listener: Listener,
    stop: Stop = lambda: None,
    watch: Profiler | None = None,
) -> list[Outcome]:
    """Train one run for each material, in new run folders under `root`.

    Runs whose networks have one shape and train for as long share a stack, at a fraction of the
    cost; each ends as it would have alone. One that fails does not stop the others. A `watch`
    counts where the time goes.

    Returns:
        What became of each run, in order.

    Raises:
        InterruptedRunError: `stop` said so; the runs that have begun can be resumed.
        UsageError: this machine lacks the device or the memory; nothing is created.
    """
    started = time.monotonic()
    stacked = [index for index, material in enumerate(materials) if not is_fitted(material)]
    for material in materials:
        require_rows(material)
        if material.config.train.calibrate:
            require_calibratable(material)
    for index in stacked:
        require_device(materials[index].config)
    stacks = stacks_of(materials, stacked, listener)
    _heed(stop)
    traps = (trap.warning(name) for each in materials for name, trap in each.spike_traps.items())
    for warning in dict.fromkeys(traps):
        listener(Warned(warning))
    for said in dict.fromkeys(note for each in materials for note in _floors(each)):
        listener(Note(said))
    outcomes: dict[int, Outcome] = {}
    for plan, members in stacks:
        with _begun([materials[index] for index in members], plan, root) as jobs:
            trained = train_stack(jobs, listener, stop, started, watch=watch)
        outcomes |= zip(members, trained, strict=True)
    for index in range(len(materials)):
        if index not in outcomes:
            _heed(stop)
            outcomes[index] = fit(materials[index], root, listener)
    return [outcomes[index] for index in range(len(materials))]


def _floors(material: Material) -> Iterator[str]:
    """What to say of a scale floor that follows from how coarse the targets are."""
    if not material.spike_traps:
        for name, trap in material.coarse.items():
            yield trap.remark(name, material.scale_floor)


def _heed(stop: Stop) -> None:
    if (signal := stop()) is not None:
        raise InterruptedRunError("interrupted before any training", signal=signal)


def stacks_of(
    materials: Sequence[Material], stacked: Sequence[int], listener: Listener
) -> list[tuple[StackPlan, list[int]]]:
    """The runs that train together, by their indices: those of one shape, as memory allows."""
    alike: dict[tuple[StackPlan, object, object], list[int]] = {}
    for index in stacked:
        alike.setdefault(stack_key(materials[index]), []).append(index)
    stacks: list[tuple[StackPlan, list[int]]] = []
    for (plan, *_), members in alike.items():
        parts = parted(plan, [materials[index] for index in members])
        if len(parts) > 1:
            said = f"{len(members)} runs need more memory than is free"
            listener(Note(f"{said}: they train in {len(parts)} stacks, one after another"))
        stacks += [(plan, [members[i] for i in part]) for part in parts]
    return stacks


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
        run.remove_leftovers()
        try:
            material = reopen(run)
        except DataError as error:
            raise ResumeRefusedError(error.message, hint=error.hint) from None
        _require_origin(run)
        material = replace(material, config=overrides or material.config)
        if is_fitted(material):
            return refit(run, material, listener)
        require_device(material.config)
        plan = plan_of(material)
        parted(plan, [material])
        if material.problem is not None and not run.data.exists():
            write_rows(material, run.data)
        return train_stack([Job(run, material, plan)], listener, stop, started, resuming=True)[0]


def _require_origin(run: RunFolder) -> None:
    """Refuse a run whose provenance lacks what its result is to repeat, before it trains for it."""
    about = run.read_json(run.provenance)
    data = about.get("data")
    if "started" not in about or not isinstance(data, dict) or not {"source", "targets"} <= {*data}:
        raise RunFault(
            f"{run.provenance}: damaged, it does not say when and on what the run began",
            hint=f"train again with mdn train {run.config}",
        )


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
    run.remove_leftovers()  # of one that was killed while it said that it was complete
    listener(Note(f"{run.path} is complete already"))
    return Outcome(run, {**result, "run": str(run.path)}, trained=False)


@contextlib.contextmanager
def _begun(materials: Sequence[Material], plan: StackPlan, root: Path) -> Iterator[list[Job]]:
    """New runs of one stack, each in a folder that is locked; if one cannot be, none is left."""
    jobs: list[Job] = []
    with contextlib.ExitStack() as held:
        try:
            for material in materials:
                jobs.append(Job(begin(material, root), material, plan))
                held.enter_context(jobs[-1].run.locked())
        except BaseException:
            for job in reversed(jobs):
                store.abandon(job.run)
            raise
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
        try:
            training.drive(stop)
        finally:
            listener(TrainingEnded(time.monotonic() - started))
        with watch.measure("results") if watch is not None else contextlib.nullcontext():
            return [outcome_of(job, training, listener, started) for job in jobs]
    except BaseException as error:
        interrupted = isinstance(error, InterruptedRunError) or not isinstance(error, Exception)
        state = "interrupted" if interrupted else "failed"
        reason = None if interrupted else str(error) or type(error).__name__
        begun = [job for job in jobs if job.run.state() == "running"]
        for job in begun:
            with contextlib.suppress(MdnError):
                job.run.write_status(state, job.epoch, reason)
        if isinstance(error, MdnError) and begun:
            raise with_remedy(error, begun[0].run) from None
        raise
