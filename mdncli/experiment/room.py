"""What a run needs of this machine, checked before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdncli import machine
from mdncli.config import Config
from mdncli.errors import UsageError
from mdncli.experiment.modelling import factorisation_of

if TYPE_CHECKING:
    from mdncli.experiment.material import Material
    from mdncli.training.memory import Share
    from mdncli.training.plan import StackPlan


def require_memory(needed: int, what: str, hint: str) -> None:
    """Refuse what needs more memory than there is: the kernel would kill it without a word."""
    spare = machine.spare_memory()
    if needed > spare:
        raise too_large(needed, spare, what, hint)


def too_large(needed: float, spare: float, what: str, hint: str) -> UsageError:
    """The error of what needs more memory than there is."""
    return UsageError(
        f"{what} need about {needed / 1e9:,.1f} GB, and {spare / 1e9:,.1f} GB are free",
        hint=hint,
    )


def require_device(config: Config) -> None:
    from mdncli.training.devices import require

    require(config.train.device)


def parted(plan: StackPlan, materials: Sequence[Material]) -> list[list[int]]:
    """Runs of one shape in as few stacks as there is memory for, by their indices and in order.

    All of them ask for the same device.

    Raises:
        UsageError: there is not enough for one of them alone.
    """
    from mdncli.training.devices import choose_device, free_memory
    from mdncli.training.memory import stack_bytes

    shares = [_shares(material) for material in materials]
    rows = [part.rows for parts in shares for part in parts for _ in range(part.replicas)]
    device = choose_device(materials[0].config.train.device, plan, rows)
    spare = machine.spare_memory()
    if device == "cuda":
        # All of it goes to the device, and nearly as much comes back for a checkpoint.
        spare = min(spare, free_memory())
    for own in shares:
        _require_room(plan, own, device, spare)
    parts: list[list[int]] = [[]]
    for index in range(len(shares)):
        together = [part for i in (*parts[-1], index) for part in shares[i]]
        if parts[-1] and stack_bytes(plan, together, device) > spare:
            parts.append([])
        parts[-1].append(index)
    return parts


def _require_room(plan: StackPlan, shares: list[Share], device: str, spare: int) -> None:
    """Refuse a run that is too large by itself."""
    from mdncli.training.memory import BYTES_PER_WEIGHT, stack_bytes

    replicas = sum(share.replicas for share in shares)
    weights = plan.network.parameters * replicas
    if weights * BYTES_PER_WEIGHT > spare:
        what = f"model.hidden: {weights:,} weights in training"
        raise too_large(weights * BYTES_PER_WEIGHT, spare, what, "use fewer or narrower layers")
    needed = stack_bytes(plan, shares, device)
    if needed > spare:
        rows = min(shares[0].rows, plan.batch_size or shares[0].rows)
        what = f"train.batch_size: {rows:,} rows a step for {replicas} networks"
        raise too_large(needed, spare, what, "use smaller batches or a smaller model.ensemble")


def _shares(material: Material) -> list[Share]:
    """What a run brings into a stack, for each part of its targets."""
    from mdncli.training.memory import Share

    split, members = material.split, material.config.model.networks
    parts = factorisation_of(material.config, len(material.targets)).parts
    rows = len(split.train), len(split.validation)
    return [Share(members, *rows, (id(material.table), part)) for part in range(parts)]
