"""What a run needs of this machine, checked before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdncli import machine
from mdncli.config import Config
from mdncli.errors import (
    UsageError,
)

if TYPE_CHECKING:
    from mdncli.training.plan import StackPlan


BYTES_PER_WEIGHT = 96
"""Measured: the most that training holds for each weight of a stack, while it writes a checkpoint.
"""


def require_memory(needed: int, what: str, hint: str) -> None:
    """Refuse what needs more memory than there is: the kernel would kill it without a word."""
    spare = machine.spare_memory()
    if needed > spare:
        raise UsageError(
            f"{what} need about {needed / 1e9:,.1f} GB, and {spare / 1e9:,.1f} GB are free",
            hint=hint,
        )


def require_device(config: Config) -> None:
    from mdncli.training.loop import require

    require(config.train.device)


def require_room(plan: StackPlan, members: Sequence[Config]) -> None:
    weights = plan.network.parameters * sum(config.model.ensemble for config in members)
    what = f"model.hidden: {weights:,} weights in training"
    require_memory(weights * BYTES_PER_WEIGHT, what, "use fewer or narrower layers")
