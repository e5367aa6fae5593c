"""Choice of the cores of a stack: processes of one thread each, or threads of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mdncli import machine, workers
from mdncli.machine import idle_cores
from mdncli.training.batches import rows_per_step
from mdncli.training.memory import shares_of, worker_bytes
from mdncli.training.plan import Replica, StackPlan, TrainingData

_WORTH_SHARING = 1e8
"""Operations per step from which a second idle core was measured to save time, up to a third."""

_WORTH_SHARING_OUT = 1e10
"""Operations of all steps, about half a second, from which a second process saves time."""

_WORTH_A_WORKER = 2e10
"""Operations of all steps for each further process: many that end soon take longer to start."""


class Cores(NamedTuple):
    """Cores of a stack.

    Args:
        threads: of every process. The last bits of a result may depend on it.
        workers: processes that the replicas are dealt out to. Results do not depend on it.
    """

    threads: int
    workers: int


def choose_cores(
    plan: StackPlan,
    data: Sequence[TrainingData],
    replicas: Sequence[Replica],
    *,
    device: str = "cpu",
    asked: int | None = None,
    before: int | None = None,
) -> Cores:
    """Choose the cores of a stack: as asked for, else the idle ones, if the work is worth them.

    Several replicas on the CPU go to processes of their own, which need not wait for each other at
    every operation as threads do: threads that share a core with another process were measured to
    take up to a hundred times as long. One replica, or fewer than cores of networks so large that
    an operation pays on several threads, stay in one process.

    Args:
        plan: shared by the replicas.
        data: the datasets that they refer to.
        replicas: the replicas of the stack.
        device: `cpu` or `cuda`.
        asked: number of cores asked for; None for `OMP_NUM_THREADS`, or the idle ones.
        before: threads of the process that began the training, which an exact continuation keeps.
    """
    if before in (None, 1):
        asked = workers.asked_cores(asked)
    rows = [data[replica.data].x_train.shape[1] for replica in replicas]
    step = operations(plan, rows)
    most = min(len(replicas), workers.most_workers())
    may_deal = device == "cpu" and most > 1
    if before is not None and asked in (None, before) and not (may_deal and before == 1):
        return Cores(before, 1)
    whole = step * plan.steps
    worth = whole >= _WORTH_SHARING_OUT if may_deal else step >= _WORTH_SHARING
    cores = asked or (max(1, round(idle_cores())) if worth else 1)
    if asked is None and may_deal:
        cores = min(cores, max(2, int(whole / _WORTH_A_WORKER)))
    few_and_large = len(replicas) < cores and step / len(replicas) >= _WORTH_SHARING
    if may_deal and not (few_and_large and before is None):
        return Cores(1, _within_memory(plan, data, replicas, min(cores, most)))
    return Cores(cores, 1)


def _within_memory(
    plan: StackPlan, data: Sequence[TrainingData], replicas: Sequence[Replica], wanted: int
) -> int:
    """Number of workers, up to the wanted one, for which the memory suffices."""
    shares, spare = shares_of(data, replicas), machine.spare_memory()
    while wanted > 1 and worker_bytes(plan, shares, wanted) > spare:
        wanted -= 1
    return wanted


def operations(plan: StackPlan, rows: Sequence[int]) -> float:
    """Multiplications and additions of a step: forward, and twice as many backward.

    Args:
        plan: shared by the replicas.
        rows: training rows of each replica.
    """
    return 6.0 * plan.network.parameters * sum(rows_per_step(n, plan.batch_size) for n in rows)
