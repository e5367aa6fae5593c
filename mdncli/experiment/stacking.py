"""Stacks of runs that train together: their shape, memory and device."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdncli import machine
from mdncli.events import Activity, Listener, Note, ignore
from mdncli.experiment.dataset import Dataset
from mdncli.experiment.memory import memory_error
from mdncli.experiment.recipe import Recipe, resolve

if TYPE_CHECKING:
    from mdncli.training.memory import StackShare
    from mdncli.training.plan import StackPlan

FIT_OPERATIONS = 1e9
"""Approximate cost of fitting a mixture by EM, in the unit of training costs."""


RunData = tuple[Dataset, Recipe]
"""Run to be trained: its rows and its recipe."""


@dataclass(frozen=True)
class Shape:
    """Properties shared by the runs of one stack, and the cost of each run.

    Args:
        key: equal for runs of one stack.
        replicas: networks of one run.
        steps: number of training steps.
        validations: number of validations.
        operations: multiplications and additions of a step of one network, forward and back.
        label: description of its network.
    """

    key: Hashable
    replicas: int
    steps: int
    validations: int
    operations: float
    label: str


def stacks_of(
    runs: Sequence[RunData], stacked: Sequence[int], listener: Listener
) -> list[list[int]]:
    """Group runs into stacks, by their indices: those of one shape, as memory allows."""
    alike: dict[Hashable, list[int]] = {}
    for index in stacked:
        alike.setdefault(runs[index][1].stack_key, []).append(index)
    stacks: list[list[int]] = []
    for members in alike.values():
        split = split_by_memory([runs[index] for index in members])
        if len(split) > 1:
            said = f"{len(members)} runs need more memory than is free"
            listener(Note(f"{said}: they train in {len(split)} stacks, one after another"))
        stacks += [[members[i] for i in stack] for stack in split]
    return stacks


def shape_of(dataset: Dataset) -> Shape:
    """Shape of a run, computed without torch."""
    config, recipe = dataset.config, resolve(dataset.config, dataset)
    mixtures = f"K = {config.model.mixtures}"
    if (plan := recipe.plan) is None:
        return Shape("fitted", 1, 1, 0, FIT_OPERATIONS, f"one mixture, {mixtures}")
    rows = min(len(dataset.split.train), plan.batch_size or len(dataset.split.train))
    layers = "-".join(map(str, plan.network.hidden)) or "no hidden layer"
    return Shape(
        key=recipe.stack_key,
        replicas=config.model.networks * recipe.factorisation.factors,
        steps=plan.steps,
        validations=-(-plan.steps // plan.validate_every),
        operations=6.0 * plan.network.parameters * rows,
        label=f"{layers}, {mixtures}" if config.model.kind == "mdn" else layers,
    )


def require_device(recipe: Recipe, listener: Listener = ignore) -> None:
    """Refuse a device that this machine does not have, once torch is imported to find out.

    Args:
        recipe: names the device.
        listener: receives progress.

    Raises:
        UsageError: it has no such device.
    """
    if "torch" not in sys.modules:
        listener(Activity("importing torch"))
    from mdncli.training.devices import require

    require(recipe.device)


def split_by_memory(members: Sequence[RunData]) -> list[list[int]]:
    """Split runs of one shape into as few stacks as memory allows, by their indices and in order.

    All of them ask for the same device.

    Raises:
        UsageError: memory does not suffice for one of them.
    """
    from mdncli.training.devices import choose_device, free_memory
    from mdncli.training.memory import stack_bytes

    plan = members[0][1].plan
    assert plan is not None
    shares = [_shares(*member) for member in members]
    rows = [share.rows for own in shares for share in own for _ in range(share.replicas)]
    device = choose_device(members[0][1].device, plan, rows)
    spare = machine.spare_memory()
    if device == "cuda":
        # All of it is copied to the device, and nearly as much back for a checkpoint.
        spare = min(spare, free_memory())
    for own in shares:
        _require_memory_for(plan, own, device, spare)
    stacks: list[list[int]] = [[]]
    for index in range(len(shares)):
        together = [share for i in (*stacks[-1], index) for share in shares[i]]
        if stacks[-1] and stack_bytes(plan, together, device) > spare:
            stacks.append([])
        stacks[-1].append(index)
    return stacks


def _require_memory_for(plan: StackPlan, shares: list[StackShare], device: str, spare: int) -> None:
    """Refuse a run that is too large by itself."""
    from mdncli.training.memory import BYTES_PER_WEIGHT, stack_bytes

    replicas = sum(share.replicas for share in shares)
    weights = plan.network.parameters * replicas
    if weights * BYTES_PER_WEIGHT > spare:
        what = f"model.hidden: {weights:,} weights in training"
        raise memory_error(weights * BYTES_PER_WEIGHT, spare, what, "use fewer or narrower layers")
    needed = stack_bytes(plan, shares, device)
    if needed > spare:
        rows = min(shares[0].rows, plan.batch_size or shares[0].rows)
        what = f"train.batch_size: {rows:,} rows a step for {replicas} networks"
        raise memory_error(needed, spare, what, "use smaller batches or a smaller model.ensemble")


def _shares(dataset: Dataset, recipe: Recipe) -> list[StackShare]:
    """The networks and rows that a run brings into a stack, for each factor of its density."""
    from mdncli.training.memory import StackShare

    split, members = dataset.split, recipe.config.model.networks
    factors = recipe.factorisation.factors
    rows = len(split.train), len(split.validation)
    weighted = dataset.encoding.weight is not None or dataset.encoding.apart is not None
    return [
        StackShare(members, *rows, (id(dataset.table), factor), weighted)
        for factor in range(factors)
    ]
