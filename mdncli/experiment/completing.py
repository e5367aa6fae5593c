"""What a run ends with: its model and its result, or why it has none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdncli import store
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
from mdncli.experiment.calibrating import calibrated
from mdncli.experiment.checkpoint import with_remedy
from mdncli.experiment.choosing import Choice, choose, narrowed
from mdncli.experiment.job import Job
from mdncli.experiment.material import Material, spaced
from mdncli.experiment.modelling import factorisation_of
from mdncli.experiment.progress import Training
from mdncli.head import AnyHead, Evidence, Head
from mdncli.network import Network, forward
from mdncli.predictor import Predictor
from mdncli.store import RunFolder

SCORED_ROWS = 200_000
"""The NLL of the training rows is measured on at most so many of them, evenly spaced."""


EVIDENCE_ROWS = 20_000
"""What heads learn once training is over they learn from at most so many rows, evenly spaced."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        run: its folder.
        result: the keys of `train --json`; of a run that failed, null where there is no figure.
        error: why it failed, if it did.
        trained: whether it has trained just now, and was not complete already.
    """

    run: RunFolder
    result: dict[str, Any]
    error: MdnError | None = None
    trained: bool = True


def outcome_of(job: Job, training: Training, listener: Listener, started: float) -> Outcome:
    """Complete one run of a stack; its failure is its own."""
    try:
        return Outcome(job.run, _complete(job, training, listener, started))
    except MdnError as error:
        state = "diverged" if isinstance(error, DivergedError) else "failed"
        with contextlib.suppress(MdnError):
            job.run.write_status(state, job.epoch, str(error))
        return Outcome(
            job.run, {**_nothing(job, training), "status": state}, with_remedy(error, job.run)
        )


def nothing(run: RunFolder, material: Material, seconds: float) -> dict[str, Any]:
    """The result of a run that has none: the keys of every other, as far as they are known."""
    return {
        "run": str(run.path),
        "name": material.config.name,
        "epochs": 0,
        "steps": 0,
        "best": None,
        "parameters": None,
        "seconds": {"total": round(seconds, 3), "train": round(seconds, 3)},
        "nll": {"train": None, "validation": None, "test": None},
        "exact_nll": None,
        "excess_nll": None,
        "effective_components": None,
        "components": None,
        "health": None,
    }


def _nothing(job: Job, training: Training) -> dict[str, Any]:
    return {
        **nothing(job.run, job.material, training.trained),
        "epochs": job.epoch,
        "steps": job.history[-1]["step"] if job.history else 0,
        "parameters": job.plan.network.parameters * len(job.replicas),
    }


def _complete(job: Job, training: Training, listener: Listener, started: float) -> dict[str, Any]:
    """Write the model and the result of a run whose replicas are done."""
    found = {count: _healthy(job, count) for count in job.config.model.counts}
    if job.diverged:
        networks = job.config.model.networks
        lost = networks - sum(map(len, found.values())) // job.factorisation.parts
        detail = next(iter(job.diverged.values()))
        if not any(found.values()):
            raise DivergedError(
                f"{job.run.path}: training diverged ({detail})",
                hint="lower train.learning_rate or set train.gradient_clip",
            )
        count = f"{lost} of {networks} ensemble members diverged"
        listener(Warned(f"{job.run.path}: {count} and were left out ({detail})"))
    material = job.material
    predictors = {
        count: _predictor(job, training, count, healthy)
        for count, healthy in found.items()
        if healthy
    }
    choice = _choice(material, predictors)
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
    return conclude(job.run, material, predictor, course, pruned=job.pruned, choice=choice)


def _healthy(job: Job, count: int) -> list[int]:
    """The replicas with so many components that did not diverge."""
    model = job.config.model
    each = len(model.counts) * model.ensemble
    at = model.counts.index(count)
    own = [
        replica
        for place, replica in enumerate(job.replicas)
        if place % each // model.ensemble == at
    ]
    # What one network of a member cannot say, the others cannot make up for.
    lost = {job.member(replica) for replica in job.diverged if replica in own}
    return [replica for replica in own if job.member(replica) not in lost]


def _predictor(job: Job, training: Training, count: int, healthy: Sequence[int]) -> Predictor:
    """What some replicas of a run predict together, once training is over."""
    network, head, parameters = job.plan.network, job.plan.head, training.stack.best(healthy)
    if job.config.model.mixtures == "auto" and isinstance(head, Head):
        network, head, parameters = narrowed(network, head, parameters, count)
    material = job.material
    settled = _settled(head, material, lambda: _evidence(material, network, parameters))
    return predictor_of(material, network, settled, parameters)


def _choice(material: Material, predictors: Mapping[int, Predictor]) -> Choice | None:
    """How many components suffice, if that was left to the validation rows."""
    model, split = material.config.model, material.split
    if model.mixtures != "auto" or model.kind != "mdn" or material.classes:
        return None
    rows = spaced(split.validation if len(split.validation) else split.train, EVIDENCE_ROWS)
    return choose({count: -_log_prob(material, each, rows) for count, each in predictors.items()})


@dataclass(frozen=True)
class Course:
    """How a fit went.

    Args:
        epochs: passes over the training rows.
        steps: of the optimizer.
        best: the step and the epoch of each member's best validation; None without validations.
        trained: seconds of the fit alone.
        total: seconds from the first to the last.
        reseeded: how many components had died and began anew.
    """

    epochs: int
    steps: int
    best: dict[str, list[int]] | None
    trained: float
    total: float
    reseeded: int = 0


def predictor_of(
    material: Material, network: Network, head: AnyHead, parameters: Mapping[str, np.ndarray]
) -> Predictor:
    """What was learned from a material, as a function of new rows."""
    return Predictor(
        network=network,
        head=head,
        factorisation=factorisation_of(material.config, len(material.targets)),
        encoding=material.encoding,
        parameters=parameters,
        ranges=_ranges(material),
        seed=material.config.seed,
    )


def conclude(
    run: RunFolder,
    material: Material,
    predictor: Predictor,
    course: Course,
    *,
    pruned: int | None = None,
    choice: Choice | None = None,
) -> dict[str, Any]:
    """Write a run's model and, with its scores, the result that makes it complete.

    One that was `pruned`, at an epoch, says so, and so does one whose components were a `choice`.
    """
    if material.config.train.calibrate:
        predictor = calibrated(material, predictor)
    predictor.save(run)
    nll = {
        "train": _nll(material, predictor, spaced(material.split.train, SCORED_ROWS)),
        "validation": _nll(material, predictor, material.split.validation),
        "test": _nll(material, predictor, material.split.test),
    }
    exact = material.exact_nll
    about = run.read_json(run.provenance)
    seen = material.table[spaced(material.split.train, 10_000)]
    members = _bare(predictor).members(seen)
    used = [effective_components(member) for member in members if isinstance(member, Mixture)]
    result: dict[str, Any] = {
        "run": run.id,
        "name": material.config.name,
        "status": "completed",
        "started": about["started"],
        "data": {key: about["data"][key] for key in ("source", "targets")},
        "fingerprints": about["fingerprints"],
        "epochs": course.epochs,
        "steps": course.steps,
        "best": course.best,
        "parameters": predictor.network.parameters * predictor.size,
        "seconds": {"total": round(course.total, 3), "train": round(course.trained, 3)},
        "nll": nll,
        "exact_nll": exact,
        "excess_nll": None if exact is None or nll["test"] is None else nll["test"] - exact,
        "effective_components": float(np.mean(used)) if used else None,
        "components": _components(material, predictor),
        "health": _health(material, course, members, nll),
        "mixtures": None if choice is None else choice.to_json(),
        "spike_trap": {name: trap.to_json() for name, trap in material.spike_traps.items()} or None,
        **{key: about[key] for key in ("trial",) if key in about},
        **({} if pruned is None else {"pruned": {"epoch": pruned}}),
        "format": store.FORMAT,
    }
    store.write_json(run.result, result)
    run.write_status("completed", course.epochs)
    return {**result, "run": str(run.path)}


def _components(material: Material, predictor: Predictor) -> dict[str, Any] | None:
    """The components of one mixture for all rows and, where it is one too, those of the truth."""
    if material.config.model.kind != "gmm":
        return None
    any_row = material.table[material.split.train[:1]]
    exact = None if material.inputs else material.exact(any_row)
    found = {"learned": predictor.predict(any_row), "exact": exact}
    return {
        key: None if conditional is None else components(conditional, material.targets)
        for key, conditional in found.items()
    }


def _health(
    material: Material,
    course: Course,
    members: Sequence[Any],
    nll: Mapping[str, float | None],
) -> dict[str, Any] | None:
    """What a mixture makes of its components, and how far training rows are ahead; of an mdn."""
    mixtures = [member for member in members if isinstance(member, Mixture)]
    if material.config.model.kind != "mdn" or not mixtures:
        return None
    train, validation = nll["train"], nll["validation"]
    gap = None if train is None or validation is None else validation - train
    found = condition(mixtures, material.scale_floor)
    return {**found, "reseeded": course.reseeded, "gap": gap}


def _settled(head: AnyHead, material: Material, evidence: Evidence) -> AnyHead:
    """The head once training is over."""
    asked = material.config.model.background
    if isinstance(head, Head) and asked != "auto":
        return replace(head, background=asked)
    return head.fitted(evidence)


def _bare(predictor: Predictor) -> Predictor:
    """What the networks say by themselves, without the background."""
    head = predictor.head
    return (
        replace(predictor, head=replace(head, background=0.0))
        if isinstance(head, Head)
        else predictor
    )


def _evidence(
    material: Material, network: Network, parameters: Mapping[str, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Raw outputs and standardised targets of each part: of validation rows, if there are any."""
    split, encoding = material.split, material.encoding
    rows = spaced(split.validation if len(split.validation) else split.train, EVIDENCE_ROWS)
    x = encoding.encode_inputs(material.table, rows)
    y = encoding.encode_targets(material.table, rows)
    whole = factorisation_of(material.config, len(material.targets))
    members = len(next(iter(parameters.values()))) // whole.parts
    return [
        (
            forward(
                network,
                {
                    n: values[part * members : (part + 1) * members]
                    for n, values in parameters.items()
                },
                whole.seen(x, y, part),
            ),
            whole.answered(y, part),
        )
        for part in range(whole.parts)
    ]


def _nll(material: Material, predictor: Predictor, rows: np.ndarray) -> float | None:
    """Mean NLL of some rows, in the target's own units; None of no rows."""
    if not len(rows):
        return None
    return float(-np.mean(_log_prob(material, predictor, rows)))


def _log_prob(material: Material, predictor: Predictor, rows: np.ndarray) -> np.ndarray:
    """The log density of the targets of some rows, in their own units, (n,)."""
    scores = [
        predicted.log_prob(material.encoding.target_values(chosen[part]))
        for chosen in material.pieces(rows)
        for part, predicted in predictor.chunks(chosen)
    ]
    return np.concatenate(scores)


def _ranges(material: Material) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for column in material.encoding.input_columns:
        if column.kind == "numeric":
            seen = material.table.numbers(column.name, material.split.train)
            ranges[column.name] = float(np.nanmin(seen)), float(np.nanmax(seen))
            material.table.release()
    return ranges
