"""How long a sweep will take and how much it will write, from a few steps of its stacks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mdncli import experiment
from mdncli.events import ignore
from mdncli.experiment import Assignment
from mdncli.store import RunFolder
from mdncli.sweep.orders import Library, Order

STEPS = (4, 24)
"""A stack trains so many steps, and again so many: the difference is what steps cost."""

SHAPES = 3
"""Shapes that are tried at most, those with the most work; others are judged by theirs."""

BLOCK = 4096
"""What a file takes on a disk is a multiple of so many bytes, and so does a folder."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep will take.

    Args:
        seconds: of wall-clock time, if the workers have a core each.
        bytes: of disk.
    """

    seconds: float
    bytes: int


def probe(orders: Sequence[Order], library: Library, workers: int) -> Estimate:
    """What these stacks will take, once the workers are there.

    Args:
        orders: the stacks.
        library: their data.
        workers: who share them.
    """
    if not orders:
        return Estimate(0.0, 0)
    lead: dict[str, Order] = {}
    for order in orders:
        lead.setdefault(order.label, order)
    tried = {label: _tried(lead[label], library) for label in [*lead][:SHAPES]}
    pace = sum(seconds for seconds, _ in tried.values()) / sum(lead[k].cost for k in tried)
    size = sum(size for _, size in tried.values()) / len(tried)
    seconds = total = 0.0
    for order in orders:
        known = tried.get(order.label)
        rate = known[0] / lead[order.label].cost if known else pace
        seconds += rate * order.cost
        total += len(order.runs) * (known[1] if known else size)
    return Estimate(seconds / min(workers, len(orders)), round(total))


def _tried(order: Order, library: Library) -> tuple[float, float]:
    """How long a stack will train, and how many bytes each of its runs will write."""
    _trained(order, library, 1)  # whatever is done but once, such as the import of torch
    first, _ = _trained(order, library, STEPS[0])
    second, size = _trained(order, library, STEPS[1])
    a_step = max(second - first, 0.0) / (STEPS[1] - STEPS[0])
    once = max(first - STEPS[0] * a_step, 0.0)
    return once + order.runs[0].shape.steps * a_step, size


def _trained(order: Order, library: Library, steps: int) -> tuple[float, float]:
    """Seconds of a short training of a stack, and the bytes of one of its runs when it is done."""
    with tempfile.TemporaryDirectory(prefix="mdn-probe-") as folder:
        assigned = []
        for sized in order.runs:
            config = sized.trial.config
            train = config.train.model_copy(update={"steps": steps, "epochs": None})
            dataset = library.dataset(config)
            short = replace(dataset, config=config.model_copy(update={"train": train}))
            run = RunFolder(Path(folder, sized.folder.name))
            assigned.append(Assignment(short, run, {"trial": {"id": sized.trial.id}}))
        began = time.perf_counter()
        experiment.train_assigned(assigned, ignore)
        seconds = time.perf_counter() - began
        run = assigned[0].run
        line = run.metrics.stat().st_size / max(1, len(run.history()))
        sizes = [os.stat(path).st_size for path in run.path.iterdir()]
        rest = sizes.copy()
        rest.remove(run.metrics.stat().st_size)
        rest.append(int(line * order.runs[0].shape.validations))
        return seconds, BLOCK + sum(-(-size // BLOCK) * BLOCK for size in rest)
