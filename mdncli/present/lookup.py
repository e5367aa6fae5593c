"""Look-up of the run folder for a RUN argument."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from mdncli import store
from mdncli.errors import RunNotFoundError
from mdncli.events import Listener, Note
from mdncli.present import records
from mdncli.store import RunFolder

SHOWN = 3
"""Most runs named in a note."""


def has_model(run: RunFolder) -> bool:
    """True if a run has a model."""
    return os.path.exists(run.model)


def anything(run: RunFolder) -> bool:
    """True if a folder is a run."""
    return run.exists()


def no_sweep(run: RunFolder) -> bool:
    """True if a folder is a run, whatever its state, and not a sweep."""
    return anything(run) and not run.trials.is_dir()


def find(
    reference: str,
    runs_dir: Path,
    listener: Listener,
    usable: Callable[[RunFolder], bool] = has_model,
) -> RunFolder:
    """Find the run of a reference; the listener is told which it is if that is not obvious."""
    found = store.find(runs_dir, reference, usable, best=_score)
    if reference.startswith("@") or found.named > 1 or found.passed_over:
        note = f"{reference} is {found.run.path}"
        if found.named > 1:
            place = "one" if found.passed_over else "the newest"
            note += f", {place} of {found.named} runs of that name"
        if found.passed_over:
            note += f" (passed over newer ones: {_excused(runs_dir, found.passed_over)})"
        listener(Note(note))
    return found.run


def find_model(reference: str, runs_dir: Path, listener: Listener) -> RunFolder:
    """Find the run of a reference, for predictions.

    Raises:
        RunNotFoundError: it is of a kind without a model of its own, such as a sweep.
    """
    run = find(reference, runs_dir, listener)
    require_own_model(run)
    return run


def require_own_model(run: RunFolder) -> None:
    """Refuse a folder of a kind without a model of its own.

    Raises:
        RunNotFoundError: it is one.
    """
    if not has_model(run) and (where := _models_of(run)) is not None:
        raise RunNotFoundError(f"{run.id}: {_flaw(run)}", hint=where)


def _models_of(run: RunFolder) -> str | None:
    """Hint at the models inside or behind a folder without its own; None if it should have one."""
    record = records.read(run)
    if run.trials.is_dir():
        return "name that, or another of its trials"
    if record is None or record.status != "completed":
        return None
    if record.about.get("folds"):
        return f"name a run in {run.folds}"
    return "name one of those" if record.about.get("runs") else None


def _excused(runs_dir: Path, passed_over: Sequence[str]) -> str:
    """Runs that were passed over, each with the reason."""
    said = [f"{name}, which {_flaw(RunFolder(runs_dir / name))}" for name in passed_over[:SHOWN]]
    more = len(passed_over) - SHOWN
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _flaw(run: RunFolder) -> str:
    """Reason why a run cannot be used."""
    record = records.read(run)
    if record is None:
        return "is no run any more"
    match record.status:
        case _ if run.trials.is_dir():
            return f"is a sweep: its best trial is {run.id}/@best"
        case "running":
            return "has no model yet"
        case "completed" if has_model(run):
            return "is an ordinary run"
        case "completed" if record.about.get("folds"):
            return "is a cross-validation: its runs are in folds/, its figures in plots/"
        case "completed" if record.about.get("runs"):
            return "holds figures of others"
        case "completed" if record.nll["train"] is None:
            return "holds generated data only"
        case "completed":
            return "has lost its model"
        case "damaged":
            return "is damaged"
        case "interrupted":
            return "was interrupted before it had a model"
        case _:
            return f"{record.status}, so it has no model"


def _score(run: RunFolder) -> tuple[Hashable, float] | None:
    """Key and value that `@best` compares: the validation NLL of runs on the same data."""
    record = records.read(run)
    nll = record and record.nll["validation"]
    return None if nll is None or record is None else (record.problem, nll)
