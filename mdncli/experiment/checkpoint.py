"""The last checkpoint of a run: its state, and checks that training can continue from it."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mdncli import store
from mdncli.config import Config, drop_later_keys
from mdncli.errors import (
    MdnError,
    ResumeRefusedError,
    RunFault,
)
from mdncli.experiment.job import Job
from mdncli.store import RunFolder

LAYOUT = 3
"""Version of the layout of states. States of other versions cannot be continued bit for bit."""

RESUMABLE = ("train.epochs", "train.steps", "train.patience", "train.threads")
"""Settings that may change when a run is continued."""

MOST_NAMED = 8
"""Most runs that a command to type names one by one."""


class RestoredState(NamedTuple):
    """State to continue training from; without a checkpoint all None, and 0 seconds."""

    state: Mapping[str, np.ndarray] | None = None
    seconds: float = 0.0
    threads: int | None = None
    device: str | None = None


def restore(job: Job) -> RestoredState:
    """Read the last checkpoint of a run, if it has one."""
    if not job.run.checkpoint.exists():
        return RestoredState()
    state, about = store.read_tensors(job.run.checkpoint)
    if about.get("layout") != LAYOUT:
        raise ResumeRefusedError(
            f"{job.run.checkpoint}: was written by another mdncli version, which trains otherwise",
            hint="continue with that version or train a new run",
        )
    try:
        identity, seconds, steps = about["config"], float(about["seconds"]), state["step"]
        threads, device = int(about["threads"]), str(about.get("device", "cpu"))
        job.diverged = {job.replicas[int(m)]: str(why) for m, why in about["diverged"].items()}
        latest = np.array(about["latest"], np.float64)
        if latest.shape != job.latest.shape:
            raise ValueError("other replicas")
        job.latest[:] = latest
        done = int(steps.max())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise misfit_error(job.run) from None
    if identity != identity_of(job.config, job.run.format):
        raise ResumeRefusedError(
            f"{job.run.config}: has changed since the checkpoint was written",
            hint="restore it or train a new run",
        )
    if done > job.plan.steps:
        raise ResumeRefusedError(
            f"{job.run.path}: has trained {done:,} steps, which is more than {job.plan.steps:,}",
            hint="ask for more steps or epochs than that",
        )
    return RestoredState(state, seconds, threads, device)


def reached_step(run: RunFolder, config: Config) -> int | None:
    """Step from which a run can be continued; None if it has to start over.

    Networks that have stopped early may have stopped before it.
    """
    try:
        state, about = store.read_tensors(run.checkpoint)
        if about["config"] != identity_of(config, run.format):
            return None
        return int(state["step"].max())
    except (MdnError, KeyError, TypeError, ValueError, AttributeError):
        return None


def identity_of(config: Config, recorded: int) -> str:
    """SHA-256 of the settings that may not change when a run is continued.

    Tables have fingerprints of their own, so their paths may change.

    Args:
        config: of the run.
        recorded: the number of the format of the run's folder.
    """
    train = {key.removeprefix("train.") for key in RESUMABLE}
    parts = {"name": True, "data": {"file", "splits"}, "train": train}
    kept = drop_later_keys(config.model_dump(mode="json", exclude=parts), recorded)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def resume_command(runs: Sequence[RunFolder]) -> str:
    """Command that continues some runs; of many, the first and the last are named.

    >>> from pathlib import Path
    >>> resume_command([RunFolder(Path("runs/a-2")), RunFolder(Path("runs/a-3"))])
    'mdn train --resume runs/a-2 runs/a-3'
    """
    paths = [shlex.quote(str(run.path)) for run in runs]
    if len(paths) > MOST_NAMED:
        named = f"{paths[0]} ... {paths[-1]}"
        return f"mdn train --resume and the folders of all {len(paths)} runs, {named}"
    return f"mdn train --resume {' '.join(paths)}"


def with_remedy(error: MdnError, runs: Sequence[RunFolder]) -> MdnError:
    """Add to an error that stopped runs how to continue them, if the cause can be removed."""
    runs = [run for run in runs if run.checkpoint.exists()]
    if not isinstance(error, RunFault) or not runs:
        return error
    remedy = f"continue with {resume_command(runs)}"
    hint = remedy if error.hint is None else f"{error.hint}, then {remedy}"
    return RunFault(error.message, hint=hint)


def misfit_error(run: RunFolder) -> RunFault:
    """Error for a checkpoint whose parts do not fit each other."""
    return RunFault(
        f"{run.checkpoint}: damaged, its parts do not fit", hint=store.remedy(run.checkpoint)
    )
