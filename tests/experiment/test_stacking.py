"""Stacks that are too large for the memory there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdncli import machine
from mdncli.cli import run
from mdncli.head import Head
from mdncli.network import Network
from mdncli.store import read_tensors
from mdncli.training.memory import StackShare, stack_bytes
from mdncli.training.plan import StackPlan

TINY = [
    "data.rows=300",
    "data.validation=0.15",
    "train.steps=20",
    "model.ensemble=2",
    "model.hidden=8",
    "model.embedding=none",
    "train.warmup=5",
]
SHARE = StackShare(replicas=2, rows=210, validation_rows=45, data=0)


def tiny_bytes(runs: int) -> int:
    """Bytes that some runs of `TINY` take."""
    head = Head(10, 1)
    return stack_bytes(
        StackPlan(
            Network(1, (8,), "silu", head.outputs), head, 20, 128, averaging=0.98, loss="balanced"
        ),
        [SHARE] * runs,
    )


def train(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[dict], str]:
    code = run(["train", "sine", *TINY, "--json", *more])
    stdout, stderr = capsys.readouterr()
    return code, json.loads(stdout)["runs"] if stdout else [], stderr


def test_a_stack_that_is_too_large_trains_in_parts_to_the_same_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, together, said = train(capsys, "--seeds", "5")
    assert (code, len(together), said) == (0, 5, "")
    monkeypatch.setattr(machine, "spare_memory", lambda: tiny_bytes(2))
    code, parted, said = train(capsys, "--seeds", "5")
    assert code == 0
    (line,) = said.splitlines()
    assert "5 runs" in line
    assert "3 stacks" in line
    models = [
        [Path(each["run"], "model.safetensors").read_bytes() for each in runs]
        for runs in (together, parted)
    ]
    assert models[0] == models[1]


def test_runs_that_ask_for_other_threads_train_in_other_stacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = "data: {dataset: inverse_sine}\ntrain: {threads: %d}\n"
    for threads in (1, 2):
        Path(f"on-{threads}.yaml").write_text(config % threads)
    # A single network: several go to processes of one thread each.
    words = ["model.ensemble=1", *(word for word in TINY if "ensemble" not in word)]
    code = run(["train", "on-1.yaml", "on-2.yaml", *words, "--json"])
    assert code == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    checkpoints = [Path(each["run"], "checkpoint.safetensors") for each in runs]
    assert [read_tensors(path)[1]["threads"] for path in checkpoints] == [1, 2]


def test_a_run_that_is_too_large_by_itself_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "spare_memory", lambda: tiny_bytes(1) - 1)
    code, _, said = train(capsys, "--seeds", "5")
    (line,) = said.splitlines()
    assert code == 2
    assert line.startswith("error: train.batch_size: 128 rows a step for 2 networks need about")
    assert not (tmp_path / "runs").exists()


MEASURE = """
import re, sys
import numpy as np
from mdncli.head import Head
from mdncli.network import Network
from mdncli.store import read_tensors
from mdncli.training.loop import Stack
from mdncli.training.memory import StackShare, stack_bytes
from mdncli.training.plan import Replica, StackPlan, TrainingData

def trained(width, batch, rows, replicas):
    head = Head(5, 1)
    plan = StackPlan(Network(2, (width,), "silu", head.outputs), head, 2, batch, validate_every=1)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((count, rows)).astype("f4") for count in (2, 1))
    data = TrainingData(x, y, x[:, :500], y[:, :500])
    stack = Stack(plan, [data], [Replica(seed=seed) for seed in range(replicas)])
    for _ in stack.run():
        state = stack.state()
        own = [{name: values[[i]] for name, values in state.items()} for i in range(replicas)]
    return stack_bytes(plan, [StackShare(1, rows, 500, 0)] * replicas)

trained(8, 64, 100, 1)
def memory(field):
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(field + r":\\s*(\\d+) kB", status.read())[1])

before = memory("VmRSS")
bound = trained(*map(eval, sys.argv[1:]))
print(memory("VmHWM") - before, bound)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("width", "batch", "rows", "replicas"),
    [(2048, 64, 1000, 128), (20, None, 200_000, 16)],
    ids=["weights", "rows"],
)
def test_the_bound_holds_and_is_no_guess(width, batch, rows, replicas) -> None:
    arguments = [str(each) for each in (width, batch, rows, replicas)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    taken, bound = map(int, done.stdout.split())
    assert 1.0 <= bound / taken <= 3.0
