"""One run of a stack: its place in it, and what its config asks of the training room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mdncli import machine
from mdncli.config import Config
from mdncli.data.spool import room
from mdncli.errors import ResumeRefusedError, UsageError
from mdncli.experiment.material import Material
from mdncli.experiment.modelling import SCORES, factorisation_of, head_of, network_of
from mdncli.experiment.pruning import Bars, stopped_at
from mdncli.factorisation import Factorisation
from mdncli.head import Head
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

ROWS_PER_STEP = {0: 64, 1_000: 128, 20_000: 256, 200_000: 1024}
"""Training rows from which on so many are in a step."""

FEW_STEPS, STEPPED_ROWS = 3000, 1000
"""So many steps for as many training rows or fewer."""

STRONGEST_DECAY = 0.2
"""More would keep networks from learning."""


@dataclass
class Job:
    """One run while it trains: its folder, its data and its replicas in the stack.

    The `latest` NLLs of its replicas, on training and on validation rows, are in standardised
    units. Where its NLL does not pass one of the `bars` it is stopped early.
    """

    run: RunFolder
    material: Material
    plan: StackPlan
    replicas: list[int] = field(default_factory=list)
    diverged: dict[int, str] = field(default_factory=dict)
    offsets: tuple[float, float] = (0.0, 0.0)
    latest: np.ndarray = field(default_factory=lambda: np.empty((2, 0)))
    history: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0
    bars: Bars = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The resolved config."""
        return self.material.config

    @property
    def factorisation(self) -> Factorisation:
        """Which of its networks answers for which targets."""
        return factorisation_of(self.config, len(self.material.targets))

    def member(self, replica: int) -> int:
        """Which member of the ensemble a replica of the stack belongs to."""
        return self.replicas.index(replica) % self.config.model.ensemble

    @property
    def pruned(self) -> int | None:
        """The epoch at which it was stopped early, if it was."""
        return stopped_at(self.history, self.bars)

    @property
    def epoch(self) -> int:
        """Passes over the training rows so far."""
        return self.history[-1]["epoch"] if self.history else 0


def plan_of(material: Material) -> StackPlan:
    from mdncli.training.plan import StackPlan, steps_per_epoch

    training = material.config.train
    shape = len(material.targets), len(material.classes)
    head = head_of(material.config, *shape, floor=material.scale_floor)
    network = network_of(material.config, material.encoding.features, *shape)
    rows = len(material.split.train)
    batch = batch_rows(training.batch_size, rows)
    epoch = steps_per_epoch(rows, batch)
    steps = training.steps if training.epochs is None else training.epochs * epoch
    steps = steps_for(rows) if steps in ("auto", None) else steps
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
        averaging=training.averaging,
        reseed=training.reseed,
        loss=training.loss if isinstance(head, Head) and training.loss in SCORES else "nll",
    )


def stack_key(material: Material) -> tuple[StackPlan, str, int | Literal["auto"]]:
    """What runs have in common that train in one stack: its plan, and where it is to train."""
    training = material.config.train
    return plan_of(material), training.device, training.threads


def batch_rows(asked: int | Literal["full", "auto"], rows: int) -> int | None:
    """The rows of a step, None for all; unless they are said, a number that was found to do well.

    On few rows smaller batches, which are noisier, were found to overfit less; of many rows larger
    ones are nearer to the truth in the end.

    >>> [batch_rows("auto", rows) for rows in (700, 2100, 30_000, 300_000)]
    [64, 128, 256, 1024]
    >>> batch_rows("full", 700)
    """
    if asked == "auto":
        return [each for least, each in ROWS_PER_STEP.items() if rows >= least][-1]
    return None if asked == "full" else asked


def steps_for(rows: int) -> int:
    """The steps that were found to be enough for so many training rows.

    They come in powers of the square root of 2: tables of nearly as many rows share a stack.

    >>> [steps_for(rows) for rows in (300, 2000, 8_000, 8_001, 200_000)]
    [3000, 4243, 6000, 6000, 24000]
    """
    wanted = max(1.0, (rows / STEPPED_ROWS) ** 0.4)
    return round(FEW_STEPS * 2 ** (round(2 * math.log2(wanted)) / 2))


def replicas_of(job: Job, data: int) -> list[Replica]:
    """The networks of a run, one part of the targets after another; see `Factorisation`.

    Args:
        job: the run.
        data: the index of the first part's dataset in the stack; the others follow.
    """
    from mdncli.training.plan import Replica

    training, model = job.config.train, job.config.model
    members = model.ensemble
    return [
        Replica(
            data=data + part,
            seed=job.config.seed,
            member=part * members + member,
            mixtures=count if model.mixtures == "auto" else None,
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
        for part in range(job.factorisation.parts)
        for count in model.counts
        for member in range(members)
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
    [0.1, 0.1, 0.1, 0.06, 0.02]
    >>> weight_decay(Config(model=Model(ensemble=1)), 100, 0)
    0.2
    """
    model, training = config.model, config.train
    if training.weight_decay != "auto":
        return training.weight_decay
    if training.optimizer != "adamw" or not model.hidden or model.kind == "linear":
        return 0.0
    share = min(1.0, 2 * (1 - (member + 0.5) / model.ensemble))
    return min(STRONGEST_DECAY, DECAY_ROWS / rows) * share


def training_data(material: Material) -> list[TrainingData]:
    """The rows as networks are to see them, in memory or, if they are too many, in a file.

    Returns:
        A dataset for each part of the targets; see `Factorisation`.

    Raises:
        RunFault: the disk has no room for them.
    """
    from mdncli.training.plan import TrainingData

    whole = factorisation_of(material.config, len(material.targets))
    split = material.split
    encoded = [_encoded(material, rows) for rows in (split.train, split.validation)]
    return [
        TrainingData(
            *(
                values
                for x, y in encoded
                for values in (whole.seen(x, y, part), whole.answered(y, part))
            )
        )
        for part in range(whole.parts)
    ]


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
