"""`mdn sweep`: train many trials of one config, in stacks and processes, each trial once."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdncli import interrupts, machine
from mdncli.events import Activity, Listener, Note
from mdncli.present.answer import Answer
from mdncli.present.lookup import find
from mdncli.present.sweep import forecast_answer, sweep_answer
from mdncli.store import RunFolder
from mdncli.sweep.executors import dask
from mdncli.sweep.folder import is_sweep
from mdncli.sweep.plan import (
    Plan,
    begin_sweep,
    extend,
    find_same,
    plan_of,
    prepare_unchanged,
    require_no_rounds,
    require_same,
)
from mdncli.sweep.request import SweepRequest, require_valid
from mdncli.sweep.rounds import Rounds
from mdncli.sweep.session import Session, forecast_session, script, train, train_share
from mdncli.sweep.stacks import Library
from mdncli.wording import counted

if TYPE_CHECKING:
    from distributed import Client


def sweep(
    items: Sequence[str],
    options: Mapping[str, Any],
    request: SweepRequest,
    runs_dir: Path,
    listener: Listener,
) -> Answer:
    """Train every trial of a sweep that is not finished yet.

    Args:
        items: one config, axes and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        request: the other options.
        runs_dir: where the sweep's folder is or goes; its trials are inside it.
        listener: receives progress.
    """
    require_valid(request)
    with contextlib.ExitStack() as held:
        client = None
        if request.cluster is not None and not request.dry_run:
            workers = request.workers or len(machine.cores())
            client = held.enter_context(dask.connect(request.cluster, workers, listener))
        return _train_sweep(items, options, request, runs_dir, listener, client)


def _train_sweep(
    items: Sequence[str],
    options: Mapping[str, Any],
    request: SweepRequest,
    runs_dir: Path,
    listener: Listener,
    client: Client | None,
) -> Answer:
    named = request.resume or request.retry
    plan = None if named and not items else plan_of(items, options, request)
    folder = _find_existing(named, plan, request, runs_dir, listener)
    library = Library(partial(prepare_unchanged, folder, listener))
    if folder is None:
        assert plan is not None
        listener(Activity(f"planning {counted(len(plan.trials), 'trial')}"))
        for trial in plan.trials:
            library.dataset(trial.config)
        if request.dry_run:
            # This folder is never made: a dry run leaves nothing.
            nowhere = Session(RunFolder(runs_dir / "sweep"), library, request, listener)
            return forecast_answer(forecast_session(nowhere, plan.trials, plan.trial_count))
        folder = begin_sweep(plan, library, runs_dir)
    session = Session(folder, library, request, listener, client)
    if request.dry_run:
        trials = session.sweep_folder.trials()
        wanted = Rounds(session.sweep_folder, trials).trial_count
        return forecast_answer(forecast_session(session, trials, wanted))
    if request.emit is not None:
        require_no_rounds(folder)
        return _script(session)
    if request.part is not None:
        require_no_rounds(folder)
        return sweep_answer(train_share(session))
    with interrupts.note_stop() as stop, folder.locked():
        wanted = request.trials if plan is None else plan.trial_count
        extend(folder, wanted, exists=plan is None)
        return sweep_answer(train(session, stop))


def _find_existing(
    named: str | None, plan: Plan | None, request: SweepRequest, runs_dir: Path, listener: Listener
) -> RunFolder | None:
    """Folder of an existing sweep, named or found by its identity; None for a new one."""
    if named:
        folder = find(named, runs_dir, listener, is_sweep)
        require_same(folder, plan)
        return folder
    if plan is None or request.new:
        return None
    return find_same(plan, runs_dir)


def _script(session: Session) -> Answer:
    """Commands that train a sweep, each a share of it."""
    folder = session.folder
    lines = script(session)
    shown = f"mdn runs show {shlex.quote(folder.id)}"
    session.listener(Note(f"the trials go to {folder.path}: see {shown}"))
    return Answer(lines=lines, document={"sweep": str(folder.path), "script": lines})
