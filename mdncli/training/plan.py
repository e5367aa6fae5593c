"""Input and output of the training loop: the plan of a stack, its replicas and data, its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Single
from mdncli.head import AnyHead
from mdncli.network import Network

AnyArray = NDArray[Any]
"""An array of the state of a stack, of any type."""


@dataclass(frozen=True)
class TrainingData:
    """Standardised inputs and targets, features-first, in float32.

    They are not copied, so they may be mapped from a file. Where they are too many for the cache,
    views of a matrix stored row by row are the fastest to take batches from.

    Args:
        x_train: inputs, (d, n).
        y_train: targets, (D, n).
        x_validation: inputs, (d, m); m may be 0, then the last weights count as the best.
        y_validation: targets, (D, m).
        w_train: weights of the rows in the loss, of mean 1, (1, n); None where all count alike.
        w_validation: likewise, (1, m).
        codes: number of the inputs that are codes of numbers, the last of all.
    """

    x_train: Single
    y_train: Single
    x_validation: Single
    y_validation: Single
    w_train: Single | None = None
    w_validation: Single | None = None
    codes: int = 0

    def inputs_seen(self, replica: Replica) -> int:
        """Number of inputs that a replica sees, the first ones."""
        return len(self.x_train) - (0 if replica.codes else self.codes)


@dataclass(frozen=True)
class Replica:
    """One network of a stack: the settings in which replicas may differ.

    Args:
        data: index into the stack's datasets.
        seed: the run's seed.
        member: index of the network in its run's ensemble.
        codes: whether it sees the codes of numbers; their weights are 0 throughout if not.
        mixtures: number of the head's components in use; None for all. The others have a weight of
            0 throughout.
        learning_rate: the largest learning rate of the schedule.
        weight_decay: decay of the hidden layers' weights, decoupled or not as the optimizer has it.
        schedule: a key of `mdncli.training.optimizers.SCHEDULES`.
        warmup: steps over which the learning rate first rises linearly.
        patience: validations without improvement after which it stops; None for never.
        dropout: probability of dropping a hidden unit in training, in [0, 1), to 2^-16; the others
            are scaled up so that the mean stays (Srivastava et al. 2014).
        noise_inputs: standard deviation of fresh Gaussian noise on the inputs of every batch.
        noise_targets: likewise on the targets.
    """

    data: int = 0
    seed: int = 0
    member: int = 0
    codes: bool = True
    mixtures: int | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: int = 0
    patience: int | None = None
    dropout: float = 0.0
    noise_inputs: float = 0.0
    noise_targets: float = 0.0

    @property
    def has_noise(self) -> bool:
        """True with dropout, or with noise on inputs or targets."""
        return max(self.dropout, self.noise_inputs, self.noise_targets) > 0


@dataclass(frozen=True)
class StackPlan:
    """Settings that all replicas of a stack share.

    Args:
        network: the shape of every network. Data may have fewer inputs: those are the first ones.
        head: the head on every network; its `outputs` are the network's.
        steps: total number of optimizer steps.
        batch_size: rows per step, or None for all of them; never more than there are.
        validate_every: steps between validations; the last step always validates.
        optimizer: a key of `mdncli.training.optimizers.OPTIMIZERS`.
        momentum: of sgd; the others have none.
        gradient_clip: the largest Euclidean norm of a replica's gradient; None for any.
        loss: a key of `mdncli.training.objectives.OBJECTIVES` that trains the head; `nll` is that
            of any head's predictions, for a point head its squared or absolute errors.
        averaging: decay of the exponential moving average (EMA) of the weights, which is then what
            is validated and kept as the best; 0 disables it. The decay of step t is t / (t + 9) at
            most, so that the first weights are soon forgotten (Polyak and Juditsky 1992; that bound
            is usual).
        reseed: whether a collapsed mixture's unused components are reinitialised; see
            `mdncli.training.reseeding`.
    """

    network: Network
    head: AnyHead
    steps: int
    batch_size: int | None = None
    validate_every: int = 100
    optimizer: str = "adamw"
    momentum: float = 0.9
    gradient_clip: float | None = None
    loss: str = "nll"
    averaging: float = 0.0
    reseed: bool = False


def steps_per_epoch(rows: int, batch_size: int | None) -> int:
    """Steps of one pass over the training rows; a last incomplete batch is left out.

    >>> steps_per_epoch(2550, 128), steps_per_epoch(100, 128), steps_per_epoch(100, None)
    (19, 1, 1)
    """
    return 1 if batch_size is None else max(1, rows // batch_size)


@dataclass(frozen=True)
class Progress:
    """Progress report, about ten times a second."""

    step: int
    steps: int


@dataclass(frozen=True)
class Validated:
    """Validation of all replicas still in the stack; arrays have an entry for each of them.

    Attributes:
        step: steps done.
        replicas: their indices.
        epoch: passes over their training rows.
        nll_train: mean over the batches since the last validation, in standardised units.
        nll_validation: in standardised units; NaN without validation rows.
        improved: whether this is their best so far.
        learning_rate: of their last step.
        seconds: since `Stack.run` began.
        reseeded: number of components reinitialised at this validation.
    """

    step: int
    replicas: NDArray[np.int64]
    epoch: NDArray[np.float64]
    nll_train: NDArray[np.float64]
    nll_validation: NDArray[np.float64]
    improved: NDArray[np.bool_]
    learning_rate: NDArray[np.float64]
    seconds: float
    reseeded: NDArray[np.int64]


@dataclass(frozen=True)
class StoppedEarly:
    """Early stopping: a replica has left the stack, out of patience."""

    replica: int
    step: int


@dataclass(frozen=True)
class RolledBack:
    """Rollback: a replica's loss exploded, and it continues from its best weights at half the rate.

    Attributes:
        replica: its index.
        step: steps done.
        since: the step of the weights that it went back to.
        times: number of its rollbacks so far.
    """

    replica: int
    step: int
    since: int
    times: int


@dataclass(frozen=True)
class Diverged:
    """Divergence: a replica has left the stack, its NLL not finite even after rollbacks.

    Attributes:
        replica: its index.
        step: steps done.
        detail: its last NLLs.
        row: the training row, counted from 0, with the lowest likelihood under its best weights.
        component: the one of the smallest scale at that row, counted from 0; None without
            components.
    """

    replica: int
    step: int
    detail: str
    row: int | None = None
    component: int | None = None


@dataclass(frozen=True)
class Finished:
    """End of training: all steps are done, or no replica is left."""


StackEvent = Progress | Validated | StoppedEarly | RolledBack | Diverged | Finished
