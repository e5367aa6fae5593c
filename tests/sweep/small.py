"""Stacks of small trials, and their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli import experiment
from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep.stacks import PendingTrial, TrialStack
from mdncli.sweep.trials import trial_of

WORDS = ("data.rows=120", "train.warmup=0", "model.hidden=3", "model.ensemble=1")


def trial_in(sweep: Path, *words: str, steps: int = 20) -> PendingTrial:
    """A trial that is to be trained in the folder of a sweep."""
    trial = trial_of(configs.load("sine", [*WORDS, f"train.steps={steps}", *words]), {}, [])
    dataset = experiment.prepare(trial.config, ignore)
    folder = sweep / "trials" / f"20261120-141503-{trial.name}"
    return PendingTrial(trial, folder, dataset.fingerprints, experiment.shape_of(dataset))


def stack_in(sweep: Path, *, seeds: int = 2, steps: int = 20) -> TrialStack:
    """Trials of one shape that differ in their seeds."""
    trials = [trial_in(sweep, f"seed={number}", steps=steps) for number in range(seeds)]
    return TrialStack(sweep.name, trials)


def sweep_in(path: Path) -> RunFolder:
    """A folder that workers can tell from a copy of it."""
    folder = RunFolder(path)
    path.mkdir()
    folder.write_status("running", 0)
    return folder


def learnt(stack: TrialStack) -> list[tuple[bytes, Any]]:
    """The model and the NLLs of every trial."""
    runs = [RunFolder(one.folder) for one in stack.trials]
    return [(run.model.read_bytes(), run.read_json(run.result)["nll"]) for run in runs]
