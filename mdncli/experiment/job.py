"""One run of a stack: its place in it, and what its config asks of the training room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import machine
from mdncli.config import Config
from mdncli.data.spool import room
from mdncli.errors import ResumeRefusedError, UsageError
from mdncli.experiment.material import Material
from mdncli.experiment.modelling import head_of, network_of
from mdncli.store import RunFolder

if TYPE_CHECKING:
    from mdncli.training.plan import Replica, StackPlan, TrainingData


CACHED_BYTES = 8 << 20
"""Encoded rows of more bytes outgrow the cache, so that each is kept in one place, to be read at
once."""

MATRIX_SHARE = 0.25
"""Encoded rows that take more than this share of the free memory are mapped from a file."""

VALIDATIONS = 200
"""About how often `train.validate_every: auto` validates in a run of many short epochs."""


DECAY_ROWS = 140
"""The weight decay of a network, times its training rows."""

STRONGEST_DECAY = 0.2
"""More would keep networks from learning."""


@dataclass
class Job:
    """One run while it trains: its folder, its data and its replicas in the stack."""

    run: RunFolder
    material: Material
    plan: StackPlan
    replicas: list[int] = field(default_factory=list)
    diverged: dict[int, str] = field(default_factory=dict)
    offsets: tuple[float, float] = (0.0, 0.0)
    history: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0

    @property
    def config(self) -> Config:
        """The resolved config."""
        return self.material.config

    @property
    def epoch(self) -> int:
        """Passes over the training rows so far."""
        return self.history[-1]["epoch"] if self.history else 0


def plan_of(material: Material) -> StackPlan:
    from mdncli.training.plan import StackPlan, steps_per_epoch

    training = material.config.train
    head = head_of(material.config, len(material.targets), len(material.classes))
    network = network_of(material.config, material.encoding.features, head)
    batch = None if training.batch_size == "full" else training.batch_size
    epoch = steps_per_epoch(len(material.split.train), batch)
    steps = training.steps if training.epochs is None else training.epochs * epoch
    assert steps is not None
    every = training.validate_every
    return StackPlan(
        network=network,
        head=head,
        steps=steps,
        batch_size=batch,
        validate_every=max(epoch, -(-steps // VALIDATIONS)) if every == "auto" else every,
        optimizer=training.optimizer,
        momentum=training.momentum,
        gradient_clip=training.gradient_clip,
    )


def replicas_of(job: Job, data: int) -> list[Replica]:
    from mdncli.training.plan import Replica

    training = job.config.train
    return [
        Replica(
            data=data,
            seed=job.config.seed,
            member=member,
            learning_rate=training.learning_rate,
            weight_decay=weight_decay(job.config, len(job.material.split.train), member),
            schedule=training.schedule,
            warmup=training.warmup,
            patience=training.patience,
            dropout=training.dropout,
            noise_inputs=training.noise.inputs,
            # A class is right or wrong: there is nothing between two codes.
            noise_targets=0.0 if job.material.classes else training.noise.targets,
        )
        for member in range(job.config.model.ensemble)
    ]


def weight_decay(config: Config, rows: int, member: int) -> float:
    """The weight decay of one member of an ensemble, if the config leaves it to us.

    It is the prior of a network, which counts the less the more rows there are: inversely. As
    nobody knows how smooth the truth is, the last members of an ensemble have less of it. Where
    all fit equally well nothing is lost; where some are too stiff, or too loose, the others are
    likelier and so say more. Chosen on validation rows of the datasets `arm` and `inverse_sine`
    and of tables of 250 to 830 training rows.

    >>> from mdncli.config import Model
    >>> [round(weight_decay(Config(), 1400, member), 3) for member in range(5)]
    [0.1, 0.1, 0.1, 0.036, 0.004]
    >>> weight_decay(Config(model=Model(ensemble=1)), 100, 0)
    0.2
    """
    model, training = config.model, config.train
    if training.weight_decay != "auto":
        return training.weight_decay
    if training.optimizer != "adamw" or not model.hidden or model.kind == "linear":
        return 0.0
    share = min(1.0, 2 * (1 - (member + 0.5) / model.ensemble))
    return min(STRONGEST_DECAY, DECAY_ROWS / rows) * share**2


def training_data(material: Material) -> TrainingData:
    """The rows as the network is to see them, in memory or, if they are too many, in a file.

    Raises:
        RunFault: the disk has no room for them.
    """
    from mdncli.training.plan import TrainingData

    x_train, y_train = _encoded(material, material.split.train)
    x_validation, y_validation = _encoded(material, material.split.validation)
    return TrainingData(x_train, y_train, x_validation, y_validation)


def _encoded(material: Material, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (d, n) and targets (D, n) of some rows."""
    table, encoding = material.table, material.encoding
    x = y = None
    d, shape = encoding.features, (len(rows), encoding.features + len(material.targets))
    size = 4 * math.prod(shape)
    if size > CACHED_BYTES:
        spooled = size > MATRIX_SHARE * machine.spare_memory()
        matrix = room(shape, np.float32, spooled=spooled)
        x, y = matrix.T[:d], matrix.T[d:]
    return encoding.encode_inputs(table, rows, x), encoding.encode_targets(table, rows, y)


def device_of(
    job: Job, replicas: Sequence[Replica], data: Sequence[TrainingData], before: str | None
) -> str:
    """The device that trains a stack: the one asked for, the one it had before or the faster one.

    Another device rounds otherwise, so an exact resume keeps to it.

    Raises:
        ResumeRefusedError: it was begun on a device that this machine lacks.
    """
    from mdncli.training.devices import choose_device, require

    if before is not None:
        try:
            require(before)
        except UsageError:
            raise ResumeRefusedError(
                f"{job.run.path}: was trained on {before}, which torch does not find here",
                hint="continue it where there is one, or train a new run",
            ) from None
        return before
    rows = [data[replica.data].x_train.shape[1] for replica in replicas]
    return choose_device(job.config.train.device, job.plan, rows)


def threads_of(
    job: Job, data: Sequence[TrainingData], replicas: Sequence[Replica], before: int | None
) -> int:
    """The threads a stack gets: those asked for, those it had before, or those that pay.

    Sums over several threads are rounded otherwise than over one, so an exact resume keeps to them.
    """
    from mdncli.training.threads import choose_threads

    asked = job.config.train.threads
    if asked != "auto":
        return asked
    return before or choose_threads(job.plan, data, replicas)
