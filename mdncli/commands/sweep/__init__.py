"""`mdn sweep`: many trials of one config, in stacks, in processes, and never one of them twice.

`request` is what was asked for, `planning` makes trials of it, `training` has them trained,
`foreseeing` says what that will take, `sharing` leaves it to others, `answering` says what came
of it.
"""

from mdncli.commands.sweep.request import Request
from mdncli.commands.sweep.training import sweep

__all__ = ["Request", "sweep"]
