"""Completion of runs: model and result, or the reason of failure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdncli import store
from mdncli.data.weights import mean
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import (
    DivergedError,
    MdnError,
)
from mdncli.evaluation.health import components, condition, effective_components
from mdncli.events import (
    Listener,
    Note,
    Warned,
)
from mdncli.experiment.checkpoint import with_remedy
from mdncli.experiment.dataset import Dataset, select_spaced
from mdncli.experiment.job import Job, sees_codes
from mdncli.experiment.recipe import Recipe
from mdncli.experiment.selection import (
    Choice,
    calibrate,
    choose_components,
    cut_to_components,
    fit_head,
    fit_kept_disagreement,
    fit_scale_factor,
    fit_weights,
    log_prob,
)
from mdncli.experiment.training import Training
from mdncli.head import AnyHead, Head
from mdncli.network import Network
from mdncli.predictor import Predictor
from mdncli.store import RunFolder, replace_non_finite

SCORED_ROWS = 200_000
"""Most training rows, evenly spaced, for the training NLL."""

COVERED_ROWS = 2_000
"""Most test rows, evenly spaced, for the coverage of the intervals."""

COVERAGE_MASS = 0.9
"""Mass of the intervals whose coverage is part of a result."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Args:
        run: its folder.
        result: the keys of `train --json`; of a run that failed, null where there is no value.
        error: why it failed, if it did.
        trained: whether it was trained by this call, rather than complete before.
    """

    run: RunFolder
    result: dict[str, Any]
    error: MdnError | None = None
    trained: bool = True


def outcome_of(job: Job, training: Training, listener: Listener, started: float) -> Outcome:
    """Complete one run of a stack; its failure does not affect the others."""
    try:
        return Outcome(job.run, _complete(job, training, listener, started))
    except MdnError as error:
        state = "diverged" if isinstance(error, DivergedError) else "failed"
        with contextlib.suppress(MdnError):
            job.run.write_status(state, job.epoch, str(error))
        return Outcome(
            job.run,
            {**_failed_result(job, training), "status": state},
            with_remedy(error, [job.run]),
        )


def empty_result(run: RunFolder, dataset: Dataset, seconds: float) -> dict[str, Any]:
    """Result of a failed run: the usual keys, as far as they are known."""
    return {
        "run": str(run.path),
        "name": dataset.config.name,
        "epochs": 0,
        "steps": 0,
        "best": None,
        "parameters": None,
        "seconds": {"total": round(seconds, 3), "train": round(seconds, 3)},
        "nll": {"train": None, "validation": None, "test": None},
        "exact_nll": None,
        "excess_nll": None,
        "baseline_nll": None,
        "gain_se": None,
        "outlying": None,
        "coverage": None,
        "background": None,
        "members": None,
        "kept_disagreement": None,
        "scale_factor": None,
        "effective_components": None,
        "components": None,
        "health": None,
    }


def _failed_result(job: Job, training: Training) -> dict[str, Any]:
    return {
        **empty_result(job.run, job.dataset, training.trained),
        "epochs": job.epoch,
        "steps": job.history[-1]["step"] if job.history else 0,
        "parameters": job.recipe.network.parameters * len(job.replicas),
    }


def _complete(job: Job, training: Training, listener: Listener, started: float) -> dict[str, Any]:
    """Write the model and the result of a run whose replicas are done."""
    counts = job.recipe.config.model.counts
    found = {count: _healthy_replicas(job, count) for count in counts}
    if job.diverged:
        networks = job.config.model.networks
        lost = networks - sum(map(len, found.values())) // job.factorisation.factors
        detail = next(iter(job.diverged.values()))
        if not any(found.values()):
            raise DivergedError(
                f"{job.run.path}: training diverged ({detail})",
                hint="lower train.learning_rate or set train.gradient_clip",
            )
        count = f"{lost} of {networks} ensemble members diverged"
        listener(Warned(f"{job.run.path}: {count} and were left out ({detail})"))
    dataset = job.dataset
    predictors = {
        count: _predictor(job, training, count, healthy)
        for count, healthy in found.items()
        if healthy
    }
    choice = choose_components(dataset, job.recipe, predictors)
    if choice is not None:
        listener(Note(f"{job.run.path}: {choice.remark()}"))
    count = next(iter(predictors)) if choice is None else choice.mixtures
    predictor, healthy = predictors[count], found[count]
    best = training.stack.state(healthy)["best.step"].tolist()
    epoch_of = {record["step"]: record["epoch"] for record in job.history}
    course = Course(
        epochs=job.epoch,
        steps=int(training.stack.state(job.replicas)["step"].max()),
        best={"step": best, "epoch": [epoch_of.get(step, 0) for step in best]},
        trained=training.trained,
        total=training.seconds + time.monotonic() - started,
        reseeded=sum(record.get("reseeded", 0) for record in job.history),
    )
    members = [job.member(replica) for replica in healthy[: predictor.members_each]]
    codes = [dataset.encoding.codes > 0 and sees_codes(job.recipe, each) for each in members]
    return write_model_and_result(
        *(job.run, dataset, job.recipe, predictor, course),
        pruned=job.pruned,
        choice=choice,
        codes=codes,
    )


def _healthy_replicas(job: Job, count: int) -> list[int]:
    """Replicas of one component count that did not diverge."""
    model = job.recipe.config.model
    each = len(model.counts) * model.ensemble
    at = model.counts.index(count)
    own = [
        replica
        for place, replica in enumerate(job.replicas)
        if place % each // model.ensemble == at
    ]
    # A member without one of its networks has no joint density.
    lost = {job.member(replica) for replica in job.diverged if replica in own}
    return [replica for replica in own if job.member(replica) not in lost]


def _predictor(job: Job, training: Training, count: int, healthy: Sequence[int]) -> Predictor:
    """Predictor from the best weights of some replicas of a run."""
    network, head, parameters = job.recipe.network, job.plan.head, training.stack.best(healthy)
    # The networks of a stack may have further inputs, which these do not see.
    parameters["0.weight"] = parameters["0.weight"][..., : network.inputs].copy()
    if len(job.recipe.config.model.counts) > 1 and isinstance(head, Head):
        network, head, parameters = cut_to_components(network, head, parameters, count)
    settled = fit_head(job.dataset, job.recipe, network, head, parameters)
    found = predictor_of(job.dataset, job.recipe, network, settled, parameters)
    if job.recipe.config.model.weighting == "equal":
        return found
    weighed = replace(found, weights=fit_weights(job.dataset, found))
    pooled = replace(weighed, kept_disagreement=fit_kept_disagreement(job.dataset, weighed))
    if not job.recipe.config.model.narrowing:
        return pooled
    return replace(pooled, scale_factor=fit_scale_factor(job.dataset, pooled))


@dataclass(frozen=True)
class Course:
    """Duration of a fit, and its best steps.

    Args:
        epochs: passes over the training rows.
        steps: of the optimizer.
        best: the step and the epoch of each member's best validation; None without validations.
        trained: seconds of the fit alone.
        total: seconds from the first to the last.
        reseeded: number of reinitialised components.
    """

    epochs: int
    steps: int
    best: dict[str, list[int]] | None
    trained: float
    total: float
    reseeded: int = 0


def predictor_of(
    dataset: Dataset,
    recipe: Recipe,
    network: Network,
    head: AnyHead,
    parameters: Mapping[str, np.ndarray],
) -> Predictor:
    """Build the predictor from trained parameters."""
    return Predictor(
        network=network,
        head=head,
        factorisation=recipe.factorisation,
        encoding=dataset.encoding,
        parameters=parameters,
        ranges=_ranges(dataset),
        seed=dataset.config.seed,
    )


def write_model_and_result(
    run: RunFolder,
    dataset: Dataset,
    recipe: Recipe,
    predictor: Predictor,
    course: Course,
    *,
    pruned: int | None = None,
    choice: Choice | None = None,
    codes: Sequence[bool] = (),
) -> dict[str, Any]:
    """Write a run's model and, with its scores, the result that makes it complete.

    The result records the epoch of a `pruned` run, the `choice` of the number of components, and of
    each network of an ensemble whether it sees the `codes` of numbers, with its weight.
    """
    if dataset.config.train.calibrate:
        predictor = calibrate(dataset, predictor)
    predictor.save(run, recipe.to_json())
    test, weights = dataset.weighed(dataset.split.test)
    tested = log_prob(dataset, predictor, test) if len(test) else np.empty(0)
    nll = {
        "train": _nll(dataset, predictor, select_spaced(dataset.split.train, SCORED_ROWS)),
        "validation": _nll(dataset, predictor, dataset.split.validation),
        "test": -mean(tested, weights) if len(test) else None,
    }
    exact = dataset.exact_nll
    about = run.read_json(run.provenance)
    seen = dataset.table[select_spaced(dataset.split.train, 10_000)]
    members = _without_background(predictor).members(seen)
    used = [effective_components(member) for member in members if isinstance(member, Mixture)]
    result: dict[str, Any] = {
        "run": run.id,
        "name": dataset.config.name,
        "status": "completed",
        "started": about["started"],
        "data": {
            k: about["data"][k] for k in ("source", "targets", "weight") if k in about["data"]
        },
        "fingerprints": about["fingerprints"],
        "epochs": course.epochs,
        "steps": course.steps,
        "best": course.best,
        "parameters": predictor.network.parameters * predictor.size,
        "seconds": {"total": round(course.total, 3), "train": round(course.trained, 3)},
        "nll": nll,
        "exact_nll": exact,
        "excess_nll": None if exact is None or nll["test"] is None else nll["test"] - exact,
        "baseline_nll": replace_non_finite(dataset.baseline_nll(recipe.scale_floor)),
        "gain_se": replace_non_finite(dataset.gain_error(recipe.scale_floor, tested)),
        "outlying": dataset.encoding.outlying or None,
        "coverage": _coverage(dataset, predictor, test),
        "members": _members(predictor, codes),
        "kept_disagreement": predictor.kept_disagreement and [*predictor.kept_disagreement],
        "scale_factor": predictor.scale_factor and [*predictor.scale_factor],
        "effective_components": float(np.mean(used)) if used else None,
        "components": _components(dataset, predictor),
        "health": _health(dataset, recipe, course, members, nll),
        "mixtures": None if choice is None else choice.to_json(),
        "background": getattr(predictor.head, "background", None),
        "spike_trap": {name: trap.to_json() for name, trap in recipe.spike_traps.items()} or None,
        **{key: about[key] for key in ("trial",) if key in about},
        **({} if pruned is None else {"pruned": {"epoch": pruned}}),
        "format": store.FORMAT,
    }
    store.write_json(run.result, result)
    run.write_status("completed", course.epochs)
    return {**result, "run": str(run.path)}


def _coverage(dataset: Dataset, predictor: Predictor, rows: np.ndarray) -> dict[str, Any] | None:
    """Share of the test rows within the 90% interval of each target, and the number of rows."""
    if not len(rows) or dataset.classes:
        return None
    tail, each = (1 - COVERAGE_MASS) / 2, []
    some = select_spaced(rows, COVERED_ROWS)
    for chosen in dataset.pieces(some):
        for piece, predicted in predictor.chunks(chosen):
            assert isinstance(predicted, Conditional)  # no classes
            below = predicted.quick_cdf(dataset.encoding.target_values(chosen[piece]))
            each.append((below >= tail) & (below <= 1 - tail))
    held = np.concatenate(each).mean(axis=0).tolist()
    shares = dict(zip(dataset.targets, held, strict=True))
    return {"mass": COVERAGE_MASS, "rows": len(some), "targets": shares}


def _members(predictor: Predictor, codes: Sequence[bool]) -> list[dict[str, Any]] | None:
    """Members of an ensemble: whether each sees codes, and its weight in each factor."""
    if not codes:
        return None
    factors = predictor.factorisation.factors
    weights = predictor.weights or [1 / len(codes)] * predictor.size
    each = np.array(weights, np.float64).reshape(factors, -1).T.tolist()
    return [{"codes": sees, "weights": own} for sees, own in zip(codes, each, strict=True)]


def _components(dataset: Dataset, predictor: Predictor) -> dict[str, Any] | None:
    """Components of one mixture for all rows and, if the exact density is a mixture, of that."""
    if dataset.config.model.kind != "gmm":
        return None
    any_row = dataset.table[dataset.split.train[:1]]
    exact = None if dataset.inputs else dataset.exact(any_row)
    found = {"learned": predictor.predict(any_row), "exact": exact}
    return {
        key: None if conditional is None else components(conditional, dataset.targets)
        for key, conditional in found.items()
    }


def _health(
    dataset: Dataset,
    recipe: Recipe,
    course: Course,
    members: Sequence[Any],
    nll: Mapping[str, float | None],
) -> dict[str, Any] | None:
    """Component use of a mixture density network, and its gap of validation to training NLL."""
    mixtures = [member for member in members if isinstance(member, Mixture)]
    if dataset.config.model.kind != "mdn" or not mixtures:
        return None
    train, validation = nll["train"], nll["validation"]
    gap = None if train is None or validation is None else validation - train
    found = condition(mixtures, recipe.scale_floor)
    return {**found, "reseeded": course.reseeded, "gap": gap}


def _without_background(predictor: Predictor) -> Predictor:
    """Predictor without the background component, and without that of rows apart."""
    predictor = replace(predictor, encoding=replace(predictor.encoding, apart=None))
    head = predictor.head
    return (
        replace(predictor, head=replace(head, background=0.0))
        if isinstance(head, Head)
        else predictor
    )


def _nll(dataset: Dataset, predictor: Predictor, rows: np.ndarray) -> float | None:
    """Mean NLL of some rows, in the target's own units; None of no rows."""
    if not len(rows):
        return None
    rows, weights = dataset.weighed(rows)
    return -mean(log_prob(dataset, predictor, rows), weights)


def _ranges(dataset: Dataset) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for column in dataset.encoding.input_columns:
        if column.kind == "numeric":
            seen = dataset.table.numbers(column.name, dataset.split.train)
            ranges[column.name] = float(np.nanmin(seen)), float(np.nanmax(seen))
            dataset.table.release()
    return ranges
