"""A sweep survives its driver and its workers: every trial once, and equal to the undisturbed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mdncli import store
from mdncli.store import RunFolder
from tests.faults import processes, tampering

Record = Callable[[str, object], None]

SWEEP = (
    "sweep",
    "sine",
    "data.rows=1000",
    "train.steps=60",
    "train.warmup=0",
    "train.validate_every=5",
    "model.hidden=4",
    "model.ensemble=1",
    "model.mixtures=1,2,3",
    "seed=0..3",
    "-q",
)
"""Twelve trials of three shapes, in some tenths of a second."""


def learnt(root: Path) -> dict[str, tuple[bytes, str]]:
    """Results of the only sweep of a folder: its trials without stamps and times."""
    (sweep,) = store.runs(root)
    assert sweep.state() == "completed"
    found = {}
    for run in store.runs(sweep.trials):
        nll = json.dumps(run.read_json(run.result)["nll"])
        metrics = [{**record, "seconds": None} for record in run.history()]
        found[run.id[16:]] = (run.model.read_bytes(), nll + json.dumps(metrics))
        assert not run.checkpoint.exists()
        assert not list(run.path.glob(".*.tmp"))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, str]]:
    here = tmp_path_factory.mktemp("undisturbed") / "here"
    here.mkdir()
    ended = processes.run(*SWEEP, cwd=here)
    assert ended.code == 0, ended.err
    return learnt(here / "runs")


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.faults)])
def test_a_driver_killed_again_and_again_loses_nothing_and_does_nothing_twice(
    count: int, undisturbed: dict[str, tuple[bytes, str]], here: Path, record_property: Record
) -> None:
    dice = random.Random(count)
    kills = lives = 0
    while kills < count:
        root = here / f"{lives}"
        ended = None
        # Many lives of one sweep, each killed at one of the moments in which something is saved.
        while ended is None or ended.code != 0:
            dying = partial(tampering.die_while_saving, dice.randint(1, 150), dice.random())
            tamper = (tampering.eager, dying) if kills < count else ()
            ended = processes.run(*SWEEP, "--runs-dir", root, cwd=here, tamper=tamper)
            assert ended.code in (0, -signal.SIGKILL), ended.err
            kills += ended.code != 0
        whole = [run for run in store.runs(root) if run.trials.is_dir()]
        # One that was killed before it had a list of trials is no sweep, and stays behind empty.
        for run in store.runs(root):
            if run not in whole:
                assert run.state() != "completed"
                store.abandon(run)
        assert learnt(root) == undisturbed
        lives += 1
    record_property(
        "sweeps with a killed driver", f"equal {lives}/{lives} after {kills} kills while saving"
    )


def test_interrupted_it_goes_on_where_it_was(
    undisturbed: dict[str, tuple[bytes, str]], here: Path
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        root = here / number.name
        tamper = (partial(tampering.signal_at_step, 40, number),)
        ended = processes.run(*SWEEP, "--runs-dir", root, cwd=here, tamper=tamper)
        assert ended.code == 128 + number, ended.err
        assert re.search(r"trials are complete( and the .* kept)?; continue with", ended.said)
        (sweep,) = store.runs(root)
        begun = [run for run in store.runs(sweep.trials) if run.checkpoint.exists()]
        assert begun
        ended = processes.run("sweep", "--resume", sweep.path, "-q", cwd=here)
        assert ended.code == 0, ended.err
        assert learnt(root) == undisturbed


def test_killed_workers_are_replaced_and_leave_no_orphans(
    here: Path, record_property: Record
) -> None:
    """Two workers in processes of their own: one is killed, then the driver, then all go on."""
    words = [word for word in SWEEP if not word.startswith("train.")]
    words += ["train.steps=4000", "train.validate_every=50"]
    command = [sys.executable, "-m", "mdncli", *words, "--workers", "2"]
    with subprocess.Popen(command, cwd=here) as driver:
        _await(lambda: len(_begun(here)) >= 2)
        first = _workers_of(driver.pid)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        _await(lambda: bool({*_workers_of(driver.pid)} - {*first}))
        second = _workers_of(driver.pid)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    _await(lambda: not any(map(_command, (*first, *second))))
    ended = processes.run(*words, cwd=here)
    assert ended.code == 0, ended.err
    disturbed = learnt(here / "runs")
    ended = processes.run(*words, "--runs-dir", here / "calm", cwd=here)
    assert ended.code == 0, ended.err
    assert disturbed == learnt(here / "calm")
    record_property("killed workers", "a worker and the driver killed: 12/12 trials equal")


def _begun(here: Path) -> list[RunFolder]:
    return [
        run
        for sweep in store.runs(here / "runs")
        for run in store.runs(sweep.trials)
        if run.exists()
    ]


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _workers_of(driver: int) -> list[int]:
    """Forks of a driver: those of its children that are called like it."""
    return [pid for pid in _children(driver) if _command(pid) == _command(driver)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _await(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


@pytest.mark.faults
def test_a_cluster_survives_its_workers_and_its_driver(here: Path, record_property: Record) -> None:
    """A real scheduler and two real workers: a worker is killed, then the driver."""
    pytest.importorskip("distributed")
    words = [word for word in SWEEP if not word.startswith("train.")]
    words += ["train.steps=4000", "train.validate_every=50"]
    with cluster(here, workers=2) as (address, workers):
        command = [sys.executable, "-m", "mdncli", *words, "--cluster", address]
        with subprocess.Popen(command, cwd=here) as driver:
            _await(lambda: len(_begun(here)) >= 8)  # two stacks: both are at work
            os.kill(workers[0], signal.SIGKILL)
            _await(lambda: len(_begun(here)) >= 9)
            driver.kill()
        done = subprocess.run(command, cwd=here, timeout=120, check=False)
        assert done.returncode == 0
    disturbed = learnt(here / "runs")
    ended = processes.run(*words, "--runs-dir", here / "calm", cwd=here)
    assert ended.code == 0, ended.err
    assert disturbed == learnt(here / "calm")
    record_property("cluster", "a worker and the driver killed: 12/12 trials equal")


@contextlib.contextmanager
def cluster(here: Path, workers: int) -> Iterator[tuple[str, list[int]]]:
    """The address of a scheduler, and the processes that keep its workers."""
    found = here / "scheduler.json"
    with contextlib.ExitStack() as held:

        def start(*words: str) -> int:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
                cwd=here,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            held.callback(process.wait)
            held.callback(process.terminate)
            return process.pid

        own = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        start("scheduler", *own, "--scheduler-file", str(found))
        _await(found.exists)
        address = json.loads(found.read_text())["address"]
        yield (
            address,
            [start("worker", address, "--nthreads", "1", "--no-nanny") for _ in range(workers)],
        )
