"""Memory estimate of a stack, before it is created."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mdncli.training import batches, engine
from mdncli.training.layout import Layout
from mdncli.training.objectives import objective_of
from mdncli.training.plan import Replica, StackPlan, TrainingData

BYTES_PER_WEIGHT = 96
"""Peak bytes per weight of a stack, measured while its checkpoint is written."""

_BYTES_PER_AVERAGE = 16
"""Bytes per weight that the EMA of the weights adds: itself, and copies of it."""

_BYTES_PER_BATCH_VALUE = 12
"""Bytes per value of a batch: itself, and twice as much while it is gathered."""

_BYTES_PER_SHUFFLED_ROW = 20
"""Bytes per shuffled row, measured: an index of 8 bytes, and as much again while shuffling."""


_AUTOGRAD_COPIES = 10
"""Values per raw output that autograd keeps for a loss without a fused implementation; 4 to 9 were
measured for losses that treat each component by itself."""


@dataclass(frozen=True)
class StackShare:
    """Replicas and rows that one run adds to a stack.

    Args:
        replicas: number of replicas.
        rows: number of training rows.
        validation_rows: number of validation rows.
        data: key of the dataset, equal for runs that share it.
        weighted: whether its rows have weights.
    """

    replicas: int
    rows: int
    validation_rows: int
    data: Hashable
    weighted: bool = False


def shares_of(data: Sequence[TrainingData], replicas: Sequence[Replica]) -> list[StackShare]:
    """The replicas of a stack as shares of one each."""
    return [
        StackShare(
            replicas=1,
            rows=data[replica.data].x_train.shape[1],
            validation_rows=data[replica.data].x_validation.shape[1],
            data=replica.data,
            weighted=data[replica.data].w_train is not None,
        )
        for replica in replicas
    ]


def worker_bytes(plan: StackPlan, shares: Sequence[StackShare], workers: int) -> int:
    """Upper bound on the bytes that a stack takes if it is dealt out to worker processes.

    Each trains its share of the replicas, whose arrays lie in shared memory twice.

    Args:
        plan: shared by its replicas.
        shares: one for each of its runs.
        workers: the number of processes.
    """
    weights = sum(share.replicas for share in shares) * Layout(plan.network).size
    arrays = 2 * 4 * (4 if plan.averaging else 3) * weights
    return stack_bytes(plan, shares) + arrays + workers * _BYTES_PER_WORKER


_BYTES_PER_WORKER = 100_000_000
"""Bytes of a worker beyond those of its replicas: what it writes of the memory it came with, and
the activations of a group."""


def stack_bytes(plan: StackPlan, shares: Sequence[StackShare], device: str = "cpu") -> int:
    """Upper bound on the bytes that a stack takes; a third to a half less were measured.

    Args:
        plan: shared by its replicas.
        shares: one for each of its runs.
        device: `cpu` or `cuda`.

    >>> from mdncli.head import Head
    >>> from mdncli.network import Network
    >>> head = Head(mixtures=5, targets=1)
    >>> plan = StackPlan(Network(1, (64, 64), "silu", head.outputs), head, 3000, 128)
    >>> one, many = (stack_bytes(plan, [StackShare(5, 2100, 450, 0)] * n) for n in (1, 1000))
    >>> one < 100e6, 2e9 < many < 10e9
    (True, True)
    """
    network, head = plan.network, plan.head
    replicas = sum(share.replicas for share in shares)
    features = network.inputs + head.targets + any(share.weighted for share in shares)
    block = engine.BLOCK_ROWS[device]
    cuts = [
        batches.padded_blocks(batches.rows_per_step(share.rows, plan.batch_size), block)
        for share in shares
    ]
    per_weight = BYTES_PER_WEIGHT + (_BYTES_PER_AVERAGE if plan.averaging else 0)
    weights = replicas * Layout(network).size * per_weight
    values = sum(
        share.replicas * blocks * length * features
        for share, (blocks, length) in zip(shares, cuts, strict=True)
    )
    # Beside each value of a batch, its row has an index of 8 bytes, copied once.
    per_value = _BYTES_PER_BATCH_VALUE + 16 // features
    gathered = max(values, batches.WINDOW_VALUES[device]) * per_value
    shuffled = 0
    if plan.batch_size is not None:
        rows = (share.replicas * max(share.rows, batches.SHUFFLED_TOGETHER) for share in shares)
        shuffled = sum(rows) * _BYTES_PER_SHUFFLED_ROW
    longest = max(length for _, length in cuts)
    longest = max(longest, *(min(share.validation_rows, block) for share in shares))
    together = engine.replicas_together(network, longest) if device == "cpu" else replicas
    components = head.mixtures * (4 * head.targets + 3)
    units = 4 * sum(network.hidden) + max(network.hidden, default=0)
    units += 3 * network.outputs + components
    if objective_of(plan.loss, head).fused is None:
        units += _AUTOGRAD_COPIES * network.outputs
    activations = 4 * min(replicas, together) * longest * units
    own = {share.data: share.rows + 2 * share.validation_rows for share in shares}
    return weights + gathered + shuffled + activations + 4 * features * sum(own.values())
