"""Choice of a device, and the errors where its memory does not suffice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli.errors import RunFault, UsageError
from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.devices import choose_device, memory_errors, require
from mdncli.training.loop import Stack
from mdncli.training.plan import Replica, StackPlan, TrainingData

HEAD = Head(10, 1)
PLAN = StackPlan(Network(1, (64, 64), "silu", HEAD.outputs), HEAD, 3000, 128)
SMALL, LARGE = [2000], [2000] * 320


@pytest.mark.parametrize("there", [True, False])
def test_what_is_asked_for_is_taken(there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    for rows in (SMALL, LARGE):
        assert choose_device("cpu", PLAN, rows) == "cpu"
        assert choose_device("cuda", PLAN, rows) == "cuda"


def test_auto_takes_cuda_for_large_stacks_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None, PLAN, LARGE) == "cuda"
    assert choose_device(None, PLAN, SMALL) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None, PLAN, LARGE) == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"train\.device: cuda is asked for"):
        require("cuda")
    require("auto")


def test_short_memory_is_one_clear_error():
    told = r"^train\.device: .*memory.*; use train\.device=cpu"
    with pytest.raises(RunFault, match=told), memory_errors(lambda: 1):
        raise torch.cuda.OutOfMemoryError("whatever it says")
    with pytest.raises(MemoryError), memory_errors(lambda: 1 << 50):
        torch.empty(1 << 50, dtype=torch.uint8)


def test_another_error_of_torch_is_not_taken_for_short_memory():
    with pytest.raises(RuntimeError), memory_errors(lambda: 1 << 20):
        torch.zeros(2) @ torch.zeros(3)


def test_a_stack_that_memory_does_not_suffice_for_says_so(monkeypatch):
    def refuse(*_):
        raise RuntimeError("in other words")

    x = np.zeros((1, 20), np.float32)
    data = TrainingData(x, x, x, x)
    plan = StackPlan(Network(1, (1 << 23, 1 << 23), "silu", HEAD.outputs), HEAD, 10)
    monkeypatch.setattr("mdncli.training.loop.DeviceDatasets", refuse)
    with pytest.raises(MemoryError):
        Stack(plan, [data], [Replica()])
    with pytest.raises(RuntimeError, match="in other words"):
        Stack(PLAN, [data], [Replica()])
