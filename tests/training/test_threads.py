"""How many threads a stack gets."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.plan import Replica, StackPlan, TrainingData
from mdncli.training.threads import choose_threads


@pytest.fixture
def choose(monkeypatch):
    """Choose for a stack of some replicas on a machine of eight cores with some load."""

    def chosen(replicas: int, load: float, asked: str | None = None, width: int = 64) -> int:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if asked is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", asked)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
        head = Head(5, 1)
        plan = StackPlan(Network(1, (width, width), "silu", head.outputs), head, 10, 128)
        rows = np.zeros((1, 1000), np.float32)
        return choose_threads(plan, [TrainingData(rows, rows, rows, rows)], [Replica()] * replicas)

    return chosen


def test_small_steps_get_one_thread(choose):
    assert choose(replicas=5, load=0.0) == 1


def test_large_steps_get_the_idle_cores(choose):
    assert choose(replicas=64, load=0.1) == 8
    assert choose(replicas=64, load=5.2) == 3
    assert choose(replicas=64, load=20.0) == 1


def test_the_environment_overrides(choose):
    assert choose(replicas=1, load=9.0, asked="4") == 4
    assert choose(replicas=64, load=0.0, asked="1") == 1
    assert choose(replicas=1, load=0.0, asked="many") == 1
