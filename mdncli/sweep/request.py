"""Request of a sweep: all options beside the config and its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdncli.errors import UsageError
from mdncli.sweep.rounds import epochs_of
from mdncli.sweep.scripts import SCRIPTS, SweepShare
from mdncli.trackers import require

SEARCHES = ("grid", "random", "tpe")
"""Ways to choose the points of a sweep."""


@dataclass(frozen=True)
class SweepRequest:
    """Options of a sweep beside its config and its axes.

    Args:
        search: a key of `SEARCHES`; None for that of the file, or a grid.
        trials: number of points to draw.
        file: a YAML that describes the sweep.
        list: a file of explicit trials; `-` is standard input.
        workers: processes; None for as many as there are cores and stacks.
        new: start afresh even if the same sweep is there.
        resume: the sweep to continue.
        retry: the sweep whose failed trials to train again.
        dry_run: train nothing, print a forecast.
        yes: accept very many trials.
        most_failures: most failures before the sweep is given up; None for any number.
        emit: print commands for this engine, a key of `SCRIPTS`, instead of training.
        part: train this share of the sweep only, such as `3/8`.
        prune: epochs at which trials that are worse than the median stop, such as `20,50`.
        cluster: the address of a Dask scheduler, or `local`; None for processes of this machine.
        track: keys of `mdncli.trackers.TRACKERS` that log the training of every trial.
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
    prune: str | None = None
    cluster: str | None = None
    track: Sequence[str] = ()


def require_valid(request: SweepRequest) -> None:
    """Refuse invalid options, and invalid combinations."""
    require(request.track)
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
    if request.prune is not None:
        epochs_of(request.prune)
    if request.cluster is not None and (request.emit or request.part):
        raise UsageError("--cluster does not go with --emit and --part", hint="keep one of them")
    if request.cluster not in (None, "local") and request.workers is not None:
        raise UsageError("--workers: a cluster has its own", hint="leave it out")
    if request.part is not None:
        SweepShare.of(request.part)
        if request.resume is None or request.emit is not None:
            raise UsageError(
                "--part is for a sweep that exists", hint="name it with --resume SWEEP"
            )
    if request.new and (request.resume or request.retry):
        raise UsageError("--new does not go with a sweep that exists", hint="leave one out")
