"""A step of a stack on the CPU against CUDA, over sizes and replicas.

    python tests/benchmarks/gpu.py [--threads N]

Prints microseconds per step on both sides, medians of turns in this one process, and whether
`train.device: auto` chooses the faster one: its rule is to be set by this table.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from time import perf_counter

import numpy as np
import torch

from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.devices import choose_device
from mdncli.training.loop import Stack
from mdncli.training.plan import Replica, StackPlan, TrainingData
from mdncli.training.threads import operations

TURNS = 5
ROWS = 20_000
LARGEST = 3e10
"""Operations of the largest step measured; a core takes seconds for it."""

SIZES: dict[str, tuple[Sequence[int], str, int | None]] = {
    "20 tanh, batch 1,000": ((20,), "tanh", 1000),
    "64-64 silu, batch 128": ((64, 64), "silu", 128),
    "64-64 silu, batch 2,048": ((64, 64), "silu", 2048),
    "256 x 3 silu, batch 512": ((256, 256, 256), "silu", 512),
    "64-64 silu, full batch": ((64, 64), "silu", None),
}
REPLICAS = (1, 5, 64, 320)


def microseconds(plan: StackPlan, data: TrainingData, replicas: int, device: str, threads: int):
    """The time of a step after the first ones, which set up libraries and capture the graph."""
    stack = Stack(
        plan, [data], [Replica(seed=s) for s in range(replicas)], device=device, threads=threads
    )
    began = 0.0
    for event in stack.run():
        if getattr(event, "step", 0) == plan.validate_every and not began:
            began = perf_counter()
    return (perf_counter() - began) / (plan.steps - plan.validate_every) * 1e6


def some_rows() -> TrainingData:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, ROWS + 500)).astype("f4")
    y = (np.sin(2 * x[:1]) + 0.1 * rng.standard_normal((1, ROWS + 500))).astype("f4")
    return TrainingData(x[:, :ROWS], y[:, :ROWS], x[:, ROWS:], y[:, ROWS:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    options = parser.parse_args()
    there = torch.cuda.is_available()
    print(torch.cuda.get_device_name() if there else "no CUDA device: only the CPU is measured")
    print(f"{'':<26}{'R':>5}{'operations':>12}{'cpu us':>10}{'cuda us':>10}{'ratio':>8}  auto")
    data, head = some_rows(), Head(10, 1)
    for name, (hidden, activation, batch) in SIZES.items():
        network = Network(4, tuple(hidden), activation, head.outputs)
        for replicas in REPLICAS:
            work = operations(StackPlan(network, head, 1, batch), [ROWS] * replicas)
            if work > LARGEST:
                continue
            steps = max(8, min(400, int(4e9 / work)))
            plan = StackPlan(network, head, 2 * steps, batch, validate_every=steps)
            devices = ["cpu", "cuda"] if there else ["cpu"]
            turns = [
                [microseconds(plan, data, replicas, device, options.threads) for device in devices]
                for _ in range(TURNS)
            ]
            taken = [statistics.median(times) for times in zip(*turns, strict=True)]
            chosen = choose_device(None, plan, [ROWS] * replicas)
            figures = f"{taken[0]:>10.0f}"
            if there:
                ratio = statistics.median(cpu / cuda for cpu, cuda in turns)
                right = (chosen == "cuda") == (ratio > 1)
                figures += f"{taken[1]:>10.0f}{ratio:>7.1f}x"
                chosen += "" if right else " (WRONG)"
            else:
                figures += f"{'–':>10}{'–':>8}"
            print(f"{name:<26}{replicas:>5}{work:>12.1e}{figures}  {chosen}", flush=True)


if __name__ == "__main__":
    main()
