"""`mdn runs remove`: delete run folders that are no longer wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mdncli import store
from mdncli.errors import MdnError, UsageError
from mdncli.events import Listener, Note
from mdncli.present.answer import Answer
from mdncli.present.lookup import anything, find
from mdncli.store import RunFolder

Agree = Callable[[Sequence[str]], bool]
"""Asks whether these folders may be deleted."""


def remove(references: Sequence[str], runs_dir: Path, agree: Agree, listener: Listener) -> Answer:
    """Delete runs: all are checked first, and none is deleted unless all may be.

    Raises:
        RunLockedError: one of them is alive.
        UsageError: one of them is a link, or does not look like a run folder.
    """
    for reference in references:
        if os.path.islink(reference.rstrip("/")):
            target = os.path.realpath(reference)
            raise UsageError(f"{reference}: is a link", hint=f"name what it points to: {target}")
    found: dict[str, RunFolder] = {}
    for reference in references:
        run = find(reference, runs_dir, listener, anything)
        found.setdefault(os.path.realpath(run.path), run)
    runs = list(found.values())
    for run in runs:
        store.check_removable(run)
    if not agree([str(run.path) for run in runs]):
        listener(Note("nothing was removed"))
        return Answer(document={"removed": []})
    removed, faults = [], []
    for run in runs:
        try:
            store.discard(run)
        except MdnError as error:
            faults.append(error)
        else:
            removed.append(str(run.path))
    return Answer(
        lines=removed,
        document={"removed": removed},
        faults=[line for fault in faults for line in fault.lines()],
        exit_code=min((fault.exit_code for fault in faults), default=0),
    )
