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
from mdncli.commands.sweep import planning
from mdncli.commands.sweep.answering import answer_of
from mdncli.commands.sweep.foreseeing import foreseen
from mdncli.commands.sweep.request import Request, require_sense
from mdncli.commands.train import interruptible
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, Note, ignore
from mdncli.experiment import Stop
from mdncli.present.answer import Answer
from mdncli.store import RunFolder
from mdncli.sweep import book, cluster, crews
from mdncli.sweep.book import Book
from mdncli.sweep.driver import Driver, Tally
from mdncli.sweep.orders import STACKS_EACH, Library, Order, Sized, stacked
from mdncli.sweep.rounds import Rounds
from mdncli.sweep.scripts import SCRIPTS, Part
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
            client = held.enter_context(cluster.connected(request.cluster, workers, listener))
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
            nowhere = Book(RunFolder(runs_dir / "sweep"))
            sized = _sized(nowhere, plan.trials, {}, library)
            return foreseen(len(plan.trials), sized, plan.wanted, library, _workers(sized, request))
        folder = planning.begun(plan, library, runs_dir)
    wanted = request.trials if plan is None else plan.wanted
    site = Site(folder, library, request, listener, client)
    if request.dry_run:
        trials = site.ledger.trials()
        sized = _sized(site.ledger, trials, site.standings(trials), library)
        left = len(sized) + Rounds(site.ledger, trials).wanted - len(trials)
        return foreseen(len(trials), sized, left, library, _workers(sized, request))
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
    def ledger(self) -> Book:
        """What the folder says."""
        return Book(self.folder)

    def standings(self, trials: Sequence[Trial]) -> dict[str, book.Standing]:
        """What has become of each trial; those to be tried again count as pending."""
        known = {trial.id: self.ledger.standing(trial) for trial in trials}
        again = self.request.retry is not None
        return {
            id_: book.PENDING if again and standing.failed else standing
            for id_, standing in known.items()
        }


def _trained(site: Site, stop: Stop) -> Answer:
    """Train what is pending, and say what has come of all."""
    started = time.monotonic()
    folder, ledger, request = site.folder, site.ledger, site.request
    trials = ledger.trials()
    rounds = Rounds(ledger, trials)
    tally = Tally(site.standings(trials))
    pending = _sized(ledger, trials, tally.standings, site.library)
    if not pending and rounds.wanted == len(trials):
        site.listener(Note(f"{folder.path} is complete already"))
        if folder.result.exists():
            return answer_of(folder, trials, tally, folder.read_json(folder.result)["seconds"])
    for trial in trials:
        if tally.standings[trial.id].fate == "completed":
            ledger.tidy(trial)
    folder.remove_leftovers()
    folder.result.unlink(missing_ok=True)
    folder.write_status("running", 0)
    driver = Driver(trials, tally, site.listener, stop, request.most_failures, wanted=rounds.wanted)
    try:
        with _crew(site, driver, pending, rounds, stop) as crew:
            orders = _orders(site, rounds, tally, crew.workers)
            driver.run(crew, lambda: next(orders, []))
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


def _orders(site: Site, rounds: Rounds, tally: Tally, workers: int) -> Iterator[list[Order]]:
    """The stacks of each round that are still to be trained."""
    if not rounds.one_by_one:
        pending = _sized(site.ledger, rounds.trials, tally.standings, site.library)
        yield stacked(site.folder.id, pending, workers)
        return
    for trials, bars in rounds.run(tally.standings):
        if pending := _sized(site.ledger, trials, tally.standings, site.library):
            yield stacked(site.folder.id, pending, workers, bars)


@contextlib.contextmanager
def _crew(
    site: Site, driver: Driver, pending: Sequence[Sized], rounds: Rounds, stop: Stop
) -> Iterator[crews.Crew]:
    """Who trains; let go at the end."""
    if not pending and not rounds.one_by_one:
        yield crews.Here()
        return
    if site.client is not None:
        with contextlib.closing(cluster.Cluster(site.client, site.folder)) as crew:
            yield crew
        return
    later = rounds.wanted - len(rounds.trials)
    workers = _workers(pending, site.request, later=later, together=rounds.one_by_one)
    crew = crews.Processes(workers) if workers > 1 else crews.Here(driver.hear, stop)
    with contextlib.closing(crew):
        yield crew


def _sized(
    ledger: Book,
    trials: Sequence[Trial],
    standings: Mapping[str, book.Standing],
    library: Library,
) -> list[Sized]:
    """The trials that are still to be trained, each with the stack that it fits in."""
    pending = []
    for trial in trials:
        if standings.get(trial.id, book.PENDING).fate == "pending":
            material = library.material(trial.config)
            shape = experiment.shape_of(material)
            folder = ledger.run_of(trial).path
            pending.append(Sized(trial, folder, material.fingerprints, shape))
    return pending


def _workers(
    pending: Sequence[Sized], request: Request, *, later: int = 0, together: bool = False
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
    cost = sum(sized.cost for sized in pending) * (1 + later / max(1, len(pending)))
    if cost < INLINE_COST:
        return 1
    cores = max(1, len(machine.cores()) // threads)
    first = min((sized.trial.round for sized in pending), default=0)
    at_once = [sized for sized in pending if not together or sized.trial.round == first]
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
    orders = stacked(folder.id, _sized(site.ledger, site.ledger.trials(), {}, site.library), 1)
    assert site.request.emit is not None
    lines = SCRIPTS[site.request.emit](folder, site.request.workers or len(orders))
    shown = f"mdn runs show {shlex.quote(folder.id)}"
    site.listener(Note(f"the trials go to {folder.path}: see {shown}"))
    return Answer(lines=lines, document={"sweep": str(folder.path), "script": lines})


def _part_trained(site: Site) -> Answer:
    """Train a share of a sweep beside others who train theirs; the last completes the sweep."""
    started = time.monotonic()
    folder, ledger, part = site.folder, site.ledger, Part.of(site.request.part or "")
    trials = ledger.trials()
    cuts = max(1, part.parts // STACKS_EACH)
    every = stacked(folder.id, _sized(ledger, trials, {}, site.library), cuts)
    mine = {sized.trial.id for order in part.of_orders(every) for sized in order.runs}
    own = [trial for trial in trials if trial.id in mine]
    tally = Tally(site.standings(own))
    rounds = Rounds(ledger, own)
    pending = _sized(ledger, own, tally.standings, site.library)
    with interruptible() as stop:
        driver = Driver(own, tally, site.listener, stop, site.request.most_failures)
        with _crew(site, driver, pending, rounds, stop) as crew:
            orders = _orders(site, rounds, tally, crew.workers)
            driver.run(crew, lambda: next(orders, []))
    if tally.signal is not None:
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(own)} trials of this share are complete",
            hint="the same command goes on with it",
            signal=tally.signal,
        )
    # Whoever is last finds all done; where two are, one of them has the lock.
    if all(standing.fate != "pending" for standing in site.standings(trials).values()):
        whole = Site(folder, site.library, site.request, ignore)
        with contextlib.suppress(RunLockedError), interruptible() as stop, folder.locked():
            _trained(whole, stop)
    return answer_of(folder, own, tally, time.monotonic() - started)
