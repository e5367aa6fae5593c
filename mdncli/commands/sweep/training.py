"""Training what a sweep still lacks: here, in processes, on a cluster, or by others."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdncli import experiment, machine, store
from mdncli.commands.answer import Answer
from mdncli.commands.sweep import planning
from mdncli.commands.sweep.answering import answer_of
from mdncli.commands.sweep.foreseeing import foreseen
from mdncli.commands.sweep.request import Request, require_sense
from mdncli.commands.train import interruptible
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, Note, ignore
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep.driver import Driver, Tally
from mdncli.sweep.executors import dask, opened
from mdncli.sweep.executors.base import Executor, Setting
from mdncli.sweep.folder import PENDING, SweepFolder, TrialStatus
from mdncli.sweep.rounds import Rounds
from mdncli.sweep.scripts import SCRIPTS, Part
from mdncli.sweep.stacks import STACKS_EACH, Library, PendingTrial, TrialStack, stacked
from mdncli.sweep.trials import Trial

if TYPE_CHECKING:
    from distributed import Client

INLINE_COST = 2e10
"""Work in operations, some seconds of it, for which no process is worth its start."""


def sweep(
    items: Sequence[str],
    options: Mapping[str, Any],
    request: Request,
    runs_dir: Path,
    listener: Listener,
) -> Answer:
    """Train every trial of a sweep that is not finished yet.

    Args:
        items: one config, axes and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        request: what else was asked for.
        runs_dir: where the sweep's folder is or goes; its trials are inside it.
        listener: hears how it goes.
    """
    require_sense(request)
    with contextlib.ExitStack() as held:
        client = None
        if request.cluster is not None and not request.dry_run:
            workers = request.workers or len(machine.cores())
            client = held.enter_context(dask.connected(request.cluster, workers, listener))
        return _swept(items, options, request, runs_dir, listener, client)


def _swept(
    items: Sequence[str],
    options: Mapping[str, Any],
    request: Request,
    runs_dir: Path,
    listener: Listener,
    client: Client | None,
) -> Answer:
    named = request.resume or request.retry
    plan = None if named and not items else planning.plan_of(items, options, request)
    folder = planning.given(named, plan, runs_dir, listener) if named else None
    if folder is None and plan is not None and not request.new:
        folder = planning.same(plan, runs_dir)
    library = Library(partial(planning.prepared, folder, listener))
    if folder is None:
        assert plan is not None
        for trial in plan.trials:
            library.material(trial.config)
        if request.dry_run:
            nowhere = SweepFolder(RunFolder(runs_dir / "sweep"))
            pending = _pending(nowhere, plan.trials, {}, library)
            workers = _workers(pending, request)
            return foreseen(len(plan.trials), pending, plan.wanted, library, workers)
        folder = planning.begun(plan, library, runs_dir)
    wanted = request.trials if plan is None else plan.wanted
    site = Site(folder, library, request, listener, client)
    if request.dry_run:
        trials = site.sweep_folder.trials()
        pending = _pending(site.sweep_folder, trials, site.statuses(trials), library)
        left = len(pending) + Rounds(site.sweep_folder, trials).wanted - len(trials)
        return foreseen(len(trials), pending, left, library, _workers(pending, request))
    if request.emit is not None or request.part is not None:
        planning.require_no_rounds(folder)
        return _emitted(site) if request.emit is not None else _part_trained(site)
    with interruptible() as stop, folder.locked():
        planning.extended(folder, wanted, exists=plan is None)
        return _trained(site, stop)


@dataclass(frozen=True)
class Site:
    """A sweep that is to be gone on with.

    Args:
        folder: where it is.
        library: its data.
        request: what is to be done.
        listener: hears how it goes.
        client: of the cluster that trains it, if one does.
    """

    folder: RunFolder
    library: Library
    request: Request
    listener: Listener
    client: Client | None = None

    @property
    def sweep_folder(self) -> SweepFolder:
        """What the folder says."""
        return SweepFolder(self.folder)

    def statuses(self, trials: Sequence[Trial]) -> dict[str, TrialStatus]:
        """What has become of each trial; those to be tried again count as pending."""
        known = {trial.id: self.sweep_folder.status(trial) for trial in trials}
        again = self.request.retry is not None
        return {
            id_: PENDING if again and status.failed else status for id_, status in known.items()
        }


def _trained(site: Site, stop: Stop) -> Answer:
    """Train what is pending, and say what has come of all."""
    started = time.monotonic()
    folder, sweep_folder, request = site.folder, site.sweep_folder, site.request
    trials = sweep_folder.trials()
    rounds = Rounds(sweep_folder, trials)
    tally = Tally(site.statuses(trials))
    pending = _pending(sweep_folder, trials, tally.statuses, site.library)
    if not pending and rounds.wanted == len(trials):
        site.listener(Note(f"{folder.path} is complete already"))
        if folder.result.exists():
            return answer_of(folder, trials, tally, folder.read_json(folder.result)["seconds"])
    for trial in trials:
        if tally.statuses[trial.id].state == "completed":
            sweep_folder.tidy(trial)
    folder.remove_leftovers()
    folder.result.unlink(missing_ok=True)
    folder.write_status("running", 0)
    driver = Driver(trials, tally, site.listener, stop, request.most_failures, wanted=rounds.wanted)
    try:
        with _executor(site, driver, pending, rounds, stop) as executor:
            stacks = _stacks(site, rounds, tally, executor.workers)
            driver.run(executor, lambda: next(stacks, []))
    except BaseException as error:
        _leave(folder, error)
        raise
    seconds = time.monotonic() - started
    if tally.signal is not None:
        _leave(folder, None)
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {rounds.wanted} trials are complete",
            hint=f"continue with the same command, or mdn sweep --resume {folder.path}",
            signal=tally.signal,
        )
    if tally.given_up:
        _leave(folder, None)
        left = rounds.wanted - tally.completed - tally.failed
        site.listener(Note(f"gave up, {left:,} trials are left: mdn sweep --resume {folder.path}"))
        return answer_of(folder, trials, tally, seconds)
    answer = answer_of(folder, trials, tally, seconds)
    document = {"format": store.FORMAT, "name": folder.id[16:], **answer.document}
    store.write_json(folder.result, document | {"run": folder.id})
    folder.write_status("completed", 0)
    return answer


def _stacks(site: Site, rounds: Rounds, tally: Tally, workers: int) -> Iterator[list[TrialStack]]:
    """The stacks of each round that are still to be trained."""
    if not rounds.one_by_one:
        pending = _pending(site.sweep_folder, rounds.trials, tally.statuses, site.library)
        yield stacked(site.folder.id, pending, workers)
        return
    for trials, bars in rounds.run(tally.statuses):
        if pending := _pending(site.sweep_folder, trials, tally.statuses, site.library):
            yield stacked(site.folder.id, pending, workers, bars)


def _executor(
    site: Site, driver: Driver, pending: Sequence[PendingTrial], rounds: Rounds, stop: Stop
) -> Executor:
    """The executor that trains; to be closed in the end."""
    name, workers = _chosen(site, pending, rounds)
    return opened(name, Setting(site.folder, workers, driver.hear, stop, site.client))


def _chosen(site: Site, pending: Sequence[PendingTrial], rounds: Rounds) -> tuple[str, int]:
    """A key of `EXECUTORS`, and how many workers it has."""
    if not pending and not rounds.one_by_one:
        return "inline", 1
    if site.client is not None:
        return "dask", 1
    later = rounds.wanted - len(rounds.trials)
    workers = _workers(pending, site.request, later=later, together=rounds.one_by_one)
    return ("processes" if workers > 1 else "inline"), workers


def _pending(
    sweep_folder: SweepFolder,
    trials: Sequence[Trial],
    statuses: Mapping[str, TrialStatus],
    library: Library,
) -> list[PendingTrial]:
    """The trials that are still to be trained, each with the stack that it fits in."""
    pending = []
    for trial in trials:
        if statuses.get(trial.id, PENDING).state == "pending":
            material = library.material(trial.config)
            shape = experiment.shape_of(material)
            folder = sweep_folder.run_of(trial).path
            pending.append(PendingTrial(trial, folder, material.fingerprints, shape))
    return pending


def _workers(
    pending: Sequence[PendingTrial], request: Request, *, later: int = 0, together: bool = False
) -> int:
    """How many processes train: as many as cores, where there is enough for each to do.

    Args:
        pending: what is to be trained.
        request: may say how many.
        later: trials that are not known yet.
        together: whether only those of one round can be trained at a time.
    """
    if request.workers is not None:
        return request.workers
    threads = max(
        (t for s in pending if isinstance(t := s.trial.config.train.threads, int)), default=1
    )
    cost = sum(each.cost for each in pending) * (1 + later / max(1, len(pending)))
    if cost < INLINE_COST:
        return 1
    cores = max(1, len(machine.cores()) // threads)
    first = min((each.trial.round for each in pending), default=0)
    at_once = [each for each in pending if not together or each.trial.round == first]
    return max(1, min(cores, len(stacked("", at_once, cores))))


def _leave(folder: RunFolder, error: BaseException | None) -> None:
    """Let the folder say that there is more to do, or why that is impossible."""
    failed = isinstance(error, Exception)
    with contextlib.suppress(MdnError, OSError):
        folder.write_status(
            "failed" if failed else "interrupted", 0, str(error) if failed else None
        )


# ------------------------------------------------------------------------------ shares for others


def _emitted(site: Site) -> Answer:
    """Commands that train a sweep, each a share of it."""
    folder = site.folder
    stacks = stacked(
        folder.id, _pending(site.sweep_folder, site.sweep_folder.trials(), {}, site.library), 1
    )
    assert site.request.emit is not None
    lines = SCRIPTS[site.request.emit](folder, site.request.workers or len(stacks))
    shown = f"mdn runs show {shlex.quote(folder.id)}"
    site.listener(Note(f"the trials go to {folder.path}: see {shown}"))
    return Answer(lines=lines, document={"sweep": str(folder.path), "script": lines})


def _part_trained(site: Site) -> Answer:
    """Train a share of a sweep beside others who train theirs; the last completes the sweep."""
    started = time.monotonic()
    folder, sweep_folder, part = site.folder, site.sweep_folder, Part.of(site.request.part or "")
    trials = sweep_folder.trials()
    cuts = max(1, part.parts // STACKS_EACH)
    every = stacked(folder.id, _pending(sweep_folder, trials, {}, site.library), cuts)
    mine = {one.trial.id for stack in part.of_stacks(every) for one in stack.trials}
    own = [trial for trial in trials if trial.id in mine]
    tally = Tally(site.statuses(own))
    rounds = Rounds(sweep_folder, own)
    pending = _pending(sweep_folder, own, tally.statuses, site.library)
    with interruptible() as stop:
        driver = Driver(own, tally, site.listener, stop, site.request.most_failures)
        with _executor(site, driver, pending, rounds, stop) as executor:
            stacks = _stacks(site, rounds, tally, executor.workers)
            driver.run(executor, lambda: next(stacks, []))
    if tally.signal is not None:
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(own)} trials of this share are complete",
            hint="the same command goes on with it",
            signal=tally.signal,
        )
    # Whoever is last finds all done; where two are, one of them has the lock.
    if all(status.state != "pending" for status in site.statuses(trials).values()):
        whole = Site(folder, site.library, site.request, ignore)
        with contextlib.suppress(RunLockedError), interruptible() as stop, folder.locked():
            _trained(whole, stop)
    return answer_of(folder, own, tally, time.monotonic() - started)
