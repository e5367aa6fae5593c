"""`mdn sweep`: many trials of one config, in stacks, in processes, and never one of them twice."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.commands.answer import Answer, Table
from mdncli.commands.finding import find
from mdncli.commands.train import interruptible
from mdncli.config import Config
from mdncli.data.streams import stream
from mdncli.errors import (
    DataError,
    InterruptedRunError,
    MdnError,
    ResumeRefusedError,
    RunLockedError,
    UsageError,
)
from mdncli.events import Listener, Note, ignore
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep import book, crews, ranking
from mdncli.sweep.book import Book, is_sweep
from mdncli.sweep.driver import Driver, Tally, best_of
from mdncli.sweep.files import described
from mdncli.sweep.orders import STACKS_EACH, Library, Sized, section_of, stacked
from mdncli.sweep.probe import probe
from mdncli.sweep.scripts import SCRIPTS, Part
from mdncli.sweep.space import Point, Space, beside, divided, read_list
from mdncli.sweep.trials import Trial, resolve

MOST_TRIALS = 10_000
"""More need a `--yes`."""

SEARCHES = ("grid", "random")
"""Ways to choose the points of a sweep."""

FAILED_TRIALS = 3
"""The exit code where some trials have failed."""

SHOWN = 10
"""Points in the table, and causes of failure, at most."""

INLINE_COST = 2e10
"""Work in operations, some seconds of it, for which no process is worth its start."""


@dataclass(frozen=True)
class Request:
    """What `mdn sweep` was asked for, beside the config and its axes.

    Args:
        search: one of `SEARCHES`; None for what the file says, or a grid.
        trials: points to draw, where they are drawn.
        file: a YAML that describes the sweep.
        list: a file of explicit trials; `-` is standard input.
        workers: processes; None for as many as there are cores and stacks.
        new: start afresh even if the same sweep is there.
        resume: the sweep to continue.
        retry: the sweep whose failed trials are to be trained again.
        dry_run: train nothing; say what it would be.
        yes: even if there are very many trials.
        most_failures: so many may fail before it is given up; None for any number.
        emit: print commands for this engine, a key of `SCRIPTS`, instead of training.
        part: train this share of the sweep only, such as `3/8`.
    """

    search: str | None = None
    trials: int | None = None
    file: Path | None = None
    list: str | None = None
    workers: int | None = None
    new: bool = False
    resume: str | None = None
    retry: str | None = None
    dry_run: bool = False
    yes: bool = False
    most_failures: int | None = None
    emit: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class Plan:
    """A sweep that may not have a folder yet.

    Args:
        name: of the sweep.
        base: what its trials have in common.
        trials: all of them.
        about: what its provenance says.
    """

    name: str
    base: Config
    trials: Sequence[Trial]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What makes it the same sweep."""
        return self.about["identity"]


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
    _require_sense(request)
    given = request.resume or request.retry
    plan = None if given and not items else _plan(items, options, request)
    folder = _given(given, plan, runs_dir, listener) if given else None
    if folder is None and plan is not None and not request.new:
        folder = _same(plan, runs_dir)
    library = Library(partial(_prepared, folder, listener))
    if folder is None:
        assert plan is not None
        for trial in plan.trials:
            library.material(trial.config)
        if request.dry_run:
            nowhere = Book(RunFolder(runs_dir / "sweep"))
            return _foreseen(
                plan.trials, _sized(nowhere, plan.trials, {}, library), library, request
            )
        folder = _begun(plan, library, runs_dir)
    trials = Book(folder).trials()
    if request.dry_run:
        standings = _standings(folder, trials, request)
        sized = _sized(Book(folder), trials, standings, library)
        return _foreseen(trials, sized, library, request)
    if request.emit is not None:
        return _emitted(folder, trials, library, request, listener)
    if request.part is not None:
        return _part_trained(folder, trials, library, request, listener)
    with interruptible() as stop, folder.locked():
        return _trained(folder, trials, library, request, listener, stop)


def _require_sense(request: Request) -> None:
    """Refuse options that have no meaning, or none together."""
    for option, count, least in (
        ("workers", request.workers, 1),
        ("trials", request.trials, 1),
        ("max-failures", request.most_failures, 0),
    ):
        if count is not None and count < least:
            raise UsageError(f"--{option} {count}: is too few", hint=f"give {least} or more")
    if request.resume and request.retry:
        raise UsageError("--resume and --retry are two things to do", hint="keep one of them")
    if request.emit is not None and request.emit not in SCRIPTS:
        raise UsageError(
            f"--emit {request.emit}: no such script", hint=f"choose from {', '.join(SCRIPTS)}"
        )
    if request.part is not None:
        Part.of(request.part)
        if request.resume is None or request.emit is not None:
            raise UsageError(
                "--part is for a sweep that exists", hint="name it with --resume SWEEP"
            )
    if request.new and (request.resume or request.retry):
        raise UsageError("--new does not go with a sweep that exists", hint="leave one out")


def _given(reference: str, plan: Plan | None, runs_dir: Path, listener: Listener) -> RunFolder:
    """The sweep that was named, if it is the one that was described, too."""
    folder = find(reference, runs_dir, listener, is_sweep)
    about = Book(folder).about
    if plan is not None and about.get("identity") != plan.identity:
        raise ResumeRefusedError(
            f"{folder.path}: was begun with another config or other axes",
            hint=f"leave them out to continue it: mdn sweep --resume {folder.path}",
        )
    return folder


def _same(plan: Plan, runs_dir: Path) -> RunFolder | None:
    """The newest sweep that is this one."""
    for folder, about in book.sweeps(runs_dir, plan.name):
        if about.get("identity") == plan.identity:
            return folder
    return None


def _prepared(folder: RunFolder | None, listener: Listener, config: Config) -> experiment.Material:
    """The data of a config; of a sweep that exists, only if they are what they were."""
    expected = None
    if folder is not None:
        known = Book(folder).about.get("fingerprints")
        expected = known.get(section_of(config)) if isinstance(known, dict) else None
    try:
        return experiment.prepare(config, listener, expected)
    except DataError as error:
        if folder is None:
            raise
        hint = f"{error.hint}, or start afresh with --new" if error.hint else None
        raise ResumeRefusedError(error.message, hint=hint) from None


# ---------------------------------------------------------------------------------- the trials


def _plan(items: Sequence[str], options: Mapping[str, Any], request: Request) -> Plan:
    """The trials that are asked for; all of them are looked at before anything is created."""
    names, overrides = configs.divide(items)
    if not names and options.get("data.file") is not None:
        names, options = [options["data.file"]], {**options, "data.file": None}
    if len(names) != 1:
        said = f"one config at a time, not {', '.join(names)}" if names else "nothing to sweep"
        raise UsageError(said, hint="name a config, such as mdn sweep sine model.mixtures=2,5,10")
    plain, space = divided(overrides)

    def load(point: Point) -> Config:
        return configs.load(names[0], [*plain, *(f"{k}={v}" for k, v in point.items())], options)

    if request.list is not None:
        space = beside(Space([read_list(request.list)]), space)
    search, count = request.search, request.trials
    if request.file is not None:
        file = described(request.file)
        space = beside(file.space, space)
        search, count = search or file.search, count or file.trials
    search = search or "grid"
    _require_search(search, count, space)
    if search == "random":
        assert count is not None
        _require_few(count * len(space.repeats()[1]), request)
        # Its own stream of random numbers, so that the same command draws the same points.
        points = [*space.random(count, stream(0, "search"))]
    else:
        _require_few(len(space), request)
        points = space.grid()
    trials = resolve(load, points, space.keys)
    name = options.get("name") or load(next(iter(space.grid()))).name
    about = {
        "identity": book.identity_of(trials, name=name),
        "search": search,
        "keys": space.keys,
        "trials": len(trials),
    }
    base = trials[0].config.model_copy(update={"name": name})
    return Plan(name, base, trials, about)


def _require_search(search: str, count: int | None, space: Space) -> None:
    """Refuse a search that does not go with what varies."""
    if search not in SEARCHES:
        raise UsageError(
            f"--search {search}: no such search", hint=f"choose from {', '.join(SEARCHES)}"
        )
    if not space.keys:
        raise UsageError(
            "nothing varies in this sweep", hint="give a key several values, such as seed=0..9"
        )
    if search == "grid" and space.intervals:
        key = next(iter(space.intervals))
        raise UsageError(
            f"{key}: is drawn from an interval, which a grid cannot be",
            hint="add --search random --trials 50, or give values such as log:1e-4:1e-1:4",
        )
    if search == "grid" and count is not None:
        raise UsageError("--trials is for --search random", hint="a grid trains all its points")
    if search == "random" and count is None:
        raise UsageError("--search random draws points", hint="say how many with --trials 50")


def _require_few(count: int, request: Request) -> None:
    if count > MOST_TRIALS and not request.yes:
        raise UsageError(
            f"{count:,} trials are more than {MOST_TRIALS:,}",
            hint="add --yes if they are meant, or try --search random",
        )


def _begun(plan: Plan, library: Library, runs_dir: Path) -> RunFolder:
    """The folder of a new sweep, with the list of its trials."""
    fingerprints = library.fingerprints()
    about = {
        "sweep": {**plan.about, "fingerprints": fingerprints},
        "fingerprints": fingerprints[section_of(plan.base)],
    }
    folder = experiment.begin_view(runs_dir, plan.name, about, plan.base)
    try:
        Book(folder).add(plan.trials)
        with store.writing(folder.trials):
            folder.trials.mkdir()
    except BaseException:
        store.abandon(folder)
        raise
    return folder


# ------------------------------------------------------------------------------------ training


def _standings(
    folder: RunFolder, trials: Sequence[Trial], request: Request
) -> dict[str, book.Standing]:
    """What has become of each trial; those to be tried again count as pending."""
    known = {trial.id: Book(folder).standing(trial) for trial in trials}
    again = request.retry is not None
    return {
        id_: book.PENDING if again and standing.failed else standing
        for id_, standing in known.items()
    }


def _trained(
    folder: RunFolder,
    trials: Sequence[Trial],
    library: Library,
    request: Request,
    listener: Listener,
    stop: Stop,
) -> Answer:
    """Train what is pending, and say what has come of all."""
    started = time.monotonic()
    tally = Tally(_standings(folder, trials, request))
    pending = _sized(Book(folder), trials, tally.standings, library)
    if not pending:
        listener(Note(f"{folder.path} is complete already"))
        if folder.result.exists():
            return _answer(folder, trials, tally, folder.read_json(folder.result)["seconds"])
    for trial in trials:
        if tally.standings[trial.id].fate == "completed":
            Book(folder).tidy(trial)
    folder.remove_leftovers()
    folder.result.unlink(missing_ok=True)
    folder.write_status("running", 0)
    driver = Driver(trials, tally, listener, stop, request.most_failures)
    workers = _workers(pending, request)
    try:
        _drive(driver, folder, pending, workers, stop)
    except BaseException as error:
        _leave(folder, error)
        raise
    seconds = time.monotonic() - started
    if tally.signal is not None:
        _leave(folder, None)
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(trials)} trials are complete",
            hint=f"continue with the same command, or mdn sweep --resume {folder.path}",
            signal=tally.signal,
        )
    if tally.given_up:
        _leave(folder, None)
        left = len(trials) - tally.completed - tally.failed
        listener(Note(f"gave up, {left:,} trials are left: mdn sweep --resume {folder.path}"))
        return _answer(folder, trials, tally, seconds)
    answer = _answer(folder, trials, tally, seconds)
    document = {"format": store.FORMAT, "name": folder.id[16:], **answer.document}
    store.write_json(folder.result, document | {"run": folder.id})
    folder.write_status("completed", 0)
    return answer


def _drive(
    driver: Driver, folder: RunFolder, pending: Sequence[Sized], workers: int, stop: Stop
) -> None:
    if pending:
        orders = iter([stacked(folder.id, pending, workers)])
        crew = crews.Processes(workers) if workers > 1 else crews.Here(driver.hear, stop)
        with contextlib.closing(crew):
            driver.run(crew, lambda: next(orders, []))


def _sized(
    ledger: Book, trials: Sequence[Trial], standings: Mapping[str, book.Standing], library: Library
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


def _workers(pending: Sequence[Sized], request: Request) -> int:
    """How many processes train: as many as cores, where there is enough for each to do."""
    if request.workers is not None:
        return request.workers
    threads = max(
        (t for s in pending if isinstance(t := s.trial.config.train.threads, int)), default=1
    )
    cores = _cores()
    if sum(sized.cost for sized in pending) < INLINE_COST:
        return 1
    stacks = len(stacked("", pending, max(1, cores // threads)))
    return max(1, min(cores // threads, stacks))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _leave(folder: RunFolder, error: BaseException | None) -> None:
    """Let the folder say that there is more to do, or why that is impossible."""
    failed = isinstance(error, Exception)
    with contextlib.suppress(MdnError, OSError):
        folder.write_status(
            "failed" if failed else "interrupted", 0, str(error) if failed else None
        )


# ------------------------------------------------------------------------------ shares for others


def _emitted(
    folder: RunFolder,
    trials: Sequence[Trial],
    library: Library,
    request: Request,
    listener: Listener,
) -> Answer:
    """Commands that train a sweep, each a share of it."""
    orders = stacked(folder.id, _sized(Book(folder), trials, {}, library), 1)
    assert request.emit is not None
    lines = SCRIPTS[request.emit](folder, request.workers or len(orders))
    listener(Note(f"the trials go to {folder.path}: see mdn runs show {shlex.quote(folder.id)}"))
    return Answer(lines=lines, document={"sweep": str(folder.path), "script": lines})


def _part_trained(
    folder: RunFolder,
    trials: Sequence[Trial],
    library: Library,
    request: Request,
    listener: Listener,
) -> Answer:
    """Train a share of a sweep beside others who train theirs; the last completes the sweep."""
    started = time.monotonic()
    ledger, part = Book(folder), Part.of(request.part or "")
    every = stacked(
        folder.id, _sized(ledger, trials, {}, library), max(1, part.parts // STACKS_EACH)
    )
    mine = {sized.trial.id for order in part.of_orders(every) for sized in order.runs}
    own = [trial for trial in trials if trial.id in mine]
    tally = Tally(_standings(folder, own, request))
    pending = _sized(ledger, own, tally.standings, library)
    with interruptible() as stop:
        driver = Driver(own, tally, listener, stop, request.most_failures)
        _drive(driver, folder, pending, _workers(pending, request), stop)
    if tally.signal is not None:
        raise InterruptedRunError(
            f"interrupted, {tally.completed} of {len(own)} trials of this share are complete",
            hint="the same command goes on with it",
            signal=tally.signal,
        )
    # Whoever is last finds all done; where two are, one of them has the lock.
    standings = _standings(folder, trials, request)
    if all(standing.fate != "pending" for standing in standings.values()):
        with contextlib.suppress(RunLockedError), interruptible() as stop, folder.locked():
            _trained(folder, trials, library, request, ignore, stop)
    return _answer(folder, own, tally, time.monotonic() - started)


# ---------------------------------------------------------------------------------- the answer


def _answer(folder: RunFolder, trials: Sequence[Trial], tally: Tally, seconds: float) -> Answer:
    best = best_of(trials, tally.standings)
    ledger = Book(folder)
    failures = [trial for trial in trials if tally.standings[trial.id].failed]
    document = {
        "sweep": str(folder.path),
        "trials": len(trials),
        "completed": tally.completed,
        "failed": len(failures),
        "best": best
        and {
            "run": str(ledger.run_of(best).path),
            "overrides": dict(best.overrides),
            "nll": tally.standings[best.id].nll(),
        },
        "seconds": round(seconds, 3),
    }
    return Answer(
        lines=[str(folder.path)],
        document=store.finite(document),
        tables=_tables(ledger, trials, tally),
        faults=[*_causes(ledger, failures, tally)],
        exit_code=FAILED_TRIALS if failures else 0,
    )


def _tables(ledger: Book, trials: Sequence[Trial], tally: Tally) -> list[Table]:
    """The best points, each with the spread of its seeds."""
    from mdncli.commands.runs.sweeping import ranked_table

    scored = [
        ranking.Scored(str(ledger.run_of(trial).path), trial.overrides, nll)
        for trial in trials
        if (nll := tally.standings[trial.id].nll()) is not None
    ]
    keys = [*dict.fromkeys(key for trial in trials for key in trial.overrides)]
    groups = ranking.rank(scored, ranking.grouped_by("all-but-seed", keys))
    return [ranked_table(groups[:SHOWN], len(groups), "NLL")] if groups else []


def _causes(ledger: Book, failures: Sequence[Trial], tally: Tally) -> Iterator[str]:
    """What has failed, by its cause, each with a command that shows it again."""
    causes: dict[str, list[Trial]] = {}
    for trial in failures:
        causes.setdefault(_cause(tally.standings[trial.id].reason), []).append(trial)
    ordered = sorted(causes.items(), key=lambda cause: -len(cause[1]))
    for cause, trials in ordered[:SHOWN]:
        config = ledger.run_of(trials[0]).config
        count = f"{len(trials)} trial{'s' * (len(trials) > 1)} failed"
        yield f"{count}: {cause}; see it again with mdn train {shlex.quote(str(config))}"
    if len(ordered) > SHOWN:
        rest = sum(len(trials) for _, trials in ordered[SHOWN:])
        yield f"{rest} more trials failed for {len(ordered) - SHOWN} other reasons"
    if failures:
        again = f"mdn sweep --retry {shlex.quote(str(ledger.folder.path))}"
        yield f"train what failed again with {again}"


def _cause(reason: str) -> str:
    """What failures have in common: the reason without the run's own path and figures.

    >>> _cause("/r/trials/20261120-141503-a: training diverged (NLL nan in training); lower it")
    'training diverged; lower it'
    """
    text = re.sub(r"^\S*/trials/[^:\s]+: ", "", reason)
    return re.sub(r" \([^()]*\)", "", text)


# ---------------------------------------------------------------------------------- a dry run


def _foreseen(
    trials: Sequence[Trial],
    sized: Sequence[Sized],
    library: Library,
    request: Request,
) -> Answer:
    """What is still to be done of a sweep, how long that takes and how much it writes."""
    workers = _workers(sized, request)
    orders = stacked("", sized, workers)
    estimate = probe(orders, library, workers)
    document = {
        "trials": len(trials),
        "pending": len(sized),
        "stacks": len(orders),
        "workers": workers,
        "seconds": round(estimate.seconds, 1),
        "bytes": estimate.bytes,
    }
    shapes: dict[str, list[int]] = {}
    for order in orders:
        shapes.setdefault(order.label, []).append(len(order.runs))
    rows = [(label, f"{sum(n):,}", f"{len(n):,}") for label, n in shapes.items()]
    caption = (
        f"{workers} process{'es' * (workers > 1)}, about {duration(estimate.seconds)} "
        f"and {estimate.bytes / 1e6:,.1f} MB; nothing was trained"
    )
    return Answer(
        document=document,
        tables=[Table("To be trained", ("shape", "trials", "stacks"), rows, caption)],
    )


def duration(seconds: float) -> str:
    """A time in the unit that people would use.

    >>> duration(4.2), duration(150), duration(7200)
    ('4 s', '2.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{max(1, math.ceil(seconds))} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
