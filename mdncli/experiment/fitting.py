"""Runs whose model is fitted at once, without the loop and without torch."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from mdncli import baselines
from mdncli.data.streams import stream
from mdncli.errors import MdnError, UsageError
from mdncli.events import Listener, Note, Warned
from mdncli.experiment.beginning import begin
from mdncli.experiment.completing import Course, Outcome, conclude, nothing, predictor_of
from mdncli.experiment.material import Material, spaced
from mdncli.experiment.modelling import head_of, network_of
from mdncli.head import Head
from mdncli.store import RunFolder, abandon

FITTED_ROWS = 200_000
"""A mixture is fitted to at most so many training rows, evenly spaced."""


def is_fitted(material: Material) -> bool:
    """Whether its model is one that is fitted at once."""
    return material.config.model.kind == "gmm"


def fit(material: Material, root: Path, listener: Listener) -> Outcome:
    """Fit one run in a new folder under `root`."""
    run = begin(material, root)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(run.locked())
        except BaseException:
            abandon(run)
            raise
        return refit(run, material, listener)


def refit(run: RunFolder, material: Material, listener: Listener) -> Outcome:
    """Fit a run in its folder, which is locked; what it may have learned before is not needed."""
    started = time.monotonic()
    head = head_of(material.config, len(material.targets))
    network = network_of(material.config, material.encoding.features, len(material.targets))
    assert isinstance(head, Head)
    if material.inputs:
        listener(Note(f"model.kind gmm is one mixture for all rows: {_ignored(material)}"))
    try:
        rows = spaced(material.split.train, FITTED_ROWS)
        fitted = baselines.gaussian_mixture(
            head,
            network,
            material.encoding.encode_targets(material.table, rows),
            stream(material.config.seed, "init"),
            floor=material.scale_floor,
        )
        trained = time.monotonic() - started
        if not fitted.converged:
            listener(Warned(f"{run.path}: EM has not come to rest; use fewer model.mixtures"))
        predictor = predictor_of(material, network, head, fitted.parameters)
        course = Course(0, 0, None, trained, time.monotonic() - started)
        return Outcome(run, conclude(run, material, predictor, course))
    except MdnError as error:
        with contextlib.suppress(MdnError):
            run.write_status("failed", 0, str(error))
        seconds = time.monotonic() - started
        return Outcome(run, {**nothing(run, material, seconds), "status": "failed"}, error)
    except BaseException as error:
        with contextlib.suppress(MdnError):
            run.write_status("interrupted", 0, str(error) or type(error).__name__)
        raise


def _ignored(material: Material) -> str:
    count = len(material.inputs)
    return (
        f"the input {material.inputs[0]} is ignored"
        if count == 1
        else f"{count} inputs are ignored"
    )


def require_rows(material: Material) -> None:
    """Refuse more components than there are rows to fit them to.

    Raises:
        UsageError: there are more.
    """
    model, rows = material.config.model, len(material.split.train)
    if model.kind in ("mdn", "gmm") and model.mixtures != "auto" and model.mixtures > rows:
        raise UsageError(
            f"model.mixtures: {model.mixtures} components are more than the {rows} training rows",
            hint=f"set it to {rows} at most",
        )
