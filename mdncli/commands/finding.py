"""How every command turns the RUN it was given into a run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from pathlib import Path

from mdncli import store
from mdncli.commands import records
from mdncli.events import Listener, Note
from mdncli.store import RunFolder


def has_model(run: RunFolder) -> bool:
    """Whether a run can predict."""
    return os.path.exists(run.model)


def anything(run: RunFolder) -> bool:
    """Whether a folder is a run at all."""
    return run.exists()


def find(
    reference: str,
    runs_dir: Path,
    listener: Listener,
    usable: Callable[[RunFolder], bool] = has_model,
) -> RunFolder:
    """The run that `reference` means; where it is relative, the listener is told which it is."""
    found = store.find(runs_dir, reference, usable, best=_score)
    if reference.startswith("@"):
        note = f"{reference} is {found.run.path}"
        if found.passed_over:
            note += f" (passed over {', '.join(found.passed_over)}: not usable here)"
        listener(Note(note))
    return found.run


def _score(run: RunFolder) -> tuple[Hashable, float] | None:
    """What `@best` compares: the validation NLL of runs on the same data."""
    record = records.read(run)
    nll = record and record.nll["validation"]
    return None if nll is None or record is None else (record.problem, nll)
