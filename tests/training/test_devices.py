"""Choice of a device, and the errors where its memory does not suffice."""

from __future__ import annotations

import pytest
import torch

from mdncli.errors import RunFault, UsageError
from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.devices import choose_device, memory_errors, require
from mdncli.training.plan import StackPlan

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
    with pytest.raises(RunFault, match=told), memory_errors():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(MemoryError), memory_errors():
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError, match="another"), memory_errors():
        raise RuntimeError("another")
