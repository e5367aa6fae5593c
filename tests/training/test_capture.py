"""A step as a captured graph needs it: always the same operations on the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode, resolve_name

from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.capture import Prefetcher, Step, eager
from mdncli.training.loop import Stack
from mdncli.training.objectives import OBJECTIVES
from mdncli.training.objectives.base import Objective
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import Progress, Replica, StackPlan, TrainingData, Validated


def some_data(seed: int, rows: int) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, rows + 50)).astype("f4")
    y = (np.sin(2 * x) + 0.1 * rng.standard_normal(x.shape)).astype("f4")
    return TrainingData(x[:, :rows], y[:, :rows], x[:, rows:], y[:, rows:])


def weighted(data: TrainingData) -> TrainingData:
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0, 2, (1, y.shape[1])) for y in (data.y_train, data.y_validation)]
    own, held_out = ((each / each.mean()).astype("f4") for each in weights)
    return replace(data, w_train=own, w_validation=held_out)


DATA = [some_data(0, 1000), weighted(some_data(1, 1010)), some_data(2, 40)]
REPLICAS = [
    Replica(
        data=index % 3,
        seed=index,
        learning_rate=0.0 if index == 3 else 3e-3,
        weight_decay=1e-3 * (index % 3),
        schedule="cosine",
        warmup=index,
        patience=1 if index == 3 else None,
        dropout=0.1 * (index % 2),
        noise_inputs=0.1 * (index // 3),
        noise_targets=0.1 * (index % 3),
    )
    for index in range(6)
]


def a_plan(**changes) -> StackPlan:
    head = Head(3, 1)
    plan = StackPlan(Network(1, (16, 12), "silu", head.outputs), head, 45, 32, validate_every=15)
    return replace(plan, **changes)


PLANS = {
    "batches": a_plan(),
    "full batch": a_plan(batch_size=None),
    "clipped": a_plan(gradient_clip=0.5),
    "tanh": a_plan(network=Network(1, (16,), "tanh", 9)),
    "several blocks": a_plan(batch_size=None),
    "autograd": a_plan(loss="autograd"),
    **{name: a_plan(optimizer=name) for name in OPTIMIZERS},
}


@pytest.fixture(autouse=True)
def plain_loss(monkeypatch):
    """A loss without a fused implementation."""
    nll = OBJECTIVES["nll"]
    monkeypatch.setitem(OBJECTIVES, "autograd", Objective(nll.trains, nll.loss))


def flat(values: object) -> Iterator[object]:
    """Items and keys of nested lists, tuples and dictionaries."""
    if isinstance(values, dict):
        values = [*values.items()]
    if isinstance(values, list | tuple):
        for value in values:
            yield from flat(value)
    else:
        yield values


class Recorder(TorchFunctionMode):
    """Every operation with its numbers and where the memory lies that is older than the work."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []
        self._made: dict[int, torch.Tensor] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = [*flat((args, kwargs))]
        self.calls.append((resolve_name(func) or str(func), *map(self._seen, given)))
        before = {value.untyped_storage().data_ptr() for value in given if torch.is_tensor(value)}
        for value in flat(result):
            if torch.is_tensor(value) and value.untyped_storage().data_ptr() not in before:
                # Kept, so that no other gets its memory while the work goes on.
                self._made[value.untyped_storage().data_ptr()] = value
        return result

    def _seen(self, value: object) -> object:
        if not torch.is_tensor(value):
            return value
        shape = (value.dtype, tuple(value.shape), value.stride())
        if value.untyped_storage().data_ptr() in self._made:
            return ("made within the work", *shape)
        return (value.data_ptr(), *shape)


def recording(into: list[list[list[tuple]]]):
    """A capture that calls the step as it is, and records the operations of each engine's steps."""

    def capture(step: Step) -> Step:
        steps: list[list[tuple]] = []
        into.append(steps)

        def run() -> None:
            with Recorder() as recorder:
                step()
            steps.append(recorder.calls)

        return run

    return capture


def trained(plan: StackPlan, **options) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    stack = Stack(plan, DATA, REPLICAS, **options)
    events = [event for event in stack.run() if isinstance(event, Validated)]
    return stack.state(), [event.nll_validation for event in events]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_step_is_the_same_work_in_the_same_memory(plan, monkeypatch):
    if plan is PLANS["several blocks"]:
        monkeypatch.setattr("mdncli.training.engine.BLOCK_ROWS", {"cpu": 256})
    # Short windows, so that a few steps cross several of them.
    monkeypatch.setattr("mdncli.training.batches.WINDOW_STEPS", 7)
    monkeypatch.setattr("mdncli.training.schedule.STEPS_AHEAD", 11)
    engines: list[list[list[tuple]]] = []
    trained(plan, capture=recording(engines))
    # The replica out of patience leaves, and what remains is captured anew.
    assert len(engines) == 2
    for steps in engines:
        assert len(steps) >= 15
        for step in steps[1:]:
            assert step == steps[0]


def test_the_recorder_notices_what_a_graph_could_not_replay():
    still, wandering = torch.zeros(4), [torch.zeros(4) for _ in range(3)]
    numbers = iter(range(3))
    steps: list[list[list[tuple]]] = []
    for work in (
        lambda: still.add_(wandering[next(numbers)]),
        lambda: still.add_(1.0 + len(steps[-1])),
        lambda: still.add_(still.sum()),
    ):
        run = recording(steps)(work)
        run()
        run()
    assert [one == other for one, other in steps] == [False, False, True]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_static_buffers_change_no_bit(plan):
    expected, told = trained(plan)
    found, told_too = trained(plan, capture=eager)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    for one, other in zip(told, told_too, strict=True):
        np.testing.assert_array_equal(one, other)


def test_static_buffers_resume_in_the_middle_of_a_window(monkeypatch):
    monkeypatch.setattr("mdncli.training.loop.PROGRESS_SECONDS", 0)
    expected, _ = trained(a_plan())
    stack = Stack(a_plan(), DATA, REPLICAS, capture=eager)
    for event in stack.run():
        if isinstance(event, Progress) and event.step == 25:
            break
    found, _ = trained(a_plan(), state=stack.state(), capture=eager)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("static", [False, True])
def test_prefetched_values_are_those_of_their_step(static):
    ahead = Prefetcher(lambda first, count: [torch.arange(first, first + count)], 5, static=static)
    for step in (3, 4, 5, 6, 7, 8, 9, 10):
        ahead.seek(step)
        assert [int(value) for value in ahead.values()] == [step]


# ------------------------------------------------------------------------------- on a device

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_cuda
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_replayed_graph_equals_the_same_steps_call_by_call(plan):
    replayed, _ = trained(plan, device="cuda")
    called, _ = trained(plan, device="cuda", capture=eager)
    for name, values in called.items():
        np.testing.assert_allclose(replayed[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


@needs_cuda
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_cuda_equals_the_cpu_to_tolerance(plan):
    short = replace(plan, steps=20)
    on_cuda, told = trained(short, device="cuda")
    on_cpu, told_too = trained(short)
    np.testing.assert_allclose(on_cuda["weights"], on_cpu["weights"], atol=2e-3)
    np.testing.assert_allclose(told, told_too, atol=2e-3)
