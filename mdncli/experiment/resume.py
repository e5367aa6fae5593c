"""Continuation of a run from its last checkpoint."""

from __future__ import annotations

import time
from typing import Any

from mdncli import interrupts
from mdncli import predictor as predictors
from mdncli.config import Config
from mdncli.errors import DataError, ResumeRefusedError, RunFault, UsageError
from mdncli.events import Activity, Listener, Note
from mdncli.experiment.dataset import config_of, reopen, write_rows
from mdncli.experiment.gmm import refit
from mdncli.experiment.job import Job
from mdncli.experiment.launch import train_stack
from mdncli.experiment.recipe import recorded_recipe
from mdncli.experiment.recorded import require_same_model
from mdncli.experiment.result import Outcome
from mdncli.experiment.stacking import require_device, split_by_memory
from mdncli.experiment.training import Stop
from mdncli.store import RunFolder


def resume_run(
    run: RunFolder, overrides: Config | None, listener: Listener, stop: Stop = lambda: None
) -> Outcome:
    """Continue a run from its last checkpoint, bit for bit; a complete one is unchanged.

    Args:
        run: its folder.
        overrides: its config with a longer training, or None to change nothing.
        listener: receives progress.
        stop: returns the signal that has asked to stop, if any.

    Raises:
        ResumeRefusedError: the data or the config has changed.
        RunLockedError: another process is using it.
        RunFault: its checkpoint is damaged.
        UsageError: it has nothing to train, or this machine cannot train it.
    """
    started = time.monotonic()
    if (done := _complete_result(run, overrides)) is not None:
        return _answer_complete(run, done, listener)
    with run.locked():
        # The previous holder of the lock may have completed it.
        if (done := _complete_result(run, overrides)) is not None:
            return _answer_complete(run, done, listener)
        run.remove_leftovers()
        listener(Activity(f"reading {run.id}"))
        try:
            with interrupts.allow_stop():
                dataset = reopen(run, overrides)
        except DataError as error:
            raise ResumeRefusedError(error.message, hint=error.hint) from None
        _require_origin(run)
        recipe = recorded_recipe(run, dataset.config, dataset)
        require_same_model(run, recipe.to_json())
        if recipe.plan is None:
            return refit(run, dataset, recipe, listener)
        require_device(recipe, listener)
        split_by_memory([(dataset, recipe)])
        if dataset.problem is not None and not run.data.exists():
            write_rows(dataset, run.data)
        job = Job(run, dataset, recipe)
        return train_stack([job], listener, stop, started, resuming=True)[0]


def _require_origin(run: RunFolder) -> None:
    """Refuse a run whose provenance lacks entries needed for its result, before it trains."""
    about = run.read_json(run.provenance)
    data = about.get("data")
    if "started" not in about or not isinstance(data, dict) or not {"source", "targets"} <= {*data}:
        raise RunFault(
            f"{run.provenance}: damaged, it does not say when and on what the run began",
            hint=f"train again with mdn train {run.config}",
        )


def _complete_result(run: RunFolder, wanted: Config | None) -> dict[str, Any] | None:
    """Result of a complete run; None if it is to be continued."""
    if not run.result.exists() or wanted not in (None, config_of(run)):
        return None
    try:
        result = run.read_json(run.result)
        if "nll" not in result:
            raise UsageError(
                f"{run.path}: holds generated data and no training",
                hint=f"train on it with mdn train {run.config}",
            )
        predictors.load(run)
    except RunFault:
        return None  # a damaged file is written again from the checkpoint
    return result


def _answer_complete(run: RunFolder, result: dict[str, Any], listener: Listener) -> Outcome:
    run.remove_leftovers()  # left over if it was killed while writing its status
    listener(Note(f"{run.path} is complete already"))
    return Outcome(run, {**result, "run": str(run.path)}, trained=False)
