"""Runs whose model is fitted without gradients: one Gaussian mixture for all rows."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from mdncli import baselines, interrupts
from mdncli.data.streams import stream
from mdncli.errors import InterruptedRunError, MdnError, Stopped, UsageError
from mdncli.events import Activity, Listener, Note, RunBegun, RunEnded, Warned
from mdncli.experiment.checkpoint import resume_command
from mdncli.experiment.dataset import Dataset, select_spaced
from mdncli.experiment.provenance import begin_run
from mdncli.experiment.recipe import Recipe
from mdncli.experiment.result import (
    Course,
    Outcome,
    empty_result,
    predictor_of,
    write_model_and_result,
)
from mdncli.head import Head
from mdncli.store import RunFolder

FITTED_ROWS = 200_000
"""Most training rows, evenly spaced, that a mixture is fitted to."""


def fit(dataset: Dataset, recipe: Recipe, root: Path, listener: Listener) -> Outcome:
    """Fit one run in a new folder under `root`."""
    with contextlib.ExitStack() as held:
        with begin_run(dataset, root, recipe) as run:
            held.enter_context(run.locked())
        return refit(run, dataset, recipe, listener)


def refit(run: RunFolder, dataset: Dataset, recipe: Recipe, listener: Listener) -> Outcome:
    """Fit a run in its folder, which is locked; an earlier fit of it is not needed."""
    started = time.monotonic()
    head, network = recipe.head, recipe.network
    assert isinstance(head, Head)
    if dataset.inputs:
        listener(Note(f"model.kind gmm is one mixture for all rows: {_ignored_text(dataset)}"))
    listener(RunBegun(run.path, 0))
    listener(Activity("fitting the mixture"))
    try:
        rows, weights = dataset.weighed(select_spaced(dataset.split.train, FITTED_ROWS))
        with interrupts.allow_stop():
            fitted = baselines.gaussian_mixture(
                head,
                network,
                dataset.encoding.encode_targets(dataset.table, rows),
                stream(dataset.config.seed, "init"),
                floor=recipe.scale_floor,
                weights=weights,
            )
        trained = time.monotonic() - started
        if not fitted.converged:
            listener(Warned(f"{run.path}: EM did not converge; use fewer model.mixtures"))
        predictor = predictor_of(dataset, recipe, network, head, fitted.parameters)
        course = Course(0, 0, None, trained, time.monotonic() - started)
        outcome = Outcome(run, write_model_and_result(run, dataset, recipe, predictor, course))
    except MdnError as error:
        with contextlib.suppress(MdnError):
            run.write_status("failed", 0, str(error))
        seconds = time.monotonic() - started
        outcome = Outcome(run, {**empty_result(run, dataset, seconds), "status": "failed"}, error)
    except Stopped as stopped:
        with contextlib.suppress(MdnError):
            run.write_status("interrupted", 0)
        remedy = f"continue with {resume_command([run])}"
        raise InterruptedRunError("interrupted", hint=remedy, signal=stopped.signal) from None
    except BaseException as error:
        with contextlib.suppress(MdnError):
            run.write_status("interrupted", 0, str(error) or type(error).__name__)
        raise
    listener(RunEnded(run.path, outcome.result))
    return outcome


def _ignored_text(dataset: Dataset) -> str:
    count = len(dataset.inputs)
    return (
        f"the input {dataset.inputs[0]} is ignored" if count == 1 else f"{count} inputs are ignored"
    )


def require_rows(dataset: Dataset) -> None:
    """Refuse more components than there are rows to fit them to.

    Raises:
        UsageError: there are more.
    """
    model, rows = dataset.config.model, len(dataset.split.train)
    if model.kind in ("mdn", "gmm") and isinstance(model.mixtures, int) and model.mixtures > rows:
        raise UsageError(
            f"model.mixtures: {model.mixtures} components are more than the {rows} training rows",
            hint=f"set it to {rows} at most",
        )
