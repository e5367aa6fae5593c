"""What a run ends with: its model and its result, or why it has none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdncli import store
from mdncli.errors import (
    DivergedError,
    MdnError,
)
from mdncli.evaluation.health import effective_components
from mdncli.events import (
    Listener,
    Warned,
)
from mdncli.experiment.checkpoint import with_remedy
from mdncli.experiment.job import Job
from mdncli.experiment.material import Material, spaced
from mdncli.experiment.progress import Training
from mdncli.network import Network, forward
from mdncli.predictor import Predictor
from mdncli.store import RunFolder

SCORED_ROWS = 200_000
"""The NLL of the training rows is measured on at most so many of them, evenly spaced."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        run: its folder.
        result: the keys of `train --json`; of a run that failed, null where there is no figure.
        error: why it failed, if it did.
    """

    run: RunFolder
    result: dict[str, Any]
    error: MdnError | None = None


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


def _nothing(job: Job, training: Training) -> dict[str, Any]:
    """The result of a run that has none: the keys of every other, as far as they are known."""
    return {
        "run": str(job.run.path),
        "name": job.config.name,
        "epochs": job.epoch,
        "steps": job.history[-1]["step"] if job.history else 0,
        "best": None,
        "parameters": job.plan.network.parameters * len(job.replicas),
        "seconds": {"total": round(training.trained, 3), "train": round(training.trained, 3)},
        "nll": {"train": None, "validation": None, "test": None},
        "exact_nll": None,
        "excess_nll": None,
        "effective_components": None,
    }


def _complete(job: Job, training: Training, listener: Listener, started: float) -> dict[str, Any]:
    """Write the model and the result of a run whose replicas are done."""
    healthy = [replica for replica in job.replicas if replica not in job.diverged]
    if job.diverged:
        count = f"{len(job.diverged)} of {len(job.replicas)} ensemble members diverged"
        detail = next(iter(job.diverged.values()))
        if not healthy:
            raise DivergedError(
                f"{job.run.path}: training diverged ({detail})",
                hint="lower train.learning_rate or set train.gradient_clip",
            )
        listener(Warned(f"{job.run.path}: {count} and were left out ({detail})"))
    material, encoding = job.material, job.material.encoding
    network, parameters = job.plan.network, training.stack.best(healthy)
    predictor = Predictor(
        network=network,
        head=job.plan.head.settled(lambda: _errors(material, network, parameters)),
        encoding=encoding,
        parameters=parameters,
        ranges=_ranges(material),
        seed=job.config.seed,
    )
    predictor.save(job.run)
    nll = {
        "train": _nll(material, predictor, spaced(material.split.train, SCORED_ROWS)),
        "validation": _nll(material, predictor, material.split.validation),
        "test": _nll(material, predictor, material.split.test),
    }
    exact = None
    if material.problem is not None and len(material.split.test):
        chosen = material.table[material.split.test]
        truth = material.exact(chosen)
        assert truth is not None
        exact = float(-np.mean(truth.log_prob(encoding.target_values(chosen))))
    steps = int(training.stack.state(job.replicas)["step"].max())
    best = training.stack.state(healthy)["best.step"].tolist()
    epoch_of = {record["step"]: record["epoch"] for record in job.history}
    about = job.run.read_json(job.run.provenance)
    seen = material.table[spaced(material.split.train, 10_000)]
    used = [effective_components(member) for member in predictor.members(seen)]
    result: dict[str, Any] = {
        "run": job.run.id,
        "name": job.config.name,
        "status": "completed",
        "started": about["started"],
        "data": {key: about["data"][key] for key in ("source", "targets")},
        "fingerprints": about["fingerprints"],
        "epochs": job.epoch,
        "steps": steps,
        "best": {"step": best, "epoch": [epoch_of.get(step, 0) for step in best]},
        "parameters": job.plan.network.parameters * len(healthy),
        "seconds": {
            "total": round(training.seconds + time.monotonic() - started, 3),
            "train": round(training.trained, 3),
        },
        "nll": nll,
        "exact_nll": exact,
        "excess_nll": None if exact is None or nll["test"] is None else nll["test"] - exact,
        "effective_components": float(np.mean(used)),
        "spike_trap": {name: trap.to_json() for name, trap in material.spike_traps.items()} or None,
        "format": store.FORMAT,
    }
    store.write_json(job.run.result, result)
    job.run.write_status("completed", job.epoch)
    return {**result, "run": str(job.run.path)}


def _errors(
    material: Material, network: Network, parameters: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Raw outputs minus standardised targets, (M, D, n): of validation rows, if there are any."""
    split, encoding = material.split, material.encoding
    rows = spaced(split.validation if len(split.validation) else split.train, SCORED_ROWS)
    raw = forward(network, parameters, encoding.encode_inputs(material.table, rows))
    return raw.astype(np.float64) - encoding.encode_targets(material.table, rows)


def _nll(material: Material, predictor: Predictor, rows: np.ndarray) -> float | None:
    """Mean NLL of some rows, in the target's own units; None of no rows."""
    if not len(rows):
        return None
    scores = [
        predicted.log_prob(material.encoding.target_values(chosen[part]))
        for chosen in material.pieces(rows)
        for part, predicted in predictor.chunks(chosen)
    ]
    return float(-np.mean(np.concatenate(scores)))


def _ranges(material: Material) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for column in material.encoding.input_columns:
        if column.kind == "numeric":
            seen = material.table.numbers(column.name, material.split.train)
            ranges[column.name] = float(np.nanmin(seen)), float(np.nanmax(seen))
            material.table.release()
    return ranges
