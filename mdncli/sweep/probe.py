"""Estimate of a sweep's time and disk space, from a few steps of its stacks."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mdncli import experiment, interrupts
from mdncli.events import ignore
from mdncli.experiment import Assignment
from mdncli.store import RunFolder
from mdncli.sweep.stacks import Library, TrialStack

STEPS = (4, 24)
"""Steps of a trial run, and of a second, longer one: the difference gives the cost of a step."""

SHAPES = 3
"""Most shapes to measure, those with the most work; the others are extrapolated."""

BLOCK = 4096
"""Bytes of a block on disk; files and folders take whole blocks."""


@dataclass(frozen=True)
class SweepCost:
    """Time and disk space of a sweep.

    Args:
        seconds: of wall-clock time, if the workers have a core each.
        bytes: of disk.
    """

    seconds: float
    bytes: int


def probe(stacks: Sequence[TrialStack], library: Library, workers: int) -> SweepCost:
    """Estimate time and disk space of stacks, without the start-up of workers.

    Args:
        stacks: the stacks.
        library: their data.
        workers: number of processes.
    """
    if not stacks:
        return SweepCost(0.0, 0)
    lead: dict[str, TrialStack] = {}
    for stack in stacks:
        lead.setdefault(stack.label, stack)
    tried = {label: _estimate_stack(lead[label], library) for label in [*lead][:SHAPES]}
    pace = sum(seconds for seconds, _ in tried.values()) / sum(lead[k].cost for k in tried)
    size = sum(size for _, size in tried.values()) / len(tried)
    seconds = total = 0.0
    for stack in stacks:
        known = tried.get(stack.label)
        rate = known[0] / lead[stack.label].cost if known else pace
        seconds += rate * stack.cost
        total += len(stack.trials) * (known[1] if known else size)
    return SweepCost(seconds / min(workers, len(stacks)), round(total))


def _estimate_stack(stack: TrialStack, library: Library) -> tuple[float, float]:
    """Estimate the seconds that a stack trains, and the bytes that each of its runs writes."""
    _time_training(stack, library, 1)  # one-time costs, such as the import of torch
    first, _ = _time_training(stack, library, STEPS[0])
    second, size = _time_training(stack, library, STEPS[1])
    a_step = max(second - first, 0.0) / (STEPS[1] - STEPS[0])
    once = max(first - STEPS[0] * a_step, 0.0)
    return once + stack.trials[0].shape.steps * a_step, size


def _time_training(stack: TrialStack, library: Library, steps: int) -> tuple[float, float]:
    """Time a short training of a stack, and measure the bytes of one of its runs."""
    with contextlib.ExitStack() as held:
        with interrupts.postpone_stop():
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="mdn-probe-"))
        measured = _measure_in_folder(stack, library, steps, Path(folder))
        with interrupts.postpone_stop():
            held.close()
    return measured


def _measure_in_folder(
    stack: TrialStack, library: Library, steps: int, folder: Path
) -> tuple[float, float]:
    assigned = []
    for one in stack.trials:
        config = one.trial.config
        train = config.train.model_copy(update={"steps": steps, "epochs": None})
        dataset = library.dataset(config)
        short = replace(dataset, config=config.model_copy(update={"train": train}))
        run = RunFolder(folder / one.folder.name)
        assigned.append(Assignment(short, run, {"trial": {"id": one.trial.id}}))
    began = time.perf_counter()
    experiment.train_assigned(assigned, ignore)
    seconds = time.perf_counter() - began
    run = assigned[0].run
    line = run.metrics.stat().st_size / max(1, len(run.history()))
    sizes = [os.stat(path).st_size for path in run.path.iterdir()]
    rest = sizes.copy()
    rest.remove(run.metrics.stat().st_size)
    rest.append(int(line * stack.trials[0].shape.validations))
    return seconds, BLOCK + sum(-(-size // BLOCK) * BLOCK for size in rest)
