"""Choice of the number of CPU threads of a stack."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mdncli.machine import idle_cores
from mdncli.training.batches import rows_per_step
from mdncli.training.plan import Replica, StackPlan, TrainingData

_WORTH_SHARING = 1e8
"""Operations per step from which a second idle core was measured to save time, up to a third."""


def choose_threads(
    plan: StackPlan, data: Sequence[TrainingData], replicas: Sequence[Replica]
) -> int:
    """Number of threads: one, unless steps are large and cores idle; `OMP_NUM_THREADS` overrides.

    Threads that have to share a core wait for each other: beside one other busy process, two
    threads on two cores were measured to take up to a hundred times as long as one. Small steps
    gain little from a second thread even where a core is free for it.

    Args:
        plan: shared by the replicas.
        data: the datasets that they refer to.
        replicas: the replicas of the stack.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    rows = [data[replica.data].x_train.shape[1] for replica in replicas]
    worth = operations(plan, rows) >= _WORTH_SHARING
    return max(1, round(idle_cores())) if worth else 1


def operations(plan: StackPlan, rows: Sequence[int]) -> float:
    """Multiplications and additions of a step: forward, and twice as many backward.

    Args:
        plan: shared by the replicas.
        rows: training rows of each replica.
    """
    return 6.0 * plan.network.parameters * sum(rows_per_step(n, plan.batch_size) for n in rows)
