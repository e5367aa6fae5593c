"""Session: training of the pending trials of a sweep, or scripts that train them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdncli import experiment, interrupts, store
from mdncli.errors import InterruptedRunError, MdnError, RunLockedError
from mdncli.events import Activity, Listener, Note, ignore
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.driver import Driver, Tally
from mdncli.sweep.executors import open_executor
from mdncli.sweep.executors.base import Executor, ExecutorContext
from mdncli.sweep.folder import PENDING, SweepFolder, TrialStatus
from mdncli.sweep.forecast import Forecast, forecast
from mdncli.sweep.request import SweepRequest
from mdncli.sweep.result import SweepResult
from mdncli.sweep.rounds import Rounds
from mdncli.sweep.scripts import SCRIPTS, SweepShare
from mdncli.sweep.stacks import STACKS_EACH, Library, PendingTrial, TrialStack, build_stacks
from mdncli.sweep.trials import Trial
from mdncli.wording import counted
from mdncli.workers import most_workers

if TYPE_CHECKING:
    from distributed import Client

INLINE_COST = 2e10
"""Work in operations, some seconds of it, below which starting processes does not pay."""


@dataclass(frozen=True)
class Session:
    """A sweep to be trained, with its options.

    Args:
        folder: of the sweep.
        library: its data.
        request: the options of the command.
        listener: receives progress.
        client: client of the cluster that trains it, if any.
    """

    folder: RunFolder
    library: Library
    request: SweepRequest
    listener: Listener
    client: Client | None = None

    @property
    def sweep_folder(self) -> SweepFolder:
        """The sweep folder."""
        return SweepFolder(self.folder)

    def statuses(self, trials: Sequence[Trial]) -> dict[str, TrialStatus]:
        """Status of each trial; failed ones to retry count as pending."""
        known = {trial.id: self.sweep_folder.status(trial) for trial in trials}
        again = self.request.retry is not None
        return {
            id_: PENDING if again and status.failed else status for id_, status in known.items()
        }


def forecast_session(session: Session, trials: Sequence[Trial], wanted: int) -> Forecast:
    """Forecast the remaining work.

    Args:
        session: the session; its folder need not exist.
        trials: trials so far.
        wanted: final number of trials.
    """
    pending = _pending_trials(
        session.sweep_folder, trials, session.statuses(trials), session.library
    )
    left = len(pending) + wanted - len(trials)
    workers = _workers(pending, session.request)
    session.listener(Activity("training a few steps to estimate the time"))
    return forecast(len(trials), pending, left, session.library, workers)


def train(session: Session, stop: Stop) -> SweepResult:
    """Train every trial that is not finished yet, and write the result of the sweep."""
    started = time.monotonic()
    folder, sweep_folder, request = session.folder, session.sweep_folder, session.request
    trials = sweep_folder.trials()
    rounds = Rounds(sweep_folder, trials)
    tally = Tally(session.statuses(trials))
    with interrupts.allow_stop():
        pending = _pending_trials(sweep_folder, trials, tally.statuses, session.library)
    if not pending and rounds.trial_count == len(trials):
        session.listener(Note(f"{folder.path} is complete already"))
        if folder.result.exists():
            return SweepResult(folder, trials, tally, folder.read_json(folder.result)["seconds"])
    for trial in trials:
        if tally.statuses[trial.id].state == "completed":
            sweep_folder.tidy(trial)
    folder.remove_leftovers()
    folder.result.unlink(missing_ok=True)
    folder.write_status("running", 0)
    driver = Driver(
        trials, tally, session.listener, stop, request.most_failures, wanted=rounds.trial_count
    )
    try:
        with _executor(session, driver, pending, rounds, stop) as executor:
            stacks = _stacks(session, rounds, tally, executor.workers)
            driver.run(executor, lambda: next(stacks, []))
            session.listener(Activity("finishing the sweep"))
    except BaseException as error:
        _mark_unfinished(folder, error)
        raise
    seconds = time.monotonic() - started
    if tally.signal is not None:
        _mark_unfinished(folder, None)
        begun = sum(sweep_folder.run_of(trial).checkpoint.exists() for trial in trials)
        kept = f" and the checkpoints of {begun} begun ones are kept" if begun else ""
        done = f"{tally.completed} of {rounds.trial_count} trials are complete"
        raise InterruptedRunError(
            f"interrupted, {done}{kept}",
            hint=f"continue with the same command, or mdn sweep --resume {folder.path}",
            signal=tally.signal,
        )
    if tally.given_up:
        _mark_unfinished(folder, None)
        left = rounds.trial_count - tally.completed - tally.failed
        session.listener(
            Note(f"gave up, {counted(left, 'trial')} left: mdn sweep --resume {folder.path}")
        )
        return SweepResult(folder, trials, tally, seconds)
    result = SweepResult(folder, trials, tally, seconds)
    document = {"format": store.FORMAT, "name": folder.name, **result.document()}
    store.write_json(folder.result, document | {"run": folder.id})
    folder.write_status("completed", 0)
    return result


def _stacks(
    session: Session, rounds: Rounds, tally: Tally, workers: int
) -> Iterator[list[TrialStack]]:
    """Pending stacks of each round."""
    trackers = session.request.track
    if not rounds.one_by_one:
        pending = _pending_trials(
            session.sweep_folder, rounds.trials, tally.statuses, session.library
        )
        yield build_stacks(session.folder.id, pending, workers, trackers=trackers)
        return
    for trials, bars in rounds.run(tally.statuses):
        if pending := _pending_trials(
            session.sweep_folder, trials, tally.statuses, session.library
        ):
            yield build_stacks(session.folder.id, pending, workers, bars, trackers)


def _executor(
    session: Session, driver: Driver, pending: Sequence[PendingTrial], rounds: Rounds, stop: Stop
) -> Executor:
    """Open the executor; to be closed at the end."""
    name, workers = _choose_executor(session, pending, rounds)
    return open_executor(
        name, ExecutorContext(session.folder, workers, driver.hear, stop, session.client)
    )


def _choose_executor(
    session: Session, pending: Sequence[PendingTrial], rounds: Rounds
) -> tuple[str, int]:
    """Choose a key of `EXECUTORS`, and the number of its workers."""
    if not pending and not rounds.one_by_one:
        return "inline", 1
    if session.client is not None:
        return "dask", 1
    later = rounds.trial_count - len(rounds.trials)
    workers = _workers(pending, session.request, later=later, together=rounds.one_by_one)
    return ("processes" if workers > 1 else "inline"), workers


def _pending_trials(
    sweep_folder: SweepFolder,
    trials: Sequence[Trial],
    statuses: Mapping[str, TrialStatus],
    library: Library,
) -> list[PendingTrial]:
    """Pending trials, each with the shape of its stack."""
    pending = []
    for trial in trials:
        if statuses.get(trial.id, PENDING).state == "pending":
            dataset = library.dataset(trial.config)
            shape = experiment.shape_of(dataset)
            folder = sweep_folder.run_of(trial).path
            pending.append(PendingTrial(trial, folder, dataset.fingerprints, shape))
    work.share(library.datasets)
    return pending


def _workers(
    pending: Sequence[PendingTrial],
    request: SweepRequest,
    *,
    later: int = 0,
    together: bool = False,
) -> int:
    """Number of processes: one for each core, if there is enough work.

    Args:
        pending: trials to be trained.
        request: may set the number.
        later: number of trials not known yet.
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
    cores = max(1, most_workers() // threads)
    first = min((each.trial.round for each in pending), default=0)
    at_once = [each for each in pending if not together or each.trial.round == first]
    return max(1, min(cores, len(build_stacks("", at_once, cores))))


def _mark_unfinished(folder: RunFolder, error: BaseException | None) -> None:
    """Set the status of the sweep when training ends before all trials are done."""
    failed = isinstance(error, Exception)
    with contextlib.suppress(MdnError, OSError):
        folder.write_status(
            "failed" if failed else "interrupted", 0, str(error) if failed else None
        )


# ------------------------------------------------------------------------------ shares for others


def script(session: Session) -> list[str]:
    """Script of `--emit`, whose commands train a share of the sweep each."""
    folder, request = session.folder, session.request
    assert request.emit is not None
    every = _pending_trials(
        session.sweep_folder, session.sweep_folder.trials(), {}, session.library
    )
    stacks = build_stacks(folder.id, every, 1)
    return SCRIPTS[request.emit](folder, request.workers or len(stacks))


def train_share(session: Session) -> SweepResult:
    """Train a share of a sweep; the last of all shares to end completes the sweep."""
    started = time.monotonic()
    folder, sweep_folder = session.folder, session.sweep_folder
    share = SweepShare.of(session.request.part or "")
    trials = sweep_folder.trials()
    # A worker gets about STACKS_EACH stacks, so that a share is about one of them, whatever the
    # statuses of the trials.
    cuts = max(1, share.shares // STACKS_EACH)
    every = build_stacks(
        folder.id, _pending_trials(sweep_folder, trials, {}, session.library), cuts
    )
    mine = {one.trial.id for stack in share.of_stacks(every) for one in stack.trials}
    own = [trial for trial in trials if trial.id in mine]
    tally = Tally(session.statuses(own))
    rounds = Rounds(sweep_folder, own)
    pending = _pending_trials(sweep_folder, own, tally.statuses, session.library)
    with interrupts.note_stop() as stop:
        driver = Driver(own, tally, session.listener, stop, session.request.most_failures)
        with _executor(session, driver, pending, rounds, stop) as executor:
            stacks = _stacks(session, rounds, tally, executor.workers)
            driver.run(executor, lambda: next(stacks, []))
    if tally.signal is not None:
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(own)} trials of this share are complete",
            hint="the same command goes on with it",
            signal=tally.signal,
        )
    # The last share finds all done; of two at once only one gets the lock.
    if all(status.state != "pending" for status in session.statuses(trials).values()):
        whole = Session(folder, session.library, session.request, ignore)
        with contextlib.suppress(RunLockedError), interrupts.note_stop() as stop, folder.locked():
            train(whole, stop)
    return SweepResult(folder, own, tally, time.monotonic() - started)
