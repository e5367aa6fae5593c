"""What a stack of replicas is asked to do, and what it reports while doing it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdncli.head import AnyHead
from mdncli.network import Network

Rows = NDArray[np.float32]


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
    """

    x_train: Rows
    y_train: Rows
    x_validation: Rows
    y_validation: Rows


@dataclass(frozen=True)
class Replica:
    """What may differ between the networks of one stack.

    Args:
        data: index into the stack's datasets.
        seed: the run's seed.
        member: which member of its run's ensemble it is.
        mixtures: how many of the head's components are in use; None for all. The others have a
            weight of 0 from first to last.
        learning_rate: the largest learning rate of the schedule.
        weight_decay: decay of the hidden layers' weights, decoupled or not as the optimizer has it.
        schedule: a key of `mdncli.training.optimizers.SCHEDULES`.
        warmup: steps over which the learning rate first rises linearly.
        patience: validations without improvement after which it stops; None for never.
        dropout: the share of hidden units dropped in training, in [0, 1), to 2^-16; those kept
            are scaled up so that their mean stays (Srivastava et al. 2014).
        noise_inputs: standard deviation of fresh Gaussian noise on the inputs of every batch.
        noise_targets: likewise on the targets.
    """

    data: int = 0
    seed: int = 0
    member: int = 0
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
    def by_chance(self) -> bool:
        """Whether its steps are random in more than their batches."""
        return max(self.dropout, self.noise_inputs, self.noise_targets) > 0


@dataclass(frozen=True)
class StackPlan:
    """What all replicas of a stack share.

    Args:
        network: the shape of every network.
        head: the head on every network; its `outputs` are the network's.
        steps: optimizer steps in all.
        batch_size: rows a step, or None for all of them; never more than there are.
        validate_every: steps between validations; the last step always validates.
        optimizer: a key of `mdncli.training.optimizers.OPTIMIZERS`.
        momentum: of sgd; the others have none.
        gradient_clip: the largest Euclidean norm of a replica's gradient; None for any.
        loss: what mixtures are trained for: `nll`, `crps` or the sum of both, `mixed`.
        averaging: the share that every step keeps of a running average of the weights, which is
            what is validated and kept as the best; 0 for the weights themselves. Step t keeps
            t / (t + 9) at most, so that the first weights are soon forgotten (Polyak and Juditsky
            1992; that bound is usual).
        reseed: whether a collapsed mixture gets components back; see `mdncli.training.reseeding`.
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
    """The steps that pass once over the training rows; a last part of a batch is left out.

    >>> steps_per_epoch(2550, 128), steps_per_epoch(100, 128), steps_per_epoch(100, None)
    (19, 1, 1)
    """
    return 1 if batch_size is None else max(1, rows // batch_size)


@dataclass(frozen=True)
class Progress:
    """A sign of life, about ten times a second."""

    step: int
    steps: int


@dataclass(frozen=True)
class Validated:
    """One validation of all replicas still in the stack; arrays have an entry for each of them.

    Attributes:
        step: steps done.
        replicas: their indices.
        epoch: passes over their training rows.
        nll_train: mean over the batches since the last validation, in standardised units.
        nll_validation: in standardised units; NaN without validation rows.
        improved: whether this is their best so far.
        learning_rate: of their last step.
        seconds: since `Stack.run` began.
        reseeded: how many of their components have begun anew just now.
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
class Stopped:
    """A replica left the stack early, out of patience."""

    replica: int
    step: int


@dataclass(frozen=True)
class RolledBack:
    """A replica exploded: it goes on from its best weights at half its learning rate.

    Attributes:
        replica: its index.
        step: steps done.
        since: the step of the weights that it went back to.
        times: how often this has happened to it.
    """

    replica: int
    step: int
    since: int
    times: int


@dataclass(frozen=True)
class Diverged:
    """A replica left the stack because its NLL is no longer a number, however slow it learns.

    Attributes:
        replica: its index.
        step: steps done.
        detail: its last NLLs.
        row: the training row, counted from 0, that its best weights find the least likely.
        component: their thinnest one at that row, counted from 0; None where there are none.
    """

    replica: int
    step: int
    detail: str
    row: int | None = None
    component: int | None = None


@dataclass(frozen=True)
class Finished:
    """The stack is done: all its steps are, or nobody is left in it."""


Event = Progress | Validated | Stopped | RolledBack | Diverged | Finished
