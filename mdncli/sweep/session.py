"""Training of the trials a sweep still lacks: here, in processes, on a cluster, or by others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdncli import experiment, machine, store
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Listener, Note, ignore
from mdncli.experiment import Stop
from mdncli.machine import interruptible
from mdncli.store import RunFolder
from mdncli.sweep import book, cluster, crews
from mdncli.sweep.book import Book
from mdncli.sweep.driver import Driver, Tally
from mdncli.sweep.forecast import Forecast, forecast
from mdncli.sweep.orders import STACKS_EACH, Library, Order, Sized, stacked
from mdncli.sweep.request import Request
from mdncli.sweep.result import SweepResult
from mdncli.sweep.rounds import Rounds
from mdncli.sweep.scripts import SCRIPTS, Part
from mdncli.sweep.trials import Trial

if TYPE_CHECKING:
    from distributed import Client

INLINE_COST = 2e10
"""Work in operations, some seconds of it, for which no process is worth its start."""


@dataclass(frozen=True)
class Session:
    """A sweep that is to be trained, and how.

    Args:
        folder: where it is.
        library: its data.
        request: the options of the command.
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
        """The sweep's record of itself."""
        return Book(self.folder)

    def standings(self, trials: Sequence[Trial]) -> dict[str, book.Standing]:
        """Status of each trial; one to be tried again counts as pending."""
        known = {trial.id: self.ledger.standing(trial) for trial in trials}
        again = self.request.retry is not None
        return {
            id_: book.PENDING if again and standing.failed else standing
            for id_, standing in known.items()
        }


def foreseen(session: Session, trials: Sequence[Trial], wanted: int) -> Forecast:
    """Estimate the work that is left.

    Args:
        session: to be estimated; its folder need not exist.
        trials: that the sweep has so far.
        wanted: trials that it is to have.
    """
    pending = _sized(session.ledger, trials, session.standings(trials), session.library)
    left = len(pending) + wanted - len(trials)
    workers = _workers(pending, session.request)
    return forecast(len(trials), pending, left, session.library, workers)


def train(session: Session, stop: Stop) -> SweepResult:
    """Train every trial that is not finished yet, and write the result of the sweep."""
    started = time.monotonic()
    folder, ledger, request = session.folder, session.ledger, session.request
    trials = ledger.trials()
    rounds = Rounds(ledger, trials)
    tally = Tally(session.standings(trials))
    pending = _sized(ledger, trials, tally.standings, session.library)
    if not pending and rounds.wanted == len(trials):
        session.listener(Note(f"{folder.path} is complete already"))
        if folder.result.exists():
            return SweepResult(folder, trials, tally, folder.read_json(folder.result)["seconds"])
    for trial in trials:
        if tally.standings[trial.id].fate == "completed":
            ledger.tidy(trial)
    folder.remove_leftovers()
    folder.result.unlink(missing_ok=True)
    folder.write_status("running", 0)
    driver = Driver(
        trials, tally, session.listener, stop, request.most_failures, wanted=rounds.wanted
    )
    try:
        with _crew(session, driver, pending, rounds, stop) as crew:
            orders = _orders(session, rounds, tally, crew.workers)
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
        session.listener(
            Note(f"gave up, {left:,} trials are left: mdn sweep --resume {folder.path}")
        )
        return SweepResult(folder, trials, tally, seconds)
    result = SweepResult(folder, trials, tally, seconds)
    document = {"format": store.FORMAT, "name": folder.name, **result.document()}
    store.write_json(folder.result, document | {"run": folder.id})
    folder.write_status("completed", 0)
    return result


def _orders(session: Session, rounds: Rounds, tally: Tally, workers: int) -> Iterator[list[Order]]:
    """The stacks of each round that are still to be trained."""
    if not rounds.one_by_one:
        pending = _sized(session.ledger, rounds.trials, tally.standings, session.library)
        yield stacked(session.folder.id, pending, workers)
        return
    for trials, bars in rounds.run(tally.standings):
        if pending := _sized(session.ledger, trials, tally.standings, session.library):
            yield stacked(session.folder.id, pending, workers, bars)


@contextlib.contextmanager
def _crew(
    session: Session, driver: Driver, pending: Sequence[Sized], rounds: Rounds, stop: Stop
) -> Iterator[crews.Crew]:
    """The workers, released at the end."""
    if not pending and not rounds.one_by_one:
        yield crews.Here()
        return
    if session.client is not None:
        with contextlib.closing(cluster.Cluster(session.client, session.folder)) as crew:
            yield crew
        return
    later = rounds.wanted - len(rounds.trials)
    workers = _workers(pending, session.request, later=later, together=rounds.one_by_one)
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
            dataset = library.dataset(trial.config)
            shape = experiment.shape_of(dataset)
            folder = ledger.run_of(trial).path
            pending.append(Sized(trial, folder, dataset.fingerprints, shape))
    return pending


def _workers(
    pending: Sequence[Sized], request: Request, *, later: int = 0, together: bool = False
) -> int:
    """Number of processes: one for each core, where there is enough for each to do.

    Args:
        pending: what is to be trained.
        request: may name the number.
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


def script(session: Session) -> list[str]:
    """Commands that train the sweep for the engine of `--emit`, each a share of it."""
    folder, request = session.folder, session.request
    assert request.emit is not None
    every = _sized(session.ledger, session.ledger.trials(), {}, session.library)
    orders = stacked(folder.id, every, 1)
    return SCRIPTS[request.emit](folder, request.workers or len(orders))


def train_part(session: Session) -> SweepResult:
    """Train a share of a sweep beside others who train theirs; the last completes the sweep."""
    started = time.monotonic()
    folder, ledger, part = session.folder, session.ledger, Part.of(session.request.part or "")
    trials = ledger.trials()
    cuts = max(1, part.parts // STACKS_EACH)
    every = stacked(folder.id, _sized(ledger, trials, {}, session.library), cuts)
    mine = {sized.trial.id for order in part.of_orders(every) for sized in order.runs}
    own = [trial for trial in trials if trial.id in mine]
    tally = Tally(session.standings(own))
    rounds = Rounds(ledger, own)
    pending = _sized(ledger, own, tally.standings, session.library)
    with interruptible() as stop:
        driver = Driver(own, tally, session.listener, stop, session.request.most_failures)
        with _crew(session, driver, pending, rounds, stop) as crew:
            orders = _orders(session, rounds, tally, crew.workers)
            driver.run(crew, lambda: next(orders, []))
    if tally.signal is not None:
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(own)} trials of this share are complete",
            hint="the same command goes on with it",
            signal=tally.signal,
        )
    # Whoever is last finds all done; where two are, one of them has the lock.
    if all(standing.fate != "pending" for standing in session.standings(trials).values()):
        whole = Session(folder, session.library, session.request, ignore)
        with contextlib.suppress(RunLockedError), interruptible() as stop, folder.locked():
            train(whole, stop)
    return SweepResult(folder, own, tally, time.monotonic() - started)
