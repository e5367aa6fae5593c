"""`mdn plot`: the figures of a run, or of several side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mdncli import interrupts, store
from mdncli import predictor as predictors
from mdncli.config.schema import NAME
from mdncli.errors import RunNotFoundError, UsageError
from mdncli.events import Activity, Listener, Note
from mdncli.plots import FIGURES, SWEEP_FIGURES
from mdncli.present.answer import Answer
from mdncli.present.figures import draw
from mdncli.present.lookup import find, require_own_model
from mdncli.present.table import TextTable
from mdncli.store import RunFolder
from mdncli.sweep.folder import is_sweep, status_of
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.plots.subject import Subject

MOST_RUNS = 6
"""Most runs in one figure: more panels are too small, and there are no more distinct colours."""


def figures() -> Answer:
    """List all figures."""
    every = {**FIGURES, **SWEEP_FIGURES}
    about = {name: figure.description for name, figure in every.items()}
    return Answer(
        document=about, tables=[TextTable("", ("figure", "what it shows"), [*about.items()])]
    )


def plot(
    references: Sequence[str],
    names: Sequence[str],
    runs_dir: Path,
    listener: Listener,
    *,
    name: str | None = None,
) -> Answer:
    """Draw the figures that apply, or only those named.

    Those of one run go into its folder, those of several, side by side, into a new one.

    Args:
        references: the runs; none means the latest.
        names: the figures; none means all that apply.
        runs_dir: where the runs are.
        listener: receives a note on the run of a reference.
        name: of the new folder, for several runs.
    """
    for figure in names:
        if figure not in (every := {**FIGURES, **SWEEP_FIGURES}):
            raise UsageError(f"no figure {figure!r}", hint=f"choose from {', '.join(every)}")
    runs = [find(reference, runs_dir, listener) for reference in references or ["@latest"]]
    _check(runs, name)
    if any(map(is_sweep, runs)):
        return _sweep(runs, names, listener)
    for run in runs:
        require_own_model(run)
    listener(Activity(_reading(runs)))
    subjects = _subjects(runs, listener)
    applying = [key for key in FIGURES if all(map(FIGURES[key].applies, subjects))]
    for figure in names:
        if figure not in applying:
            raise UsageError(
                f"the figure {figure!r} does not apply to {', '.join(str(r.path) for r in runs)}",
                hint=f"choose from {', '.join(applying)}",
            )
    chosen = names or applying
    listener(Activity(_drawing(chosen)))
    if len(runs) == 1:
        return _draw_figures(runs[0], subjects, chosen)
    from mdncli.experiment import begin_collection

    about = {"runs": [run.id for run in runs]}
    # Quick to draw again: no unfinished folder is left behind.
    with begin_collection(runs_dir, name or "plot", about) as collection:
        answer = _draw_figures(collection, subjects, chosen)
        result = {"format": store.FORMAT, "run": collection.id, "name": name or "plot"}
        store.write_json(collection.result, {**result, **about})
        collection.write_status("completed", 0)
        interrupts.ignore_signals()
    return answer


def _reading(runs: Sequence[RunFolder]) -> str:
    return f"reading {runs[0].id}" if len(runs) == 1 else f"reading {len(runs)} runs"


def _drawing(names: Sequence[str]) -> str:
    return f"drawing {counted(len(names), 'figure')}"


def _sweep(runs: Sequence[RunFolder], names: Sequence[str], listener: Listener) -> Answer:
    """The figures of a sweep: the NLL of its trials over the keys that vary."""
    from mdncli.plots.swept import SweepTrials

    run = next(filter(is_sweep, runs))
    if len(runs) > 1:
        raise UsageError(
            f"{run.path}: is a sweep, whose figures are its own",
            hint="draw it alone, or name one of its trials, such as SWEEP/@best",
        )
    if wrong := [name for name in names if name not in SWEEP_FIGURES]:
        raise UsageError(
            f"{run.path}: is a sweep, which has no figure {wrong[0]!r}",
            hint=f"choose from {', '.join(SWEEP_FIGURES)}, or name one of its trials",
        )
    listener(Activity(f"reading the trials of {run.id}"))
    found = [
        (trial, status.result["trial"]["overrides"], nll)
        for trial in store.runs(run.trials)
        if (nll := (status := status_of(trial)).nll()) is not None
    ]
    if not found:
        raise RunNotFoundError(f"{run.path}: no trial has an NLL yet", hint="see mdn runs show")
    trials, overrides, nlls = map(list, zip(*found, strict=True))
    swept = SweepTrials(run.name, overrides, nlls, [trial.history for trial in trials])
    applying = [name for name, figure in SWEEP_FIGURES.items() if figure.applies(swept)]
    if wrong := [name for name in names if name not in applying]:
        raise UsageError(
            f"{run.path}: the figure {wrong[0]!r} needs more keys that vary",
            hint=f"choose from {', '.join(applying)}",
        )
    listener(Activity(_drawing(names or applying)))
    files = draw(run, SWEEP_FIGURES, names or applying, swept)
    return Answer(lines=files, document={"run": str(run.path), "files": files})


def _check(runs: Sequence[RunFolder], name: str | None) -> None:
    twice = [run for run, count in Counter(runs).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0].path}: named twice", hint="give each run once")
    if len(runs) > MOST_RUNS:
        raise UsageError(
            f"{len(runs)} runs are too many to see side by side", hint=f"give at most {MOST_RUNS}"
        )
    if name is not None and not re.fullmatch(NAME, name):
        raise UsageError(
            f"--name {name!r}: cannot be part of a folder's name",
            hint="use up to 100 letters, digits, dots, dashes and underscores, a letter first",
        )
    if name is not None and len(runs) == 1:
        raise UsageError(
            "--name is for the folder of several runs",
            hint=f"the figures of one run go into {runs[0].plots}",
        )


def _subjects(runs: Sequence[RunFolder], listener: Listener) -> list[Subject]:
    """The runs as the subjects of figures, each under a name of its own."""
    from mdncli.experiment import reopen
    from mdncli.present.subjects import of_run

    datasets = [reopen(run) for run in runs]
    subjects = [
        of_run(run, dataset, predictors.load(run))
        for run, dataset in zip(runs, datasets, strict=True)
    ]
    lead = subjects[0]
    for run, subject in zip(runs, subjects, strict=True):
        for what in ("inputs", "targets"):
            one, other = getattr(lead, what), getattr(subject, what)
            if one != other:
                raise UsageError(
                    f"{run.path}: its {what} are {', '.join(other)}, those of {runs[0].path} are "
                    f"{', '.join(one)}",
                    hint="draw them one by one",
                )
        if lead.classes != subject.classes:
            raise UsageError(
                f"{run.path}: its classes are not those of {runs[0].path}",
                hint="draw them one by one",
            )
    if len({dataset.fingerprints["data"] for dataset in datasets}) > 1:
        listener(Note("the runs learned from different data: no exact density is drawn"))
        subjects = [
            replace(subject, exact=None, exact_classes=None, exact_nll=None) for subject in subjects
        ]
    if len({subject.name for subject in subjects}) < len(subjects):
        subjects = [replace(s, name=run.id) for s, run in zip(subjects, runs, strict=True)]
    return subjects


def _draw_figures(run: RunFolder, subjects: Sequence[Subject], names: Sequence[str]) -> Answer:
    files = draw(run, FIGURES, names, *subjects)
    return Answer(lines=files, document={"run": str(run.path), "files": files})
