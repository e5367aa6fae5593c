"""Plan of a stack, from a config in which every `auto` is settled."""

from __future__ import annotations

from dataclasses import replace

from mdncli.config import Config, Train
from mdncli.experiment.dataset import Dataset
from mdncli.head import AnyHead, Head
from mdncli.network import Network
from mdncli.training.plan import StackPlan, steps_per_epoch

SHARED_INPUTS = 32
"""Networks with codes count as wide as the next multiple of so many inputs, in a stack."""


def batch_rows(config: Config) -> int | None:
    """Rows of a step, by a resolved config; None for all."""
    asked = config.train.batch_size
    return asked if isinstance(asked, int) else None


def steps_of(config: Config, rows: int) -> int:
    """Steps of a training on so many rows, by a resolved config."""
    training = config.train
    if training.epochs is not None:
        return training.epochs * steps_per_epoch(rows, batch_rows(config))
    assert isinstance(training.steps, int)
    return training.steps


def plan_of(config: Config, network: Network, head: AnyHead, dataset: Dataset) -> StackPlan:
    """The plan of a run's stack, by its resolved config.

    Args:
        config: resolved.
        network: the shape of its networks.
        head: on every network.
        dataset: its rows.
    """
    training, rows = config.train, len(dataset.split.train)
    if dataset.encoding.codes:
        # The number of codes may differ by a few between folds, which are to share a stack.
        network = replace(network, inputs=-(-network.inputs // SHARED_INPUTS) * SHARED_INPUTS)
    every = training.validate_every
    assert isinstance(every, int)
    return StackPlan(
        network=network,
        head=head,
        steps=steps_of(config, rows),
        batch_size=batch_rows(config),
        validate_every=every,
        optimizer=training.optimizer,
        momentum=training.momentum,
        gradient_clip=training.gradient_clip,
        averaging=training.averaging,
        reseed=training.reseed,
        loss=_loss(training, head),
    )


def _loss(training: Train, head: AnyHead) -> str:
    """Key of the objective, by a resolved config."""
    if not isinstance(head, Head):
        return "nll"
    return "balanced" if training.loss == "nll" and training.balance else training.loss
