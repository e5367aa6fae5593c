"""Choice of the device that trains a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from mdncli.errors import RunFault, UsageError
from mdncli.training.plan import StackPlan
from mdncli.training.threads import operations

_WORTH_A_DEVICE = 3e7
"""Operations per step from which CUDA is assumed to be faster than a CPU: such a step takes a core
about a millisecond, and a graph of this many kernels at least a tenth of that on any device. An
estimate; `tests/benchmarks/gpu.py` prints the table to set it by."""


def require(device: str | None) -> None:
    """Make sure that this machine can train on a device.

    Raises:
        UsageError: it has no such device.

    >>> require("cpu")
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "train.device: cuda is asked for, but torch finds no CUDA device",
            hint="use cpu or auto",
        )


def choose_device(asked: str | None, plan: StackPlan, rows: Sequence[int]) -> str:
    """Device to train on, `cpu` or `cuda`: the one asked for, or else the faster one.

    That is the CPU without CUDA, and for stacks whose step is so small that starting its kernels
    would take longest.

    Args:
        asked: `cpu`, `cuda` or None.
        plan: what the replicas of the stack share.
        rows: training rows of each replica.
    """
    if asked is not None:
        return asked
    large = operations(plan, rows) >= _WORTH_A_DEVICE
    return "cuda" if large and torch.cuda.is_available() else "cpu"


def free_memory() -> int:
    """Free bytes of the CUDA device."""
    return torch.cuda.mem_get_info()[0]


@contextmanager
def memory_errors(needed: Callable[[], int]) -> Iterator[None]:
    """Translate torch's errors where memory is short into ones that a user can act on.

    Args:
        needed: number of bytes needed in all; called only after an error.

    Raises:
        MemoryError: there is not enough on the CPU.
        RunFault: there is not enough on the device.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise RunFault(
            "train.device: the memory of the CUDA device does not suffice",
            hint="use train.device=cpu, smaller batches or fewer networks at once",
        ) from None
    except RuntimeError as error:
        # torch reports a lack of CPU memory only in the message. Memory it has got by then is still
        # held, so that the system refuses the same request again.
        if not _is_granted(needed()):
            raise MemoryError(str(error)) from error
        raise


def _is_granted(size: int) -> bool:
    """True if the system grants this process so many bytes, which are released at once."""
    try:
        np.empty(size, np.uint8)
    except MemoryError:
        return False
    return True
