"""`mdn train --profile`: the time of each part, at no cost where it is not asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mdncli.cli import run
from mdncli.head import Head
from mdncli.network import Network
from mdncli.training.loop import Stack
from mdncli.training.plan import Replica, StackPlan, TrainingData
from mdncli.training.profiling import PHASES, Profiler

TINY = ["data.rows=300", "train.steps=60", "model.ensemble=2", "model.hidden=8", "train.warmup=5"]


def test_parts_add_up_to_the_life_of_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mdncli", "train", "sine", *TINY, "--profile", "--json"]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    took = time.perf_counter() - began
    document = json.loads(done.stdout)
    profile = document["profile"]
    assert document["cores"] > 0
    total = profile.pop("total")
    assert list(profile) == [*PHASES, "other"]
    assert sum(profile.values()) == pytest.approx(total, abs=1e-4)
    # One process waits for no other.
    assert profile.pop("waiting") == 0
    assert all(seconds > 0 for seconds in profile.values())
    # The interpreter's end is not in it, and the system's clock ticks a hundred times a second.
    assert 0.5 * took < total <= took + 0.05
    assert profile["start-up"] > 0.5 * total


def test_a_table_follows_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "sine", *TINY, "--profile"]) == 0
    stdout, stderr = capsys.readouterr()
    assert len(stdout.splitlines()) == 1
    assert stderr.index("NLL in nats") < stderr.index("Where the time went")
    parts = [*PHASES, "other", "total"]
    assert [line.split()[0] for line in stderr.splitlines()[-len(parts) :]] == parts
    assert "cores used in training)" in stderr
    assert run(["train", "sine", *TINY]) == 0
    assert "Where the time went" not in capsys.readouterr().err
    assert run(["train", "--resume", "@latest", "--profile"]) == 2


def test_without_a_profiler_methods_are_bare_and_bits_the_same() -> None:
    head = Head(2, 1)
    plan = StackPlan(Network(1, (8,), "tanh", head.outputs), head, steps=20, validate_every=7)
    x = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    profiler = Profiler()
    states = []
    for each in (None, profiler):
        stack = Stack(plan, [TrainingData(x, x, x, x)], [Replica()], profiler=each)
        assert stack.engine is not None
        timed = {"update_weights", "validation_nll"} & vars(stack.engine).keys()
        assert bool(timed) == (each is not None)
        for _ in stack.run():
            pass
        states.append(stack.state())
    for name, values in states[0].items():
        np.testing.assert_array_equal(states[1][name], values, err_msg=name)
    inside = ("batches", "forward", "loss", "backward", "optimizer", "validation")
    assert all(profiler.seconds[part] > 0 for part in inside)
