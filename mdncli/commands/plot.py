"""`mdn plot`: the figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mdncli import predictor as predictors
from mdncli.commands.answer import Answer, Table
from mdncli.commands.finding import find
from mdncli.errors import UsageError
from mdncli.events import Listener
from mdncli.plots import FIGURES, save
from mdncli.store import subfolder


def figures() -> Answer:
    """All figures that can be asked for."""
    about = {name: figure.description for name, figure in FIGURES.items()}
    return Answer(document=about, tables=[Table("", ("figure", "what it shows"), [*about.items()])])


def plot(reference: str, names: Sequence[str], runs_dir: Path, listener: Listener) -> Answer:
    """Draw the figures that apply to a run, or only those named, into its folder."""
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"no figure {name!r}", hint=f"choose from {', '.join(FIGURES)}")
    run = find(reference, runs_dir, listener)
    predictor = predictors.load(run)
    from mdncli.commands.subjects import of_run
    from mdncli.experiment import reopen

    subject = of_run(run, reopen(run), predictor)
    applying = [name for name in FIGURES if FIGURES[name].applies(subject)]
    for name in names:
        if name not in applying:
            raise UsageError(
                f"the figure {name!r} does not apply to {run.path}",
                hint=f"choose from {', '.join(applying)}",
            )
    files = []
    subfolder(run.plots)
    for name in names or applying:
        path = run.plots / f"{name}.png"
        save(FIGURES[name].load()(subject), path)
        files.append(str(path))
    return Answer(lines=files, document={"run": str(run.path), "files": files})
