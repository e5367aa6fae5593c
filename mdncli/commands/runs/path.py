"""`mdn runs path`: the folder of a run."""

from __future__ import annotations

from pathlib import Path

from mdncli.events import Listener
from mdncli.present.answer import Answer
from mdncli.present.lookup import anything, find


def path(reference: str, runs_dir: Path, listener: Listener) -> Answer:
    """The path of one run's folder."""
    run = find(reference, runs_dir, listener, anything)
    return Answer(lines=[str(run.path)], document={"run": str(run.path)})
