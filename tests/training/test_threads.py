"""Choice of the number of threads of a stack."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mdncli.head import Head
from mdncli.network import Network
from mdncli.training import threads
from mdncli.training.plan import Replica, StackPlan, TrainingData
from mdncli.training.threads import choose_cores


@pytest.fixture
def choose(monkeypatch):
    """Choose for a stack of some replicas on a machine of eight cores, some of which are busy."""

    def chosen(
        replicas: int,
        load: float = 0.0,
        environment: str | None = None,
        width: int = 64,
        steps: int = 1000,
        memory: int = 1 << 40,
        **settings: Any,
    ) -> tuple[int, int]:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if environment is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", environment)
        monkeypatch.setattr(threads, "idle_cores", lambda: max(0.0, 8 - load))
        monkeypatch.setattr("mdncli.workers.most_workers", lambda: 8)
        monkeypatch.setattr("mdncli.machine.spare_memory", lambda: memory)
        head = Head(5, 1)
        plan = StackPlan(Network(1, (width, width), "silu", head.outputs), head, steps, 128)
        rows = np.zeros((1, 1000), np.float32)
        data = [TrainingData(rows, rows, rows, rows)]
        return choose_cores(plan, data, [Replica()] * replicas, **settings)

    return chosen


def test_little_work_stays_in_one_process(choose):
    assert choose(replicas=5, steps=10) == (1, 1)


def test_replicas_are_dealt_out_to_the_idle_cores(choose):
    assert choose(replicas=64, load=0.1) == (1, 8)
    assert choose(replicas=64, load=5.2) == (1, 3)
    assert choose(replicas=64, load=20.0) == (1, 1)
    assert choose(replicas=5, steps=10_000) == (1, 5)


def test_no_more_workers_than_the_work_is_worth(choose):
    counts = [choose(replicas=64, steps=steps)[1] for steps in (10, 60, 300, 500, 1000)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[1] == 2
    assert 2 < counts[2] < 8
    assert counts[-1] == 8


def test_one_network_and_a_few_huge_ones_train_on_threads(choose):
    assert choose(replicas=1, width=2048) == (8, 1)
    assert choose(replicas=2, width=2048) == (8, 1)
    assert choose(replicas=1) == (1, 1)
    assert choose(replicas=64, device="cuda") == (8, 1)


def test_what_is_asked_for_are_cores(choose):
    assert choose(replicas=64, asked=4, load=9.0) == (1, 4)
    assert choose(replicas=64, asked=1) == (1, 1)
    assert choose(replicas=1, asked=4) == (4, 1)
    assert choose(replicas=3, asked=100) == (1, 3)
    assert choose(replicas=64, load=9.0, environment="4") == (1, 4)
    assert choose(replicas=64, environment="1") == (1, 1)
    assert choose(replicas=64, environment="1", asked=2) == (1, 2)
    assert choose(replicas=1, environment="many") == (1, 1)


def test_a_continuation_keeps_the_threads_of_a_process(choose):
    assert choose(replicas=64, before=1) == (1, 8)
    assert choose(replicas=64, before=1, asked=2) == (1, 2)
    assert choose(replicas=64, before=3) == (3, 1)
    assert choose(replicas=64, before=3, asked=3) == (3, 1)
    assert choose(replicas=1, before=3) == (3, 1)
    assert choose(replicas=1, before=3, asked=1) == (1, 1)
    assert choose(replicas=64, before=3, asked=2) == (1, 2)


def test_no_more_workers_than_the_memory_suffices_for(choose):
    assert choose(replicas=64, memory=400_000_000)[1] in range(1, 5)
    assert choose(replicas=64, memory=1) == (1, 1)


@pytest.mark.parametrize(("own", "idle"), [(0.0, 1.5), (5.0, 4.0), (3.0, 3.0)])
def test_cores_are_idle_where_nobody_else_uses_them(own: float, idle: float):
    """Four of six cores are allowed; in two seconds five of their eight were spent."""
    # In a process of its own, whose clocks nothing else reads: the import takes the first look.
    program = f"""
import os, time
from pathlib import Path

clock, spent = iter([0.0, 2.0]), iter([0.0, {own}])
before = "".join(f"cpu{{core}} 100 0 50 9 9 1 1 0 0 0\\n" for core in range(6))
after = "".join(f"cpu{{core}} 190 0 80 99 99 3 4 0 0 0\\n" for core in range(6))
files = iter([before, after])
Path.read_text = lambda path: f"cpu  9 9 9\\n{{next(files)}}intr 1\\n"
os.sched_getaffinity = lambda process: {{0, 1, 2, 3}}
time.monotonic = lambda: next(clock)
time.process_time = lambda: next(spent)

from mdncli import machine

print(machine.idle_cores())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) == pytest.approx(idle), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_long_turns_change_neither_policy_nor_priority():
    program = """
import ctypes, os, struct
from mdncli import machine

def attributes():
    buffer = ctypes.create_string_buffer(48)
    number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
    failed = ctypes.CDLL(None).syscall(number, 0, buffer, 48, 0)
    return None if failed else struct.unpack("IIQiIQQQ", buffer.raw)

os.nice(3)
before = attributes()
machine.take_long_turns()
after = attributes()
print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
print(before is None or (before[1:5] == after[1:5] and after[5] in (before[5], 100_000_000)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
    assert done.stdout == f"{os.sched_getscheduler(0)} {nice}\nTrue\n", done.stderr
